"""Commands that come in groups; `cli.py` hangs them into the application."""

"""The third lever: examples, training here or elsewhere, and what it leaves behind."""

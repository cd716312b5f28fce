"""All matplotlib charts."""

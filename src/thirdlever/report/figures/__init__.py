"""The memo's figures: each a `Picture`, drawn on a sheet for a file, a desktop or a phone."""

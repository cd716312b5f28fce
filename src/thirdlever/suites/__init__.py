"""Labelled suites: items, splits, file readers, the leakage check, `init`."""

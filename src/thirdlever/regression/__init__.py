"""Holding a new base model against a pinned run: baselines and the release gate."""

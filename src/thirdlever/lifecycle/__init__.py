"""What to do when a model changes: baseline, regression gate, stale models, replacement, history."""

"""The charts of a run and of its decision: all that draws with matplotlib, but the history."""

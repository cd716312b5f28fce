"""Charts of runs and decisions, drawn with matplotlib."""

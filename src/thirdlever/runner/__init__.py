"""`run` and `plan`: every candidate over a suite, under a budget."""

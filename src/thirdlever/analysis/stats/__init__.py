"""Intervals, paired tests, power, and sequential designs: pure NumPy and SciPy."""

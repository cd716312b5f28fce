"""Figures with their uncertainty, and tests of whether candidates differ."""

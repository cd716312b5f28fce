"""Embedders, passages, indexes and search over labelled examples and documents."""

"""The embedder, and search over labelled examples and documents."""

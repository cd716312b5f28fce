"""Base models: where they come from, and the engine that runs local ones."""

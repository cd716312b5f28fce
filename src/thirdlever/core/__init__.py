"""Errors, files, the artefact store, text formatting, progress, project paths; knows nothing of language models."""

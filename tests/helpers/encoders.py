"""The embedder for tests, by the name that the tests use."""

from thirdlever.testing import FakeEmbedder as Hashing

__all__ = ["Hashing"]

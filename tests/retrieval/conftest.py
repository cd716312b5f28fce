"""What the tests of retrieval share: one Chroma server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from helpers.chroma_servers import ChromaServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    server = ChromaServer(tmp_path_factory.mktemp("chroma"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(chroma_server: ChromaServer) -> str:
    """The URL of a Chroma server of our own."""
    return chroma_server.url

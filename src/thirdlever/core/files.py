"""Atomic writes and content hashes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from pathlib import Path

_LARGE = 10_000_000  # bytes: a smaller file is hashed in a moment


def write(path: Path, data: bytes) -> None:
    """Write a file atomically: an interrupted write leaves the old content."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def content_hash(value: object) -> str:
    """SHA-256 (hex) of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's content, remembered in the user's cache until its size or its time of change differs.

    Weights of several GB would otherwise be read at each start.
    """
    state = path.stat()
    seen = [str(path.absolute()), state.st_size, state.st_mtime_ns]
    kept = platformdirs.user_cache_path("thirdlever") / "hashes" / content_hash(seen)[:24]
    if kept.is_file() and len(known := kept.read_text("ascii")) == hashlib.sha256().digest_size * 2:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if state.st_size >= _LARGE:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # two processes may write at once, and a cache may be read-only
            write(kept, digest.encode())
    return digest

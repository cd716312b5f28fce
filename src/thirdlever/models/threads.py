"""OpenMP's threads, given back where they would slow others down."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

_SOFT = 1  # omp_pause_soft, of OpenMP 5.0 (section 3.2.43): settings are kept
_LOADED = Path("/proc/self/maps")  # the libraries of this process, on Linux


def release() -> None:
    """Give back the calling thread's OpenMP threads; its next matrix product starts them again.

    libgomp keeps a pool for each thread that calls it. While all pools together have more threads than there are cores,
    threads that wait for each other sleep instead of spinning, and a small model takes half as long again. Does nothing
    where torch uses another OpenMP.
    """
    for library in _libgomp():
        library.omp_pause_resource_all(_SOFT)


@cache
def _libgomp() -> tuple[ctypes.CDLL, ...]:
    lines = _LOADED.read_text("utf-8").splitlines() if _LOADED.exists() else []
    paths = sorted({line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line})
    libraries = [ctypes.CDLL(path) for path in paths if Path(path).exists()]  # an upgrade may have removed the file
    return tuple(library for library in libraries if hasattr(library, "omp_pause_resource_all"))

"""Which code and which machine: what a run's figures depend on and its files must tell."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

_TOLD = (
    "inspect-ai",
    "openai",
    "anthropic",
    "torch",
    "transformers",
    "sentence-transformers",
    "scikit-learn",
    "chromadb",
    "pandas",
)


def version() -> str:
    """Of thirdlever itself; code that is not installed has none."""
    return _installed("thirdlever") or "0+source"


def versions() -> dict[str, str]:
    """Of Python and of the installed packages that answers or figures depend on."""
    found = {name: _installed(name) for name in _TOLD}
    return {"thirdlever": version(), "python": platform.python_version()} | {k: v for k, v in found.items() if v}


def hardware() -> dict[str, Any]:
    """The machine; accelerators only where torch was loaded, for a run that did without it need not load it now."""
    facts: dict[str, Any] = {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return facts


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

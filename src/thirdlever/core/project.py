"""The project: where its files are, how they are imported, and what they run on."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import ThirdleverError
from thirdlever.core.mistakes import explained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType


STORE = Path(".thirdlever", "store")
RESULTS = Path("results")
_REPORTED = (
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


_drafts: ContextVar[tuple[Path, ...]] = ContextVar("drafts", default=())


def roots() -> tuple[Path, ...]:
    """Folders searched, in order: the current one, then the starter project (in a checkout, the checkout itself)."""
    package = Path(__file__).parents[1]
    starter = package / "starter"
    return (*_drafts.get(), Path.cwd(), starter if starter.is_dir() else package.parents[1])


@contextmanager
def first_in(folder: Path) -> Iterator[None]:
    """Search a folder before the current one, for files that are not yet part of the project."""
    token = _drafts.set((folder, *_drafts.get()))
    try:
        yield
    finally:
        _drafts.reset(token)


def files(kind: str) -> Mapping[str, Path]:
    """Python files under `evals/` or `strategies/`, sorted by name; the first root that has a name wins."""
    found: dict[str, Path] = {}
    for root in reversed(roots()):
        found |= {p.stem: p for p in (root / kind).glob("[!_]*.py")}
    return dict(sorted(found.items()))


def dataset(name: str) -> Path:
    """The folder `datasets/<name>` of the first root that has it; the current folder's if none does."""
    candidates = [root / "datasets" / name for root in roots()]
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def hide_datasets() -> None:
    """Stop libraries from importing the project's folder `datasets/` as the package of that name.

    If the current folder is on Python's path, as in a notebook, transformers' trainer would import it and fail.
    """
    if "datasets" not in sys.modules:
        found = importlib.util.find_spec("datasets")
        if found is not None and found.origin is None:  # a folder without code
            sys.modules["datasets"] = None  # type: ignore[assignment]  # Python treats it as not installed


def load_module(path: Path, error: type[ThirdleverError]) -> ModuleType:
    """Import a user's file by its path.

    Raises:
        ThirdleverError: the file cannot be imported; of the type given.
    """
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"thirdlever_content_{path.parent.name}_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        message = f"cannot import {str(path)!r}; it must be a Python file"
        raise error(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ThirdleverError:
        raise
    except (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError) as cause:
        raise error(explained(cause, path)) from cause
    return module


def version() -> str:
    """The version of thirdlever; "0+source" if it is not installed."""
    return _installed("thirdlever") or "0+source"


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that affect answers or figures."""
    found = {name: _installed(name) for name in _REPORTED}
    return {"thirdlever": version(), "python": platform.python_version()} | {k: v for k, v in found.items() if v}


def hardware() -> dict[str, Any]:
    """The machine; GPUs only if the run has already loaded torch."""
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

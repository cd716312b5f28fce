"""Where evals, strategies, datasets and results are: the user's project first, then the starter set that is shipped."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.errors import ThirdleverError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

STORE = Path(".thirdlever", "store")
RESULTS = Path("results")


def roots() -> tuple[Path, ...]:
    """Folders searched, nearest first: the current one, then the starter set (in a checkout: the checkout)."""
    package = Path(__file__).parent
    starter = package / "starter"
    return (Path.cwd(), starter if starter.is_dir() else package.parents[1])


def files(kind: str) -> Mapping[str, Path]:
    """Python files under `evals/` or `strategies/` by name; the nearest root wins."""
    found: dict[str, Path] = {}
    for root in reversed(roots()):
        found |= {p.stem: p for p in sorted((root / kind).glob("[!_]*.py"))}
    return found


def dataset(name: str) -> Path:
    """The folder `datasets/<name>` of the nearest root that has it; the current folder's when none does."""
    candidates = [root / "datasets" / name for root in roots()]
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def hide_datasets() -> None:
    """Keep libraries from taking the project's folder `datasets/` for the package of that name.

    Where the current folder is on Python's path, as in a notebook, transformers' trainer finds the folder, and fails.
    """
    if "datasets" not in sys.modules:
        found = importlib.util.find_spec("datasets")
        if found is not None and found.origin is None:  # a folder without code
            sys.modules["datasets"] = None  # type: ignore[assignment]  # what Python takes for "not installed"


def load_module(path: Path, error: type[ThirdleverError]) -> ModuleType:
    """Import a user's file by its path.

    Raises:
        ThirdleverError: of the type given, when the file cannot be imported.
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
        message = f"{path}: {type(cause).__name__}: {cause}; correct the file"
        raise error(message) from cause
    return module

"""The store of artefacts (indexes, adapters, choices made on dev), each under the hash of its inputs."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from thirdlever.core.files import content_hash
from thirdlever.core.project import version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


_FACTS = "artefact.json"


@dataclass(frozen=True, slots=True)
class Artefact:
    """An artefact in the store.

    Attributes:
        folder: where `build` wrote it.
        facts: what `build` returned, plus `seconds`, the wall time of the build.
    """

    folder: Path
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of artefacts, safe against interruption and concurrent processes."""

    root: Path

    def once(
        self,
        kind: str,
        *,
        of: Mapping[str, Any],
        build: Callable[[Path], Mapping[str, Any] | None],
        resume: bool = False,
    ) -> Artefact:
        """Build an artefact, or return the one already built from the same inputs.

        Args:
            kind: the parent folder, such as "index".
            of: all inputs, as JSON values: hashes of data, the model's revision, arguments. thirdlever's version is
                added.
            build: writes into an empty folder and returns facts to keep, as JSON values.
            resume: whether `build` gets the folder of an interrupted attempt as it was left.
        """
        home = self.root / kind / content_hash([version(), of])[:24]
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(home.with_suffix(".lock")):
            if not (home / _FACTS).is_file():
                self._build(home, of, build, resume=resume)
        facts = json.loads((home / _FACTS).read_text("utf-8"))
        return Artefact(home, facts)

    @staticmethod
    def _build(
        home: Path, of: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any] | None], *, resume: bool
    ) -> None:
        """Build next to `home` and rename, so that `home` is always complete."""
        partial = home.with_suffix(".partial")
        if not resume:
            shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(exist_ok=resume)
        start = time.perf_counter()
        facts = dict(build(partial) or {})
        facts |= {"seconds": time.perf_counter() - start, "of": dict(of)}
        (partial / _FACTS).write_text(json.dumps(facts, indent=2), "utf-8")
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)

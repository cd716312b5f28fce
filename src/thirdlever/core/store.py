"""Artefacts of preparing (an index, an adapter, a choice made on dev), kept under the hash of what they depend on."""

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
    """One thing in the store.

    Attributes:
        folder: where `build` wrote it.
        facts: what `build` returned, plus `seconds`, the wall time that building took.
    """

    folder: Path
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of artefacts, safe against a kill in the middle and a second process beside."""

    root: Path

    def once(
        self,
        kind: str,
        *,
        of: Mapping[str, Any],
        build: Callable[[Path], Mapping[str, Any] | None],
        resume: bool = False,
    ) -> Artefact:
        """Build an artefact, or find the one that was built from the same.

        Args:
            kind: the folder it goes under, e.g. "index".
            of: everything its content depends on, JSON-able: hashes of data, model revision, arguments; thirdlever's
                own version is added.
            build: writes into the empty folder it is given; returns JSON-able facts to keep.
            resume: give it the folder as an attempt that was cut off left it.
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
        """Build beside its home and rename, so that what is at home is whole."""
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

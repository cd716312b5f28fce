"""The store: what preparing a strategy builds, under a hash of its inputs.

An artefact is an index, an adapter, or a choice made on dev. The hash covers `of`, thirdlever's version and the source
of `build`: when any of them changes, the artefact is built again. See `source_hash` for which source counts. A plan
reads through `ReadOnlyStore`, which returns finished artefacts and builds none unless told to.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from thirdlever.core.errors import ThirdleverError
from thirdlever.core.files import content_hash
from thirdlever.core.project import version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


_FACTS = "artefact.json"


@dataclass(frozen=True, slots=True)
class Artefact:
    """One entry of the store.

    Attributes:
        folder: where `build` wrote it.
        facts: what `build` returned, plus `seconds`, the wall time of the build.
    """

    folder: Path
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of artefacts; safe to kill at any time and to share between processes."""

    root: Path

    def home(self, kind: str, of: Mapping[str, Any], build: Callable[..., Any]) -> Path:
        """The folder of an artefact, whether or not it exists."""
        return self.root / kind / content_hash([version(), of, source_hash(build)])[:24]

    def once(
        self,
        kind: str,
        *,
        of: Mapping[str, Any],
        build: Callable[[Path], Mapping[str, Any] | None],
        resume: bool = False,
    ) -> Artefact:
        """Return the artefact, building it first if the store does not have it.

        Args:
            kind: the subfolder it goes into, e.g. "index".
            of: all data that its content depends on, JSON-able: hashes of data, model revision, arguments. Values that
                `build` takes from its closure or from a `functools.partial` belong here.
            build: writes into the empty folder it is given and returns JSON-able facts to keep.
            resume: pass `build` the folder as an interrupted attempt left it.
        """
        home = self.home(kind, of, build)
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(home.with_suffix(".lock")):
            if not (home / _FACTS).is_file():
                self._build(home, of, build, resume=resume)
        return Artefact(home, json.loads((home / _FACTS).read_text("utf-8")))

    @staticmethod
    def _build(
        home: Path, of: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any] | None], *, resume: bool
    ) -> None:
        # Built in another folder and renamed, so that an artefact is complete or absent.
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


def source_hash(build: Callable[..., Any]) -> str:
    """Hash of the code behind a callable; the same in every process and every folder.

    The first of these that can be read:

    1. for a callable outside thirdlever, the text of its file, so that the helpers beside it count too;
    2. the text of the function or class alone: thirdlever's own builders (the version covers the rest) and notebooks;
    3. its compiled code: functions typed at the prompt or made by `exec`;
    4. its name: functions written in C.

    A `functools.partial` counts as the function inside it, an instance as its `__call__`.
    """
    while isinstance(build, functools.partial):
        build = build.func
    code: Any = inspect.unwrap(getattr(build, "__func__", build))
    if not (inspect.isroutine(code) or inspect.isclass(code)):
        code = type(code).__call__
    try:
        file = Path(inspect.getsourcefile(code) or "")
        if file.is_file() and not str(code.__module__).startswith("thirdlever."):
            return hashlib.sha256(file.read_bytes()).hexdigest()
        return content_hash(inspect.getsource(code))
    except (OSError, TypeError):
        compiled = getattr(code, "__code__", None)
        return content_hash(_compiled(compiled) if compiled else f"{code.__module__}.{code.__qualname__}")


def _compiled(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, CodeType):
        return [value.co_code.hex(), [_compiled(each) for each in value.co_consts], list(value.co_names)]
    # The order of a set of strings differs between processes.
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


class NotBuilt(ThirdleverError):  # noqa: N818 - a signal, which the plan catches
    """A plan needs an artefact that does not exist yet.

    Attributes:
        kind: of the artefact, e.g. "adapter".
        of: what the artefact depends on, see `Store.once`.
        asks: the requests that building it would send (`evaluation.ask.Questions`), where they are known.
    """

    def __init__(self, kind: str, of: Mapping[str, Any]) -> None:
        """Name the artefact."""
        super().__init__(f"the {kind} is not built yet; thirdlever run builds it")
        self.kind = kind
        self.of = of
        self.asks: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class ReadOnlyStore(Store):
    """A project's store that builds nothing but what it is told to.

    Attributes:
        builds: kinds of artefact that it builds nevertheless, because they cost a moment of this machine and no money.
    """

    builds: frozenset[str] = frozenset()

    def once(
        self,
        kind: str,
        *,
        of: Mapping[str, Any],
        build: Callable[[Path], Mapping[str, Any] | None],
        resume: bool = False,
    ) -> Artefact:
        """Return the finished artefact.

        Raises:
            NotBuilt: there is none.
        """
        if kind in self.builds:
            return Store.once(self, kind, of=of, build=build, resume=resume)
        home = self.home(kind, of, build)
        facts = home / "artefact.json"
        if not facts.is_file():
            raise NotBuilt(kind, of)
        return Artefact(home, json.loads(facts.read_text("utf-8")))

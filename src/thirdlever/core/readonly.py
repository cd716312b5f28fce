"""The store that plans use: it returns finished artefacts and builds none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import ThirdleverError
from thirdlever.core.store import Artefact, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


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
    """A project's store that never builds or writes."""

    def once(
        self,
        kind: str,
        *,
        of: Mapping[str, Any],
        build: Callable[[Path], Mapping[str, Any] | None],
        resume: bool = False,  # noqa: ARG002 - the signature of `Store.once`
    ) -> Artefact:
        """Return the finished artefact.

        Raises:
            NotBuilt: there is none.
        """
        home = self.home(kind, of, build)
        facts = home / "artefact.json"
        if not facts.is_file():
            raise NotBuilt(kind, of)
        return Artefact(home, json.loads(facts.read_text("utf-8")))

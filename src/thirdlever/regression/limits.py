"""What a new model is held to: from flags, else the suite's card (`regression:`), else defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import SuiteError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the release gate. Shares are 0 to 1.

    Attributes:
        margin: the loss of accuracy that is put up with.
        slice_margin: the same in one slice, which has fewer items.
        prove_slices: whether each slice must be shown to hold; else a slice only fails where it is shown not to.
        max_p95_ratio: p95 latency, as a multiple of the baseline's.
        max_cost_ratio: cost per request, as a multiple of the baseline's.
        max_unparseable_rise: share of answers that cannot be read, above the baseline's.
        max_errors: share of requests that fail.
        sources: by name, "card" or "given"; the others are defaults.
    """

    margin: float = 0.02
    slice_margin: float = 0.05
    prove_slices: bool = False
    max_p95_ratio: float = 1.25
    max_cost_ratio: float = 1.25
    max_unparseable_rise: float = 0.01
    max_errors: float = 0.01
    sources: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str) -> str:
        """Who set a limit: "card", "given" or "default"."""
        return self.sources.get(name, "default")

    def stated(self, name: str) -> bool:
        """Whether somebody asked for this limit: what cannot be judged then leaves the verdict open."""
        return name in self.sources


_BELOW_ONE = {"margin", "slice_margin"}
_SHARES = {"max_unparseable_rise", "max_errors"}


def limits(card: Mapping[str, Any], given: Mapping[str, Any]) -> Limits:
    """Limits of a card, overridden by flags.

    Args:
        card: the suite's.
        given: by name; None is not given.

    Raises:
        SuiteError: the card sets a limit that does not exist, or a limit cannot have its value.
    """
    stated = card.get("regression") or {}
    known = {one.name for one in fields(Limits)} - {"sources"}
    if not isinstance(stated, dict):
        message = "card.yaml: 'regression' holds no limits; write, for example, margin: 0.02 below it"
        raise SuiteError(message)
    for name in stated:
        if name not in known:
            message = f"card.yaml, regression: {unknown('limit', str(name), known)}"
            raise SuiteError(message)
    given = {name: value for name, value in given.items() if value is not None}
    sources = dict.fromkeys(stated, "card") | dict.fromkeys(given, "given")
    values = {name: _checked(name, value) for name, value in {**stated, **given}.items()}
    return Limits(**values, sources=sources)


def _checked(name: str, value: Any) -> Any:  # noqa: ANN401 - as a card has it
    if name == "prove_slices":
        allowed, right = "true or false", isinstance(value, bool)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        allowed, right = "a number", False
    elif name in _BELOW_ONE:
        allowed, right = "a share above 0 and below 1, such as 0.02 for 2 points", 0 < value < 1
    elif name in _SHARES:
        allowed, right = "a share from 0 to 1", 0 <= value <= 1
    else:
        allowed, right = "a multiple above 0, such as 1.25", value > 0
    if not right:
        message = f"limit {name}={value!r} is not allowed; give {allowed}"
        raise SuiteError(message)
    return value

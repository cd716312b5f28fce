"""Assumptions of a decision, each with its unit and its source.

A value comes from `--assume name=value`, else the suite's card.yaml, else the run, else the dated defaults in
assumptions.toml. A value that none of them states is unknown: None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.catalog.prices import hour
from thirdlever.core.errors import ThirdleverError, unknown
from thirdlever.core.validation import FileModel, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = float | bool | str | None

YES_OR_NO = {"stable", "changing_knowledge", "behaviour", "always_on"}
_TEXT = {"maintainer"}
_OF_THE_RUN = ("device_usd_per_hour", "utilisation")
_REQUIRED = {"margin", "horizon_months"}
_YES = {"yes": True, "true": True, "no": False, "false": False}
_UNKNOWN = {"unknown", "none", ""}
_NOT_YET = {"tbd", "tba", "todo", "n/a", "?", "-", "–"}  # of text


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition(FileModel):
    """An assumption as assumptions.toml defines it.

    Attributes:
        unit: "" for text and for yes or no.
        meaning: one phrase.
        least: smallest accepted value.
        above: accepted values are larger than this.
        range: published ends of the default; empty if there are none.
        span: lowest and highest value that the sensitivity analysis tries; empty if it skips the assumption.
    """

    unit: str
    meaning: str
    default: float | None = None
    source: str = ""
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    range: list[float] = field(default_factory=list)
    span: list[float] = field(default_factory=list)

    def accepts(self, number: float) -> bool:
        """Whether the number is finite and within the bounds."""
        return math.isfinite(number) and self.above < number <= self.most and self.least <= number

    def expected(self) -> str:
        """The accepted numbers, for an error message."""
        least = f"above {self.above:g}" if self.least == -math.inf else f"of at least {self.least:g}"
        most = f" and at most {self.most:g}" if self.most < math.inf else ""
        return f"a number {least}{most}{', or a percentage' if self.unit == 'share' else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One assumption, for display.

    Attributes:
        value: None when unknown.
        unit: "" for text and for yes or no.
        source: "given", "card", "run", or "default: " and the source of the default; "" when unknown.
    """

    name: str
    value: Value
    unit: str
    source: str
    meaning: str


def _default(name: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default_factory=lambda: about(name).default)


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Everything a decision assumes; assumptions.toml explains each field. Shares are 0 to 1, None is unknown.

    Attributes:
        sources: the source of each value that is not a default, by name.
    """

    monthly_volume: float | None = _default("monthly_volume")
    target_accuracy: float | None = _default("target_accuracy")
    target_p95_s: float | None = _default("target_p95_s")
    margin: float = _default("margin")
    error_cost_usd: float | None = _default("error_cost_usd")
    current_cost_per_request_usd: float | None = _default("current_cost_per_request_usd")
    current_accuracy: float | None = _default("current_accuracy")
    usd_per_label: float | None = _default("usd_per_label")
    engineering_usd: float | None = _default("engineering_usd")
    managed_engineering_usd: float | None = _default("managed_engineering_usd")
    prompt_usd: float | None = _default("prompt_usd")
    rag_usd_per_month: float | None = _default("rag_usd_per_month")
    upkeep_usd_per_month: float | None = _default("upkeep_usd_per_month")
    retuning_usd: float | None = _default("retuning_usd")
    horizon_months: float = _default("horizon_months")
    payback_months: float | None = _default("payback_months")
    device_usd_per_hour: float | None = _default("device_usd_per_hour")
    utilisation: float | None = _default("utilisation")
    always_on: bool | None = _default("always_on")
    maintainer: str | None = _default("maintainer")
    stable: bool | None = _default("stable")
    changing_knowledge: bool | None = _default("changing_knowledge")
    behaviour: bool | None = _default("behaviour")
    sources: Mapping[str, str] = field(default_factory=dict)

    def listed(self) -> list[Assumption]:
        """Every assumption, in the order of the fields."""
        return [
            Assumption(
                name=name,
                value=getattr(self, name),
                unit=definition.unit,
                source=self._source(name, definition),
                meaning=definition.meaning,
            )
            for name, definition in _definitions().items()
        ]

    def range(self, name: str) -> tuple[float, float, float] | None:
        """A number and the published ends of its range, which are the number itself if it is not the default."""
        value: float | None = getattr(self, name)
        ends = [] if name in self.sources else about(name).range
        return None if value is None else (value, *(ends or (value, value)))

    def _source(self, name: str, definition: Definition) -> str:
        known = definition.default is not None and getattr(self, name) is not None
        return self.sources.get(name, f"default: {definition.source}" if known else "")


def assume(card: Mapping[str, Any], given: Mapping[str, str], info: Mapping[str, Any] | None = None) -> Assumptions:
    """Combine the sources of a decision's assumptions.

    Args:
        card: the suite's card; other keys are ignored.
        given: the values of `--assume`, as typed.
        info: run.json, for the device's price and utilisation.

    Raises:
        ThirdleverError: an unknown name or an invalid value.
    """
    if misspelt := next((name for name in given if name not in _definitions()), None):
        raise ThirdleverError(unknown("assumption", misspelt, _definitions()))
    of_the_run = {name: info[name] for name in _OF_THE_RUN if info.get(name) is not None} if info else {}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, found in (("run", of_the_run), ("card", card), ("given", given)):
        where = "--assume" if source == "given" else f"the suite's {source}"
        for name in (name for name in found if name in _definitions()):
            values[name] = _parsed(name, found[name], where)
            sources[name] = source
    return Assumptions(**values, sources=sources)


def about(name: str) -> Definition:
    """The definition of an assumption."""
    return _definitions()[name]


@cache
def _definitions() -> Mapping[str, Definition]:
    table = read_toml(Path(__file__).with_name("assumptions.toml"), dict[str, Definition])
    return {one.name: table[one.name] for one in fields(Assumptions) if one.name != "sources"}


def _parsed(name: str, value: Any, where: str) -> Value:  # noqa: ANN401 - whatever YAML holds
    """The value as its type; text is accepted as people type it: `3,000,000`, `$0.02`, `92%`, `yes`, `unknown`."""
    definition = about(name)
    if value is None:  # an empty key of the card
        return definition.default
    text = str(value).strip()
    if text.lower() in _UNKNOWN and name not in _REQUIRED:
        return None
    if name in _TEXT:
        return None if text.lower() in _NOT_YET else text
    if name == "device_usd_per_hour":
        text = str(hour(text).usd)
    parsed = _YES.get(text.lower()) if name in YES_OR_NO else _number(text, definition)
    if parsed is None:
        expected = "yes or no" if name in YES_OR_NO else definition.expected()
        message = f"{where}: invalid {name} {value!r}; expected {expected} ({definition.meaning})"
        raise ThirdleverError(message)
    return parsed


def _number(text: str, definition: Definition) -> float | None:
    plain = text.replace(",", "").removeprefix("$")
    try:
        number = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        return None
    return number if definition.accepts(number) else None

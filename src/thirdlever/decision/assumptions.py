"""What a decision takes for granted, each figure with its unit and with who says so.

A figure comes from `--assume name=value`, else from the suite's card.yaml, else from the run, else from the dated
defaults in assumptions.toml. What none of them states is unknown: None.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.catalog.prices import hour
from thirdlever.core.errors import ThirdleverError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping


Value: TypeAlias = float | bool | str | None

_SHIPPED = Path(__file__).with_name("assumptions.toml")
_TEXT = {"maintainer"}
YES_OR_NO = {"stable", "changing_knowledge", "behaviour"}
_OF_THE_RUN = ("device_usd_per_hour", "utilisation")
_REQUIRED = {"margin", "horizon_months"}
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}
_NOTHING = {"unknown", "none", ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One figure, as a memo lists it.

    Attributes:
        name: as `--assume` and card.yaml take it.
        value: None where it is unknown.
        unit: what it counts; "" for a name or a yes or no.
        source: "given", "card", "run", or "default: " and where that is from; "" where the value is unknown.
        meaning: in plain words.
    """

    name: str
    value: Value
    unit: str
    source: str
    meaning: str


def _stated(name: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default_factory=lambda: about(name).get("default"))


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What money and verdicts rest on beside what was measured; assumptions.toml says what each field means.

    Shares are 0 to 1; money is USD. None is unknown.

    Attributes:
        sources: by name, who says so where it is not a default.
    """

    monthly_volume: float | None = _stated("monthly_volume")
    target_accuracy: float | None = _stated("target_accuracy")
    margin: float = _stated("margin")
    error_cost_usd: float | None = _stated("error_cost_usd")
    current_cost_per_request_usd: float | None = _stated("current_cost_per_request_usd")
    current_accuracy: float | None = _stated("current_accuracy")
    usd_per_label: float | None = _stated("usd_per_label")
    engineering_usd: float | None = _stated("engineering_usd")
    managed_engineering_usd: float | None = _stated("managed_engineering_usd")
    prompt_usd: float | None = _stated("prompt_usd")
    rag_usd_per_month: float | None = _stated("rag_usd_per_month")
    upkeep_usd_per_month: float | None = _stated("upkeep_usd_per_month")
    horizon_months: float = _stated("horizon_months")
    payback_months: float | None = _stated("payback_months")
    device_usd_per_hour: float | None = _stated("device_usd_per_hour")
    utilisation: float | None = _stated("utilisation")
    maintainer: str | None = _stated("maintainer")
    stable: bool | None = _stated("stable")
    changing_knowledge: bool | None = _stated("changing_knowledge")
    behaviour: bool | None = _stated("behaviour")
    sources: Mapping[str, str] = field(default_factory=dict)

    def listed(self) -> list[Assumption]:
        """All of them, in the order above, to be printed."""
        return [
            Assumption(
                name=name,
                value=getattr(self, name),
                unit=row["unit"],
                source=_source(self, name),
                meaning=row["meaning"],
            )
            for name, row in _table().items()
        ]


def assume(card: Mapping[str, Any], given: Mapping[str, str], info: Mapping[str, Any] | None = None) -> Assumptions:
    """Put a decision's assumptions together.

    Args:
        card: the suite's card; keys that are no assumption are left alone.
        given: `--assume`'s, as typed.
        info: run.json, which says what the machine costs and how busy it is.

    Raises:
        ThirdleverError: a name that does not exist, or a value that it cannot take.
    """
    values: dict[str, Value] = {}
    sources: dict[str, str] = {}
    for source, found in (("run", _of_the_run(info or {})), ("card", card), ("given", given)):
        for name, value in found.items():
            if name not in _table():
                if source != "given":
                    continue
                raise ThirdleverError(unknown("assumption", name, _table()))
            values[name] = _parsed(name, value, "--assume" if source == "given" else f"the suite's {source}")
            sources[name] = source
    return Assumptions(**values, sources=sources)  # type: ignore[arg-type]


def about(name: str) -> Mapping[str, Any]:
    """What assumptions.toml says of one: unit, meaning, default, source, bounds, span."""
    return _table()[name]


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    table = tomllib.loads(_SHIPPED.read_text("utf-8"))
    return {one.name: table[one.name] for one in fields(Assumptions) if one.name != "sources"}


def _source(assumptions: Assumptions, name: str) -> str:
    if name in assumptions.sources:
        return assumptions.sources[name]
    row = about(name)
    return f"default: {row['source']}" if "default" in row and getattr(assumptions, name) is not None else ""


def _of_the_run(info: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: info[name] for name in _OF_THE_RUN if info.get(name) is not None}


def _parsed(name: str, value: Any, where: str) -> Value:  # noqa: ANN401 - whatever YAML holds
    """The value in its type; text is taken as a user types it.

    Raises:
        ThirdleverError: naming what the assumption takes.
    """
    if value is None:  # a key of the card left empty
        return about(name).get("default")
    text = str(value).strip()
    if text.lower() in _NOTHING and name not in _REQUIRED:
        return None
    if name in _TEXT:
        return text
    wanted = "yes or no" if name in YES_OR_NO else _bounds(name)
    if name == "device_usd_per_hour":
        text = str(hour(text).usd)
    parsed = _TRUTH.get(text.lower()) if name in YES_OR_NO else _number(name, text)
    if parsed is None:
        message = f"{where}: {name} = {value!r} cannot be; give {wanted} ({about(name)['meaning']})"
        raise ThirdleverError(message)
    return parsed


def _number(name: str, text: str) -> float | None:
    """In the assumption's bounds; None where it is not. Takes `3,000,000`, `$0.02` and `92%`."""
    plain = text.replace(",", "").removeprefix("$")
    try:
        number = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        return None
    row = about(name)
    inside = row.get("least", -math.inf) <= number <= row.get("most", math.inf) and number > row.get("above", -math.inf)
    return number if inside and math.isfinite(number) else None


def _bounds(name: str) -> str:
    row = about(name)
    least = f"more than {row['above']}" if "above" in row else f"at least {row['least']}"
    most = f" and at most {row['most']}" if "most" in row else ""
    return f"a number, {least}{most}{', or a percentage' if row['unit'] == 'share' else ''}"

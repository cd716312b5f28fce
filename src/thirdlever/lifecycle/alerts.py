"""What there is to say, and to do, about a model that ends or has a successor."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.core.text import counted

if TYPE_CHECKING:
    import datetime as dt

    from thirdlever.catalog.listings import Listed
    from thirdlever.lifecycle.pins import Pin

Kind: TypeAlias = Literal["retired", "retiring", "deprecated", "newer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something to do about a model.

    Attributes:
        kind: what has come up.
        sentence: the same in words.
        remedy: what to do.
    """

    kind: Kind
    sentence: str
    remedy: str


def ending(
    pin: Pin, listed: Listed | None, retires: dt.date | None, *, gone: bool, today: dt.date, within: int
) -> Alert | None:
    """That a model has ended, or will soon; None when it goes on.

    Args:
        pin: the model.
        listed: as its provider lists it.
        retires: its last day, whoever says so.
        gone: whether its provider's list has it no more.
        today: the date.
        within: days ahead that count.
    """
    what = f"Its base {pin.id}" if pin.tuned else "It"
    days = (retires - today).days if retires else None
    past = days is not None and days <= 0
    kind: Kind = "retiring"
    if listed and listed.state != "retired" and days is not None and past:  # the date is a plan; the list is a fact
        how = f"{what} was to stop answering on {retires}, {counted(-days, 'day')} ago, and may at any time"
    elif past or (listed and listed.state == "retired"):
        kind, how = "retired", f"{what} " + (f"stopped answering on {retires}" if past else "has been retired")
    elif gone:
        kind, how = "retired", f"{what} is not in its provider's list: it has ended, or this key may not use it"
    elif days is not None and days <= within:
        how = f"{what} stops answering on {retires}, in {counted(days, 'day')}"
    elif listed and listed.state == "deprecated" and days is None:
        kind, how = "deprecated", f"{what} is to be retired, on a day not yet announced"
    else:
        return None
    return Alert(kind=kind, sentence=how, remedy=_remedy(pin))


def _remedy(pin: Pin) -> str:
    if not pin.tuned:
        return "measure another model on the same suite: thirdlever run SUITE --model NAME"
    used = (user.removeprefix("run ").partition(": ") for user in pin.by if user.startswith("run "))
    run, _, candidate = next(used, ("RUN", "", "CANDIDATE"))
    return f"see what takes its place: thirdlever replace {shlex.quote(run)} {shlex.quote(candidate)}"


def successor(pin: Pin, later: Listed) -> Alert:
    """That a later release was not measured."""
    what = f"than its base {pin.id}" if pin.tuned else "of its family"
    return Alert(
        kind="newer",
        sentence=f"A newer model {what}, {later.id}, came out on {later.created}, and no run here has measured it",
        remedy=f"measure it on the same suite: thirdlever run SUITE --model {pin.provider}/{later.id}",
    )

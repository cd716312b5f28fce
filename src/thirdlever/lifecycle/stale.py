"""Whether what is depended on is still the thing to depend on: retired, about to be, or with a successor unmeasured."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thirdlever.catalog import listings as lists
from thirdlever.catalog.listings import newer
from thirdlever.catalog.names import LOCAL, undated
from thirdlever.catalog.retirements import retirement
from thirdlever.lifecycle.alerts import Alert, ending, successor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from thirdlever.catalog.listings import Listed, Listing
    from thirdlever.lifecycle.pins import Pin

FINE, STALE, UNCHECKED = 0, 1, 2  # exit codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A model and what was found out.

    Attributes:
        pin: the model, and what depends on it.
        created: its release.
        retires: the day from which it no longer answers; None when none is announced, or nothing is known.
        source: who says so, and when; "" when nobody does.
        newer: ids of later releases, the newest first; None when that is not known.
        alerts: what to do about it.
        unknown: what was not checked, and why; "" when all was.
    """

    pin: Pin
    created: dt.date | None = None
    retires: dt.date | None = None
    source: str = ""
    newer: tuple[str, ...] | None = None
    alerts: tuple[Alert, ...] = ()
    unknown: str = ""

    @property
    def blank(self) -> bool:
        """Whether nothing at all is known of it."""
        return self.pin.provider != LOCAL and not self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All models that are depended on.

    Attributes:
        models: each with what was found out.
        today: the day of the check.
        within: how many days ahead a retirement counts.
    """

    models: tuple[Checked, ...]
    today: dt.date
    within: int

    @property
    def exit_code(self) -> int:
        """0 nothing to do, 1 something is stale, 2 nothing could be checked."""
        if any(one.alerts for one in self.models):
            return STALE
        return UNCHECKED if all(one.blank for one in self.models) else FINE


def ask(pins: Iterable[Pin]) -> tuple[dict[str, Listing], dict[str, str]]:
    """The lists of the providers that are depended on, and of the others why there is none."""
    listings: dict[str, Listing] = {}
    reasons: dict[str, str] = {}
    for provider in sorted({pin.provider for pin in pins} - {LOCAL}):
        try:
            listings[provider] = lists.fetch(provider)
        except lists.UnlistedError as error:
            reasons[provider] = str(error)
    return listings, reasons


def check(
    pins: Sequence[Pin],
    listings: Mapping[str, Listing],
    reasons: Mapping[str, str],
    *,
    measured: Collection[tuple[str, str]] = (),
    within: int = 90,
    today: dt.date | None = None,
) -> Report:
    """Hold models against their providers' lists and the dated table.

    Args:
        pins: what is depended on.
        listings: lists by provider.
        reasons: why there is none, by provider.
        measured: (provider, undated name) of models that were measured; a latest release among them is no news.
        within: a retirement so many days ahead counts.
        today: the date, for tests.

    Raises:
        ThirdleverError: the user's dated tables are malformed.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    models = []
    for pin in pins:
        if pin.provider == LOCAL:
            models.append(Checked(pin=pin))
        else:
            reason = reasons.get(pin.provider, "no list of this provider's models was given")
            listing = listings.get(pin.provider)
            models.append(_checked(pin, listing, reason, measured=measured, today=today, within=within))
    return Report(models=tuple(models), today=today, within=within)


def _checked(
    pin: Pin,
    listing: Listing | None,
    reason: str,
    *,
    measured: Collection[tuple[str, str]],
    today: dt.date,
    within: int,
) -> Checked:
    listed = listing.find(pin.id) if listing else None
    retires, source, instead = _end(pin, listing, listed)
    created = listed.created if listed and listed.created else pin.created
    later = newer(pin.id, created, listed.line if listed else None, listing) if listing else []
    gone = listing is not None and listed is None
    ends = ending(pin, listed, retires, gone=gone, today=today, within=within)
    if ends and instead:
        ends = replace(ends, sentence=f"{ends.sentence}; its provider recommends {instead}")
    news = bool(later) and (pin.provider, undated(later[0].id)) not in measured
    return Checked(
        pin=pin,
        created=created,
        retires=retires,
        source=source,
        newer=tuple(one.id for one in later) if listing and created else None,
        alerts=tuple(filter(None, [ends, successor(pin, later[0]) if news else None])),
        unknown="" if listing else reason,
    )


def _end(pin: Pin, listing: Listing | None, listed: Listed | None) -> tuple[dt.date | None, str, str]:
    """When it stops, who says so, and what is recommended instead; a list that states a date comes first."""
    row = retirement(pin.provider, pin.id)
    sources = [_source(listing)] if listing else []
    retires = listed.shutdown if listed else None
    if retires is None and row:
        retires = row.retires
        sources.append(f"{row.source}, {row.as_of}")
    return retires, "; ".join(sources), row.instead if row else ""


def _source(listing: Listing) -> str:
    return f"{listing.source}, {listing.fetched_at[:10]}" if listing.fetched_at else listing.source

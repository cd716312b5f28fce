"""What there is to say, and to do, about a model that ends or has a successor."""

from __future__ import annotations

import datetime as dt
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.analysis.run import INFO, load
from thirdlever.catalog import listings as lists
from thirdlever.catalog.listings import newer
from thirdlever.catalog.names import LOCAL, located, undated
from thirdlever.catalog.retirements import retirement
from thirdlever.catalog.tuning import profile, profiles, provider_of
from thirdlever.core import project
from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.core.text import counted
from thirdlever.finetune.jobs import Ledger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from thirdlever.catalog.listings import ListedModel, Listing
    from thirdlever.finetune.jobs import Job


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
    pin: Pin, listed: ListedModel | None, retires: dt.date | None, *, gone: bool, today: dt.date, within: int
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


def successor(pin: Pin, later: ListedModel) -> Alert:
    """That a later release was not measured."""
    what = f"than its base {pin.id}" if pin.tuned else "of its family"
    return Alert(
        kind="newer",
        sentence=f"A newer model {what}, {later.id}, came out on {later.created}, and no run here has measured it",
        remedy=f"measure it on the same suite: thirdlever run SUITE --model {pin.provider}/{later.id}",
    )


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


def _end(pin: Pin, listing: Listing | None, listed: ListedModel | None) -> tuple[dt.date | None, str, str]:
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


BASELINES = project.RESULTS / "baselines"
_OVER = {"failed", "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A model that something depends on.

    Attributes:
        name: as tables show it.
        provider: who serves it, or serves the base of a tune.
        id: the provider's name of the model, or of a tune's base.
        tuned: whether it is a tune, which stops with its base.
        by: what depends on it.
        created: its day of release as a run has noted it; None when unknown.
    """

    name: str
    provider: str
    id: str
    tuned: bool = False
    by: tuple[str, ...] = ()
    created: dt.date | None = None


def pinned(runs: Sequence[str] = ()) -> list[Pin]:
    """The models of the runs that are named, else of all baselines, else of the latest run; and all tunes.

    Args:
        runs: runs' folders or names, or baselines' files or names.

    Raises:
        RunError: there is no such run or baseline, it cannot be read, or there is nothing at all that asks a model.
        ThirdleverError: a job's file cannot be read.
    """
    jobs = [_tune(job) for job in Ledger().jobs() if job.stage not in _OVER]
    pins = _merged([*(pin for about, info in _sources(runs) for pin in _of(info, about)), *jobs])
    if not pins:
        message = "no model is in use here; name a run: thirdlever stale RUN"
        raise RunError(message)
    return pins


def measured() -> set[tuple[str, str]]:
    """Provider and undated name of every model that some run here has measured; runs that cannot be read have none."""
    found: set[tuple[str, str]] = set()
    for path in project.RESULTS.glob(f"*/{INFO}"):
        try:
            found |= {(pin.provider, undated(pin.id)) for pin in _of(_read(path), "")}
        except ThirdleverError:
            continue
    return found


def _sources(runs: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if runs:
        yield from (_named(name) for name in runs)
        return
    baselines = sorted(BASELINES.glob("*.json"))
    for path in baselines:
        yield f"baseline {path.stem}", _read(path)
    if not baselines and any(project.RESULTS.glob(f"*/{INFO}")):
        yield _run("latest")


def _named(name: str) -> tuple[str, Mapping[str, Any]]:
    path = Path(name)
    if path.suffix != ".json":
        path = BASELINES / f"{name}.json"
    elif path.name == INFO:
        return _run(str(path.parent))
    if path.is_file() and not Path(name).is_dir() and not (project.RESULTS / name).is_dir():
        return f"baseline {path.stem}", _read(path)
    return _run(name)


def _run(name: str) -> tuple[str, Mapping[str, Any]]:
    run = load(name)
    path = run.folder / INFO
    if not path.is_file():
        message = f"{path} is not there: the run is not finished; repeat its command with --out {run.folder}"
        raise RunError(message)
    return f"run {run.folder.resolve().name}", _read(path)


def _read(path: Path) -> Mapping[str, Any]:
    """A run's or a baseline's file, which both name their candidates."""
    try:
        info = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path}: {error}; make it again"
        raise RunError(message) from error
    rows = info.get("candidates") if isinstance(info, dict) else None
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows
    ):
        message = f"{path}: it names no candidates; give a run or a baseline"
        raise RunError(message)
    return dict(info)


def _of(info: Mapping[str, Any], about: str) -> Iterator[Pin]:
    created = {row.get("name"): row.get("created") for row in info.get("snapshots") or [] if isinstance(row, dict)}
    for row in info["candidates"]:
        if asked(row):
            pin = of_candidate(row)
            yield replace(pin, by=(f"{about}: {row['name']}",), created=day(created.get(row.get("base"))))


def asked(row: Mapping[str, Any]) -> str | None:
    """The model that a candidate asks, as a run or, without tunes' own names, a baseline has it; None for none."""
    model = row.get("model", row.get("base"))
    return str(model) if model else None


def of_candidate(row: Mapping[str, Any]) -> Pin:
    """The model of a candidate that asks one, as a run or a baseline describes it."""
    model = asked(row) or ""
    base = str(row.get("base") or model)
    tuner = _tuner(row, base)
    if tuner is None:
        provider, name = located(model)
        return Pin(name=model, provider=provider, id=name)
    shown = model if "model" in row else str(row.get("revision") or model)
    if tuner == LOCAL or profile(tuner).free:
        return Pin(name=shown, provider=LOCAL, id=base, tuned=True)
    return Pin(name=shown, provider=tuner, id=located(f"{tuner}/{profile(tuner).base(base)}")[1], tuned=True)


def _tuner(row: Mapping[str, Any], base: str) -> str | None:
    """Who tuned a candidate's model; None where it is as its maker made it."""
    if isinstance(tuning := row.get("tuning"), dict):
        return next((name for name, one in profiles().items() if one.title == tuning.get("where")), LOCAL)
    args = row.get("args")
    if "tuning" in row or not isinstance(args, dict):
        return None
    named = args.get("provider")  # all that a baseline keeps of it
    if named == "auto":
        return provider_of(base)
    return named if named in profiles() else None


def _tune(job: Job) -> Pin:
    terms = profile(job.provider)
    shown = job.base.rpartition("/")[2] if terms.free else job.base
    return Pin(
        name=f"{terms.title}: ft:{shown}:{job.short}",
        provider=LOCAL if terms.free else job.provider,
        id=located(f"{job.provider}/{job.base}")[1],
        tuned=True,
        by=(f"job {job.short}",),
    )


def _merged(pins: Iterable[Pin]) -> list[Pin]:
    """One pin a model, with all that depend on it."""
    found: dict[tuple[str, str], Pin] = {}
    for pin in pins:
        known = found.setdefault((pin.provider, pin.name), pin)
        by = dict.fromkeys((*known.by, *pin.by))
        found[pin.provider, pin.name] = replace(known, by=tuple(by), created=known.created or pin.created)
    return list(found.values())


def day(value: object) -> dt.date | None:
    """A day as a run's file holds it; None where it holds none."""
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None

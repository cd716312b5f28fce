"""Find the models in use that are retiring, retired, deprecated or superseded, and say what to do about each."""

from __future__ import annotations

import datetime as dt
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ValidationError

from thirdlever.analysis.run import INFO, load
from thirdlever.catalog import listings as provider_lists
from thirdlever.catalog.listings import newer
from thirdlever.catalog.model_names import LOCAL, located, retirement, undated
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

BASELINES = project.RESULTS / "baselines"
FINE, STALE, UNCHECKED = 0, 1, 2  # exit codes
_ENDED = {"failed", "cancelled"}  # stages of a job that leave no model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInUse:
    """A model that runs, baselines or tuning jobs depend on.

    Attributes:
        name: as tables show it.
        provider: serves it, or serves the base of a tuned model.
        id: the provider's name for it, or for a tuned model's base.
        tuned: whether it is a tuned model, which stops answering when its base retires.
        by: what depends on it.
        created: release date recorded by a run; None if unknown.
    """

    name: str
    provider: str
    id: str
    tuned: bool = False
    by: tuple[str, ...] = ()
    created: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFinding:
    """A reason to act on a model, and what to do."""

    kind: Kind
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedModel:
    """A model and what is known about it.

    Attributes:
        model: the model.
        created: its release date; None if unknown.
        retires: the day from which it no longer answers; None if none is announced or nothing is known.
        source: where this was read and when; "" if nowhere.
        newer: ids of later releases, newest first; None if unknown.
        findings: reasons to act.
        unknown: what was not checked, and why; "" if all was.
    """

    model: ModelInUse
    created: dt.date | None = None
    retires: dt.date | None = None
    source: str = ""
    newer: tuple[str, ...] | None = None
    findings: tuple[ModelFinding, ...] = ()
    unknown: str = ""

    @property
    def unchecked(self) -> bool:
        """Whether nothing is known about it."""
        return self.model.provider != LOCAL and not self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleReport:
    """All models in use, checked on a day; `within` is how many days ahead a retirement is reported."""

    models: tuple[CheckedModel, ...]
    today: dt.date
    within: int

    @property
    def exit_code(self) -> int:
        """0 if nothing needs action, 1 if something does, 2 if nothing could be checked."""
        if any(one.findings for one in self.models):
            return STALE
        return UNCHECKED if all(one.unchecked for one in self.models) else FINE


# Models in use


def models_in_use(runs: Sequence[str] = ()) -> list[ModelInUse]:
    """Models of the given runs (by default all baselines, else the latest run) and of all tuning jobs.

    Args:
        runs: folders or names of runs, or files or names of baselines.

    Raises:
        RunError: a run or baseline is missing or unreadable, or no model is in use.
        ThirdleverError: a job's file is unreadable.
    """
    jobs = [_of_job(job) for job in Ledger().jobs() if job.stage not in _ENDED]
    found: dict[tuple[str, str], ModelInUse] = {}
    for one in [*(model for about, info in _sources(runs) for model in _of_info(info, about)), *jobs]:
        known = found.setdefault((one.provider, one.name), one)
        by = tuple(dict.fromkeys((*known.by, *one.by)))
        found[one.provider, one.name] = replace(known, by=by, created=known.created or one.created)
    if not found:
        message = "no model is in use here; name a run: thirdlever stale RUN"
        raise RunError(message)
    return list(found.values())


def measured() -> set[tuple[str, str]]:
    """Provider and undated name of every model that a run in results/ has measured; unreadable runs are skipped."""
    found: set[tuple[str, str]] = set()
    for path in project.RESULTS.glob(f"*/{INFO}"):
        try:
            found |= {(model.provider, undated(model.id)) for model in _of_info(_read(path), "")}
        except ThirdleverError:
            continue
    return found


class _StoredCandidate(BaseModel):
    """A candidate in a run's or a baseline's file; a baseline has neither `model` nor `tuning`."""

    name: str
    model: str | None = None
    base: str | None = None
    revision: str | None = None
    tuning: dict[str, Any] | None = None
    args: dict[str, Any] = {}

    @property
    def called(self) -> str | None:
        """The model it calls, if any."""
        return (self.model if "model" in self.model_fields_set else self.base) or None

    @property
    def tuned_by(self) -> str | None:
        """Provider that tuned its model; None if the model is not tuned."""
        if self.tuning is not None:
            return next((name for name, one in profiles().items() if one.title == self.tuning.get("where")), LOCAL)
        if "tuning" in self.model_fields_set:
            return None
        provider = self.args.get("provider")  # all that a baseline stores about it
        if provider == "auto":
            return provider_of(self.base or "")
        return provider if provider in profiles() else None


class _Info(BaseModel):
    """The parts of a run's or a baseline's file that name models."""

    candidates: list[_StoredCandidate]
    snapshots: list[dict[str, Any]] | None = None


def model_of(candidate: Mapping[str, Any]) -> ModelInUse:
    """The model of a candidate that calls one, from the candidate's entry in a run or a baseline."""
    return _of_candidate(_StoredCandidate.model_validate(candidate))


def _of_candidate(candidate: _StoredCandidate) -> ModelInUse:
    name = candidate.called or ""
    base, tuner = candidate.base or name, candidate.tuned_by
    if tuner is None:
        provider, model = located(name)
        return ModelInUse(name=name, provider=provider, id=model)
    shown = name if "model" in candidate.model_fields_set else candidate.revision or name
    if tuner == LOCAL or profile(tuner).free:
        return ModelInUse(name=shown, provider=LOCAL, id=base, tuned=True)
    model = located(f"{tuner}/{profile(tuner).base(base)}")[1]
    return ModelInUse(name=shown, provider=tuner, id=model, tuned=True)


def _of_info(info: _Info, about: str) -> Iterator[ModelInUse]:
    created = {snapshot.get("name"): snapshot.get("created") for snapshot in info.snapshots or []}
    for one in info.candidates:
        if one.called:
            by = (f"{about}: {one.name}",)
            yield replace(_of_candidate(one), by=by, created=day(created.get(one.base)))


def _of_job(job: Job) -> ModelInUse:
    terms = profile(job.provider)
    base = job.base.rpartition("/")[2] if terms.free else job.base
    return ModelInUse(
        name=f"{terms.title}: ft:{base}:{job.short}",
        provider=LOCAL if terms.free else job.provider,
        id=located(f"{job.provider}/{job.base}")[1],
        tuned=True,
        by=(f"job {job.short}",),
    )


def _sources(runs: Sequence[str]) -> Iterator[tuple[str, _Info]]:
    """Runs and baselines, each with a label."""
    if runs:
        yield from map(_find, runs)
        return
    baselines = sorted(BASELINES.glob("*.json"))
    for path in baselines:
        yield f"baseline {path.stem}", _read(path)
    if not baselines and any(project.RESULTS.glob(f"*/{INFO}")):
        yield _run("latest")


def _find(name: str) -> tuple[str, _Info]:
    path = Path(name)
    if path.suffix != ".json":
        path = BASELINES / f"{name}.json"
    elif path.name == INFO:
        return _run(str(path.parent))
    if path.is_file() and not Path(name).is_dir() and not (project.RESULTS / name).is_dir():
        return f"baseline {path.stem}", _read(path)
    return _run(name)


def _run(name: str) -> tuple[str, _Info]:
    folder = load(name).folder
    if not (folder / INFO).is_file():
        message = f"{folder / INFO} does not exist: the run is unfinished; repeat its command with --out {folder}"
        raise RunError(message)
    return f"run {folder.resolve().name}", _read(folder / INFO)


def _read(path: Path) -> _Info:
    try:
        return _Info.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); give a run or a baseline"
        raise RunError(message) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = f"{path} is no run or baseline ({where}: {first['msg']}); create it again"
        raise RunError(message) from error


def day(value: object) -> dt.date | None:
    """A date in ISO 8601; None if it is not one."""
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


# The check


def fetch_lists(models: Iterable[ModelInUse]) -> tuple[dict[str, Listing], dict[str, str]]:
    """The current model lists of all providers in use, and the reason for each that is unavailable."""
    lists: dict[str, Listing] = {}
    reasons: dict[str, str] = {}
    for provider in sorted({model.provider for model in models} - {LOCAL}):
        try:
            lists[provider] = provider_lists.fetch(provider)
        except provider_lists.UnlistedError as error:
            reasons[provider] = str(error)
    return lists, reasons


def check(
    models: Sequence[ModelInUse],
    lists: Mapping[str, Listing],
    reasons: Mapping[str, str],
    *,
    measured: Collection[tuple[str, str]] = (),
    within: int = 90,
    today: dt.date | None = None,
) -> StaleReport:
    """Check models against their providers' lists and the dated table of retirements.

    Args:
        models: the models in use.
        lists: model lists by provider.
        reasons: why a list is missing, by provider.
        measured: (provider, undated name) of measured models; a later release among them is not reported.
        within: days ahead within which a retirement is reported.
        today: the current date by default.

    Raises:
        ThirdleverError: the user's dated tables are malformed.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    checked = []
    for model in models:
        if model.provider == LOCAL:
            checked.append(CheckedModel(model=model))
            continue
        one = _check(model, lists.get(model.provider), measured=measured, today=today, within=within)
        reason = reasons.get(model.provider, "no model list of this provider was given")
        checked.append(one if model.provider in lists else replace(one, unknown=reason))
    return StaleReport(models=tuple(checked), today=today, within=within)


def _check(
    model: ModelInUse,
    listing: Listing | None,
    *,
    measured: Collection[tuple[str, str]],
    today: dt.date,
    within: int,
) -> CheckedModel:
    listed = listing.find(model.id) if listing else None
    row = retirement(model.provider, model.id)
    retires, sources = listed.shutdown if listed else None, []
    if listing:
        sources.append(f"{listing.source}, {listing.fetched_at[:10]}" if listing.fetched_at else listing.source)
    if retires is None and row:  # a date in the list takes precedence
        retires = row.retires
        sources.append(f"{row.source}, {row.as_of}")
    created = listed.created if listed and listed.created else model.created
    later = newer(model.id, created, listed.line if listed else None, listing) if listing else []
    missing = listing is not None and listed is None
    end = _retirement(model, listed, retires, missing=missing, today=today, within=within)
    if end and row and row.instead:
        end = replace(end, sentence=f"{end.sentence}; its provider recommends {row.instead}")
    unmeasured = later and (model.provider, undated(later[0].id)) not in measured
    return CheckedModel(
        model=model,
        created=created,
        retires=retires,
        source="; ".join(sources),
        newer=tuple(one.id for one in later) if listing and created else None,
        findings=tuple(filter(None, [end, _successor(model, later[0]) if unmeasured else None])),
    )


def _retirement(
    model: ModelInUse,
    listed: ListedModel | None,
    retires: dt.date | None,
    *,
    missing: bool,
    today: dt.date,
    within: int,
) -> ModelFinding | None:
    """The finding that a model has retired or will within these days; `missing` from its provider's list counts too."""
    what = f"Its base {model.id}" if model.tuned else "It"
    days = (retires - today).days if retires else None
    past = days is not None and days <= 0
    kind: Kind = "retiring"
    if listed and listed.state != "retired" and days is not None and past:  # the date is a plan, the list a fact
        sentence = f"{what} was due to retire on {retires}, {counted(-days, 'day')} ago, and may stop at any time"
    elif past or (listed and listed.state == "retired"):
        kind, sentence = "retired", f"{what} retired on {retires}" if past else f"{what} is retired"
    elif missing:
        kind, sentence = "retired", f"{what} is not in its provider's list: it is retired, or this key has no access"
    elif days is not None and days <= within:
        sentence = f"{what} retires on {retires}, in {counted(days, 'day')}"
    elif listed and listed.state == "deprecated" and days is None:
        kind, sentence = "deprecated", f"{what} is deprecated, without an announced retirement date"
    else:
        return None
    return ModelFinding(kind=kind, sentence=sentence, remedy=_remedy(model))


def _remedy(model: ModelInUse) -> str:
    if not model.tuned:
        return "measure another model on the same suite: thirdlever run SUITE --model NAME"
    users = (user.removeprefix("run ").partition(": ") for user in model.by if user.startswith("run "))
    run, _, candidate = next(users, ("RUN", "", "CANDIDATE"))
    return f"find a replacement: thirdlever replace {shlex.quote(run)} {shlex.quote(candidate)}"


def _successor(model: ModelInUse, later: ListedModel) -> ModelFinding:
    what = f"than its base {model.id}" if model.tuned else "of its family"
    return ModelFinding(
        kind="newer",
        sentence=f"A newer model {what}, {later.id}, was released on {later.created}, and no run here has measured it",
        remedy=f"measure it on the same suite: thirdlever run SUITE --model {model.provider}/{later.id}",
    )

"""Which models are depended on: those of baselines and runs, and the tunes in the ledger of jobs."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, load
from thirdlever.catalog.names import LOCAL, located, undated
from thirdlever.catalog.tuning import profile, profiles, provider_of
from thirdlever.core import project
from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.finetune.jobs import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from thirdlever.finetune.jobs import Job

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

"""`run`: candidates over a suite, side by side, into a folder that explains itself."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, Run, opened, save
from thirdlever.budget import Budget
from thirdlever.catalog.listings import snapshots
from thirdlever.catalog.prices import device_cost
from thirdlever.core import project
from thirdlever.core.errors import RunError
from thirdlever.core.progress import note
from thirdlever.core.project import hardware, versions
from thirdlever.models.base import BaseModel
from thirdlever.session import Measured, Session
from thirdlever.strategies.specs import candidates, once, parse_all
from thirdlever.suites.leakage import Audit
from thirdlever.suites.suite import Suite, check, find_suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.strategies.specs import Candidate, StrategySpec

# inspect's providers that pass vLLM's `structured_outputs` on to a server that may know it, and our own.
_TAKE_CHOICES = {"thirdlever", "vllm", "openai-api"}


def run(
    suite: str | Suite,
    strategies: Sequence[str],
    *,
    models: Sequence[str | BaseModel] = ("embedded",),
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    budget: float | None = None,
    out: str | Path | None = None,
    probe: int = 20,
    constrain: bool = False,
    device_usd_per_hour: float | None = None,
    utilisation: float = 1.0,
    batch: bool = False,
) -> Run:
    """Run strategies over a suite, side by side; works in a notebook too.

    Args:
        suite: a name under `evals/`, or a suite.
        strategies: such as "rag:k=20", or "rag" for its defaults.
        models: base models; each strategy is run on each, and once if it asks none.
        limit: measure on so many test items, the same for all; None for every one.
        epochs: ask each item so often.
        seed: of the draw of those items, and passed to the models.
        budget: USD; when more is spent, what is under way finishes and the run ends with what it has.
        out: the run's folder; the same again resumes it and asks only what was not answered. By default suite and time.
        probe: time so many items one by one.
        constrain: let models answer with one of the suite's choices only, where they can.
        device_usd_per_hour: what an hour of this machine costs, for local models.
        utilisation: the share of its hours that it is in use.
        batch: send accuracy passes through the batch API of providers that have one: cheaper, within a day.

    Returns:
        The run, whose `summary` and `records` are pandas DataFrames.

    Raises:
        ThirdleverError: naming cause and remedy.
    """
    for name, value, least in (("limit", limit, 1), ("epochs", epochs, 1), ("probe", probe, 0)):
        if value is not None and value < least:
            message = f"{name}={value} is not allowed; give {least} or more"
            raise RunError(message)
    device_cost(0.0, device_usd_per_hour, utilisation)  # refuses a rate or a share that cannot be
    if budget is not None and not budget >= 0:  # NaN is not
        message = f"budget={budget} is not allowed; give an amount in USD"
        raise RunError(message)
    suite = find_suite(suite) if isinstance(suite, str) else check(suite)
    specs = parse_all(strategies)
    money = Budget(limit=budget, device_usd_per_hour=device_usd_per_hour, utilisation=utilisation)
    started = _now()
    folder = Path(out) if out else project.RESULTS / f"{suite.name}-{started:%Y%m%d-%H%M%S}"
    with opened(folder):
        bases = [_resolve(model) for model in models]  # last, for it may have to fetch weights
        once("model", [base.name for base in bases])
        earlier = _earlier(folder, suite, specs, bases)
        for base in bases:
            money.admit(base)
            if constrain and suite.answer.choices:
                _check_constrains(base)
        session = Session(
            suite=suite,
            folder=folder,
            audit=Audit(suite),
            budget=money,
            limit=limit,
            epochs=epochs,
            seed=seed,
            probe=probe,
            constrain=constrain,
            batch=batch,
        )
        session.audit.check_suite()
        if out is None:
            note(f"The run goes into {folder}; when it is cut off, the same command with --out {folder} goes on.")
        measured = _measure(session, candidates(specs, bases))
        about = [one.about for one in measured]
        session.tidy(about)
        info = {
            "status": "budget" if money.passed else "complete",
            "suite": _about_suite(suite),
            "candidates": about,
            "snapshots": snapshots(bases),
            "limit": limit,
            "epochs": epochs,
            "seed": seed,
            "probe": probe,
            "constrain": constrain,
            "batch": batch,
            "budget_usd": budget,
            "spent_usd": money.spent if budget is not None else None,
            "prices": {name: price and price.to_dict() for name, price in money.prices.items()},
            "device_usd_per_hour": device_usd_per_hour,
            "utilisation": utilisation,
            "versions": versions(),
            "hardware": hardware(),
            "command": sys.argv,
            "started": started.isoformat(),
            "finished": _now().isoformat(),
        }
        if _asked_before(info, earlier):
            info |= {key: earlier[key] for key in ("command", "started", "finished")}
        return save(folder, [row for one in measured for row in one.rows], info)


def _earlier(
    folder: Path, suite: Suite, specs: Sequence[StrategySpec], bases: Sequence[BaseModel]
) -> Mapping[str, Any]:
    """What run.json says of the run that is there already; empty when none is.

    Raises:
        RunError: it holds something that this run would leave out.
    """
    if not (folder / INFO).is_file():
        return {}
    found = Run(folder).info
    there = found["suite"]["name"]
    strategies = [(spec.name, json.loads(json.dumps(dict(spec.args)))) for spec in specs]
    models = [None, *(base.name for base in bases)]
    lost = [
        one["name"]
        for one in found["candidates"]
        if (one["strategy"], one["args"]) not in strategies or (one["model"] and one["base"]) not in models
    ]
    if there != suite.name or lost:
        of = f"suite {there!r}" if there != suite.name else f"{', '.join(lost)}, which this command leaves out"
        message = f"{str(folder)!r} holds a run of {of}; give another --out, or name what is there as well"
        raise RunError(message)
    return found


def _asked_before(info: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Whether an earlier run had all of these answers already."""
    same = ("status", "limit", "epochs", "seed", "probe", "constrain")
    if not earlier or any(earlier.get(key) != info[key] for key in same):
        return False
    return [one["identity"] for one in earlier["candidates"]] == [one["identity"] for one in info["candidates"]]


def _measure(session: Session, groups: Sequence[Sequence[Candidate]]) -> list[Measured]:
    """Every candidate, until the budget is passed; a strategy that asks no model is measured once."""
    measured: list[Measured] = []
    for number, group in enumerate(groups, start=1):
        if len(groups) > 1:
            note(f"{number} of {len(groups)}: {group[0].spec}")
        for candidate in group:
            if session.budget.passed:
                return measured
            measured.append(session.measure(candidate))
            if not measured[-1].asks_a_model:
                break
    return measured


def _about_suite(suite: Suite) -> dict[str, Any]:
    """What decides later needs of it: the card, so that a run is decided on offline."""
    splits = (suite.train, suite.dev, suite.test)
    return {
        "name": suite.name,
        "hash": suite.hash,
        "splits": {split.name: split.hash for split in splits},
        "counts": {split.name: len(split) for split in splits},
        "choices": len(suite.answer.choices),
        "documents": len(suite.documents),
        "card": json.loads(json.dumps(dict(suite.card), default=str)),  # YAML has dates
    }


def _check_constrains(base: BaseModel) -> None:
    service = base.inspect_name.partition("/")[0]
    if service not in _TAKE_CHOICES:
        message = (
            f"--constrain: {service!r} cannot be held to a list of answers, and every candidate must be; "
            "leave --constrain out, or use a local model or a vLLM server"
        )
        raise RunError(message)


def _resolve(model: str | BaseModel) -> BaseModel:
    if isinstance(model, BaseModel):
        return model
    from thirdlever.models import registry

    return registry.resolve(model)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).astimezone()

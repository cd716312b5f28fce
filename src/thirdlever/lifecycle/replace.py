"""Find a replacement for a candidate whose model retires, and the price of tuning another base on the same data."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.catalog.model_names import LOCAL, retirement
from thirdlever.catalog.tuning import profile, rates
from thirdlever.core.errors import RunError, unknown
from thirdlever.lifecycle.stale import day, model_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thirdlever.analysis.compare import NonInferiority
    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.costs import Cost


LASTS = dt.timedelta(days=90)  # a replacement must outlast the retiring model by this
ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A measured candidate that might be the replacement.

    Attributes:
        cost: its cost.
        evidence: its comparison with the candidate to replace.
        holds: whether it is shown to lose less than the margin, with 5 % risk over all options (Holm).
        monthly_usd: cost at the assumed volume; None if unknown.
        ours: whether it runs on the user's own weights, which no provider can retire.
        retires: its retirement date; None if none is announced.
        outlives: whether it answers for long enough.
    """

    cost: Cost
    evidence: NonInferiority
    holds: bool
    monthly_usd: float | None
    ours: bool
    retires: dt.date | None
    outlives: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retuning:
    """The same training on another base model.

    Attributes:
        where: the provider.
        base: the provider's name for the base model.
        usd: cost of the training; None if unknown.
        input_per_m: USD per 1M input tokens of the tuned model. Its cost per request is unknown until measured.
        output_per_m: USD per 1M output tokens.
        idle_usd_per_hour: cost of an idle deployment; None if unknown.
        as_of: date of these rates.
    """

    where: str
    base: str
    usd: float | None
    input_per_m: float | None
    output_per_m: float | None
    idle_usd_per_hour: float | None
    as_of: dt.date


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Replacements for a candidate whose model retires.

    Attributes:
        reference: the candidate to replace.
        base: its model, or the base of its tuned model; None if it calls none.
        ours: whether that runs on the user's own weights.
        retires: the retirement date; None if none is announced.
        source: where the date was read.
        margin: maximum acceptable drop in accuracy.
        items: items that all candidates were asked.
        options: the other candidates, cheapest first.
        chosen: the cheapest that holds and outlives; None if there is none.
        tokens: tokens of the original training, all epochs; None if unknown.
        retuning: where the training could be repeated, cheapest first.
        assumptions: assumptions beside the measurements.
        today: the day of the proposal.
    """

    reference: Cost
    base: str | None
    ours: bool
    retires: dt.date | None
    source: str
    margin: float
    items: int
    options: tuple[Option, ...]
    chosen: Option | None
    tokens: int | None
    retuning: tuple[Retuning, ...]
    assumptions: Assumptions
    today: dt.date


def propose(run: Run, candidate: str, assumptions: Assumptions, *, today: dt.date | None = None) -> Proposal:
    """Find the cheapest replacement for a run's candidate, within the assumptions' margin.

    Raises:
        RunError: the run lacks the candidate, it is not measured, or no other is.
        ThirdleverError: the candidates cannot be compared, or a dated table is malformed.
    """
    from thirdlever.analysis.outcomes import load
    from thirdlever.decision.costs import costs

    today = today or dt.datetime.now(dt.UTC).date()
    rows = {str(row["name"]): row for row in run.info["candidates"]}
    if candidate not in rows:
        raise RunError(unknown("candidate", candidate, rows))
    if len(rows) == 1:
        message = f"{candidate!r} is the only candidate of this run; measure others too: thirdlever run SUITE"
        raise RunError(message)
    if lost := run.not_measured.get(candidate):
        message = f"{candidate!r} cannot be compared; {lost}"
        raise RunError(message)
    row = rows[candidate]
    snapshots = {one["name"]: one for one in run.info.get("snapshots") or []}
    retires, source = _end(row, snapshots)
    until = max(retires or today, today) + LASTS
    cost, outcomes, volume = costs(run, assumptions), load(run), assumptions.monthly_volume
    others = [name for name in outcomes.candidates if name != candidate]
    if not others:
        message = f"{candidate!r} is the only measured candidate; " + "; ".join(
            f"{name}: {why}" for name, why in run.not_measured.items()
        )
        raise RunError(message)
    options = []
    for name, (evidence, holds) in _evidence(outcomes, others, candidate, assumptions.margin).items():
        end, _ = _end(rows[name], snapshots)
        options.append(
            Option(
                cost=cost[name],
                evidence=evidence,
                holds=holds,
                monthly_usd=None if volume is None else cost[name].monthly_usd(volume),
                ours=_ours(rows[name]),
                retires=end,
                outlives=end is None or end > until,
            )
        )
    options.sort(key=lambda one: (_unknown_last(one.monthly_usd), _unknown_last(one.cost.per_request_usd)))
    tuning = row.get("tuning")
    tokens = tuning.get("tokens") if tuning else None
    return Proposal(
        reference=cost[candidate],
        base=model_of(row).id if row.get("model") else None,
        ours=_ours(row),
        retires=retires,
        source=source,
        margin=assumptions.margin,
        items=len(outcomes.items),
        options=tuple(options),
        chosen=next((one for one in options if one.holds and one.outlives), None),
        tokens=tokens,
        retuning=tuple(_retuning(tokens, until, today)) if tuning else (),
        assumptions=assumptions,
        today=today,
    )


def _evidence(
    outcomes: Outcomes, names: Sequence[str], reference: str, margin: float
) -> dict[str, tuple[NonInferiority, bool]]:
    """Each candidate compared with the reference. Holm corrects for choosing the best of many."""
    from statsmodels.stats.multitest import multipletests

    from thirdlever.analysis.compare import non_inferior

    found = [non_inferior(outcomes, name, reference, margin, alpha=ALPHA) for name in names]
    holds = multipletests([one.p for one in found], alpha=ALPHA, method="holm")[0]
    return {one.candidate: (one, bool(held)) for one, held in zip(found, holds, strict=True)}


def _ours(row: Mapping[str, Any]) -> bool:
    return not row.get("model") or model_of(row).provider == LOCAL


def _end(row: Mapping[str, Any], snapshots: Mapping[str, Mapping[str, Any]]) -> tuple[dt.date | None, str]:
    """A model's retirement date and its source: the provider's list on the day of the run, else the dated tables."""
    if _ours(row):
        return None, ""
    model = model_of(row)
    seen = snapshots.get(str(row.get("base")), {})
    if noted := day(seen.get("shutdown")):
        return noted, str(seen.get("source"))
    found = retirement(model.provider, model.id)
    return (found.retires, f"{found.source}, {found.as_of}") if found else (None, "")


def _retuning(tokens: int | None, until: dt.date, today: dt.date) -> list[Retuning]:
    """Where a training could be repeated, cheapest first: open providers, and bases that retire after `until`."""
    found = []
    for row in rates():
        terms, announced = profile(row.provider), retirement(row.provider, row.model)
        if (terms.last_jobs and terms.last_jobs < today) or (announced and announced.retires <= until):
            continue
        estimate = row.estimate(tokens) if tokens is not None else None
        found.append(
            Retuning(
                where=terms.title,
                base=row.model,
                usd=estimate.usd if estimate else None,
                input_per_m=row.input,
                output_per_m=row.output,
                idle_usd_per_hour=terms.idle_usd_per_hour,
                as_of=row.as_of,
            )
        )
    return sorted(found, key=lambda one: (_unknown_last(one.usd), one.where, one.base))


def _unknown_last(value: float | None) -> float:
    return math.inf if value is None else value

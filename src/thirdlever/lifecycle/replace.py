"""What it costs to train a tune's data once more, elsewhere: from dated rates, nobody is asked."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.catalog.names import LOCAL
from thirdlever.catalog.retirements import retirement
from thirdlever.catalog.tuning import profile, rates
from thirdlever.core.errors import RunError, unknown
from thirdlever.lifecycle.stale import day, of_candidate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thirdlever.analysis.compare import NonInferiority
    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.costs import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Retuning:
    """The same training once more, elsewhere.

    Attributes:
        where: the provider.
        base: the model, as the provider names it.
        usd: of the training; None when unknown.
        input_per_m: USD per 1M prompt tokens of the tuned model; what a request costs is unknown until it is measured.
        output_per_m: USD per 1M completion tokens.
        idle_usd_per_hour: what a deployment costs while nobody asks; None when unknown.
        as_of: the day of these figures.
    """

    where: str
    base: str
    usd: float | None
    input_per_m: float | None
    output_per_m: float | None
    idle_usd_per_hour: float | None
    as_of: dt.date


def retuning(tokens: int | None, until: dt.date, today: dt.date) -> list[Retuning]:
    """Where a training could be repeated, the cheapest first: bases that last, at providers that take jobs.

    Args:
        tokens: that it takes, all epochs together; None when unknown.
        until: no base whose end is announced by this day.
        today: jobs have to be taken on this day.

    Raises:
        ThirdleverError: a dated table is malformed.
    """
    found = []
    for row in rates():
        terms = profile(row.provider)
        announced = retirement(row.provider, row.model)
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
    return sorted(found, key=lambda one: (last(one.usd), one.where, one.base))


def last(value: float | None) -> float:
    """To sort by: what is unknown is never the cheapest."""
    return math.inf if value is None else value


LASTS = dt.timedelta(days=90)  # what would itself retire so soon after takes nothing's place
ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A measured candidate that might take the place.

    Attributes:
        cost: what it costs.
        evidence: how it compares with what it would replace.
        holds: whether it is shown to lose less than the margin, all options together (Holm) with 5 % risk of error.
        monthly_usd: at the assumed volume; None when unknown.
        ours: whether nobody else can make an end of it.
        retires: when it stops itself; None when nothing is announced.
        outlives: whether it goes on for long enough.
    """

    cost: Cost
    evidence: NonInferiority
    holds: bool
    monthly_usd: float | None
    ours: bool
    retires: dt.date | None
    outlives: bool

    @property
    def price(self) -> tuple[float, float]:
        """To sort by: the cheapest first, what is unknown last."""
        asked = self.cost.per_request_usd
        return last(self.monthly_usd), last(asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What to do about a candidate whose model retires.

    Attributes:
        reference: the candidate.
        base: its model, or the base of its tune; None when it asks none.
        ours: whether that is in nobody else's hands.
        retires: the day from which it no longer answers; None when none is announced.
        source: who says so.
        margin: the loss of mean score that would be put up with.
        items: that all candidates were asked.
        options: the other candidates, the cheapest first.
        chosen: the cheapest that holds and outlives; None when there is none.
        tokens: that the tune was trained on, all epochs together; None when unknown.
        retuning: where the training could be repeated, the cheapest first.
        assumptions: what it rests on beside what was measured.
        today: the day it was made.
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
    """Find what takes a candidate's place, within the assumptions' margin.

    Args:
        run: with the candidate and others beside it.
        candidate: its name in the run.
        assumptions: margin and monthly volume among them.
        today: the date, for tests.

    Raises:
        RunError: no such candidate, or no other beside it.
        ThirdleverError: the run's candidates cannot be compared, or a dated table is malformed.
    """
    from thirdlever.analysis.outcomes import load
    from thirdlever.decision.costs import costs

    today = today or dt.datetime.now(dt.UTC).date()
    rows = {str(row["name"]): row for row in run.info["candidates"]}
    if candidate not in rows:
        raise RunError(unknown("candidate", candidate, rows))
    if len(rows) == 1:
        message = f"{candidate!r} is the only candidate of this run; measure others beside it: thirdlever run SUITE"
        raise RunError(message)
    stored = {row["name"]: row for row in run.info.get("snapshots") or []}
    retires, source = _end(rows[candidate], stored)
    until = max(retires or today, today) + LASTS
    money = costs(run, assumptions)
    outcomes = load(run)
    others = [name for name in rows if name != candidate]
    evidence = _evidence(outcomes, others, candidate, assumptions.margin)
    options = []
    for name, (found, holds) in evidence.items():
        end = _end(rows[name], stored)[0]
        options.append(
            Option(
                cost=money[name],
                evidence=found,
                holds=holds,
                monthly_usd=_monthly(money[name], assumptions),
                ours=_ours(rows[name]),
                retires=end,
                outlives=end is None or end > until,
            )
        )
    options.sort(key=lambda one: one.price)
    tuning = rows[candidate].get("tuning")
    tokens = tuning.get("tokens") if tuning else None
    return Proposal(
        reference=money[candidate],
        base=of_candidate(rows[candidate]).id if rows[candidate].get("model") else None,
        ours=_ours(rows[candidate]),
        retires=retires,
        source=source,
        margin=assumptions.margin,
        items=len(outcomes.items),
        options=tuple(options),
        chosen=next((one for one in options if one.holds and one.outlives), None),
        tokens=tokens,
        retuning=tuple(retuning(tokens, until, today)) if tuning else (),
        assumptions=assumptions,
        today=today,
    )


def _evidence(
    outcomes: Outcomes,
    names: Sequence[str],
    reference: str,
    margin: float,
) -> dict[str, tuple[NonInferiority, bool]]:
    """Each candidate against the reference; choosing among many is not to find one by chance, hence Holm."""
    from statsmodels.stats.multitest import multipletests

    from thirdlever.analysis.compare import non_inferior

    found = [non_inferior(outcomes, name, reference, margin, alpha=ALPHA) for name in names]
    holds = multipletests([one.p for one in found], alpha=ALPHA, method="holm")[0]
    return {one.candidate: (one, bool(held)) for one, held in zip(found, holds, strict=True)}


def _ours(row: Mapping[str, Any]) -> bool:
    return not row.get("model") or of_candidate(row).provider == LOCAL


def _end(row: Mapping[str, Any], stored: Mapping[str, Mapping[str, Any]]) -> tuple[dt.date | None, str]:
    """When a candidate's model stops, and who says so: the provider on the day of the run, or the dated tables."""
    if _ours(row):
        return None, ""
    pin = of_candidate(row)
    seen = stored.get(str(row.get("base")), {})
    if noted := day(seen.get("shutdown")):
        return noted, str(seen.get("source"))
    found = retirement(pin.provider, pin.id)
    return (found.retires, f"{found.source}, {found.as_of}") if found else (None, "")


def _monthly(cost: Cost, assumptions: Assumptions) -> float | None:
    return None if assumptions.monthly_volume is None else cost.monthly_usd(assumptions.monthly_volume)

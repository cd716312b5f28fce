"""Whether a candidate's set-up comes back before its model is outdated, and what it would take."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.analysis.usage import total
from thirdlever.economics.break_even import break_even_requests, payback_months, required_saving
from thirdlever.economics.condition import Terms, condition
from thirdlever.economics.costs import interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.economics.assumptions import Assumptions
    from thirdlever.economics.costs import Cost

_DAYS_PER_MONTH = 365 / 12


@dataclass(frozen=True, kw_only=True)
class Payback:
    """A candidate against a reference, in money. USD; None is unknown, inf is never.

    What a request gains is what it saves plus, where an error has a price, what its fewer errors are worth. Months and
    requests say when all that the candidate costs more (set-up, and each month it stands) has come back.

    Attributes:
        candidate: whose set-up is to come back.
        reference: what would be used without it.
        saving_per_request_usd: cost of the reference's request less the candidate's; negative when it costs more.
        saving_low: lower end of its 95 % interval.
        saving_high: upper end.
        avoided_errors_usd_per_request: what fewer errors are worth; None when an error has no stated price.
        extra_setup_usd: set-up beyond the reference's.
        extra_standing_usd_per_month: standing cost beyond the reference's.
        break_even_requests: N*, over the horizon.
        volume_needed: requests a month that bring everything back within `wanted_months`.
        months: until everything is back at the stated volume.
        months_low: lower end of its 95 % interval, from the measured tokens and, where errors have a price, answers.
        months_high: upper end.
        horizon_months: how long the candidate is expected to live: until the base's next release or its retirement.
        wanted_months: when everything should be back: the assumption `payback_months`, within the horizon.
        within: whether it is back in that time.
        roi: gain over the horizon, set-up paid, for each dollar of extra set-up; inf where none is needed.
        condition: one sentence: what payback in that time takes.
    """

    candidate: str
    reference: str
    saving_per_request_usd: float | None
    saving_low: float | None
    saving_high: float | None
    avoided_errors_usd_per_request: float | None
    extra_setup_usd: float | None
    extra_standing_usd_per_month: float | None
    break_even_requests: float | None
    volume_needed: float | None
    months: float | None
    months_low: float | None
    months_high: float | None
    horizon_months: float
    wanted_months: float
    within: bool | None
    roi: float | None
    condition: str


def payback(candidate: Cost, reference: Cost, a: Assumptions, *, today: dt.date | None = None) -> Payback:
    """Hold a candidate's costs against a reference's.

    Args:
        candidate: usually a tuned one.
        reference: usually the best that is not tuned.
        a: volume, horizon, price of an error.
        today: from when a retirement is counted; today by default.
    """
    saving = _less(reference.per_request_usd, candidate.per_request_usd)
    fewer = _less(candidate.accuracy, reference.accuracy)
    avoided = None if fewer is None or a.error_cost_usd is None else fewer * a.error_cost_usd
    gain = total([saving, 0.0 if a.error_cost_usd is None else avoided])
    setup = _less(candidate.setup_usd, reference.setup_usd)
    standing = _less(candidate.standing_usd_per_month, reference.standing_usd_per_month)
    horizon = _life(candidate, a, today or dt.datetime.now(dt.UTC).date())
    wanted = min(a.payback_months or horizon, horizon)
    needed = required_saving(setup, a.monthly_volume, wanted, extra_standing=standing)
    enough = _volume_needed(setup, standing, gain, wanted)
    months = payback_months(setup, gain, a.monthly_volume, extra_standing=standing)
    savings, gains = _draws(candidate, reference, a.error_cost_usd)
    low, high = _ends(savings)
    return Payback(
        candidate=candidate.candidate,
        reference=reference.candidate,
        saving_per_request_usd=saving,
        saving_low=low,
        saving_high=high,
        avoided_errors_usd_per_request=avoided,
        extra_setup_usd=setup,
        extra_standing_usd_per_month=standing,
        break_even_requests=break_even_requests(setup, gain, extra_standing=standing, months=horizon),
        volume_needed=enough,
        months=months,
        **_months_ends(gains, setup, standing, a.monthly_volume),
        horizon_months=horizon,
        wanted_months=wanted,
        within=None if months is None else months <= wanted,
        roi=_roi(setup, standing, gain, a.monthly_volume, horizon),
        condition=condition(
            Terms(wanted, reference.per_request_usd, candidate.per_request_usd, needed, avoided, enough)
        ),
    )


def _life(candidate: Cost, a: Assumptions, today: dt.date) -> float:
    """Months until the candidate is outdated, or retired before that; 0 when it is retired already."""
    if candidate.retires is None:
        return a.horizon_months
    return min(a.horizon_months, max((candidate.retires - today).days / _DAYS_PER_MONTH, 0.0))


def _volume_needed(setup: float | None, standing: float | None, gain: float | None, months: float) -> float | None:
    """Requests a month that bring everything back in so many months; inf when none do."""
    if not months:
        return None if gain is None else math.inf
    requests = break_even_requests(setup, gain, extra_standing=standing, months=months)
    return None if requests is None else requests / months


def _roi(
    setup: float | None, standing: float | None, gain: float | None, volume: float | None, months: float
) -> float | None:
    if setup is None or standing is None or gain is None or volume is None:
        return None
    net = months * (volume * gain - standing) - setup
    if setup <= 0:
        return math.copysign(math.inf, net) if net else 0.0
    return net / setup


def _draws(
    candidate: Cost, reference: Cost, error_usd: float | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Bootstrap means of what a request saves and of what it gains [draws]; both candidates' draws are paired."""
    if candidate.draws is None or reference.draws is None:
        return None, None
    savings = reference.draws - candidate.draws
    if error_usd is None:
        return savings, savings
    if candidate.accuracy_draws is None or reference.accuracy_draws is None:
        return savings, None
    return savings, savings + error_usd * (candidate.accuracy_draws - reference.accuracy_draws)


def _ends(draws: NDArray[np.float64] | None) -> tuple[float | None, float | None]:
    return (draws is not None and interval(draws)) or (None, None)


def _months_ends(
    gains: NDArray[np.float64] | None, setup: float | None, standing: float | None, volume: float | None
) -> dict[str, float | None]:
    """The interval of the months; they fall as the gain rises, so its ends are those of the gain, turned round."""
    low, high = _ends(gains)
    return {
        "months_low": payback_months(setup, high, volume, extra_standing=standing),
        "months_high": payback_months(setup, low, volume, extra_standing=standing),
    }


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second

"""Payback of a candidate's extra costs: formulas over money, requests and months. None is unknown, inf is never."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from thirdlever.analysis.usage import total
from thirdlever.core.text import UNKNOWN, counted, usd
from thirdlever.core.text import months as in_months
from thirdlever.decision.costs import interval
from thirdlever.decision.evidence import ROUNDING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.costs import Cost

_DAYS_PER_MONTH = 365 / 12


@dataclass(frozen=True, kw_only=True)
class Payback:
    """A candidate's costs compared with a reference's. USD; None is unknown, inf is never.

    The gain of a request is its saving plus, where an error has a price, the value of fewer errors. It is paid
    back once the gains have covered the extra set-up and the extra monthly costs so far.

    Attributes:
        reference: what would be used instead.
        saving_per_request_usd: the reference's cost per request minus the candidate's.
        saving_low, saving_high: ends of its 95 % interval.
        avoided_errors_usd_per_request: value of fewer errors; None if an error has no stated price.
        break_even_requests: N*, over the horizon.
        volume_needed: requests a month that pay back within `wanted_months`.
        months: payback at the stated volume.
        months_low, months_high: ends of its 95 % interval, from the tokens and, where errors have a price, answers.
        horizon_months: its expected time in use: from the end of its set-up to the base's next release or its
            retirement.
        wanted_months: the latest acceptable payback: the assumption `payback_months`, at most the horizon.
        within: whether it pays back in that time.
        most_usd_per_request: cost of a request to the candidate up to which it pays back in that time; below 0 if none.
        error_usd_needed: price of an error from which it pays back in that time; None if it has no fewer errors.
        roi: net gain over the horizon per dollar of extra set-up; inf if there is no extra set-up.
        condition: one sentence on what a payback in that time requires.
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
    most_usd_per_request: float | None
    error_usd_needed: float | None
    roi: float | None
    condition: str


def payback(candidate: Cost, reference: Cost, a: Assumptions, *, today: dt.date | None = None) -> Payback:
    """Compare a candidate's costs with a reference's.

    Args:
        candidate: usually a tuned one.
        reference: usually the best candidate without tuning.
        a: volume, horizon, price of an error.
        today: the start of the horizon; today by default.
    """
    saving = _minus(reference.per_request_usd, candidate.per_request_usd)
    fewer = _minus(candidate.accuracy, reference.accuracy)
    avoided = None if fewer is None or a.error_cost_usd is None else fewer * a.error_cost_usd
    gain = total([saving, 0.0 if a.error_cost_usd is None else avoided])
    setup = _minus(candidate.setup_usd, reference.setup_usd)
    standing = _minus(candidate.standing_usd_per_month, reference.standing_usd_per_month)
    horizon = _life(candidate, a, today or dt.datetime.now(dt.UTC).date())
    wanted = min(a.payback_months or horizon, horizon)
    needed = required_saving(setup, a.monthly_volume, wanted, extra_standing=standing)
    most = None if needed is None else total([reference.per_request_usd, -needed, avoided or 0.0])
    enough = _volume_needed(setup, standing, gain, wanted)
    months = payback_months(setup, gain, a.monthly_volume, extra_standing=standing)
    savings, gains = _draws(candidate, reference, a.error_cost_usd)
    low, high = _ends(savings)
    gain_low, gain_high = _ends(gains)
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
        # A larger gain pays back sooner, so the ends of the interval swap.
        months_low=payback_months(setup, gain_high, a.monthly_volume, extra_standing=standing),
        months_high=payback_months(setup, gain_low, a.monthly_volume, extra_standing=standing),
        horizon_months=horizon,
        wanted_months=wanted,
        within=None if months is None else months <= wanted + ROUNDING,
        most_usd_per_request=None if most is None or math.isnan(most) else most,
        error_usd_needed=_error_usd_needed(needed, saving, fewer, a),
        roi=_roi(setup, standing, gain, a.monthly_volume, horizon),
        condition=condition(
            Terms(wanted, reference.per_request_usd, candidate.per_request_usd, needed, avoided, enough)
        ),
    )


def break_even_requests(
    extra_setup: float | None, saving: float | None, *, extra_standing: float | None = 0.0, months: float = 0.0
) -> float | None:
    """N*: requests that pay for the set-up and for the standing costs meanwhile.

        N* = (set-up + fixed costs over the horizon) / (cost per request before - after)

    Args:
        extra_setup: USD once, beyond the reference's.
        saving: USD per request, compared with the reference.
        extra_standing: USD a month, beyond the reference's.
        months: the horizon.

    Returns:
        Requests; 0 if there is nothing to pay back, inf if the saving never covers it.
    """
    if extra_setup is None or saving is None or extra_standing is None:
        return None
    outlay = extra_setup + extra_standing * months
    if outlay <= 0:
        return 0.0 if saving >= 0 else math.inf
    return outlay / saving if saving > 0 else math.inf


def payback_months(
    extra_setup: float | None, saving: float | None, volume: float | None, *, extra_standing: float | None = 0.0
) -> float | None:
    """Months until the savings cover all extra costs for good.

    Args:
        extra_setup: USD once, beyond the reference's.
        saving: USD per request, compared with the reference.
        volume: requests a month.
        extra_standing: USD a month, beyond the reference's.

    Returns:
        Months; 0 if the candidate is cheaper from the first day, inf if never.
    """
    if extra_setup is None or saving is None or volume is None or extra_standing is None:
        return None
    monthly = volume * saving - extra_standing
    if extra_setup <= 0:
        return 0.0 if monthly >= 0 else math.inf
    return extra_setup / monthly if monthly > 0 else math.inf


def required_saving(
    extra_setup: float | None, volume: float | None, months: float, *, extra_standing: float | None = 0.0
) -> float | None:
    """Saving per request, in USD, that pays back within `months`.

    Returns:
        0 or less if no saving is required; inf if no saving is enough (no volume or no time).
    """
    if extra_setup is None or volume is None or extra_standing is None:
        return None
    if not months:
        return math.inf
    monthly = extra_setup / months + extra_standing
    if not volume:
        return math.inf if monthly > 0 else 0.0
    return monthly / volume


class Terms(NamedTuple):
    """The figures in a condition; None is unknown.

    Attributes:
        months: the latest acceptable payback.
        before: the reference's cost per request, USD.
        after: the candidate's cost per request, USD.
        needed: gain per request that is required, USD; inf if no gain is enough.
        avoided: value of fewer errors per request, USD; None if an error has no stated price.
        volume_needed: requests a month that pay back in time at the present gain; inf if none do.
    """

    months: float
    before: float | None
    after: float | None
    needed: float | None
    avoided: float | None
    volume_needed: float | None


def condition(terms: Terms) -> str:
    """What a payback in time requires, as a sentence.

    >>> condition(Terms(2, 0.0014, None, 0.001, None, 2.7e6))
    'pays back within 2 months only if the cost per request falls by at least 71 % (from $0.0014 to at most $0.00040)'
    """
    when = f"within {in_months(terms.months)}"
    if terms.needed is None:
        return _without_volume(terms, when)
    if terms.before is None:
        return f"whether it pays back {when} is {UNKNOWN}: the reference's cost per request is {UNKNOWN}"
    if math.isinf(terms.needed):
        return f"never pays back {when}: there are no requests, or no time is left"
    avoided = terms.avoided or 0.0
    fall = terms.needed - avoided
    besides = f", counting {usd(avoided)} a request for fewer errors" if avoided > 0 else ""
    besides = f", counting {usd(-avoided)} a request for more errors" if avoided < 0 else besides
    most = terms.before - fall
    if fall <= 0 or (terms.after is not None and terms.after <= most * (1 + ROUNDING)):
        return f"pays back {when} as long as the cost per request stays at or below {usd(most)}{besides}"
    if fall > terms.before:
        free = "nothing" if not terms.before else f"only {usd(terms.before)}"
        return (
            f"cannot pay back {when}: each request must save {usd(fall)}{besides}; one that costs nothing saves {free}"
        )
    now = terms.before if terms.after is None else terms.after
    return (
        f"pays back {when} only if the cost per request falls by at least {100 * (now - most) / now:.0f} % "
        f"(from {usd(now)} to at most {usd(most)}){besides}"
    )


def _without_volume(terms: Terms, when: str) -> str:
    if terms.volume_needed is None:
        return f"whether it pays back {when} is {UNKNOWN}: state the figures that are {UNKNOWN}"
    if math.isinf(terms.volume_needed):
        return "never pays back, at any volume: a request gains nothing over the reference's"
    return f"pays back {when} only with at least {counted(math.ceil(terms.volume_needed), 'request')} a month"


def _error_usd_needed(needed: float | None, saving: float | None, fewer: float | None, a: Assumptions) -> float | None:
    """The price of an error at which a gain per request is reached; None if one is stated, or if none reaches it."""
    if needed is None or saving is None or fewer is None or a.error_cost_usd is not None:
        return None
    if fewer <= ROUNDING or not math.isfinite(needed) or not math.isfinite(saving):
        return None
    return max(needed - saving, 0.0) / fewer


def _life(candidate: Cost, a: Assumptions, today: dt.date) -> float:
    """Months from its set-up until the base's next release or the candidate's retirement; 0 if none are left."""
    end = a.horizon_months
    if candidate.retires is not None:
        end = min(end, (candidate.retires - today).days / _DAYS_PER_MONTH)
    return max(end - 7 * (candidate.weeks or 0.0) / _DAYS_PER_MONTH, 0.0)


def _volume_needed(setup: float | None, standing: float | None, gain: float | None, months: float) -> float | None:
    """Requests a month that pay back within `months`; inf if none do."""
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
    """Bootstrap means of the saving and the gain per request [draws]; both candidates' draws are paired."""
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


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second

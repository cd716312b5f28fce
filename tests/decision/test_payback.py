from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest

from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost
from thirdlever.decision.payback import Terms, condition, payback

TODAY = dt.date(2026, 11, 15)


def cost(name: str = "tuned", **more: Any) -> Cost:  # noqa: ANN401 - a field of Cost
    fields: dict[str, Any] = {"candidate": name, "strategy": name, "accuracy": 0.9, "per_request_usd": 0.001}
    return Cost(**fields | more)


def assumed(**more: str) -> Any:  # noqa: ANN401 - Assumptions
    return assume({}, {"monthly_volume": "1000000", "horizon_months": "5"} | more)


# Cumulative costs cross at the payback


@pytest.mark.parametrize("setup", [0.0, 10.0, 2_500.0])
@pytest.mark.parametrize("standing", [0.0, 70.0])
def test_cumulative_costs_are_equal_at_the_payback(setup: float, standing: float) -> None:
    tuned = cost(setup={"training": 3_000.0}, standing={"hosting": 200.0})
    prompted = cost("rag", per_request_usd=0.002, setup={"indexing": setup}, standing={"index": standing})
    back = payback(tuned, prompted, assumed())
    assert back.months is not None
    assert tuned.cumulative_usd(back.months, 1e6) == pytest.approx(prompted.cumulative_usd(back.months, 1e6))


def test_the_needed_volume_pays_back_exactly_in_time() -> None:
    tuned, prompted = cost(setup={"training": 3_000.0}), cost("rag", per_request_usd=0.002)
    needed = payback(tuned, prompted, assumed()).volume_needed
    assert needed == pytest.approx(600_000)
    at = payback(tuned, prompted, assumed(monthly_volume=str(needed)))
    assert at.months == pytest.approx(5)
    assert at.roi == pytest.approx(0)


# Errors that have a price


def test_fewer_errors_can_pay_for_more_expensive_requests() -> None:
    tuned = cost(accuracy=0.92, per_request_usd=0.002, setup={"training": 1_000.0})
    prompted = cost("few_shot", accuracy=0.82)
    assert payback(tuned, prompted, assumed()).months == math.inf
    back = payback(tuned, prompted, assumed(error_cost_usd="0.02"))
    assert back.avoided_errors_usd_per_request == pytest.approx(0.002)
    assert back.months == pytest.approx(1)
    assert back.roi == pytest.approx(4)
    assert back.condition.startswith(
        "pays back within 5 months as long as the cost per request stays at or below $0.0028"
    )


def test_an_unknown_accuracy_leaves_the_value_of_errors_unknown() -> None:
    back = payback(cost(accuracy=None), cost("few_shot", per_request_usd=0.002), assumed(error_cost_usd="0.02"))
    assert back.avoided_errors_usd_per_request is None
    assert back.months is None
    assert back.within is None


# The horizon


def test_a_retirement_shortens_the_horizon() -> None:
    tuned = cost(setup={"training": 3_000.0}, retires=dt.date(2027, 1, 14))
    back = payback(tuned, cost("rag", per_request_usd=0.002), assumed(), today=TODAY)
    assert back.months == pytest.approx(3)
    assert back.horizon_months == pytest.approx(60 / (365 / 12))
    assert back.within is False


def test_a_retired_model_never_pays_back() -> None:
    tuned = cost(setup={"training": 3_000.0}, retires=dt.date(2026, 10, 23))
    back = payback(tuned, cost("rag", per_request_usd=0.002), assumed(), today=TODAY)
    assert (back.horizon_months, back.within, back.volume_needed) == (0, False, math.inf)
    assert back.roi == pytest.approx(-1)
    assert "no time is left" in back.condition


def test_the_limit_is_never_beyond_the_horizon() -> None:
    back = payback(cost(), cost("rag"), assumed(payback_months="12"))
    assert back.wanted_months == 5


# Intervals


def draws(mean: float, spread: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(mean, spread, 2_000)


def test_the_interval_of_the_payback_follows_from_that_of_the_gain() -> None:
    tuned = cost(setup={"training": 1_000.0}, draws=np.full(2_000, 0.001))
    prompted = cost("rag", per_request_usd=0.002, draws=draws(0.002, 0.0001))
    back = payback(tuned, prompted, assumed())
    assert back.saving_low is not None
    assert back.saving_high is not None
    assert (back.saving_low, back.saving_high) == pytest.approx((0.001 - 0.000196, 0.001 + 0.000196), rel=0.02)
    assert (back.months_low, back.months_high) == pytest.approx(
        (1_000 / (1e6 * back.saving_high), 1_000 / (1e6 * back.saving_low))
    )


def test_an_interval_may_extend_to_never() -> None:
    tuned = cost(setup={"training": 1_000.0}, draws=np.full(2_000, 0.001))
    back = payback(tuned, cost("rag", per_request_usd=0.002, draws=draws(0.002, 0.001)), assumed())
    assert back.months_high == math.inf
    assert back.months_low is not None
    assert 0 < back.months_low < 1


def test_given_costs_have_no_interval() -> None:
    back = payback(cost(setup={"training": 1.0}), cost("rag", per_request_usd=0.002), assumed())
    assert (back.saving_low, back.months_low, back.months_high) == (None, None, None)


# Sentences


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (Terms(5, 0.002, None, 0.0006, None, 6e5), "only if the cost per request falls by at least 30 %"),
        (Terms(5, 0.002, 0.0018, 0.0006, None, 6e5), "by at least 22 % (from $0.0018 to at most $0.0014)"),
        (Terms(5, 0.002, 0.001, 0.0006, None, 6e5), "as long as the cost per request stays at or below $0.0014"),
        (Terms(1, 0.002, None, 0.0006, None, 6e5), "within 1 month only if"),
        (Terms(5, 0.002, 0.001, 0.003, None, 6e5), "one that costs nothing saves only $0.0020"),
        (Terms(5, 0.0, 0.001, 0.003, None, math.inf), "one that costs nothing saves nothing"),
        (Terms(5, 0.002, None, 0.0006, 0.0002, 6e5), "at least 20 % (from $0.0020 to at most $0.0016), counting"),
        (Terms(5, 0.002, 0.001, 0.0006, -0.0002, 6e5), "a request for more errors"),
        (Terms(5, 0.002, 0.001, 0.0, None, 0), "as long as the cost per request stays at or below $0.0020"),
        (Terms(5, 0.002, 0.001, math.inf, None, 6e5), "never"),
        (Terms(5, 0.002, 0.001, None, None, 612_345.2), "at least 612,346 requests a month"),
        (Terms(5, 0.001, 0.002, None, None, math.inf), "never pays back, at any volume"),
        (Terms(5, 0.001, None, None, None, None), "unknown"),
        (Terms(5, None, 0.001, 0.0006, None, None), "unknown"),
    ],
)
def test_the_condition_states_what_a_payback_requires(terms: Terms, said: str) -> None:
    assert said in condition(terms)


@pytest.mark.parametrize(
    ("tuned", "months"),
    [
        ({"setup": {"training": 1_000.0}}, pytest.approx(1.0)),
        ({"setup": {"training": 1_000.0}, "per_request_usd": 0.003}, math.inf),
        ({}, 0.0),
        ({"per_request_usd": None}, None),
    ],
)
def test_a_payback_takes_months_or_none_or_never_or_is_unknown(tuned: dict[str, Any], months: float | None) -> None:
    assert payback(cost(**tuned), cost("rag", per_request_usd=0.002), assumed()).months == months

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from helpers import costed

from thirdlever.catalog.price_lookup import price_of
from thirdlever.catalog.prices import Price, Tier
from thirdlever.catalog.tuning import rate
from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost, costs
from thirdlever.decision.payback import break_even_requests, payback, payback_months, required_saving
from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from pathlib import Path

DAYS = 365 / 12


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plain(**more: str) -> dict[str, str]:
    """Nothing assumed that a worked example does not speak of."""
    works = ("engineering_usd", "managed_engineering_usd", "prompt_usd", "rag_usd_per_month")
    return dict.fromkeys(works, "0") | more


# Worked examples from practice


def test_training_on_100k_tokens_three_times_costs_7_50() -> None:
    charged = rate("openai", "gpt-4o")
    assert charged is not None
    assert charged.estimate(100_000 * 3).usd == pytest.approx(7.50)


def test_400_fewer_prompt_tokens_pay_back_90_cents_of_training_in_under_a_day() -> None:
    charged = rate("openai", "gpt-4o-mini")
    assert charged is not None
    price = charged.price()
    assert price is not None
    prompted = Cost(candidate="prompt", strategy="few_shot", per_request_usd=price.cost(500, 0, 4))
    tuned = Cost(candidate="tuned", strategy="managed", per_request_usd=price.cost(100, 0, 4), setup={"training": 0.90})
    back = payback(tuned, prompted, assume({}, {"monthly_volume": str(10_000 * DAYS)}))
    assert back.saving_per_request_usd is not None
    assert back.saving_per_request_usd * 1000 == pytest.approx(0.12)
    assert back.months is not None
    assert back.months * DAYS == pytest.approx(0.75)
    assert back.break_even_requests == pytest.approx(7_500)


def test_the_premium_of_a_tuned_gpt_4o_is_paid_on_every_request() -> None:
    base, charged = price_of(BaseModel("openai/gpt-4o", "openai/gpt-4o")), rate("openai", "gpt-4o")
    assert base is not None
    assert charged is not None
    tuned = charged.price()
    assert tuned is not None
    assert (base.input_per_m, tuned.input_per_m) == (2.50, 3.75)
    for used in [(1, 0, 0), (1_000, 0, 50), (120_000, 60_000, 4_000)]:
        assert tuned.cost(*used) == pytest.approx(1.5 * base.cost(*used))
    before = Cost(candidate="base", strategy="zero_shot", per_request_usd=base.cost(800, 0, 10))
    after = Cost(candidate="tuned", strategy="managed", per_request_usd=tuned.cost(800, 0, 10), setup={"training": 7.5})
    for volume in ("1", "3e6", "1e12"):
        back = payback(after, before, assume({}, {"monthly_volume": volume}))
        assert back.months == math.inf
        assert back.within is False


def test_6000_dollars_pay_back_in_two_months_only_if_the_cost_per_request_falls_by_71_percent() -> None:
    now = Cost(candidate="few_shot", strategy="few_shot", accuracy=0.82, per_request_usd=4_200 / 3_000_000)
    assumed = assume({}, {"monthly_volume": "3,000,000", "payback_months": "2"})

    def tuned(per_request: float) -> Cost:
        return Cost(
            candidate="tuned",
            strategy="managed",
            accuracy=0.92,
            per_request_usd=per_request,
            setup={"training": 6_000.0},
        )

    assert now.monthly_usd(3_000_000) == pytest.approx(4_200)
    assert required_saving(6_000, 3_000_000, 2) == pytest.approx(5 / 7 * 0.0014)
    back = payback(tuned(0.0004), now, assumed)
    assert back.condition == "pays back within 2 months as long as the cost per request stays at or below $0.00040"
    assert payback(replace(tuned(0), per_request_usd=None), now, assumed).condition == (
        "pays back within 2 months only if the cost per request falls by at least 71 % "
        "(from $0.0014 to at most $0.00040)"
    )
    assert back.months == pytest.approx(2)
    assert payback(tuned(0.00039), now, assumed).within is True
    assert payback(tuned(0.00041), now, assumed).within is False


@pytest.mark.parametrize(
    ("training", "hosting", "before", "after", "expected"),
    [
        (900.0, 0.0, 0.002, 0.001, 900_000),
        (900.0, 100.0, 0.002, 0.001, 1_400_000),  # five months of hosting
        (900.0, 100.0, 0.001, 0.001, math.inf),
        (900.0, 100.0, 0.001, 0.002, math.inf),
        (0.0, 0.0, 0.002, 0.001, 0),
        (None, 0.0, 0.002, 0.001, None),
    ],
)
def test_break_even_is_set_up_divided_by_saving(
    training: float | None, hosting: float, before: float, after: float, expected: float | None
) -> None:
    found = break_even_requests(training, before - after, extra_standing=hosting, months=5)
    assert found == (expected if expected is None else pytest.approx(expected))
    reference = Cost(candidate="a", strategy="a", per_request_usd=before)
    candidate = Cost(
        candidate="b",
        strategy="b",
        per_request_usd=after,
        setup={"training": training},
        standing={"hosting": hosting},
    )
    whole = payback(candidate, reference, assume({}, {"horizon_months": "5"})).break_even_requests
    assert whole == (expected if expected is None else pytest.approx(expected))


# Payback, and never


@pytest.mark.parametrize(
    ("setup", "saving", "volume", "standing", "expected"),
    [
        (100.0, 0.01, 1_000.0, 0.0, 10),
        (100.0, 0.01, 1_000.0, 5.0, 20),
        (100.0, 0.01, 1_000.0, 10.0, math.inf),
        (100.0, 0.01, 0.0, 0.0, math.inf),
        (100.0, 0.0, 1_000.0, 0.0, math.inf),
        (100.0, -0.01, 1_000.0, 0.0, math.inf),
        (0.0, 0.0, 0.0, 0.0, 0),
        (-5.0, 0.01, 1_000.0, 0.0, 0),
        (-5.0, -0.01, 1_000.0, 0.0, math.inf),
        (100.0, 0.01, None, 0.0, None),
        (100.0, None, 1_000.0, 0.0, None),
        (100.0, 0.01, 1_000.0, None, None),
    ],
)
def test_payback_is_set_up_divided_by_monthly_gain(
    setup: float, saving: float | None, volume: float | None, standing: float | None, expected: float | None
) -> None:
    found = payback_months(setup, saving, volume, extra_standing=standing)
    assert found == (expected if expected is None else pytest.approx(expected))


def test_no_saving_is_enough_without_requests_or_time() -> None:
    assert required_saving(100, 0, 5) == math.inf
    assert required_saving(100, 1000, 0) == math.inf
    assert required_saving(0, 0, 5) == 0
    assert required_saving(None, 1000, 5) is None


# From measured tokens


def test_a_request_costs_the_mean_of_its_tokens() -> None:
    records = costed.requests("few_shot")
    found = costs(costed.run([costed.candidate("few_shot")], [records]), assume({}, plain()))["few_shot"]
    mean = (records["input_tokens"].mean() * 0.15 + 10 * 0.60) / 1e6
    assert found.per_request_usd == pytest.approx(mean)
    assert found.accuracy == 0.5
    assert found.per_correct_usd == pytest.approx(2 * mean)
    assert found.setup["evaluation"] == pytest.approx(100 * mean)
    assert "a list, 2026-11-01" in found.basis["per request"]


@pytest.mark.parametrize("unknown", ["input_tokens", "cached_tokens", "output_tokens"])
def test_unreported_setup_tokens_are_unknown_money(unknown: str) -> None:
    about = costed.candidate("few_shot", setup={"input_tokens": 9000, "cached_tokens": 4000, "output_tokens": 10})
    records = costed.requests("few_shot")
    known = costs(costed.run([about], [records]), assume({}, plain()))["few_shot"]
    assert known.setup["indexing"] == pytest.approx((5000 * 0.15 + 4000 * 0.075 + 10 * 0.60) / 1e6)
    about["setup"][unknown] = None
    found = costs(costed.run([about], [records]), assume({}, plain()))["few_shot"]
    assert found.setup["indexing"] is None
    assert found.setup_usd is None


def test_the_interval_of_the_cost_is_that_of_the_mean() -> None:
    records = costed.requests("few_shot", 400)
    found = costs(costed.run([costed.candidate("few_shot")], [records]), assume({}, {}))["few_shot"]
    se = records["input_tokens"].astype(float).std() / math.sqrt(400) * 0.15 / 1e6
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * se, rel=0.06)


def test_items_of_one_source_are_drawn_together() -> None:
    tokens = np.repeat(np.random.default_rng(1).integers(500, 1501, 100), 4)
    groups = np.repeat([f"g{number}" for number in range(100)], 4)
    whole = costed.run(
        [costed.candidate("alone"), costed.candidate("grouped")],
        [costed.requests("alone", 400, input_tokens=tokens)],
    )
    alone = costs(whole, assume({}, {}))["alone"]
    grouped = costs(
        costed.run([costed.candidate("grouped")], [costed.requests("grouped", 400, input_tokens=tokens, group=groups)]),
        assume({}, {}),
    )["grouped"]
    assert alone.low is not None
    assert alone.high is not None
    assert grouped.low is not None
    assert grouped.high is not None
    assert grouped.high - grouped.low == pytest.approx(2 * (alone.high - alone.low), rel=0.1)


def test_many_sources_are_drawn_in_bundles_of_the_same_width() -> None:
    records = costed.requests("few_shot", 9_000)
    found = costs(costed.run([costed.candidate("few_shot")], [records]), assume({}, {}))["few_shot"]
    se = records["input_tokens"].astype(float).std() / math.sqrt(9_000) * 0.15 / 1e6
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * se, rel=0.08)


def test_the_order_of_records_does_not_matter() -> None:
    both = [costed.requests("a", seed=1), costed.requests("b", seed=2)]
    about = [costed.candidate("a"), costed.candidate("b")]
    run = costed.run(about, both)
    shuffled = costed.run(about, [run.records.sample(frac=1, random_state=3)])
    for name in ("a", "b"):
        one, other = costs(run, assume({}, {}))[name], costs(shuffled, assume({}, {}))[name]
        assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-12)
        assert one.per_correct_interval == pytest.approx(other.per_correct_interval)


def test_effects_common_to_both_candidates_cancel_out() -> None:
    tokens = costed.requests("a")["input_tokens"].to_numpy()
    run = costed.run(
        [costed.candidate("a"), costed.candidate("b")],
        [costed.requests("a", input_tokens=tokens), costed.requests("b", input_tokens=tokens - 400)],
    )
    known = costs(run, assume({}, {}))
    back = payback(known["b"], known["a"], assume({}, {}))
    assert (back.saving_low, back.saving_high) == pytest.approx((400 * 0.15e-6, 400 * 0.15e-6))
    assert known["a"].high is not None
    assert known["a"].low is not None
    assert known["a"].high - known["a"].low > 5e-6


def test_failed_requests_count_as_wrong_and_not_towards_the_cost() -> None:
    records = costed.requests("a", 4, input_tokens=[1000, 1000, None, None], score=[1.0, 1.0, None, None])
    records["error"] = [None, None, "TimeoutError", "TimeoutError"]
    found = costs(costed.run([costed.candidate("a")], [records], max_failed=0.5), assume({}, {}))["a"]
    assert found.accuracy == 0.5
    assert found.per_request_usd == pytest.approx((1000 * 0.15 + 10 * 0.60) / 1e6)


def test_epochs_are_repeats_of_an_item() -> None:
    once = costed.requests("a")
    twice = once.assign(epoch=2)
    run = costed.run([costed.candidate("a")], [once, twice])
    alone = costed.run([costed.candidate("a")], [once])
    one, two = costs(alone, assume({}, {}))["a"], costs(run, assume({}, {}))["a"]
    assert (one.per_request_usd, one.low, one.high) == pytest.approx((two.per_request_usd, two.low, two.high))


def test_cache_writes_have_their_own_rate() -> None:
    claude = Price("claude", 1.0, 0.1, 5.0, source="a list", as_of=None, cache_write_per_m=1.25)
    records = costed.requests("a", 3, input_tokens=1000, cached_tokens=200, cache_write_tokens=300)
    run = costed.run([costed.candidate("a", "claude")], [records], prices={"claude": claude})
    expected = (500 * 1.0 + 200 * 0.1 + 300 * 1.25 + 10 * 5.0) / 1e6
    assert costs(run, assume({}, {}))["a"].per_request_usd == pytest.approx(expected)
    assert run.summary["cost_per_1k_usd"][0] == pytest.approx(1000 * expected)
    assert claude.cost(1000, 200, 10, 300) == pytest.approx(expected)


def test_a_run_of_an_earlier_release_has_no_cache_writes() -> None:
    records = costed.requests("a").drop(columns="cache_write_tokens")
    run = costed.run([costed.candidate("a")], [records])
    assert costs(run, assume({}, {}))["a"].per_request_usd is not None
    assert run.summary["cost_per_1k_usd"].notna().all()


def test_vectorised_costs_equal_single_costs() -> None:
    tiers = (Tier(1_000, 2.0, 0.2, 8.0, 2.5), Tier(5_000, 3.0, 0.3, 9.0))
    price = Price("m", 1.0, 0.1, 5.0, source="a list", as_of=None, tiers=tiers, cache_write_per_m=1.25)
    sent = np.array([10.0, 1_000, 1_001, 5_000, 5_001, 90_000, np.nan])
    cached, came, written = sent / 4, sent / 10, sent / 5
    singly = [price.cost(*used) for used in zip(sent, cached, came, written, strict=True)]
    assert price.costs(sent, cached, came, written) == pytest.approx(singly, nan_ok=True)


# Unknown stays unknown


def test_an_unknown_price_makes_every_sum_unknown() -> None:
    run = costed.run([costed.candidate("a")], [costed.requests("a")], prices={"openai/gpt-4o-mini": None})
    found = costs(run, assume({}, {}))["a"]
    assert found.per_request_usd is None
    assert found.per_correct_usd is None
    assert found.setup["evaluation"] is None
    assert found.setup_usd is None
    assert found.cumulative_usd(1, 1000) is None
    assert (found.low, found.high, found.per_correct_interval) == (None, None, None)


def test_a_candidate_with_only_errors_has_no_cost_per_correct_answer() -> None:
    records = costed.requests("a", 5, input_tokens=None, output_tokens=None, score=0.0, error="TimeoutError")
    found = costs(costed.run([costed.candidate("a")], [records]), assume({}, {}))["a"]
    assert found.per_request_usd is None
    assert found.per_correct_usd is None
    assert found.accuracy is None


def test_a_candidate_that_is_never_correct_has_no_finite_cost_per_correct_answer() -> None:
    run = costed.run([costed.candidate("a")], [costed.requests("a", score=0.0)])
    found = costs(run, assume({}, {}))["a"]
    assert found.per_correct_usd == math.inf
    assert found.per_correct_interval == (math.inf, math.inf)


def test_a_candidate_without_a_model_is_not_free_until_its_machine_has_a_price() -> None:
    records = costed.requests("null", input_tokens=0, output_tokens=0, device_s=0.36)
    about = costed.candidate("null", None, setup={"device_seconds": 3600.0})
    run = costed.run([about], [records], prices={})
    unpriced, paid = (
        costs(run, assume({}, plain()))["null"],
        costs(run, assume({}, plain(device_usd_per_hour="2")))["null"],
    )
    assert (unpriced.per_request_usd, unpriced.setup["training"]) == (None, None)
    assert paid.per_request_usd == pytest.approx(0.0002)
    assert paid.setup["training"] == pytest.approx(2)


def test_a_local_model_costs_its_share_of_the_machine() -> None:
    records = costed.requests("rag", device_s=0.36, retrieval_s=0.01)
    about = costed.candidate("rag", "embedded", setup={"device_seconds": 360.0, "labels": 900})
    run = costed.run([about], [records], prices={"embedded": None}, device_usd_per_hour=2.0)
    a = assume({}, {"utilisation": "0.5", "usd_per_label": "0.1", "rag_usd_per_month": "70"}, run.info)
    found = costs(run, a)["rag"]
    assert found.per_request_usd == pytest.approx(0.0004)
    assert found.setup["labels"] == pytest.approx(90)
    assert found.setup["indexing"] == pytest.approx(0.4)
    assert found.standing == {"index": 70}
    assert (
        costs(costed.run([about], [records], prices={"embedded": None}), assume({}, {}))["rag"].per_request_usd is None
    )


def test_re_tuning_is_training_evaluation_and_people_s_work_at_each_release() -> None:
    about = costed.candidate("managed", "ft", setup={"usd": 9.0}, base="openai/gpt-4o-mini")
    about["tuning"] = costed.tuning(hosting_usd_per_hour=1.70)
    run = costed.run([about], [costed.requests("managed")], prices={"ft": costed.TUNED})
    found = costs(run, assume({}, {"horizon_months": "4", "upkeep_usd_per_month": "50"}))["managed"]
    assert found.tuned
    assert found.setup["training"] == 9
    assert found.standing["hosting"] == pytest.approx(1.70 * 730)
    assert found.standing["upkeep"] == 50
    again = 9 + (found.setup["evaluation"] or 0)
    retuned = tuple(found.retuning or ())
    assert retuned == pytest.approx((again + 1000, again + 533, again + 1600))  # a provider's tune: 1 to 3 days
    assert found.standing_usd_per_month is not None
    assert found.setup_usd is not None
    monthly = found.standing_usd_per_month + 10 * (found.per_request_usd or 0)
    assert found.monthly_usd(10) == pytest.approx(monthly + (again + 1000) / 4)
    assert found.cumulative_usd(4, 10) == pytest.approx(found.setup_usd + 4 * monthly)  # the next base comes then
    assert found.cumulative_usd(12.1, 10) == pytest.approx(found.setup_usd + 12.1 * monthly + 3 * (again + 1000))
    stated = costs(run, assume({}, {"retuning_usd": "70"}))["managed"]
    assert tuple(stated.retuning or ()) == (70, 70, 70)
    assert str(found.retires) == "2027-01-14"


def test_a_single_item_has_no_interval() -> None:
    found = costs(costed.run([costed.candidate("a")], [costed.requests("a", 1)]), assume({}, {}))["a"]
    assert found.per_request_usd is not None
    assert (found.low, found.high) == (None, None)


def test_a_candidate_without_records_is_unknown() -> None:
    run = costed.run([costed.candidate("a"), costed.candidate("b")], [costed.requests("a")])
    found = costs(run, assume({}, {}))["b"]
    assert (found.accuracy, found.per_request_usd) == (None, None)


def test_managed_training_needs_less_engineering() -> None:
    made = [costed.candidate(name) for name in ("prompt", "lora", "managed")]
    made[1]["tuning"], made[2]["tuning"] = costed.tuning(where="local"), costed.tuning(where="OpenAI")
    run = costed.run(made, [costed.requests(about["name"]) for about in made])
    given = {"prompt_usd": "1", "engineering_usd": "2", "managed_engineering_usd": "3"}
    found = costs(run, assume({}, given))
    assert [found[about["name"]].setup["engineering"] for about in made] == [1, 2, 3]

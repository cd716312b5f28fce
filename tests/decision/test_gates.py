from __future__ import annotations

import math
from dataclasses import replace

import pytest
from helpers.deciding_on import assumptions, costs, evidence, priced

from thirdlever.decision import gates
from thirdlever.decision.gates import six_questions, stopped_at
from thirdlever.decision.payback import payback

PROMPTS_MISS = {"null": 0.80, "few_shot": 0.85, "rag": 0.87}
TUNED_MEETS = {**PROMPTS_MISS, "lora": 0.95}


# Gate 1: prompting and retrieval were tried, and miss


def test_gate_1_passes_when_every_interval_is_below_the_target() -> None:
    gate = gates.prompt_and_retrieval(evidence(PROMPTS_MISS), assumptions())
    assert gate.outcome == "passed"
    assert "rag at 87.0 % (85.5 to 88.4 % on 2,000 items)" in gate.evidence
    assert "92.0 %" in gate.threshold


@pytest.mark.parametrize("name", ["null", "few_shot", "rag"])
def test_gate_1_fails_when_a_candidate_without_tuning_meets_the_target(name: str) -> None:
    gate = gates.prompt_and_retrieval(evidence({**PROMPTS_MISS, name: 0.95}), assumptions())
    assert (gate.outcome, gate.reason) == ("failed", f"{name} meets the target of 92.0 % without tuning")


def test_gate_1_states_how_many_items_would_settle_a_target_inside_the_interval() -> None:
    gate = gates.prompt_and_retrieval(evidence({"few_shot": 0.80, "rag": 0.90}, n=200), assumptions())
    assert gate.outcome == "open"
    # (1.96 + 0.84)² · 0.9 · 0.1 / 0.02²: for the margin, not for the gap seen
    assert gate.change == "About 1,766 test items instead of 200 would settle it down to 2.0 points."


@pytest.mark.parametrize(("there", "missing"), [("few_shot", "retrieval"), ("rag", "prompting")])
def test_gate_1_asks_for_the_lever_that_was_not_tried(there: str, missing: str) -> None:
    gate = gates.prompt_and_retrieval(evidence({there: 0.5, "lora": 0.95}), assumptions(changing_knowledge="unknown"))
    assert gate.outcome == "open"
    assert gate.reason == f"{missing} was not tried"


def test_a_candidate_with_only_errors_counts_as_not_tried() -> None:
    gate = gates.prompt_and_retrieval(
        evidence({"few_shot": 0.8, "rag": 0.0}, failed=["rag"]), assumptions(changing_knowledge="yes")
    )
    assert gate.reason == "retrieval was not tried (rag not measured)"
    assert "rag does not count as tried; it is not measured: 2,000 of 2,000 requests failed" in gate.evidence


def test_without_a_target_the_best_untuned_candidate_is_the_target() -> None:
    a = assumptions(target_accuracy="unknown")
    assert gates.prompt_and_retrieval(evidence(TUNED_MEETS), a).outcome == "passed"
    assert gates.prompt_and_retrieval(evidence({**PROMPTS_MISS, "lora": 0.60}), a).outcome == "failed"
    open_ = gates.prompt_and_retrieval(evidence({**PROMPTS_MISS, "lora": 0.89}, n=200), a)
    assert open_.outcome == "open"
    assert "No target is stated" in open_.threshold
    assert gates.prompt_and_retrieval(evidence(PROMPTS_MISS), a).outcome == "open"


# Gate 2: a narrow and stable task with enough examples


@pytest.mark.parametrize(
    ("labelled", "outcome", "change"),
    [
        (499, "open", "Label 1 more example: a consistent format and correct labels."),
        (500, "passed", "Fewer than 500 good examples, or a task that changes."),
        (50_000, "passed", "Fewer than 500 good examples, or a task that changes."),
        (None, "open", "Count the labelled examples."),
    ],
)
def test_gate_2_counts_labelled_examples(labelled: int | None, outcome: str, change: str) -> None:
    e = evidence(TUNED_MEETS, labelled=labelled)
    gate = gates.stable_and_labelled(e, assumptions(), e.standings["lora"])
    assert (gate.outcome, gate.change) == (outcome, change)


@pytest.mark.parametrize(("stable", "outcome"), [("yes", "passed"), ("no", "failed"), ("unknown", "open")])
def test_gate_2_takes_stability_from_the_assumption(stable: str, outcome: str) -> None:
    e = evidence(TUNED_MEETS)
    assert gates.stable_and_labelled(e, assumptions(stable=stable), e.standings["lora"]).outcome == outcome


def test_gate_2_shows_the_rule_for_the_size_of_the_base() -> None:
    def threshold(base: str | None) -> str:
        return gates.stable_and_labelled(evidence(TUNED_MEETS, base=base), assumptions(), None).threshold

    assert "up to 7B" in threshold("hf/acme-7b")
    assert "13B" not in threshold("hf/acme-7b")
    assert "recommended 5,000 to 10,000" in threshold("hf/acme-70B-instruct")
    assert "managed service: at least 10" in threshold("openai/gpt-4o-mini")
    assert "size is unknown" in threshold("hf/acme")
    assert "up to 7B" in threshold("embedded")


@pytest.mark.parametrize(
    ("name", "billions"),
    [("embedded", 0.135), ("hf/SmolLM2-360M-Instruct", 0.36), ("hf/Qwen2.5-0.5B", 0.5), ("hf/x", None), (None, None)],
)
def test_a_models_name_states_its_size(name: str | None, billions: float | None) -> None:
    assert gates.parameters(name) == billions


# Gate 3: significantly better, on target, and paid back in time


def third(accuracies: dict[str, float], n: int = 2000, usd: float | None = 0.002, **changes: str) -> gates.Gate:
    e, a = evidence(accuracies, n), assumptions(**changes)
    known = costs() | priced(e, lora=usd)
    tuned = e.standings.get("lora")
    return gates.pays_back(e, a, tuned, payback(known["lora"], known["rag"], a) if tuned else None)


def test_gate_3_passes_for_a_significant_gain_that_pays_back_in_time() -> None:
    gate = third(TUNED_MEETS)
    assert gate.outcome == "passed"
    assert "8.0 points better than rag" in gate.evidence
    assert "would probably show, 4 times in 5, a difference of" in gate.evidence  # the smallest detectable difference
    assert "within 5 months at 1,000,000 requests a month" in gate.threshold


def test_gate_3_asks_for_items_while_the_gain_is_not_significant() -> None:
    gate = third({**PROMPTS_MISS, "lora": 0.89}, n=200)
    assert gate.outcome == "open"
    assert gate.reason == "the difference between lora and rag may be chance"
    assert "test items instead of 200" in gate.change


def test_gate_3_asks_for_items_while_the_target_is_inside_the_interval() -> None:
    gate = third({"few_shot": 0.6, "rag": 0.7, "lora": 0.93}, n=200)
    assert (gate.outcome, gate.reason) == (
        "open",
        "200 items are too few to tell whether lora reaches 92.0 %",
    )


@pytest.mark.parametrize(
    ("lora", "reason"),
    [
        (0.60, "lora is 27.0 points worse than rag, which needs no tuning"),
        (0.87, "lora is no better than rag, which needs no tuning"),
        (0.90, "lora misses the target of 92.0 % as well"),
    ],
)
def test_gate_3_fails_for_a_tune_that_is_not_better(lora: float, reason: str) -> None:
    gate = third({**PROMPTS_MISS, "lora": lora}, n=20_000)
    assert (gate.outcome, gate.reason) == ("failed", reason)


def test_gate_3_fails_when_a_request_saves_nothing() -> None:
    gate = third(TUNED_MEETS, usd=0.02, error_cost_usd="0")
    assert gate.outcome == "failed"
    assert "never pays back" in gate.reason


def test_gate_3_fails_when_the_payback_is_too_late() -> None:
    gate = third(TUNED_MEETS, monthly_volume="60000", error_cost_usd="0")  # 5,050 / (60,000 · 0.01) = 8.4 months
    assert (gate.outcome, gate.reason) == ("failed", "it takes 8.4 months to pay back, and 5 months is the limit")


def test_gate_3_passes_on_the_price_of_an_error_that_nobody_states() -> None:
    gate = third(TUNED_MEETS, usd=0.02)
    # 5,050 / (5 months · 1,000,000) + 0.008 dearer, for 8 points fewer errors
    assert gate.outcome == "passed"
    assert gate.condition is not None
    assert gate.condition.value == pytest.approx((0.00101 + 0.008) / 0.08)
    assert gate.condition.text == "an error costs at least $0.11"
    assert third(TUNED_MEETS, usd=0.02, error_cost_usd="0.12").outcome == "passed"
    assert third(TUNED_MEETS, usd=0.02, error_cost_usd="0.11").outcome == "failed"


@pytest.mark.parametrize(("examples", "outcome"), [(480, "open"), (999, "open"), (1000, "failed"), (None, "failed")])
def test_a_tune_that_was_starved_of_examples_does_not_fail(examples: int | None, outcome: str) -> None:
    e, a = evidence({**PROMPTS_MISS, "lora": 0.60}, examples=examples), assumptions()
    gate = gates.pays_back(e, a, e.standings["lora"], None)
    assert gate.outcome == outcome
    assert (gate.change == "Tune it on the 5,000 at hand.") == (outcome == "open")


def test_retrieval_is_not_demanded_where_no_facts_change() -> None:
    e = evidence({"few_shot": 0.5, "lora": 0.95})
    assert gates.prompt_and_retrieval(e, assumptions(changing_knowledge="no")).outcome == "passed"
    assert gates.prompt_and_retrieval(e, assumptions(changing_knowledge="yes")).code == "lever_not_tried"


@pytest.mark.parametrize("named", ["unknown", "nobody", "TBD"])
def test_a_maintainer_is_a_condition(named: str) -> None:
    e, a = evidence(TUNED_MEETS), assumptions(maintainer=named)
    three = (gates.prompt_and_retrieval(e, a),) * 3
    last = six_questions(e, a, three, e.standings["lora"], None)[-1]
    assert last.outcome == "passed"
    assert last.condition is not None
    assert last.condition.code == "maintainer"


def test_gate_3_states_the_condition_when_a_cost_is_unknown() -> None:
    gate = third(TUNED_MEETS, usd=None)
    assert gate.outcome == "open"
    assert "only if the cost per request falls by at least" in gate.change


def test_gate_3_asks_for_the_volume() -> None:
    assert "monthly_volume" in third(TUNED_MEETS, monthly_volume="unknown").change


def test_gate_3_asks_for_a_tuned_candidate() -> None:
    gate = third(PROMPTS_MISS)
    assert (gate.outcome, gate.reason) == ("open", "no tuned candidate was measured")
    assert "--strategy lora" in gate.change


def test_gate_3_asks_for_a_candidate_without_tuning() -> None:
    assert third({"lora": 0.95}).reason == "there is no candidate without tuning to compare with"


def test_gate_3_is_undecided_while_the_payback_interval_contains_the_limit() -> None:
    e, a, known = evidence(TUNED_MEETS), assumptions(), costs()
    back = payback(known["lora"], known["rag"], a)
    wide = replace(back, months=4.0, months_low=3.0, months_high=6.0, within=True)
    assert gates.pays_back(e, a, e.standings["lora"], wide).outcome == "open"
    sure = replace(back, months=4.0, months_low=3.0, months_high=4.9, within=True)
    assert gates.pays_back(e, a, e.standings["lora"], sure).outcome == "passed"
    never = replace(back, months=4.0, months_low=3.0, months_high=math.inf, within=True)
    assert "may also never come" in gates.pays_back(e, a, e.standings["lora"], never).reason


# The six questions


def questions(accuracies: dict[str, float], **changes: str) -> tuple[list[str], str | None]:
    e, a, known = evidence(accuracies), assumptions(**changes), costs()
    tuned = e.standings.get("lora")
    back = payback(known["lora"], known["rag"], a) if tuned else None
    three = (
        gates.prompt_and_retrieval(e, a),
        gates.stable_and_labelled(e, a, tuned),
        gates.pays_back(e, a, tuned, back),
    )
    six = six_questions(e, a, three, tuned, back)
    stopped = stopped_at(six)
    return [one.answer for one in six], stopped.name if stopped else None


def test_all_six_questions_can_pass() -> None:
    assert questions(TUNED_MEETS) == (["no", "no", "yes", "yes", "yes", "yes"], None)


@pytest.mark.parametrize(
    ("accuracies", "changes", "stops"),
    [
        ({**TUNED_MEETS, "few_shot": 0.95}, {}, "Prompting"),
        ({"few_shot": 0.8, "lora": 0.95}, {"changing_knowledge": "yes"}, "Prompting"),  # retrieval was not tried
        (TUNED_MEETS, {"behaviour": "no"}, "Behaviour"),
        ({**TUNED_MEETS, "lora": 0.87}, {"behaviour": "unknown"}, "Behaviour"),
        (TUNED_MEETS, {"monthly_volume": "1000"}, "Volume"),
        (TUNED_MEETS, {"monthly_volume": "unknown"}, "Volume"),
    ],
)
def test_the_first_question_that_does_not_pass_is_named(
    accuracies: dict[str, float], changes: dict[str, str], stops: str
) -> None:
    assert questions(accuracies, **changes)[1] == stops


def test_behaviour_and_knowledge_are_measured_when_not_stated() -> None:
    answers, _ = questions({**TUNED_MEETS, "few_shot": 0.70}, behaviour="unknown", changing_knowledge="unknown")
    assert answers[1:3] == ["yes", "yes"]


def test_a_payback_in_time_overrides_the_rule_of_thumb_on_volume() -> None:
    answers, stopped = questions({**TUNED_MEETS, "lora": 0.95}, monthly_volume="49999", horizon_months="12")
    assert (answers[4], stopped) == ("no", None)


def test_a_tune_on_all_of_too_few_examples_asks_for_more() -> None:
    e, a = evidence({**PROMPTS_MISS, "lora": 0.60}, labelled=213, examples=213), assumptions()
    gate = gates.pays_back(e, a, e.standings["lora"], None)
    assert (gate.outcome, gate.code, gate.change) == ("open", "starved", "Label 287 more examples, and tune on all.")

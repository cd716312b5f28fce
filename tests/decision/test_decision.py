from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from helpers.deciding_on import KINDS, assumptions, costs, evidence, measured, priced, scored

from thirdlever.analysis.run import Run
from thirdlever.decision.assumptions import assume
from thirdlever.decision.evidence import Evidence, Kind, Standing, assess
from thirdlever.decision.verdict import Decision, decide, decide_on, judge, plan
from thirdlever.report.decision import headline, notes, one_sentence, render, to_dict, what_would_change

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

MISS = {"null": 0.80, "few_shot": 0.85, "rag": 0.87}
MEETS = {**MISS, "lora": 0.95, "managed": 0.94}


def decided(e: Evidence, usd: dict[str, float | None] | None = None, **changes: str) -> Decision:
    return decide_on(e, lambda _: priced(e, **(usd or {})), assumptions(**changes))


# Which candidate to use.


def test_go_takes_the_cheapest_tuned_candidate_that_is_good_enough() -> None:
    assert decided(evidence(MEETS)).chosen == "lora"
    cheaper = decided(evidence({**MEETS, "managed": 0.95}), {"lora": 0.004, "managed": 0.001})
    assert (cheaper.verdict, cheaper.chosen, cheaper.stay) == ("GO", "managed", "rag")
    assert one_sentence(cheaper).startswith(
        "Fine-tune: use managed (95.0 % accuracy, $1.00 per 1,000 requests), because"
    )


def test_the_candidate_without_a_model_can_win() -> None:
    d = decided(evidence({"null": 0.96, "few_shot": 0.85, "rag": 0.95, "lora": 0.95}))
    assert (d.verdict, d.chosen, d.best_prompt) == ("NO-GO", "null", "rag")
    assert "no language model" in one_sentence(d)


def test_what_is_in_use_today_is_not_forgotten() -> None:
    d = decided(evidence({**MISS, "lora": 0.60}), current_accuracy="0.89", current_cost_per_request_usd="0.0014")
    assert one_sentence(d).startswith("Do not fine-tune: keep the current solution (89.0 % accuracy, as stated);")
    assert "the best measured candidate is rag" in one_sentence(d)
    assert "which misses that and the target of 92.0 %; lora is" in one_sentence(d)
    assert d.worse_than_today
    assert any("89.0 % accuracy at $1.40 per 1,000 requests" in note for note in notes(d))
    better = decided(evidence({**MISS, "lora": 0.60}), current_accuracy="0.82")
    assert "Do not fine-tune: use rag" in one_sentence(better)
    assert not better.worse_than_today


def test_the_cheaper_of_two_that_are_as_good_is_used() -> None:
    e = evidence({"few_shot": 0.95, "rag": 0.951, "lora": 0.90}, n=5000)
    assert decided(e).chosen == "few_shot"
    assert decided(e, {"few_shot": 0.5}).chosen == "rag"


def test_an_unknown_cost_is_never_the_lowest() -> None:
    e = evidence({"few_shot": 0.95, "rag": 0.951, "lora": 0.90}, n=5000)
    d = decided(e, {"few_shot": None})
    assert d.chosen == "rag"
    assert any("unknown for few_shot" in note for note in notes(d))


def test_few_items_cannot_show_that_a_cheaper_candidate_is_as_good() -> None:
    assert decided(evidence({"few_shot": 0.90, "rag": 0.92}, n=50)).chosen == "rag"


def test_candidates_that_few_items_cannot_tell_from_the_first_choice_are_recommended_with_it() -> None:
    d = decided(evidence({"few_shot": 0.90, "rag": 0.92, "null": 0.30}, n=50))
    assert (d.chosen, d.rivals, d.recommended) == ("rag", ("few_shot",), ["rag", "few_shot"])
    assert to_dict(d)["recommendation"] == ["rag", "few_shot"]
    assert headline(d).endswith("; 1 other may be better.")
    assert "or few_shot (50 items cannot tell which is better)" in one_sentence(d)
    assert plan(d).steps[0].rivals == ("few_shot",)
    assert any("would probably show it (4 in 5)" in note for note in notes(d))
    assert "(first choice)" in render(d)
    assert "(not told apart)" in render(d)


def test_a_candidate_that_is_shown_to_be_good_enough_is_recommended_alone() -> None:
    d = decided(evidence({"few_shot": 0.95, "rag": 0.951, "lora": 0.90}, n=5000))
    assert d.recommended == ["few_shot"]
    assert "(recommended)" in render(d)


def test_of_tunes_that_the_items_cannot_tell_apart_both_are_recommended() -> None:
    d = decided(evidence({**MISS, "lora": 0.955, "managed": 0.96}, n=400))
    assert (d.verdict, sorted(d.recommended)) == ("GO", ["lora", "managed"])


def test_nothing_is_recommended_where_the_current_solution_is_better() -> None:
    assert decided(evidence({**MISS, "lora": 0.60}), current_accuracy="0.89").recommended == []


def test_one_that_gives_always_the_same_answer_or_is_too_slow_is_no_rival() -> None:
    e = evidence({"few_shot": 0.90, "rag": 0.92}, n=50)
    few, rag = e.standings["few_shot"], replace(e.standings["rag"], p95_s=0.5)
    same, slow = replace(few, same_answer="38 of 40 answers are 'cash'"), replace(few, p95_s=9.0)
    assert decided(replace(e, standings={"rag": rag, "few_shot": same})).recommended == ["rag"]
    assert decided(replace(e, standings={"rag": rag, "few_shot": slow}), target_p95_s="1").recommended == ["rag"]


def test_a_cheaper_candidate_that_meets_the_target_but_is_worse_is_mentioned() -> None:
    d = decided(evidence({"few_shot": 0.94, "rag": 0.98, "lora": 0.95}, n=5000))
    assert d.chosen == "rag"
    assert any(note.startswith("few_shot also meets the target at a lower cost per request") for note in notes(d))


# The verdict


def test_a_no_go_outweighs_missing_data() -> None:
    d = decided(evidence({**MISS, "lora": 0.60}), stable="unknown", maintainer="unknown")
    assert d.verdict == "NO-GO"
    changes = what_would_change(d)
    assert "Also open: State whether the task is narrow and stable (--assume stable=yes or no)." in changes


def test_every_reason_for_the_verdict_has_to_change() -> None:
    d = decided(evidence({**MISS, "lora": 0.60}), monthly_volume="1000")
    blocking = [one.change for one in d.reasons]
    assert len(blocking) == len(set(blocking)) > 1
    assert what_would_change(d)[0].startswith(f"All of the next {len(blocking)} are needed")
    assert what_would_change(d)[1 : len(blocking) + 1] == blocking


@pytest.mark.parametrize("missing", ["stable", "behaviour", "maintainer", "monthly_volume"])
def test_no_run_is_go_while_an_answer_is_missing(missing: str) -> None:
    e = evidence({**MISS, "lora": 0.95, "managed": 0.95})
    changes: dict[str, str] = {missing: "unknown"}
    d = decided(e, None, **changes)
    # the tune has shown the need of behaviour; a maintainer is a condition
    expected = "GO" if missing in {"behaviour", "maintainer"} else "NEED-MORE-DATA"
    assert d.verdict == expected
    assert [one.code for one in d.conditions] == (["maintainer"] if missing == "maintainer" else [])


def test_the_decision_lists_the_assumptions_that_would_change_it() -> None:
    d = decided(evidence(MEETS))
    volume = next(flip for flip in d.flips if flip.name == "monthly_volume" and flip.becomes)
    # 5,050 / (5 months · $0.01): below that many requests the money is back too late
    assert volume.flips_at == pytest.approx(101_000, rel=2e-3)
    assert volume.becomes == "GO on a condition"  # that of a price for an error
    assert any("monthly_volume is under 101,000 (now 1,000,000)" in line for line in what_would_change(d))


AS_GOOD = {"few_shot": 0.93, "rag": 0.96, "lora": 0.96}


def test_a_tune_that_is_as_good_and_cheaper_is_go_for_cost() -> None:
    d = decided(evidence(AS_GOOD, n=5000))
    assert (d.verdict, d.chosen, d.stay, d.conditions) == ("GO-FOR-COST", "lora", "rag", ())
    assert [gate.outcome for gate in d.gates] == ["failed", "passed", "passed"]
    assert one_sentence(d) == (
        "Fine-tune: use lora (96.0 % accuracy, $2.00 per 1,000 requests), because it is less than 2.0 points worse "
        "than rag and it pays back in 15 days."
    )
    assert json.loads(render(d, "json"))["reasons"] == ["pays_back"]


@pytest.mark.parametrize(
    ("n", "usd", "changes", "why"),
    [
        (300, 0.002, {}, "too few items show it"),
        (5000, 0.013, {}, "dearer"),
        (5000, None, {}, "its cost is unknown"),
        (5000, 0.002, {"monthly_volume": "20000"}, "too late"),
        (5000, 0.002, {"stable": "no"}, "not stable"),
        (5000, 0.002, {"margin": "0"}, "no margin"),
    ],
)
def test_no_tune_is_go_for_cost_unless_all_is_shown(
    n: int, usd: float | None, changes: dict[str, str], why: str
) -> None:
    assert decided(evidence(AS_GOOD, n=n), {"lora": usd}, **changes).verdict == "NO-GO", why


def test_another_base_is_a_switch_of_the_model() -> None:
    kinds: dict[str, Kind] = {**KINDS, "larger": "model"}
    d = decided(evidence({**MISS, "larger": 0.96, "lora": 0.89}, kinds=kinds), {"larger": 0.02})
    assert (d.verdict, d.chosen, d.gates[0].code) == ("NO-GO", "larger", "target_met_without_tuning")


# The plan


def test_the_plan_of_a_go_names_condition_owner_and_review() -> None:
    found = plan(decided(evidence(MEETS), {"lora": 0.02, "managed": 0.03}))
    [step] = found.steps
    assert (step.action, step.usd, len(step.only_if)) == ("use lora", 5100.0, 1)
    assert step.only_if[0].startswith("an error costs at least $")
    assert (found.owner, found.review) == ("the search team", "at the base model's next release, expected in 5 months")


def test_the_plan_of_open_questions_is_what_they_ask_for() -> None:
    d = decided(evidence({**MISS, "lora": 0.89}, n=200), stable="unknown")
    actions = [step.action for step in plan(d).steps]
    assert actions[0] == "use rag"
    assert "state whether the task is narrow and stable (--assume stable=yes or no)" in actions
    assert re.fullmatch(r"measure on [\d,]+ test items instead of 200", actions[-1])
    assert plan(d).owner is None


@pytest.mark.parametrize(
    ("looks", "alpha"),
    [
        ((), 0.05),
        ((2000,), 0.05),
        ((100,), 0.025),
        ((100, 500), 0.0125),
        ((100, 2000), 0.025),
        ((100, 500, 2000), 0.0125),
    ],
)
def test_all_looks_at_a_run_share_the_risk_of_error(looks: tuple[int, ...], alpha: float) -> None:
    e = replace(evidence({**MISS, "lora": 0.95}), looks=looks, test_items=2000)
    assert e.alpha == pytest.approx(alpha)


def test_a_difference_that_one_look_shows_may_be_chance_at_a_second() -> None:
    e = evidence({"few_shot": 0.85, "rag": 0.85, "lora": 0.885}, n=1000)
    p = e.comparisons["lora"].p_adjusted
    assert 0.0125 < p < 0.05
    looked = [replace(e, looks=looks, test_items=1000) for looks in ((1000,), (200, 400, 1000))]
    whole, part = (decided(one, target_accuracy="unknown") for one in looked)
    assert (whole.verdict, part.verdict) == ("GO", "GO-FOR-COST")  # better, and then only as good and cheaper
    assert "and all 3 looks at the results: 1.25 % at this look" in part.gates[2].threshold


def test_slices_distinguish_knowledge_from_behaviour() -> None:
    n = 400
    facts, form = np.arange(n) % 2 == 0, np.arange(n) % 2 == 1
    half = (np.arange(n) // 2) % 2 == 0
    scores = np.array([half, half | facts, half | form], dtype=float)
    names = ["few_shot", "rag", "lora"]
    described = [Standing(name=name, kind=KINDS[name]) for name in names]
    paired = scored(names, scores, ("facts", "form"))
    d = decided(assess(paired, measured(described, paired), labelled=1000))
    assert [(one.name, one.retrieval_helps, one.tuning_helps) for one in d.slices] == [
        ("facts", True, False),
        ("form", False, True),
    ]
    assert "Where retrieval helps significantly and tuning does not: facts (200 items)" in d.matrix[1].evidence
    assert "Where tuning helps significantly and retrieval does not: form (200 items)" in d.matrix[1].evidence


def test_equal_candidates_are_rarely_go() -> None:
    """A few draws of what benchmarks/verdicts.py measures; the same draws every time."""
    rng = np.random.default_rng(0)
    names = ["few_shot", "rag", "lora", "managed"]
    described = [Standing(name=name, kind=KINDS[name]) for name in names]
    a = assumptions(target_accuracy="unknown", monthly_volume="10000000")
    known = {name: cost for name, cost in costs().items() if name in names}
    draws = [scored(names, rng.random((4, 60)) < 0.8) for _ in range(20)]
    verdicts = [judge(assess(o, measured(described, o), labelled=1000), known, a).verdict for o in draws]
    assert verdicts.count("GO") <= 1


# Unusual runs


@pytest.mark.parametrize("name", list(KINDS))
def test_a_single_candidate_is_never_go(name: str) -> None:
    d = decided(evidence({name: 0.95}))
    assert d.verdict in {"NO-GO", "NEED-MORE-DATA"}
    assert any(note.startswith("There is only one candidate") for note in notes(d))
    assert render(d)


def test_a_tuned_candidate_with_only_errors_counts_as_unmeasured() -> None:
    d = decided(evidence({**MISS, "lora": 0.0}, failed=["lora"]))
    assert (d.verdict, d.tuned) == ("NEED-MORE-DATA", "lora")
    assert d.gates[2].reason == "lora is not measured"
    assert any(note.startswith("lora is not measured: 2,000 of 2,000 requests failed") for note in notes(d))
    assert re.search(r"^lora +not measured", render(d), re.MULTILINE)


def test_a_worse_tune_is_no_verdict_while_another_is_unmeasured() -> None:
    worse = {**MISS, "lora": 0.6}
    alone = decided(evidence(worse))
    both = decided(evidence({**worse, "managed": 0.0}, failed=["managed"]))
    assert (alone.verdict, both.verdict, both.tuned) == ("NO-GO", "NEED-MORE-DATA", "managed")


def test_a_run_with_only_errors_chooses_no_candidate() -> None:
    d = decided(evidence({"few_shot": 0.0, "lora": 0.0}, failed=["few_shot", "lora"]))
    assert (d.verdict, d.chosen) == ("NEED-MORE-DATA", None)
    assert "there is no measured candidate to stay with" in one_sentence(d)


def test_a_missing_candidate_without_a_model_is_noted() -> None:
    assert any("--strategy null" in note for note in notes(decided(evidence({"few_shot": 0.85, "rag": 0.87}))))


def test_unknown_prices_are_never_treated_as_zero() -> None:
    d = decided(evidence(MEETS), dict.fromkeys(KINDS))
    assert d.verdict == "NEED-MORE-DATA"
    assert d.chosen == "rag"  # the most accurate, since no cost is known
    assert "$0" not in render(d).split("The three gates")[0]


def test_a_cost_of_zero_is_shown_and_questioned() -> None:
    d = decided(evidence(MEETS), {"rag": 0.0})
    assert d.verdict == "GO"
    assert d.conditions[0].code == "error_cost"
    assert decided(evidence(MEETS), {"rag": 0.0}, error_cost_usd="0").gates[2].code == "never_pays_back"
    assert any(note == "At the prices used, a request costs nothing for rag." for note in notes(d))


# A run's files


def test_a_run_is_decided_from_its_files(tmp_path: Path) -> None:
    run = _run(tmp_path)
    d = decide(run, assume({"target_accuracy": 0.9, "monthly_volume": 100_000}, {}, run.info))
    assert {name: one.kind for name, one in d.standings.items()} == {
        "null": "no model",
        "few_shot": "prompt",
        "rag": "retrieval",
        "lora": "tuned",
        "broken": "tuned",
    }
    assert (d.verdict, d.tuned, d.chosen) == ("NEED-MORE-DATA", "broken", "rag")
    assert d.gates[1].evidence.startswith("700 labelled examples available. Answers come from 3 labels.")
    assert any(note.startswith("broken is not measured: 40 of 40 requests failed") for note in notes(d))


def _run(folder: Path) -> Run:
    """40 items; its files' shapes are those of the runner."""
    run = Run(folder)
    shares = {"null": 0.3, "few_shot": 0.5, "rag": 0.8, "lora": 0.2, "broken": 0.0}
    vars(run)["info"] = {
        "suite": {"counts": {"train": 700, "dev": 50, "test": 40}, "choices": 3},
        "candidates": [_candidate(name) for name in shares],
        "prices": {},
        "device_usd_per_hour": 1.0,
        "utilisation": 1.0,
    }
    vars(run)["records"] = _records(shares)
    run.records.to_parquet(folder / "records.parquet")
    return run


def _candidate(name: str) -> dict[str, object]:
    tuned = name in {"lora", "broken"}
    tuning = {"method": "lora", "where": "local", "examples": 600, "hosting_usd_per_hour": 0.0}
    setup = {"labels": 600, "seconds": 9.0, "device_seconds": 9.0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0}
    model = None if name == "null" else "embedded"
    return {
        "name": name,
        "strategy": "lora" if tuned else name,
        "args": {},
        "model": model,
        "base": "embedded",
        "tuning": tuning if tuned else None,
        "setup": setup,
    }


def _records(shares: dict[str, float]) -> pd.DataFrame:

    import pandas as pd

    return pd.DataFrame(
        {
            "candidate": name,
            "strategy": name,
            "model": "embedded",
            "phase": "accuracy",
            "item_id": f"{i}",
            "epoch": 1,
            "slice": "",
            "group": "",
            "target": "x",
            "prediction": "x" if i < share * 40 else "y",
            "score": float(i < share * 40),
            "input_tokens": 10,
            "cached_tokens": 0,
            "output_tokens": 1,
            "latency_s": 0.1,
            "ttft_s": np.nan,
            "retrieval_s": 0.01 if name == "rag" else np.nan,
            "device_s": 0.1,
            "stop_reason": "stop",
            "error": "refused" if name == "broken" else None,
            "item_hash": f"h{i}",
            "cold": False,
        }
        for name, share in shares.items()
        for i in range(40)
    )


# Sentences and figures that were wrong once.


def test_without_requests_bills_are_zero_and_the_cheapest_still_wins() -> None:
    e = evidence({"few_shot": 0.95, "rag": 0.951, "lora": 0.90}, n=5000)
    d = decided(e, {"rag": 0.5}, monthly_volume="0")
    assert d.chosen == "few_shot"
    assert d.costs["few_shot"].monthly_usd(0) == 0
    assert "unknown" not in one_sentence(d)


def test_a_go_without_a_condition_states_none() -> None:
    d = decided(evidence(MEETS))
    assert (d.verdict, d.conditions) == ("GO", ())
    assert " if " not in one_sentence(d)


def test_an_accuracy_at_the_target_meets_it_whatever_the_rounding() -> None:
    at = Standing(name="rag", kind="retrieval", accuracy=0.95, low=0.1 + 0.82, high=0.97, n=100)
    assert at.low != 0.92
    assert at.against(0.92) == "meets"
    assert replace(at, low=0.9199).against(0.92) == "open"


def test_items_are_asked_for_once() -> None:
    d = decided(evidence({"null": 0.60, "few_shot": 0.70, "rag": 0.72, "lora": 0.74}, n=40), target_accuracy="unknown")
    steps = [step.action for step in plan(d).steps]
    assert len([step for step in steps if "test items instead of 40" in step]) == 1
    assert any(step.startswith("state a target") for step in steps)

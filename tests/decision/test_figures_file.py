from __future__ import annotations

import re
from pathlib import Path

import pytest

from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.decision import verdict as figures_file
from thirdlever.report.decision import notes, one_sentence, plan_lines, render

SCENARIO = Path(__file__).parents[2] / "docs" / "examples" / "fintech.toml"

SMALL = """
[assumptions]
monthly_volume = 1000
[[candidate]]
name = "a"
kind = "prompt"
accuracy = 0.8
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "figures.toml"
    path.write_text(text, "utf-8")
    return path


# The scenario: 82 to 92 %, $4,200 a month for 3,000,000 requests, a tune at $6,000.


def test_the_scenario_recommends_prompts_first_then_a_tune_on_a_condition() -> None:
    d = figures_file.read(SCENARIO).decide({})
    assert one_sentence(d) == (
        "On given figures: better prompts first (87.0 %, 1 week), then tuned gpt-4o-mini (92.0 %, 3 weeks, $6,000), "
        "if its bill is at most $1,200 a month."
    )
    assert (d.verdict, d.stay, d.tuned) == ("GO", "better prompts", "tuned gpt-4o-mini")
    assert d.conditions[0].code == "bill"
    assert d.conditions[0].value == pytest.approx(1200)


def test_the_scenario_s_plan_has_weeks_money_and_what_ends_it() -> None:
    d = figures_file.read(SCENARIO).decide({})
    first, second, rejected, again = plan_lines(d)
    assert first == "Week 1: use better prompts (87.0 %). Stop here if it reaches 92.0 %."
    assert second == (
        "Weeks 2 to 4: use tuned gpt-4o-mini (92.0 %, $6,000). Only if its bill is at most $1,200 a month."
    )
    assert rejected == (
        "Rejected: larger model: $13,800 a month more than better prompts, 4.3 times its bill, and still misses the "
        "target of 92.0 %."
    )
    assert (
        again == "Decide again at the base model's next release, expected in 5 months. Owner: the team that built it."
    )


def test_the_scenario_lists_what_is_missing() -> None:
    d = figures_file.read(SCENARIO).decide({})
    assert d.given
    assert [gate.outcome for gate in d.gates] == ["passed", "passed", "passed"]
    assert "71 %" in d.gates[2].change
    assert any("run both on the same" in note and "labelled items" in note for note in notes(d))
    assert any("unknown for tuned gpt-4o-mini" in note for note in notes(d))


TOKENS = """
[assumptions]
monthly_volume = 1000
[[candidate]]
name = "a"
kind = "tuned"
base = "openai/gpt-4o"
accuracy = 0.9
train_tokens = 100000
epochs = 3
input_tokens = 1000
cached_tokens = 400
output_tokens = 100
"""


def test_tokens_are_priced_by_the_provider_s_rates_for_tuning(tmp_path: Path) -> None:
    cost = figures_file.read(written(tmp_path, TOKENS)).decide({}).costs["a"]
    assert cost.setup == {"given": 0, "training": pytest.approx(7.5)}  # 100K tokens × 3 epochs × $25 per 1M
    assert cost.per_request_usd == pytest.approx((600 * 3.75 + 400 * 1.875 + 100 * 15) / 1e6)  # 1.5 times the base
    assert (
        cost.basis["training"]
        == "given: 300,000 tokens; the provider's rates (OpenAI's price list, mirrored, 2026-05-01)"
    )


def test_tokens_without_a_known_rate_have_no_price(tmp_path: Path) -> None:
    cost = figures_file.read(written(tmp_path, TOKENS.replace("gpt-4o", "gpt-9"))).decide({}).costs["a"]
    assert (cost.setup_usd, cost.per_request_usd) == (None, None)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('kind = "tuned"', 'kind = "prompt"', "a: train_tokens and input_tokens need kind = 'tuned' and a base"),
        ("output_tokens = 100", "", "a: input_tokens and output_tokens go together"),
        ("epochs = 3", "usd_per_request = 1", "a: input_tokens exclude usd_per_request and usd_per_month"),
    ],
)
def test_tokens_that_cannot_be_priced_are_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    with pytest.raises(RunError, match=re.escape(said)):
        figures_file.read(written(tmp_path, TOKENS.replace(before, after)))


def test_a_month_of_the_larger_model_is_six_dollars_per_thousand() -> None:
    d = figures_file.read(SCENARIO).decide({})
    assert d.costs["larger model"].per_request_usd == pytest.approx(0.006)
    assert d.costs["today's few-shot prompt"].per_request_usd == pytest.approx(0.0014)


@pytest.mark.parametrize(
    ("usd", "verdict", "reason"),
    [
        (0.0004, "GO", "it pays back in 2 months"),
        (0.00041, "NO-GO", "it takes a little over 2 months to pay back, and 2 months is the limit"),
        (0.0014, "NO-GO", "never pays back"),
    ],
)
def test_the_verdict_changes_at_the_stated_condition(tmp_path: Path, usd: float, verdict: str, reason: str) -> None:
    text = SCENARIO.read_text("utf-8").replace("setup_usd = 6000", f"setup_usd = 6000\nusd_per_request = {usd}")
    d = figures_file.read(written(tmp_path, text)).decide({"error_cost_usd": "0"})
    assert d.verdict == verdict
    assert reason in d.gates[2].reason


def test_flags_override_the_file() -> None:
    # Five months until the next base model, without the three weeks of the tune: 6,000 / 4.31 less than 4,200.
    d = figures_file.read(SCENARIO).decide({"payback_months": "5"})
    assert "if its bill is at most $2,808 a month" in one_sentence(d)
    assert figures_file.read(SCENARIO).decide({"target_accuracy": "0.85"}).verdict == "NO-GO"


def test_one_candidate_is_enough_for_a_verdict(tmp_path: Path) -> None:
    d = figures_file.read(written(tmp_path, SMALL)).decide({})
    assert one_sentence(d).removeprefix("On given figures: ") == (
        "do not fine-tune: use a (80.0 % accuracy), because fewer than 50,000 requests a month rarely pay a tune back."
    )
    assert render(d)


def test_an_accuracy_that_is_not_stated_is_unknown(tmp_path: Path) -> None:
    text = SMALL + '[[candidate]]\nname = "b"\nkind = "tuned"\n'
    d = figures_file.read(written(tmp_path, text)).decide({})
    assert re.search(r"^b +unknown", render(d), re.MULTILINE)
    assert "No answers are there for b." not in notes(d)
    assert any("accuracy of b" in note for note in notes(d))


# Invalid files


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"prompt"', '"promt"', "did you mean 'prompt'"),
        ("accuracy = 0.8", "acuracy = 0.8", "did you mean 'accuracy'"),
        ("accuracy = 0.8", "accuracy = 80", "expected a number of at most 1 (0.92 for 92 %)"),
        ("accuracy = 0.8", 'accuracy = "0.8"', "expected a number"),
        ("accuracy = 0.8", "accuracy = nan", "expected a finite number"),
        ("accuracy = 0.8", "accuracy = -0.1", "expected a number of at least 0"),
        ('name = "a"', "", "'name' is missing"),
        ('name = "a"', "name = 3", "invalid name 3; expected text in quotes"),
        ("monthly_volume = 1000", "monthly_volum = 1000", "did you mean 'monthly_volume'"),
        ("monthly_volume = 1000", "monthly_volume = -1", "monthly_volume"),
        ("[assumptions]\nmonthly_volume = 1000", "assumptions = 3", "invalid assumptions 3; expected a table"),
        ("monthly_volume = 1000", "[", "correct the file"),
        ("accuracy = 0.8", 'today = "yes"', "expected true or false"),
    ],
)
def test_an_invalid_file_is_refused_with_the_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(ThirdleverError, match=r"figures\.toml") as caught:
        figures_file.read(written(tmp_path, SMALL.replace(old, new)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('[[candidate]]\nname = "a"\nkind = "tuned"\n', "two candidates are named 'a'"),
        (
            '[[candidate]]\nname = "b"\nkind = "tuned"\nusd_per_month = 1\nusd_per_request = 1\n',
            "usd_per_month needs",
        ),
    ],
)
def test_contradicting_candidates_are_refused(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        figures_file.read(written(tmp_path, SMALL + more))


def test_a_file_without_candidates_or_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no candidate"):
        figures_file.read(written(tmp_path, ""))
    with pytest.raises(RunError, match="does not exist"):
        figures_file.read(tmp_path / "none.toml")


def test_a_weak_model_that_was_tuned_beside_a_stronger_one_is_pointed_out() -> None:
    d = figures_file.read(SCENARIO.with_name("weak-base.toml")).decide({})
    said = "tuned small model is a tune of the weaker model: large model does"
    assert any(note.startswith(said) for note in notes(d))
    assert not any("weaker model" in note for note in notes(figures_file.read(SCENARIO).decide({})))

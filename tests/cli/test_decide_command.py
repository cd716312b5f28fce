from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from helpers.deciding_on import assumptions, costs, evidence

from thirdlever.cli.decide import decide
from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.decision import verdict as deciding
from thirdlever.decision.verdict import decide_on
from thirdlever.report.decision import render, to_dict

SCENARIO = str(Path(__file__).parents[2] / "docs" / "examples" / "fintech.toml")


def run(*arguments: str) -> int | None:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(decide)
    code: int | None = app([*arguments], standalone_mode=False)
    return code


def test_the_verdict_comes_first_and_the_exit_code_is_always_0(capsys: pytest.CaptureFixture[str]) -> None:
    for target, verdict in (("0.92", "GO"), ("0.85", "NO-GO")):
        assert not run(SCENARIO, "--assume", f"target_accuracy={target}")
        assert capsys.readouterr().out.startswith(f"{verdict}. On given figures:")


def test_the_text_fits_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    run(SCENARIO)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_the_json_holds_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    run(SCENARIO, "--format", "json")
    told = json.loads(capsys.readouterr().out)
    assert [gate["name"] for gate in told["gates"]][2] == "Pays back in time"
    assert len(told["matrix"]) == 6
    assert (told["verdict"], told["reasons"], told["recommendation"]) == (
        "GO",
        ["worth_under_bill"],
        ["tuned gpt-4o-mini"],
    )
    assert told["conditions"][0]["value"] == pytest.approx(1200)
    assert [step["begins"] for step in told["plan"]["steps"]] == [0, 1]
    assert told["headline"].startswith("Fine-tune, if its bill is at most $1,200 a month")
    assert told["stopped_at"] is None
    assert told["costs"]["tuned gpt-4o-mini"]["per_request_usd"] is None
    assert told["costs"]["tuned gpt-4o-mini"]["setup_usd"] == 6000
    assert told["paybacks"]["tuned gpt-4o-mini"]["months"] is None
    assert {one["name"]: one["value"] for one in told["assumptions"]}["monthly_volume"] == 3_000_000


def test_never_differs_from_unknown() -> None:
    d = decide_on(evidence({"rag": 0.87, "lora": 0.95}), lambda _: costs(lora=0.5), assumptions())
    assert to_dict(d)["paybacks"]["lora"]["months"] == "never"


def test_the_markdown_has_the_same_content_in_whole_tables(capsys: pytest.CaptureFixture[str]) -> None:
    run(SCENARIO, "--format", "md")
    out = capsys.readouterr().out
    assert out.startswith("**GO.** On given figures")
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert {line.count("|") - line.count("\\|") for line in rows} == {6, 7}
    assert "71 %" in out


HOSTILE = "<script>alert(1)</script> [x](javascript:1) \x1b[31m `a` | =cmd() \u202e"


def test_hostile_names_are_shown_as_text() -> None:
    e = evidence({"rag": 0.5, HOSTILE: 0.95}, kinds={"rag": "retrieval", HOSTILE: "tuned"})
    d = decide_on(e, lambda _: costs(), assumptions(maintainer=HOSTILE))
    text, md = render(d), render(d, "md")
    for shown in (text, md):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    outside_code = "".join(md.split("`")[::2])
    assert "<script>" not in outside_code
    assert "[x](" not in outside_code
    assert json.loads(render(d, "json"))["tuned"] == HOSTILE


@pytest.mark.parametrize(
    ("assumed", "message"),
    [
        ("monthly_volume", "has no value; write it as NAME=VALUE"),
        ("monthly_volum=3", "did you mean 'monthly_volume'"),
        ("target_accuracy=92", "target_accuracy"),
        ("stable=perhaps", "yes or no"),
    ],
)
def test_a_wrong_assumption_is_said_in_one_sentence(assumed: str, message: str) -> None:
    with pytest.raises(ThirdleverError) as caught:
        deciding.decide_from(SCENARIO, [assumed])
    assert message in str(caught.value)


def test_a_run_that_is_not_there() -> None:
    with pytest.raises(RunError, match="run 'nowhere' not found"):
        deciding.decide_from("nowhere", [])
    with pytest.raises(RunError, match=r"'nowhere\.toml' does not exist"):
        deciding.decide_from("nowhere.toml", [])

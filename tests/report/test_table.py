"""The results table and the kit that every table and sentence is written with."""

from __future__ import annotations

import io
import json
import math
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from helpers.summaries import summary
from markdown_it import MarkdownIt

from thirdlever.analysis.past_runs import DetectableEffect
from thirdlever.analysis.scorecards import COLUMNS
from thirdlever.core.table import Column, Table
from thirdlever.core.text import escape_csv, escape_html, escape_markdown, escape_terminal, fold, markdown_code
from thirdlever.report.tables import by_model, render_plan, render_summary
from thirdlever.runner.plan import PlannedCandidate, RunPlan

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

EVIL = "=cmd|' /C calc'!A0"
ESCAPE = "rag\x1b[2J\x1b]0;owned\x07\u202e\r\n"

# The terminal


@pytest.mark.parametrize("count", [1, 5, 12])
@pytest.mark.parametrize(
    "model", ["", " @ openai/gpt-4o-mini", " @ openai-api/somewhere/meta-llama/Llama-3.1-8B-Instruct"]
)
def test_the_table_fits_100_columns(count: int, model: str) -> None:
    wide = summary(count, latency_p99_s=123.4, cost_per_1k_usd=math.nan, setup_usd=12345.6, errors=1234)
    wide["candidate"] += model
    lines = render_summary(wide).splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in "".join(lines)  # nothing cut off


@pytest.mark.parametrize("fmt", ["table", "md"])
def test_the_results_table_is_understood_without_help(fmt: str, snapshot: SnapshotAssertion) -> None:
    assert render_summary(summary(5), fmt) == snapshot  # type: ignore[arg-type]


def test_a_row_holds_every_figure_of_its_candidate() -> None:
    line = next(line for line in render_summary(summary(5)).splitlines() if line.startswith("rag(k=20)"))
    assert line.split("  ")[-1].strip() == "3/0/0/0"  # three answers that could not be read, no request that failed
    for cell in ("89.7 [88.3, 91.0]", "88.3", "612/979/1408", "742 (118)/4", "0.11"):
        assert cell in line


def test_the_legend_names_candidates_with_another_model() -> None:
    table = summary(5)
    assert f"Model: {table['model'][0]}" in render_summary(table).splitlines()
    table.loc[2, "model"] = "local endpoint: ft:embedded:123"
    assert f"Model: {table['model'][0]}, except" in render_summary(table).splitlines()
    assert f"  {table['candidate'][2]}: local endpoint: ft:embedded:123" in render_summary(table).splitlines()


@pytest.mark.parametrize("timed", [0, 1, 5, 60])
def test_the_legend_says_how_many_requests_were_timed(timed: int, snapshot: SnapshotAssertion) -> None:
    [line] = [line for line in render_summary(summary(3, timed=timed)).splitlines() if line.startswith("Latency:")]
    assert line == snapshot


def several_models() -> pd.DataFrame:
    """Two base models: a small one that is tuned and shown examples, a large one that is prompted."""
    table = summary(10)
    small = table["strategy"].isin(["lora", "rag", "null"])
    table["base"] = ["small" if own else "openai/large" for own in small]
    table.loc[table["strategy"] == "null", "base"] = None
    table["candidate"] += [f" @ {base}" if isinstance(base, str) else "" for base in table["base"]]
    return table


def test_several_models_are_shown_by_lever() -> None:
    assert by_model(summary(10)) is None
    heads, rows = by_model(several_models()) or pytest.fail("no table")
    assert heads == ["Model", "Prompt, %", "Retrieval, %", "Fine-tune, %"]
    assert rows == [
        ["small", "–", ("90.1  $0.17", "rag(k=20,source=both)"), ("91.2  $0.030", "lora")],
        ["openai/large", ("84.2  $0.55", "long_context"), "–", "–"],
    ]
    lost = several_models()
    lost.loc[lost["strategy"] == "lora", "measured"] = False
    assert (by_model(lost) or pytest.fail("no table"))[0] == ["Model", "Prompt, %", "Retrieval, %"]


@pytest.mark.parametrize("fmt", ["table", "md"])
def test_the_table_by_lever_follows_the_results(fmt: str, snapshot: SnapshotAssertion) -> None:
    assert render_summary(several_models(), fmt) == snapshot  # type: ignore[arg-type]


def test_an_unknown_cost_says_how_to_make_it_known() -> None:
    text = render_summary(summary(3, cost_per_1k_usd=[0.1, math.nan, 0.0]))
    cells = [line.split()[-3] for line in text.splitlines() if line.startswith(("rag", "null"))]
    assert sorted(cells) == ["0", "0.10", "unknown"]
    assert "prices.toml" in text
    assert "prices.toml" not in render_summary(summary(3))


def test_a_cost_that_rests_on_the_providers_cache_says_what_it_is_without() -> None:
    text = render_summary(summary(4, cost_per_1k_uncached_usd=[0.12, math.nan, 0.045, 1.1023]))
    said = "Cost per 1,000 without the provider's cache, which forgets within minutes: $1.10 for long_context."
    assert said in " ".join(text.split())


def test_a_candidate_without_answers_has_unknown_figures() -> None:
    empty = summary(1, n=5)
    empty["accuracy_ci95"] = pd.Series([None], dtype="object")
    empty[["accuracy", "macro_f1", "latency_p50_s", "latency_p95_s", "latency_p99_s", "input_tokens"]] = math.nan
    text = render_summary(empty)
    assert (text.count("unknown"), text.count("not measured")) == (2, 1)


@pytest.mark.parametrize("fmt", ["table", "md", "csv", "json"])
def test_names_cannot_steer_the_terminal(fmt: str) -> None:
    text = render_summary(summary(1, candidate=ESCAPE, model=ESCAPE), fmt)  # type: ignore[arg-type]
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)


def test_square_brackets_are_no_markup() -> None:
    assert "rag[bold](k=1)" in render_summary(summary(1, candidate="rag[bold](k=1)"))


# Markdown


def test_markdown_cells_keep_characters_that_would_break_them() -> None:
    text = render_summary(summary(2, candidate=["a|b`c<script>", "[x](javascript:1)"]), "md")
    head, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "`a\\|b'c<script>`" in rows[0]
    assert "`[x](javascript:1)`" in rows[1]
    cells = [line.replace("\\|", "").count("|") for line in (head, rule, *rows)]
    assert len(set(cells)) == 1


# CSV


def test_the_csv_can_be_read_back_without_loss() -> None:
    names = ["null", "NA", "nan", "a,b", 'say "x"', "", "rag(k=20, source=both)"]
    given = summary(7, cost_per_1k_usd=[0.1 + 0.2, math.nan, 0.0, 1e-9, 1, 2, 3], candidate=names)
    back = pd.read_csv(
        io.StringIO(render_summary(given, "csv")), keep_default_na=False, na_values={"cost_per_1k_usd": ""}
    )
    assert list(back["candidate"]) == list(given["candidate"])
    pd.testing.assert_series_equal(back["cost_per_1k_usd"], given["cost_per_1k_usd"])
    ends = zip(back["accuracy_ci95_low"], back["accuracy_ci95_high"], strict=True)
    assert list(ends) == list(given["accuracy_ci95"])


def test_the_csv_names_its_columns_in_order() -> None:
    header = render_summary(summary(1), "csv").splitlines()[0].split(",")
    ends = ["accuracy_ci95_low", "accuracy_ci95_high"]
    assert header[: len(COLUMNS) + 1] == [*COLUMNS[:5], *ends, *COLUMNS[6:]]


@pytest.mark.parametrize("text", [EVIL, "+1", "-1", "@x", "\tx", "\r=x"])
def test_no_spreadsheet_takes_a_cell_for_a_formula(text: str) -> None:
    assert escape_csv(text) == f"'{escape_terminal(text)}"
    assert not render_summary(summary(1, candidate=text), "csv").splitlines()[1].startswith(("=", "+", "-", "@", '"='))


# JSON


def test_the_json_is_strict_and_has_the_documented_keys() -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    text = render_summary(summary(5, cost_per_1k_usd=math.nan), "json")
    rows = json.loads(text, parse_constant=refuse)
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    first = rows[0]
    assert first["cost_per_1k_usd"] is None
    assert first["accuracy_ci95"] == [pytest.approx(0.8829, abs=1e-4), pytest.approx(0.9096, abs=1e-4)]
    assert [type(first[name]) for name in ("n", "errors")] == [int, int]
    assert rows[1]["model"] is None


# Text


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("rag", ["rag"]),
        ("rag(k=20, source=both) @ openai/gpt-4o-mini", ["rag(k=20,", "source=both)", "openai/", "gpt-4o-mini"]),
        ("x" * 30, ["x" * 14, "x" * 14, "xx"]),
    ],
)
def test_names_break_after_commas_and_slashes(name: str, lines: list[str]) -> None:
    assert fold(name, 15).splitlines() == lines


def test_escaping_leaves_ordinary_text_unchanged() -> None:
    assert escape_terminal("Überweisung – 50 €, 日本") == "Überweisung – 50 €, 日本"


# Escaping

HOSTILE = "<b>x</b> [a](javascript:1) `c` *d* | www.e.com http://f mailto:g@h #1 \x1b[2J\u202e\n- ~~i~~ &lt;"


@pytest.mark.parametrize("start", ["", "- ", "1. ", "# ", "> ", "=", "    "])
def test_no_markdown_takes_effect_in_escaped_text(start: str) -> None:
    page = (
        MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .render(escape_markdown(start + HOSTILE))
    )
    assert set(re.findall(r"<(\w+)", page)) == {"p"}
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "\x1b" not in page


@pytest.mark.parametrize("text", [HOSTILE, "``", "`", "a\\", "|"])
def test_a_code_span_in_a_cell_holds_any_text(text: str) -> None:
    table = f"| a | b |\n|:--|:--|\n| {markdown_code(text)} | end |"
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(table)
    assert page.count("<td") == 2
    assert page.count("<code>") == 1
    assert "<b>" not in page


def test_escaped_html_is_text() -> None:
    assert escape_html("<a b='c' d=\"e\">\x1b&") == "&lt;a b=&#x27;c&#x27; d=&quot;e&quot;&gt;\\x1b&amp;"


def test_one_table_is_written_for_each_medium() -> None:
    table = Table([Column("name", "name"), Column("why", "text"), Column("n")], [(("rag\x1b", "(best)"), "a|b", "-1")])
    assert table.csv() == "name,why,n\nrag\\x1b (best),a|b,-1\n"
    assert table.markdown().splitlines()[-1] == r"| `rag\x1b`<br>(best) | a\|b | -1 |"
    assert [line.split() for line in table.terminal().splitlines()[2:]] == [[r"rag\x1b", "a|b", "-1"], ["(best)"]]


# The plan


def candidate(name: str, **figures: float | None) -> PlannedCandidate:
    usual: dict[str, float | None] = {
        "requests": 45,
        "calls_per_item": 1.0,
        "input_tokens": 900.0,
        "output_tokens": 90.0,
        "setup_requests": 0,
        "setup_tokens": 0.0,
        "trained_tokens": 0.0,
        **dict.fromkeys(("usd", "request_usd", "minutes", "request_minutes"), 2.0),
        **dict.fromkeys(("setup_usd", "setup_minutes", "reasoning_tokens", "reasoning_usd"), 0.0),
    }
    return PlannedCandidate(candidate=name, model="fake/model", basis=("rendered",), **{**usual, **figures})  # type: ignore[arg-type]


def plan_of(*candidates: PlannedCandidate, epochs: int = 2, probed: int = 21) -> RunPlan:
    effect = DetectableEffect(
        items=12, detectable=0.5, wanted=0.03, needed=1800, available=2000, discordant=0.2, effect=1.0, basis="assumed"
    )
    return RunPlan(
        suite="tiny", items=12, epochs=epochs, probed=probed, candidates=candidates, detectable_effect=effect
    )


def cells(shown: str, name: str) -> list[str]:
    [line] = [line for line in shown.splitlines() if line.startswith(f"{name}  ")]
    return re.split(r" {2,}", line)[1:]


def test_the_rows_of_a_plan_add_up_to_its_total() -> None:
    chosen = candidate("chosen", setup_requests=800, setup_tokens=9000.0, setup_usd=1.0, usd=3.0)
    shown = render_plan(plan_of(candidate("plain"), chosen))
    assert cells(shown, "plain") == ["45", "900/90", "–", "–", "–", "2.00", "2.0"]
    assert cells(shown, "chosen") == ["45", "900/90", "800", "9k", "–", "3.00", "2.0"]
    assert cells(shown, "total") == ["90", "1.8k/180", "800", "9k", "–", "5.00", "4.0"]
    assert "Total with set-up: 890 requests, 11k tokens in and out, USD 5.00, minutes 4.0." in shown


def test_a_candidate_that_cannot_be_planned_is_unknown_with_its_reason() -> None:
    reason = "torch is not installed; run: python -m pip install 'thirdlever[local]'"
    failed = [PlannedCandidate(candidate=name, model="embedded", error=reason) for name in ("null", ESCAPE)]
    shown = render_plan(plan_of(candidate("plain"), *failed))
    assert cells(shown, "null") == ["unknown"] * 7
    assert cells(shown, "total") == ["≥ 45", "≥ 900/90", "unknown", "unknown", "unknown", "≥ 2.00", "≥ 2.0"]
    assert " cannot be planned: torch is not installed; run: python -m pip install" in " ".join(shown.split())
    assert "\x1b" not in shown
    assert "Unknown USD" not in shown


def test_a_plan_says_what_its_requests_consist_of(snapshot: SnapshotAssertion) -> None:
    candidates = candidate("plain"), candidate("twice", requests=90, calls_per_item=2.0, setup_requests=800)
    said = [render_plan(plan_of(*candidates)), render_plan(plan_of(candidate("plain"), epochs=1, probed=0))]
    assert [text.partition("\n\n")[0] for text in said] == snapshot


def test_a_plan_of_wide_figures_fits_100_columns() -> None:
    wide = candidate(
        "rag(k=20, source=both) on lora(rank=8, epochs=3) @ openai-api/somewhere/meta-llama/Llama-3.1-8B",
        **dict.fromkeys(("requests", "setup_requests"), 1_234_567),
        **dict.fromkeys(("input_tokens", "output_tokens", "setup_tokens", "trained_tokens"), 123_456_789.0),
        usd=None,
        request_usd=12_345.67,
        setup_usd=None,
        minutes=None,
        request_minutes=12_345.0,
    )
    shown = render_plan(plan_of(wide, wide))
    assert max(map(len, shown.splitlines())) <= 100
    assert "…" not in shown

from __future__ import annotations

import io
import json
import math

import pandas as pd
import pytest
from helpers.summaries import summary

from thirdlever.analysis.scorecards import COLUMNS
from thirdlever.core.text import escape_csv, escape_terminal, fold
from thirdlever.report.tables import render_summary

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


def test_a_row_reads_as_it_should() -> None:
    line = next(line for line in render_summary(summary(5)).splitlines() if line.startswith("rag(k=20)"))
    assert line.split("  ")[-1].strip() == "3/0"  # three answers that could not be read, no request that failed
    for cell in ("89.7 [88.3, 91.0]", "88.3", "612/979/1408", "742 (118)/4", "0.11"):
        assert cell in line


def test_who_asks_another_model_is_named() -> None:
    table = summary(5)
    assert f"Model {table['model'][0]}." in render_summary(table).splitlines()
    table.loc[2, "model"] = "local endpoint: ft:embedded:123"
    assert f"Model {table['model'][0]}, except" in render_summary(table).splitlines()
    assert f"  {table['candidate'][2]}: local endpoint: ft:embedded:123" in render_summary(table).splitlines()


def test_few_timed_requests_tell_no_p95() -> None:
    assert "Latency: 20 single warm requests.\n" in render_summary(summary(3))
    assert "Latency: 1 single warm request each" in render_summary(summary(3, timed=1))
    assert "Latency: nothing was timed.\n" in render_summary(summary(3, timed=0))
    assert "Latency: 5 single warm requests each, too few to be sure of p95 and p99.\n" in render_summary(
        summary(3, timed=5)
    )


def test_unknown_is_said_and_what_would_make_it_known() -> None:
    text = render_summary(summary(3, cost_per_1k_usd=[0.1, math.nan, 0.0]))
    cells = [line.split()[-3] for line in text.splitlines() if line.startswith(("rag", "null"))]
    assert sorted(cells) == ["0", "0.10", "unknown"]
    assert "prices.toml" in text
    assert "prices.toml" not in render_summary(summary(3))


def test_a_candidate_without_figures() -> None:
    empty = summary(1, n=5)
    empty["accuracy_ci95"] = pd.Series([None], dtype="object")
    empty[["accuracy", "macro_f1", "latency_p50_s", "latency_p95_s", "latency_p99_s", "input_tokens"]] = math.nan
    assert render_summary(empty).count("unknown") == 3


@pytest.mark.parametrize("fmt", ["table", "md", "csv", "json"])
def test_names_cannot_steer_the_terminal(fmt: str) -> None:
    text = render_summary(summary(1, candidate=ESCAPE, model=ESCAPE), fmt)  # type: ignore[arg-type]
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)


def test_square_brackets_are_no_markup() -> None:
    assert "rag[bold](k=1)" in render_summary(summary(1, candidate="rag[bold](k=1)"))


# Markdown


def test_markdown_cells_hold_what_would_break_them() -> None:
    text = render_summary(summary(2, candidate=["a|b`c<script>", "[x](javascript:1)"]), "md")
    head, rule, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "`a\\|b'c<script>`" in rows[0]
    assert "`[x](javascript:1)`" in rows[1]
    cells = [line.replace("\\|", "").count("|") for line in (head, rule, *rows)]
    assert len(set(cells)) == 1


# CSV


def test_csv_comes_back_whole() -> None:
    names = ["null", "NA", "nan", "a,b", 'say "x"', "", "rag(k=20, source=both)"]
    given = summary(7, cost_per_1k_usd=[0.1 + 0.2, math.nan, 0.0, 1e-9, 1, 2, 3], candidate=names)
    back = pd.read_csv(
        io.StringIO(render_summary(given, "csv")), keep_default_na=False, na_values={"cost_per_1k_usd": ""}
    )
    assert list(back["candidate"]) == list(given["candidate"])
    pd.testing.assert_series_equal(back["cost_per_1k_usd"], given["cost_per_1k_usd"])
    ends = zip(back["accuracy_ci95_low"], back["accuracy_ci95_high"], strict=True)
    assert list(ends) == list(given["accuracy_ci95"])


def test_csv_names_its_columns_in_order() -> None:
    header = render_summary(summary(1), "csv").splitlines()[0].split(",")
    ends = ["accuracy_ci95_low", "accuracy_ci95_high"]
    assert header[: len(COLUMNS) + 1] == [*COLUMNS[:5], *ends, *COLUMNS[6:]]


@pytest.mark.parametrize("text", [EVIL, "+1", "-1", "@x", "\tx", "\r=x"])
def test_no_spreadsheet_takes_a_cell_for_a_formula(text: str) -> None:
    assert escape_csv(text) == f"'{escape_terminal(text)}"
    assert not render_summary(summary(1, candidate=text), "csv").splitlines()[1].startswith(("=", "+", "-", "@", '"='))


# JSON


def test_json_is_strict_and_named_as_promised() -> None:
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
def test_names_break_where_a_reader_would(name: str, lines: list[str]) -> None:
    assert fold(name, 15).splitlines() == lines


def test_printable_leaves_ordinary_text_alone() -> None:
    assert escape_terminal("Überweisung – 50 €, 日本") == "Überweisung – 50 €, 日本"

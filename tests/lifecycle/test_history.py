"""The history of a suite: its points, table, JSON and chart."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from conftest import make_suite
from matplotlib import image
from typer.testing import CliRunner

import thirdlever
from thirdlever.charts import style
from thirdlever.cli import main
from thirdlever.cli.lifecycle import history as command
from thirdlever.core.errors import RunError
from thirdlever.lifecycle.history import Point, history
from thirdlever.report import tables
from thirdlever.report.trend import picture
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project")


def made(suite: Suite, day: str, *, model: str = "fake/model", released: str | None = None, **options: Any) -> Run:  # noqa: ANN401
    """A run that ended on a given day."""
    asked = FakeModel(name=model, answer=lambda _: "fuel")
    specs = ["null:method=majority", "plain:k=1"]
    run = thirdlever.run(suite, specs, models=[asked], probe=2, out=f"results/{day}", **options)
    info = run.info | {"finished": f"{day}T12:00:00+00:00", "snapshots": [{"name": model, "created": released}]}
    (run.folder / "run.json").write_text(json.dumps(info), "utf-8")
    return run


def point(day: int, **different: Any) -> Point:  # noqa: ANN401
    plain = Point(
        run=f"r{day}",
        baseline="",
        when=dt.datetime(2026, 1, day, tzinfo=dt.UTC),
        suite_hash="a",
        candidate="rag",
        strategy="rag",
        model="acme/one",
        released=None,
        n=100,
        accuracy=0.8,
        low=0.7,
        high=0.87,
        usd_per_1k=0.5,
        p50_s=0.4,
        p95_s=0.9,
    )
    return dataclasses.replace(plain, **different)


# Points


def test_runs_come_oldest_first_with_their_models_day_of_release(suite: Suite) -> None:
    made(suite, "2026-11-02", model="acme/two", released="2026-10-30")
    made(suite, "2026-06-01")
    made(make_suite(5), "2026-07-01")
    found = history("payments")
    assert [one.run for one in found] == [day for day in ("2026-06-01", "2026-07-01", "2026-11-02") for _ in range(2)]
    assert {(one.model, one.released) for one in found if one.run == "2026-11-02"} == {
        (None, None),
        ("acme/two", dt.date(2026, 10, 30)),
    }
    assert len({one.suite_hash for one in found}) == 2
    plain = next(one for one in found if one.candidate == "plain(k=1)")
    assert plain.accuracy == pytest.approx(8 / 12)
    assert plain.low < plain.accuracy < plain.high
    assert math.isnan(plain.usd_per_1k)


def test_a_baseline_marks_its_run_and_outlives_it(suite: Suite) -> None:
    run = made(suite, "2026-06-01")
    before = history("payments")
    assert CliRunner().invoke(main.app, ["baseline", "set", str(run.folder), "--name", "spring"]).exit_code == 0
    marked = [dataclasses.replace(one, baseline="spring") for one in before]
    assert list(map(str, history("payments"))) == list(map(str, marked))  # as text, because nan is not equal to itself
    shutil.rmtree(run.folder)
    for old, kept in zip(before, history("payments"), strict=True):
        assert (kept.run, kept.when, kept.candidate, kept.model) == ("spring", old.when, old.candidate, old.model)
        assert kept.accuracy == pytest.approx(old.accuracy)
        assert kept.low == pytest.approx(old.low)
        assert kept.p50_s == pytest.approx(old.p50_s, rel=1e-3)


def test_a_suite_without_a_run_is_reported(suite: Suite) -> None:
    with pytest.raises(
        RunError, match="history of suite 'payment' not found; available: none; create one with `thirdlever run SUITE`"
    ):
        history("payment")
    made(suite, "2026-06-01")
    with pytest.raises(RunError, match="did you mean 'payments'"):
        history("payment")


# Table and JSON


def test_a_history_is_a_table_and_json(snapshot: SnapshotAssertion) -> None:
    points = [point(1), point(2, suite_hash="b", usd_per_1k=math.nan, model=None, candidate="null", baseline="spring")]
    shown = tables.render_history(points)
    assert shown == snapshot
    assert "80.0 [70.0, 87.0]" in shown
    assert "unknown" in shown
    assert "(baseline spring)" in shown
    assert "The suite changed between runs" in shown
    assert max(map(len, shown.splitlines())) <= 100
    rows = json.loads(tables.render_history(points, "json"))
    assert [(row["suite_version"], row["usd_per_1k"]) for row in rows] == [(1, 0.5), (2, None)]
    assert rows[0]["when"] == "2026-01-01T00:00:00+00:00"


def test_a_single_version_of_the_suite_is_not_mentioned() -> None:
    assert "suite" not in tables.render_history([point(1), point(2)])


def test_names_are_escaped() -> None:
    evil = point(1, candidate="rag\x1b[2J", model="a\nb", run="r\x07")
    assert "\x1b" not in tables.render_history([evil])
    assert "\x07" not in tables.render_history([evil])


# Chart


def test_the_chart_has_a_column_per_run_and_a_break_where_the_suite_changes() -> None:
    points = [
        point(1, model=None, candidate="null", strategy="null"),
        point(1, released=dt.date(2025, 12, 1)),
        point(1, model="acme/two"),
        point(2),
        point(3, suite_hash="b"),
    ]
    drawn = picture(points, suite="payments")
    figure = drawn.draw(style.FILE)
    assert len(figure.axes) == 3
    labels = [text.get_text() for text in figure.axes[-1].get_xticklabels()]
    assert labels == [
        "2026-01-01\nacme/one\nrel. 2025-12-01",
        "2026-01-01\nacme/two",
        "2026-01-02\nacme/one\nrel. 2025-12-01",
        "2026-01-03\nacme/one\nrel. 2025-12-01",
    ]
    lines = [line for line in figure.axes[0].lines if line.get_gid() == "line"]
    assert sorted(len(np.asarray(line.get_xdata())) for line in lines) == [1, 1, 3]  # no line across the change
    assert any("the suite changed" in note for note in drawn.notes)
    assert "acme/two: 80.0 %" in drawn.alt


def test_an_unknown_figure_has_no_panel() -> None:
    figure = picture([point(1, usd_per_1k=math.nan), point(2, usd_per_1k=math.nan)]).draw(style.FILE)
    assert len(figure.axes) == 2


@pytest.mark.parametrize("sheet", [style.FILE, style.WIDE, style.NARROW])
def test_many_runs_fit_the_chart(sheet: style.Sheet) -> None:
    points = [point(day, strategy=name, candidate=name) for day in range(1, 29) for name in "abcdefgh"]
    figure = picture(points).draw(sheet)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # Agg's
    for axes in figure.axes:
        for text in (*axes.texts, *axes.get_xticklabels()):
            assert text.get_window_extent(renderer).x1 <= figure.bbox.x1 + 1


def test_the_command_writes_png_and_svg(suite: Suite) -> None:
    made(suite, "2026-06-01")
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, ["payments", "--chart", "over time.png"])
    assert done.exit_code == 0, done.output
    assert image.imread("over time.png").std() > 0
    assert Path("over time.svg").read_text("utf-8").startswith("<?xml")

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from helpers.summaries import ROWS, summary

from thirdlever.charts.accuracy import choose, draw, pareto, picture
from thirdlever.charts.style import FILE, PAPER

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

COUNTS = [1, 3, 8, 12]


def figure(frame: pd.DataFrame, **heading: str) -> Figure:
    return picture(frame, **heading).draw(FILE)


def boxes(chart: Figure, gid: str) -> list[Bbox]:
    """Extents in pixels of everything drawn under a name."""
    found: list[Any] = [artist for artist in chart.axes[0].get_children() if artist.get_gid() == gid]
    renderer: Any = chart.canvas
    return [artist.get_window_extent(renderer.get_renderer()) for artist in found]


def collisions(chart: Figure) -> list[tuple[Bbox, Bbox]]:
    names, things = boxes(chart, "name"), boxes(chart, "mark") + boxes(chart, "bar")
    pairs = [*itertools.combinations(names, 2), *itertools.product(names, things)]
    # A line's extent has no width: what counts is whether any of it is inside.
    return [(a, b) for a, b in pairs if a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1]


def crowd(kind: str, count: int) -> pd.DataFrame:
    same: Any = {"accuracy": 0.8, "accuracy_ci95": [(0.78, 0.82)] * count}
    match kind:
        case "spread":
            return summary(count)
        case "latency":
            return summary(count, cost_per_1k_usd=math.nan)
        case "one cost":
            return summary(count, cost_per_1k_usd=0.1)
        case "one accuracy":
            return summary(count, **same)
        case "coinciding":
            return summary(count, cost_per_1k_usd=0.1, **same)
        case _:
            frame = summary(count)
            frame["candidate"] += " @ anthropic/claude-sonnet-4-5"
            return frame


# Names


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["spread", "latency", "one cost", "one accuracy", "coinciding", "long names"])
def test_names_overlap_nothing_and_stay_inside(kind: str, count: int) -> None:
    chart = figure(crowd(kind, count), suite="transactions")
    names = boxes(chart, "name")
    assert len(names) == count
    assert collisions(chart) == []
    assert all(min(b.x0, b.y0) >= 0 and b.x1 <= chart.bbox.x1 and b.y1 <= chart.bbox.y1 for b in names)


def test_names_do_not_overlap_the_title_and_notes() -> None:
    chart = figure(summary(12), suite="transactions", date="2026-11-21")
    renderer: Any = chart.canvas
    words = [text.get_window_extent(renderer.get_renderer()) for text in chart.texts]
    assert not [1 for a, b in itertools.product(boxes(chart, "name"), words) if a.overlaps(b)]
    assert not [1 for a, b in itertools.combinations(words, 2) if a.overlaps(b)]


def test_names_overlap_nothing_in_the_svg_either() -> None:
    chart = figure(summary(12))
    chart.set_dpi(400)  # no scale but the PNG's own, where letters are not fitted to pixels
    assert collisions(chart) == []


def test_hostile_and_foreign_names_are_drawn_as_text(tmp_path: Path) -> None:
    names = ["$x^{2$", "\x1b[31mred", "<script>&amp;", "日本語", "a" * 300]
    draw(summary(5, candidate=names), tmp_path, suite="$\\frac$ <b>")
    assert ET.parse(tmp_path / "chart.svg").getroot().tag.endswith("svg")  # noqa: S314 - ours


# The front


def test_the_pareto_front_holds_the_points_that_no_other_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.7), (2.5, 0.7), (3.0, 0.6), (0.5, 0.4), (2.0, 0.7)]
    assert pareto(points) == [True, True, False, False, True, True]


def test_the_front_is_drawn_through_its_points() -> None:
    axes = figure(summary(8)).axes[0]
    line = next(line for line in axes.lines if line.get_gid() == "front")
    assert line.get_drawstyle() == "steps-post"
    assert [y for _, y in np.asarray(line.get_xydata())] == pytest.approx([89.3, 89.7, 90.1])
    filled = [line for line in axes.lines if line.get_gid() == "mark" and line.get_markerfacecolor() != PAPER]
    assert len(filled) == 3


def test_strategies_differ_in_shape_as_well_as_colour() -> None:
    axes = figure(summary(12)).axes[0]
    shapes: dict[str, set[object]] = {}
    for name, line in zip(summary(12)["strategy"], [x for x in axes.lines if x.get_gid() == "mark"], strict=True):
        shapes.setdefault(name, set()).add(line.get_marker())
    assert all(len(found) == 1 for found in shapes.values())
    assert len(set.union(*shapes.values())) == len(shapes)


# The scale


def test_the_scale_is_cost_when_every_cost_is_known() -> None:
    axis = choose(summary(5))
    assert axis.title == "cost"
    assert axis.ticks[0][1] == "$0"
    assert axis.broken_at is not None
    zero = axis.positions[list(summary(5)["strategy"]).index("null")]
    assert axis.limits[0] < zero < axis.broken_at < min(x for x in axis.positions if x != zero)


def test_the_scale_has_no_column_for_zero_when_nothing_is_free() -> None:
    assert choose(summary(1)).broken_at is None


def test_the_scale_is_latency_when_a_cost_is_unknown() -> None:
    given = summary(5)
    given.loc[given["candidate"] == "long_context", "cost_per_1k_usd"] = math.nan
    axis = choose(given)
    assert axis.title == "latency"
    assert list(axis.positions) == list(given["latency_p50_s"])
    assert axis.notes == ["Latency is shown because the cost is unknown for: long_context."]


def test_a_candidate_that_is_not_shown_is_named() -> None:
    given = summary(3, cost_per_1k_usd=math.nan)
    given.loc[0, "latency_p50_s"] = math.nan
    axis = choose(given)
    assert list(axis.shown) == [False, True, True]
    assert axis.notes[-1] == f"Not shown (no latency measured): {given['candidate'][0]}."


def test_the_scale_is_cost_when_every_latency_is_unknown() -> None:
    given = summary(3, latency_p50_s=math.nan)
    given.loc[given["strategy"] == "null", "cost_per_1k_usd"] = math.nan
    axis = choose(given)
    assert (axis.title, sum(axis.shown)) == ("cost", 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_per_1k_usd": math.nan, "latency_p50_s": math.nan},
        {"cost_per_1k_usd": 0.0},
        {"cost_per_1k_usd": 0.0, "latency_p50_s": 0.0},
        {"cost_per_1k_usd": [1e-7, 1.0, 1e6]},
        {"accuracy": 1.0, "accuracy_ci95": [(1.0, 1.0)] * 3},
        {"accuracy": 0.0, "accuracy_ci95": [(0.0, 0.0)] * 3},
        {"accuracy": math.nan, "accuracy_ci95": [None] * 3},
        {"strategy": ["mine", "yours", "theirs"]},
    ],
)
def test_unusual_figures_are_drawn(tmp_path: Path, changes: dict[str, Any]) -> None:
    draw(summary(3, **changes), tmp_path)
    assert (tmp_path / "chart.png").stat().st_size > 5_000


def test_a_run_without_candidates_is_drawn(tmp_path: Path) -> None:
    draw(summary(1).iloc[:0], tmp_path)
    assert (tmp_path / "chart.svg").exists()


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.05), (0.001, 900.0), (1e-7, 1e6), (0.1, 0.1)])
def test_ticks_are_few_and_round(low: float, high: float) -> None:
    axis = choose(summary(2, cost_per_1k_usd=[low, high]))
    assert 2 <= len(axis.ticks) <= 8
    assert all(float(label[1:].replace(",", "")) == pytest.approx(value) for value, label in axis.ticks)


# The files


def test_the_png_is_sharp_and_the_same_run_gives_the_same_files(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        with mpl.rc_context({"axes.facecolor": "black", "font.size": 30} if folder.name == "b" else {}):
            draw(summary(5), folder, suite="transactions", date="21 November 2026")
    for name in ("chart.png", "chart.svg"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert mpl.image.imread(folders[0] / "chart.png").shape == (1040, 1600, 4)
    assert sorted(path.name for path in folders[0].iterdir()) == ["chart.png", "chart.svg"]


def test_a_failed_write_leaves_the_old_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chart.png").write_bytes(b"old")

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(28, f"No space left for {len(data)} bytes")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        draw(summary(1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["chart.png"]
    assert (tmp_path / "chart.png").read_bytes() == b"old"


def test_the_heading_states_suite_size_and_date() -> None:
    texts = [text.get_text() for text in figure(summary(2), suite="transactions", date="21 November 2026").texts]
    assert "transactions · 2,000 test items · 21 November 2026" in texts
    assert "2,000 test items" in [text.get_text() for text in figure(summary(2)).texts]


def test_the_helper_has_enough_candidates() -> None:
    assert len(ROWS) == max(COUNTS)

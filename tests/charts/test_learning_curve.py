from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers.curves import Experiment, Truth

from thirdlever.analysis.learning import LearningCurve, Lost, analyse
from thirdlever.charts.learning_curve import finding, picture
from thirdlever.charts.style import FILE, NARROW, PAPER, Sheet, save

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox


def law(labels: float, *, a: float, b: float, c: float) -> float:
    return float(a * labels**-b + c)


TUNED = Truth(line="lora(epochs=1)", lever="tuned", error=partial(law, a=6.0, b=0.5, c=0.05), usd=0.02, seconds=0.2)
RAG = Truth(line="rag(k=5)", lever="retrieval", error=partial(law, a=1.2, b=0.3, c=0.12), usd=0.11, seconds=0.6)
FLAT = Truth(line="zero_shot", lever="prompt", error=lambda _: 0.4, flat=True, usd=0.05, seconds=0.5)
NOISY = replace(RAG, noise=0.2, error=partial(law, a=1.2, b=0.3, c=0.2))


@pytest.fixture(scope="module")
def curve() -> LearningCurve:
    draws = Experiment(items=300).draws([TUNED, RAG, FLAT, NOISY], np.random.default_rng(0))
    return analyse(draws, suite="payments", available=12_000)


def figure(found: LearningCurve, sheet: Sheet = FILE) -> Figure:
    return picture(found).draw(sheet)


def boxes(chart: Figure, gid: str) -> list[Bbox]:
    renderer: Any = chart.canvas
    found: list[Any] = [artist for artist in chart.axes[0].get_children() if artist.get_gid() == gid]
    return [artist.get_window_extent(renderer.get_renderer()) for artist in found]


@pytest.mark.parametrize("sheet", [FILE, NARROW], ids=["file", "phone"])
def test_names_stand_beside_the_axes_and_do_not_overlap(curve: LearningCurve, sheet: Sheet) -> None:
    chart = figure(curve, sheet)
    names = boxes(chart, "name")
    assert len(names) == 4
    assert not [1 for a, b in itertools.combinations(names, 2) if a.overlaps(b)]
    assert all(box.x0 > chart.axes[0].bbox.x1 and box.x1 <= chart.bbox.x1 for box in names)


def test_a_ring_marks_where_a_line_overtakes_another(curve: LearningCurve) -> None:
    axes = figure(curve).axes[0]
    rings = [np.asarray(line.get_xydata())[0, 0] for line in axes.lines if line.get_gid() == "crossing"]
    labels = [one.labels for one in curve.overtakings if one.outcome == "within"]
    assert labels
    assert rings == pytest.approx(sorted(filter(None, labels)))


def test_a_line_without_labels_reaches_from_end_to_end(curve: LearningCurve) -> None:
    axes = figure(curve).axes[0]
    lines = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_gid() == "line"]
    flat = [line for line in lines if len(set(line[:, 1])) == 1]
    assert [tuple(line[:, 0]) for line in flat] == [pytest.approx(axes.get_xlim())]


def test_wrong_labels_make_hollow_marks(curve: LearningCurve) -> None:
    marks = [line for line in figure(curve).axes[0].lines if line.get_gid() == "mark"]
    assert sum(mark.get_markerfacecolor() == PAPER for mark in marks) == 1


def test_cost_and_latency_have_a_panel_each(curve: LearningCurve) -> None:
    assert len(figure(curve).axes) == 3
    unpriced = [replace(truth, usd=None) for truth in (TUNED, RAG)]
    found = analyse(Experiment(items=50).draws(unpriced, np.random.default_rng(0)))
    assert len(figure(found).axes) == 2
    assert "The cost is unknown." in picture(found).notes


def test_the_title_is_the_finding(curve: LearningCurve) -> None:
    assert finding(curve).startswith("lora(epochs=1) overtakes rag(k=5) at about ")
    assert picture(curve).title == finding(curve)


def test_a_long_title_leaves_arguments_out(curve: LearningCurve) -> None:
    long = replace(curve.overtakings[0], a=f"lora({'x' * 60})", b="rag(k=5)")
    assert finding(replace(curve, overtakings=[long])).startswith("lora overtakes rag at")


def test_a_curve_without_a_tune_says_what_labels_buy() -> None:
    found = analyse(Experiment(items=300).draws([RAG], np.random.default_rng(0)))
    assert finding(found).startswith("rag(k=5) would gain about ")


def test_the_words_name_every_accuracy(curve: LearningCurve) -> None:
    alt = picture(curve).alt
    assert all(f"{100 * point.accuracy:.1f} %" in alt for line in curve.lines for point in line.points)


@pytest.mark.parametrize("sizes", [(100,), (100, 101), (10, 20, 40, 80, 160, 320, 640, 1280, 2560)])
def test_unusual_sizes_are_drawn(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    found = analyse(Experiment(items=30, seeds=1, sizes=sizes).draws([TUNED], np.random.default_rng(0)))
    save(picture(found), tmp_path)
    assert (tmp_path / "curve.png").stat().st_size > 5_000


def test_free_requests_hostile_names_and_nothing_are_drawn(tmp_path: Path) -> None:
    evil = [replace(TUNED, line="$x^{2$ \x1b[31m", usd=0.0), replace(RAG, line="<script>" * 30, usd=0.0)]
    found = analyse(Experiment(items=30).draws(evil, np.random.default_rng(0)), suite="\x1b[2J")
    lost = Lost(line="\x1b[2J", labels=100, seed=0, noise=0.0, why="all failed")
    for shown in (replace(found, lost=[lost]), analyse([])):
        save(picture(shown), tmp_path)
    assert "\x1b" not in picture(replace(found, lost=[lost])).alt

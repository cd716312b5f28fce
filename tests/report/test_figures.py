from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from helpers.summaries import summary

from thirdlever.charts import accuracy, figures, style
from thirdlever.charts.style import spread
from thirdlever.decision.sensitivity import Swing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    from thirdlever.decision.gates import Gate
    from thirdlever.decision.payback import Payback

SHEETS = [style.FILE, style.WIDE, style.NARROW]
HOSTILE = ["$x^{2$", "\x1b[31mred\u202e", "<script>&amp;", "日本語", "a" * 300]


def spending(name: str, start: float, end: float, months: float = 12.0, colour: str = style.GO) -> figures.Spending:
    return figures.Spending(name=name, colour=colour, path=[(0.0, start), (months, end)])


def back(months: float | None, low: float | None = None, high: float | None = None) -> Payback:
    fields = {"candidate": "lora", "reference": "rag", "months": months, "months_low": low, "months_high": high}
    return cast("Payback", SimpleNamespace(**fields))


def gate(outcome: str, name: str = "Pays back in time", reason: str = "it pays back in 2 months") -> Gate:
    return cast("Gate", SimpleNamespace(name=name, outcome=outcome, reason=reason))


def money(*, pays: Payback | None = None, **more: Any) -> style.Picture:  # noqa: ANN401
    lines = [
        spending("Today's solution", 0, 60_000, colour=style.INK),
        spending("Retrieval, 5,000 examples", 300, 44_700),
        spending("Fine-tuned, 5,000 examples, prompt v7, gpt-4o-mini", 6000, 22_800, colour=style.MORE_DATA),
        spending("Prompt, 12 examples", 50, 43_000, colour=style.LINE),
    ]
    given: dict[str, Any] = {"volume": 3e6, "release": 5.0, "errors": False, "tuned": lines[2].name, "pays": pays}
    return figures.cumulative_picture(lines, **(given | more))


def tornado(names: Sequence[str] = ("Requests a month", "Price of an error")) -> style.Picture:
    bars = [
        Swing(name=name, low=10.0, high=40.0, unit="USD", usd_low=-2000.0 / i, usd_high=9000.0 / i)
        for i, name in enumerate(names, 1)
    ]
    return figures.tornado_picture(bars, 3000.0, shown=lambda _, value: f"${value:g}")


def boxes(figure: Figure, *gids: str) -> list[Bbox]:
    found: list[Any] = [artist for artist in figure.axes[0].get_children() if artist.get_gid() in gids]
    renderer: Any = figure.canvas
    return [artist.get_window_extent(renderer.get_renderer()) for artist in found]


def drawn(picture: style.Picture, sheet: style.Sheet) -> Figure:
    with style.settings():
        return picture.draw(sheet)


def assert_no_overlap_and_inside(figure: Figure, *gids: str) -> None:
    found = boxes(figure, *gids)
    assert found
    assert not [1 for a, b in itertools.combinations(found, 2) if a.overlaps(b)]
    # Half a pixel: letters are fitted to pixels.
    assert all(
        b.x0 >= -0.5 and b.y0 >= -0.5 and b.x1 <= figure.bbox.x1 + 0.5 and b.y1 <= figure.bbox.y1 + 0.5 for b in found
    )


# Labels


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("count", [1, 8, 12])
def test_latency_names_and_figures_do_not_overlap(sheet: style.Sheet, count: int) -> None:
    frame = summary(count)
    frame["candidate"] += " @ anthropic/claude-sonnet-4-5"
    assert_no_overlap_and_inside(drawn(figures.latency_picture(frame), sheet), "name", "figures")


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("months", [0.2, 2.5, 4.9])
def test_names_and_events_of_the_cost_chart_do_not_overlap(sheet: style.Sheet, months: float) -> None:
    assert_no_overlap_and_inside(drawn(money(pays=back(months)), sheet), "name", "event")


@pytest.mark.parametrize("sheet", SHEETS)
def test_names_and_values_of_the_tornado_do_not_overlap(sheet: style.Sheet) -> None:
    names = ["Requests a month", "Months until the next base model", "Saving per request", "Price of an error"]
    assert_no_overlap_and_inside(drawn(tornado(names), sheet), "name", "figures")


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("verdict", ["GO", "GO-FOR-COST", "NO-GO", "NEED-MORE-DATA"])
def test_the_text_of_a_card_stays_inside_it(sheet: style.Sheet, verdict: str) -> None:
    three = [
        gate("open", "Stable task, enough examples", "nobody has said whether the task is narrow and stays so"),
        gate("passed", "Prompt and retrieval first", "lora(examples=600, epochs=3) @ openai/gpt-4o-mini is worse " * 5),
        gate("failed"),
    ]
    figure = drawn(figures.gates_picture(three, verdict, "Use rag(k=20), 85.0 % right."), sheet)
    words = boxes(figure, "words")
    cards = boxes(figure, "card")
    assert len(cards) == 4
    assert all(any(c.x0 <= w.x0 and w.x1 <= c.x1 and c.y0 <= w.y0 and w.y1 <= c.y1 for c in cards) for w in words)
    assert_no_overlap_and_inside(figure, "words")


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("most", [0.010, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016, 0.018, 0.020])
def test_tick_labels_stay_inside_the_figure(sheet: style.Sheet, most: float) -> None:
    usd = [most, 0.0017, 0.0016, 0.0024, 0.0019, 0.008, 0.002, 0.00037]
    figure = drawn(accuracy.picture(summary(8, cost_per_1k_usd=usd)), sheet)
    renderer: Any = figure.canvas
    labels = [label.get_window_extent(renderer.get_renderer()) for label in figure.axes[0].get_xticklabels()]
    room = 0.05  # inches, for a browser has its own letters
    assert max(label.x1 for label in labels) <= (figure.get_figwidth() - room) * figure.dpi


def test_a_sentence_that_begins_with_a_name_is_not_capitalised() -> None:
    made = figures.gates_picture(
        [gate("failed", "Pays back", "lora is worse"), gate("passed", "First", "nothing is")], "GO", "Use it."
    )
    assert "Lora is worse" in made.alt
    named = figures.gates_picture(
        [gate("failed", "Pays back", "lora is worse"), gate("passed", "First", "nothing is")],
        "GO",
        "Use it.",
        names=["lora"],
    )
    assert "lora is worse" in named.alt
    assert "Nothing is" in named.alt


@pytest.mark.parametrize("count", [1, 3, 8, 12])
def test_names_do_not_overlap_in_the_narrow_chart(count: int) -> None:
    figure = drawn(accuracy.picture(summary(count)), style.NARROW)
    assert len(boxes(figure, "name")) == count
    assert_no_overlap_and_inside(figure, "name")


@pytest.mark.parametrize(
    "wanted", [[0.5], [0.1, 0.1, 0.1], [0.0, 1.0], [0.98, 0.99, 1.0], list(np.linspace(0.4, 0.6, 9)), []]
)
def test_spread_labels_keep_their_order_and_do_not_overlap(wanted: list[float]) -> None:
    sizes = [0.08] * len(wanted)
    places = spread(wanted, sizes)
    assert all(b - a >= 0.08 - 1e-9 for a, b in itertools.pairwise(places))
    assert all(0.04 - 1e-9 <= place <= 0.96 + 1e-9 for place in places)


# Content


def test_latencies_come_fastest_first_and_a_missing_one_is_named() -> None:
    frame = summary(5)
    frame.loc[frame["strategy"] == "long_context", "latency_p50_s"] = math.nan
    made = figures.latency_picture(frame)
    names = [text.get_text() for text in drawn(made, style.FILE).axes[0].texts if text.get_gid() == "name"]
    assert names == ["null(kind=embeddings)", "rag(k=5)", "few_shot(k=32)", "rag(k=20)"]
    assert made.notes[-1] == "Not shown (no latency measured): long_context."
    assert "long_context" not in made.alt


def test_a_latency_bar_goes_from_the_median_to_the_95th_percentile() -> None:
    axes = drawn(figures.latency_picture(summary(1)), style.FILE).axes[0]
    bar = next(line for line in axes.lines if line.get_gid() == "bar")
    assert np.asarray(bar.get_xdata()).tolist() == pytest.approx([0.612, 0.612 * 1.6])


def test_the_break_even_is_marked_and_named() -> None:
    made = money(pays=back(2.5))
    assert made.title == "The tune has paid back in month 2.5."
    axes = drawn(made, style.FILE).axes[0]
    line = next(line for line in axes.lines if line.get_gid() == "break-even")
    assert np.asarray(line.get_xdata()).tolist() == [2.5, 2.5]
    events = {text.get_text() for text in axes.texts if text.get_gid() == "event"}
    assert events == {"next base model, month 5", "paid back, month 2.5"}


@pytest.mark.parametrize(
    ("months", "said"),
    [
        (math.inf, "The tune does not pay back at all."),
        (None, "Cost over time."),
        (0.0, "The tune is cheaper from the first day."),
        (90.0, "The tune does not pay back before the next base model, but in month 90.0."),
        (5.3, "The tune does not pay back before the next base model, but in month 5.3."),
    ],
)
def test_a_missing_break_even_is_stated_and_not_drawn(months: float | None, said: str) -> None:
    made = money(pays=back(months))
    assert made.title == said
    assert not [line for line in drawn(made, style.FILE).axes[0].lines if line.get_gid() == "break-even"]


def test_a_tornado_shows_the_longest_bar_first_around_the_net_gain() -> None:
    made = tornado()
    assert made.title == "The tune gains $3,000 until the next base model; what matters most: requests a month."
    bars = [bar for bar in drawn(made, style.FILE).axes[0].patches if bar.get_gid() == "bar"]
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(-2000, 11_000), (-1000, 5500)]  # type: ignore[attr-defined]
    assert made.notes == ["One figure at a time, all others as assumed; the gain may be either sign."]


def test_cards_show_verdicts_by_shape_and_word() -> None:
    figure = drawn(
        figures.gates_picture([gate("passed"), gate("failed"), gate("open")], "NO-GO", "Use rag."), style.FILE
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"✓", "✕", "?", "passed", "failed", "open", "NO-GO"} <= set(texts)


@pytest.mark.parametrize("letter", ["W", "i"])
def test_notes_stay_inside_the_figure_whatever_their_letters(letter: str) -> None:
    words = " ".join([letter * 7] * 60)
    figure, _ = style.blank(style.FILE, 2, left=0.5, right=0.2, top=0.3, bottom=0.5, notes=[words])
    style.words(figure, style.FILE, title="", under="", notes=[words])
    *_, note = figure.texts
    box = note.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    assert box.x1 <= figure.bbox.x1
    lines = note.get_text().splitlines()
    assert len(lines) == (3 if letter == "W" else len(lines))
    assert lines[-1].endswith(" …" if letter == "W" else letter)


# Unusual data


@pytest.mark.parametrize("sheet", SHEETS)
def test_charts_without_data_are_drawn(sheet: style.Sheet) -> None:
    empty = summary(1).iloc[:0]
    given: dict[str, Any] = {"volume": 10, "release": 5.0, "tuned": None, "pays": None, "errors": True}
    none = figures.cumulative_picture([], **given)
    free = figures.cumulative_picture([spending("rag", 0, 0)], **given)
    for made in (figures.latency_picture(empty), none, free, figures.gates_picture([], "NEED-MORE-DATA", "")):
        assert drawn(made, sheet).axes
    assert figures.latency_picture(empty).alt.endswith("not measured.")
    assert none.alt == "Cost over time. Cost over 12 months: unknown for every candidate."


# Files and pages


def test_the_same_chart_gives_the_same_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert [path.name for path in style.save(money(), tmp_path / folder)] == ["cumulative.png", "cumulative.svg"]
    for name in ("cumulative.png", "cumulative.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_inline_figures_use_the_page_s_colours_and_unique_ids() -> None:
    both = "".join(svg for made in (money(), figures.latency_picture(summary(8))) for svg in style.inline(made))
    ids = re.findall(r'\bid="([^"]*)"', both)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', both)) <= set(ids)
    assert not set(re.findall(r"#[0-9a-f]{6}\b", both)) & set(style.DARK)
    for name in re.findall(r"var\((--f\w+)\)", both):
        assert f"{name}: light-dark(" in style.variables()


@pytest.mark.parametrize("sheet", SHEETS)
def test_hostile_names_are_drawn_as_text(sheet: style.Sheet, tmp_path: Path) -> None:
    lines = [spending(name, 10, 100) for name in HOSTILE]
    made = [
        figures.cumulative_picture(
            lines, volume=10, release=5, tuned=None, pays=None, errors=False, source=["<b>", *HOSTILE]
        ),
        figures.latency_picture(summary(5, candidate=HOSTILE), suite="$\\frac$"),
        figures.gates_picture([gate("passed", name, name) for name in HOSTILE], "GO", HOSTILE[2]),
    ]
    for picture in made:
        assert drawn(picture, sheet).axes
        style.save(picture, tmp_path)
        for svg in style.inline(picture):
            root = ET.fromstring(svg)  # noqa: S314 - ours
            assert not [element for element in root.iter() if "script" in element.tag]
            assert "\x1b" not in svg
            assert "\u202e" not in svg


def test_every_strategy_has_its_own_shape_and_colour() -> None:
    strategies = [path.stem for path in Path("strategies").glob("[!_]*.py")]
    looks = style.styles([*strategies, "mine"])
    for of_all in zip(*(looks[name] for name in strategies), strict=True):
        assert len(set(of_all)) == len(strategies)
    assert len(set(looks.values())) == len(looks)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [style.INK, style.QUIET, style.GO, style.NO_GO, style.MORE_DATA])
def test_text_has_enough_contrast_in_light_and_dark(colour: str) -> None:
    for paper in (style.PAPER, style.BAND):
        assert contrast(colour, paper) >= 4.5
        assert contrast(style.DARK[colour], style.DARK[paper]) >= 4.5

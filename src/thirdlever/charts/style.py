"""What all charts share: colours, shapes and fonts; sheets and files; and where labels go."""

from __future__ import annotations

import io
import itertools
import random
import re
import warnings
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from thirdlever.core import files
from thirdlever.core.text import escape_html, escape_terminal, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Mask: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


DPI = 200
POINTS = 72  # typographic points an inch
INK, QUIET, LINE, GRID, BAND, PAPER = "#1f1f1f", "#595959", "#9a9a9a", "#e4e4e4", "#f5f5f5", "#ffffff"
GO, NO_GO, MORE_DATA = "#007a5a", "#b34700", "#00619a"
# Okabe and Ito's colours, which colour-blind readers can tell apart, and two more; shapes that say the same in grey,
# even hollow.
LOOKS = (
    ("v", "#56b4e9"),
    ("P", "#7b3fa0"),
    ("X", "#8c564b"),
    (">", "#009e73"),
    ("s", "#0072b2"),
    ("D", "#cc79a7"),
    ("^", "#e69f00"),
    ("o", "#7f7f7f"),
    ("p", "#d55e00"),
    ("<", "#101010"),  # SVG leaves plain black out, and a page could not turn it
)
MODELS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#7f7f7f")  # colours of base models, in their order
_SALT = "1845"  # gives each strategy that comes with thirdlever a look of its own
# What each colour is on a dark page: the same hue, light enough to be seen there.
DARK = {
    INK: "#ececec",
    QUIET: "#b0b3b8",
    LINE: "#7d8187",
    GRID: "#34373c",
    BAND: "#22252a",
    PAPER: "#17191d",
    GO: "#3ccf9f",
    NO_GO: "#ff9a5c",
    MORE_DATA: "#6cc0f5",
    "#7f7f7f": "#a8a8a8",
    "#0072b2": "#4aa8e0",
    "#d55e00": "#f07b2a",
    "#009e73": "#24c496",
    "#101010": "#ffffff",
    "#7b3fa0": "#b993e6",
    "#8c564b": "#c9998e",
}
_OWN_SHAPES, _OWN_COLOUR = ("*", "h", "8", "d"), QUIET
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure everywhere
    "svg.hashsalt": "thirdlever",  # the same file for the same run
}
_MARGIN = 0.16  # inches left of all text outside the axes
_HEADING = 0.8  # inches of the title and the line under it
_NOTE, _NOTE_LINES = 7.5, 3  # points of the notes, and their lines at most
_METADATA = {"png": {"Software": None}, "svg": {"Date": None}}
_PROLOGUE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)
_DECIMALS = re.compile(r"([1-9]\d*\.\d\d)\d+")  # numbers below 1 may be scales, and keep all digits
_ID = re.compile(r'\bid="([^"]*)"')
_USED = re.compile(r'(xlink:href="#|url\(#)([^")]+)')

# Directions of a label from its point. Right first: text reads away from it; straight up and down last: error bars.
_DIRECTIONS = (
    *((1, 0), (-1, 0), (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (1, 1), (1, -1), (-1, 1), (-1, -1)),
    *((0.6, 1), (0.6, -1), (-0.6, 1), (-0.6, -1), (0.3, 1), (0.3, -1), (-0.3, 1), (-0.3, -1), (0, 1), (0, -1)),
)
_RINGS = (1.0, 1.6, 2.2, 3.0, 4.0, 5.2, 6.6, 8.2, 10.0, 12.0, 14.5, 17.5, 21.0, 25.0, 30.0)  # in gaps
_LED = 1  # from this ring on, a leader line ties the label to its point
_ORDERS, _PASSES = 24, 40
# What a place costs: covering a mark or another label, a leader that crosses one, a leader that crosses another,
# being nearer to another point than to its own, covering a line, a further ring, a later direction.
_COVER, _CROSS, _TANGLE, _ASTRAY, _LINE, _RING, _TURN = 1000.0, 150.0, 40.0, 40.0, 9.0, 3.0, 0.3


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a figure is drawn on.

    Attributes:
        width: inches.
        worded: whether title and notes are part of the figure; a page has them as text instead.
        narrow: whether it is for a phone.
    """

    width: float
    worded: bool
    narrow: bool = False


FILE, WIDE, NARROW = Sheet(8.0, worded=True), Sheet(8.0, worded=False), Sheet(3.6, worded=False, narrow=True)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure and its words.

    Attributes:
        name: of its files.
        title: what it shows.
        under: the line under the title: suite, size, date.
        notes: how to read it, and what it leaves out.
        alt: its content in words, for readers who cannot see it.
        draw: returns the figure on a sheet.
        wide: the sheet for a desktop page.
    """

    name: str
    title: str
    under: str
    notes: Sequence[str]
    alt: str
    draw: Callable[[Sheet], Figure]
    wide: Sheet = WIDE


@contextmanager
def settings() -> Iterator[None]:
    """Draw and save with the project's settings, whatever the user's matplotlib configuration is."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # it is drawn as a box
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def styles(strategies: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Shape and colour by strategy, the same in every chart; where two share a look, the second takes a further one."""
    further = itertools.cycle((shape, _OWN_COLOUR) for shape in _OWN_SHAPES)
    looks: dict[str, tuple[str, str]] = {}
    for name in sorted(set(strategies)):
        look = LOOKS[zlib.crc32(f"{_SALT}{name}".encode()) % len(LOOKS)]
        looks[name] = next(further) if look in looks.values() else look
    return looks


def blank(
    sheet: Sheet, height: float, *, left: float, right: float, top: float, bottom: float, notes: Sequence[str] = ()
) -> tuple[Figure, Axes]:
    """A figure with empty axes of this height and this much room around them, in inches, and with room for `words`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    foot = 0.116 + 0.142 * max(2, len(_wrapped(notes, sheet))) if sheet.worded else 0.0
    whole = (_HEADING if sheet.worded else 0.0) + top + height + bottom + foot
    figure = Figure(figsize=(sheet.width, whole), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    place = (left / sheet.width, (foot + bottom) / whole, 1 - (left + right) / sheet.width, height / whole)
    return figure, figure.add_axes(place, facecolor="none")


def words(figure: Figure, sheet: Sheet, *, title: str, under: str, notes: Sequence[str]) -> None:
    """Write title and notes, on a sheet that has them."""
    if not sheet.worded:
        return
    height, left = figure.get_figheight(), _MARGIN / sheet.width
    look: dict[str, Any] = {"ha": "left", "parse_math": False, "color": QUIET}
    figure.text(left, 1 - 0.234 / height, title, fontsize=13.5, weight="bold", va="top", **(look | {"color": INK}))
    figure.text(left, 1 - 0.53 / height, under, fontsize=9.5, va="top", **look)
    note = "\n".join(_wrapped(notes, sheet))
    figure.text(left, 0.104 / height, note, fontsize=_NOTE, va="bottom", linespacing=1.35, **look)


def _wrapped(notes: Sequence[str], sheet: Sheet) -> list[str]:
    """The notes in lines that fit between the margins."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font, room = FontProperties(size=_NOTE), 0.98 * POINTS * (sheet.width - 2 * _MARGIN)  # renderers round letters up

    def fits(line: str) -> bool:
        return bool(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] <= room)

    lines: list[str] = []
    for word in " ".join(notes).split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > _NOTE_LINES:
        last = lines[_NOTE_LINES - 1]
        while not fits(f"{last} …"):
            last = last.rpartition(" ")[0] or last[:-1]
        lines = [*lines[: _NOTE_LINES - 1], f"{last} …"]
    return lines


def bare(axes: Axes) -> None:
    """Leave only the lower edge of the axes, and quiet labels."""
    axes.set_axisbelow(True)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=QUIET)
    axes.tick_params(axis="x", length=4, color=QUIET, labelsize=9, labelcolor=QUIET, pad=4)


def colour_key(axes: Axes, colours: Sequence[tuple[str, str]], bottom: float) -> None:
    """A row of (meaning, colour) above the axes, at this share of their height."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 7, "mec": "none"}
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, bottom), "borderaxespad": 0.15}
    axes.legend(
        handles=[Line2D([], [], mfc=colour, label=meaning, **look) for meaning, colour in colours],
        ncols=len(colours),
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        labelcolor=INK,
        **place,
    )


def label(name: str, width: int, lines: int) -> str:
    """A name in at most so many short lines."""
    folded = fold(escape_terminal(name), width).splitlines()
    return "\n".join(folded[:lines]) + ("…" if len(folded) > lines else "")


def heading(*parts: str) -> str:
    """The line under a title; empty parts are left out."""
    return " · ".join(filter(None, map(escape_terminal, parts)))


# Files and pages


def save(picture: Picture, folder: Path) -> list[Path]:
    """Write a picture as PNG and SVG, each whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    with settings():
        figure = picture.draw(FILE)
        drawn = [(folder / f"{picture.name}.{kind}", _saved(figure, kind)) for kind in _METADATA]
    for path, data in drawn:
        files.write(path, data)
    return [path for path, _ in drawn]


def inline(picture: Picture) -> list[str]:
    """The picture for a page, as two SVG elements: one for a desktop, one for a phone.

    Their colours are the page's `variables`, so that one drawing serves light and dark pages.
    """
    found = []
    with settings():
        for sheet, kind in ((picture.wide, "wide"), (NARROW, "narrow")):
            svg = _saved(picture.draw(sheet), "svg").decode()
            found.append(_element(svg, f"{picture.name}-{kind}", kind, picture.alt))
    return found


def variables() -> str:
    """The figures' colours as CSS custom properties, for a page that is light or dark."""
    return " ".join(f"{_variable(light)}: light-dark({light}, {dark});" for light, dark in DARK.items())


def _variable(colour: str) -> str:
    return f"--f{colour.removeprefix('#')}"


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def _element(svg: str, prefix: str, kind: str, alt: str) -> str:
    """An SVG file as part of a page: unique ids, short numbers, the page's colours, a label for screen readers."""
    svg = _DECIMALS.sub(r"\1", _PROLOGUE.sub("", svg))
    svg = re.sub("|".join(DARK), lambda found: f"var({_variable(found[0])})", svg)
    used = {name for _, name in _USED.findall(svg)}
    svg = _ID.sub(lambda found: f'id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    svg = _USED.sub(rf"\1{prefix}-\2", svg)
    opening = f'<svg class="{kind}" role="img" aria-label="{escape_html(alt)}"'
    return svg.replace("<svg", opening, 1).strip()


# Labels


def spread(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Places for labels near `wanted` so that none overlap and all are within 0 to 1.

    Labels that would touch become a block around the mean of their wanted places (pool adjacent violators).
    Labels that need more than all the room start at 0 and go on beyond 1.

    Args:
        wanted: the middle of each label, ascending.
        sizes: the height of each label, in the same unit.

    >>> [round(at, 3) for at in spread([0.5, 0.5, 0.9], [0.2, 0.2, 0.1])]
    [0.4, 0.6, 0.9]
    """
    # With the heights of the labels before it taken off, "no overlap" means "in order".
    before = [sum(sizes[:i]) + size / 2 for i, size in enumerate(sizes)]
    blocks: list[list[float]] = []  # [sum of places, number]
    for want, offset in zip(wanted, before, strict=True):
        blocks.append([want - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            place, number = blocks.pop()
            blocks[-1][0] += place
            blocks[-1][1] += number
    places = [place / number for place, number in blocks for _ in range(int(number))]
    last = max(1 - sum(sizes), 0.0)
    return [min(max(place, 0.0), last) + offset for place, offset in zip(places, before, strict=True)]


class Box(NamedTuple):
    """A rectangle."""

    x0: float
    y0: float
    x1: float
    y1: float

    def grown(self, margin: float) -> Box:
        """The rectangle with a margin on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)


class Spot(NamedTuple):
    """A label's place, and the line (x0, y0, x1, y1) to its point if it is far from it."""

    box: Box
    leader: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class _Choices:
    """A label's n possible places.

    Attributes:
        boxes: [n, 4].
        leaders: [n, 4], from the point to the label.
        led: [n], whether the leader is drawn.
        cost: [n], what each place costs before there are other labels.
    """

    boxes: Array
    leaders: Array
    led: Mask
    cost: Array


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    bounds: Box,
    hard: Sequence[Box],
    soft: Sequence[Box],
    gap: float,
) -> list[Spot]:
    """Places for labels, one per point.

    Every direction on every ring around a point has a cost. Labels take turns in choosing their cheapest place given
    the others, until none can improve; of several orders of turns, the cheapest result wins. No two labels overlap and
    none covers a mark as long as there is a place where that is so.

    Args:
        points: what is labelled.
        sizes: width and height of each label.
        bounds: labels stay inside.
        hard: what a label must not cover (marks, error bars).
        soft: what a label should not cover (lines).
        gap: distance of a label from its point, in the same unit as all the rest.
    """
    obstacles = np.array(hard).reshape(-1, 4), np.array(soft).reshape(-1, 4)
    choices = [
        _choices(point, size, points=points, bounds=bounds, obstacles=obstacles, gap=gap)
        for point, size in zip(points, sizes, strict=True)
    ]
    shuffler, order = random.Random(0), list(range(len(points)))  # noqa: S311 - not a secret
    outcomes = []
    for _ in range(_ORDERS):
        outcomes.append(_settle(choices, order))
        shuffler.shuffle(order)
    spots = []
    for options, c in zip(choices, min(outcomes)[1], strict=True):
        x0, y0, x1, y1 = map(float, options.leaders[c])
        spots.append(Spot(Box(*map(float, options.boxes[c])), (x0, y0, x1, y1) if options.led[c] else None))
    return spots


def _choices(
    point: tuple[float, float],
    size: tuple[float, float],
    *,
    points: Sequence[tuple[float, float]],
    bounds: Box,
    obstacles: tuple[Array, Array],
    gap: float,
) -> _Choices:
    """Every direction on every ring that is inside the bounds."""
    ring, turn = (axis.ravel() for axis in np.mgrid[: len(_RINGS), : len(_DIRECTIONS)])
    half = np.array(size) / 2
    centre = np.array(point) + np.array(_DIRECTIONS)[turn] * (np.array(_RINGS)[ring, None] * gap + half)
    boxes = np.hstack([centre - half, centre + half])
    inside = (boxes[:, :2] >= bounds[:2]).all(axis=1) & (boxes[:, 2:] <= bounds[2:]).all(axis=1)
    cost, led = _RING * ring**1.5 + _TURN * turn, ring >= _LED
    if inside.any():
        boxes, cost, led = boxes[inside], cost[inside], led[inside]
    leaders = np.hstack([np.broadcast_to(point, (len(boxes), 2)), np.clip(point, boxes[:, :2], boxes[:, 2:])])
    hard, soft = obstacles
    others = hard[~((hard[:, :2] <= point) & (hard[:, 2:] >= point)).all(axis=1)]  # all but its own mark
    away = np.array([_distance(boxes, other) for other in points])
    cost = cost + _COVER * _overlap(boxes, hard).sum(axis=1) + _LINE * _overlap(boxes, soft).sum(axis=1)
    cost += np.where(led, _CROSS * _cross(leaders, others).sum(axis=1), 0.0)
    cost += _ASTRAY * (away.min(axis=0) < np.minimum(_distance(boxes, point), 2 * gap))
    return _Choices(boxes, leaders, led, cost)


def _settle(choices: Sequence[_Choices], order: Sequence[int]) -> tuple[float, list[int]]:
    """Let the labels take turns until none can improve: (total cost, the place chosen for each)."""
    chosen = [int(options.cost.argmin()) for options in choices]

    def costs(i: int) -> Array:
        """What each place of label i costs, given the others."""
        mine, others = choices[i], [(choices[j], c) for j, c in enumerate(chosen) if j != i]
        if not others:
            return mine.cost
        boxes = np.array([options.boxes[c] for options, c in others])
        leaders = np.array([options.leaders[c] for options, c in others])
        led = np.array([options.led[c] for options, c in others])
        clash = _COVER * _overlap(mine.boxes, boxes)
        clash += _TANGLE * (mine.led[:, None] & led & _tangle(mine.leaders, leaders))
        clash += _CROSS * (mine.led[:, None] & _cross(mine.leaders, boxes))
        clash += _CROSS * (led & _cross(leaders, mine.boxes).T)
        total: Array = mine.cost + clash.sum(axis=1)
        return total

    for _ in range(_PASSES):
        before = list(chosen)
        for i in order:
            chosen[i] = int(costs(i).argmin())
        if chosen == before:
            break
    return float(sum(costs(i)[c] for i, c in enumerate(chosen))), chosen


def _distance(boxes: Array, point: tuple[float, float]) -> Array:
    """From each box (n, 4) to a point: (n,)."""
    apart: Array = np.clip(point, boxes[:, :2], boxes[:, 2:]) - point
    return np.hypot(apart[:, 0], apart[:, 1])


def _overlap(boxes: Array, others: Array) -> Mask:
    """Whether boxes (n, 4) and others (m, 4) share area: (n, m)."""
    ax0, ay0, ax1, ay1 = (side[:, None] for side in boxes.T)
    bx0, by0, bx1, by1 = others.T
    shared: Mask = (ax0 < bx1) & (bx0 < ax1) & (ay0 < by1) & (by0 < ay1)
    return shared


def _cross(lines: Array, boxes: Array) -> Mask:
    """Whether segments (n, 4) pass through boxes (m, 4): (n, m), by Liang and Barsky's clipping."""
    enter, leave = np.zeros((len(lines), len(boxes))), np.ones((len(lines), len(boxes)))
    for low in (0, 1):
        start, end = lines[:, low, None], lines[:, low + 2, None]
        step = np.where(end == start, 1e-9, end - start)
        near, far = (boxes[:, low] - start) / step, (boxes[:, low + 2] - start) / step
        enter = np.maximum(enter, np.minimum(near, far))
        leave = np.minimum(leave, np.maximum(near, far))
    passes: Mask = np.less(enter, leave)
    return passes


def _tangle(lines: Array, others: Array) -> Mask:
    """Whether segments (n, 4) and others (m, 4) cross, ends apart: (n, m)."""
    px, py, qx, qy = (end[:, None] for end in lines.T)
    rx, ry, sx, sy = others.T
    ux, uy, vx, vy = qx - px, qy - py, sx - rx, sy - ry
    apart = (ux * (ry - py) - uy * (rx - px)) * (ux * (sy - py) - uy * (sx - px)) < 0
    meet: Mask = apart & ((vx * (py - ry) - vy * (px - rx)) * (vx * (qy - ry) - vy * (qx - rx)) < 0)
    return meet

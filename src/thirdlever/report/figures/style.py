"""What every figure shares: colours, shapes, letters, and the sheets they are drawn on."""

from __future__ import annotations

import textwrap
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.text import fold, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
POINTS = 72  # typographic points an inch
INK, QUIET, LINE, GRID, BAND, PAPER = "#1f1f1f", "#595959", "#9a9a9a", "#e4e4e4", "#f5f5f5", "#ffffff"
GO, NO_GO, MORE_DATA = "#007a5a", "#b34700", "#00619a"
# Okabe and Ito's colours, which colour-blind readers can tell apart; shapes that say the same in grey, even hollow.
STRATEGIES = {
    "null": ("o", "#7f7f7f"),
    "zero_shot": ("v", "#56b4e9"),
    "few_shot": ("^", "#e69f00"),
    "long_context": ("D", "#cc79a7"),
    "rag": ("s", "#0072b2"),
    "lora": ("p", "#d55e00"),
    "managed": (">", "#009e73"),
    "distilled": ("<", "#101010"),  # SVG leaves plain black out, and a page could not turn it
}
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
}
_OWN_SHAPES, _OWN_COLOUR = ("*", "h", "8", "d", "P", "X"), QUIET
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure everywhere
    "svg.hashsalt": "thirdlever",  # the same file for the same run
}
_MARGIN = 0.16  # inches left of all text outside the axes
_HEADING = 0.8  # inches of title and line under it


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a figure is drawn on.

    Attributes:
        width: inches.
        worded: whether title and notes are part of the figure; a page writes its own, which can be read aloud.
        narrow: whether it is a phone's.
    """

    width: float
    worded: bool
    narrow: bool = False


FILE, WIDE, NARROW = Sheet(8.0, worded=True), Sheet(8.0, worded=False), Sheet(3.6, worded=False, narrow=True)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure and the words that go with it.

    Attributes:
        name: of its files.
        title: what it shows.
        under: of what, when.
        notes: how to read it, and what is missing from it.
        alt: what one who cannot see it must know.
        draw: the figure on a sheet.
    """

    name: str
    title: str
    under: str
    notes: Sequence[str]
    alt: str
    draw: Callable[[Sheet], Figure]


@contextmanager
def settings() -> Iterator[None]:
    """Draw and save as the project does, whatever the reader's own style sheet says."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box; the table has it
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def styles(strategies: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Shape and colour by strategy; a user's own strategies take further shapes in order of name."""
    own = sorted(set(strategies) - set(STRATEGIES))
    return STRATEGIES | {name: (_OWN_SHAPES[i % len(_OWN_SHAPES)], _OWN_COLOUR) for i, name in enumerate(own)}


def blank(
    sheet: Sheet, height: float, *, left: float, right: float, top: float, bottom: float, notes: Sequence[str] = ()
) -> tuple[Figure, Axes]:
    """A figure with one frame.

    Args:
        sheet: what to draw on.
        height: of the frame, in inches.
        left: inches beside the frame.
        right: inches beside the frame.
        top: inches between the frame and the heading.
        bottom: inches between the frame and the notes.
        notes: what will stand below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    foot = 0.116 + 0.142 * max(2, len(_lines(notes, sheet))) if sheet.worded else 0.0
    head = _HEADING if sheet.worded else 0.0
    whole = head + top + height + bottom + foot
    figure = Figure(figsize=(sheet.width, whole), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    place = (left / sheet.width, (foot + bottom) / whole, 1 - (left + right) / sheet.width, height / whole)
    return figure, figure.add_axes(place, facecolor="none")


def words(figure: Figure, sheet: Sheet, *, title: str, under: str, notes: Sequence[str]) -> None:
    """Title and notes, on a sheet that has them."""
    if not sheet.worded:
        return
    height = figure.get_figheight()
    left = _MARGIN / sheet.width
    style: dict[str, Any] = {"ha": "left", "parse_math": False, "color": QUIET}
    figure.text(left, 1 - 0.234 / height, title, fontsize=13.5, weight="bold", va="top", **(style | {"color": INK}))
    figure.text(left, 1 - 0.53 / height, under, fontsize=9.5, va="top", **style)
    note = "\n".join(_lines(notes, sheet))
    figure.text(left, 0.104 / height, note, fontsize=7.5, va="bottom", linespacing=1.35, **style)


def bare(axes: Axes) -> None:
    """As little ink as will do: the lower edge and quiet letters."""
    axes.set_axisbelow(True)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=QUIET)
    axes.tick_params(axis="x", length=4, color=QUIET, labelsize=9, labelcolor=QUIET, pad=4)


def label(name: str, width: int, lines: int) -> str:
    """A name in a few short lines."""
    folded = fold(printable(name), width).splitlines()
    return "\n".join(folded[:lines]) + ("…" if len(folded) > lines else "")


def heading(*parts: str) -> str:
    """The line under a title."""
    return " · ".join(filter(None, map(printable, parts)))


def _lines(notes: Sequence[str], sheet: Sheet) -> list[str]:
    return textwrap.wrap(" ".join(notes), round(18 * sheet.width), max_lines=3, placeholder=" …")

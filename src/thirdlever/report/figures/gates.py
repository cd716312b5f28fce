"""The three gates and what they come to, as a strip of cards: word, shape and colour say the same."""

from __future__ import annotations

import itertools
import textwrap
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.core.text import printable
from thirdlever.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thirdlever.decision.gates import Gate

_Said: TypeAlias = tuple[str, str, str]  # heading, verdict, why

LOOKS = {"GO": ("✓", style.GO), "NO-GO": ("✕", style.NO_GO), "NEED-MORE-DATA": ("?", style.MORE_DATA)}
_LINE, _GAP, _PAD = 0.155, 0.12, 0.12  # inches
_WORD = 0.42  # inches of the verdict's line
_MOST_LINES = 7
_LETTER = 4.75  # points that a letter takes at 8.5 points, on average


@dataclass(frozen=True, slots=True)
class _Card:
    """What a card says; the last one, which is the verdict's, is framed."""

    heading: Sequence[str]
    verdict: str
    lines: Sequence[str]
    framed: bool

    def height(self, above: int) -> float:
        """Inches, with so many lines for the heading."""
        return 2 * _PAD + _LINE * (above + len(self.lines)) + _WORD


def picture(
    gates: Sequence[Gate],
    verdict: str,
    outcome: str,
    *,
    names: Collection[str] = (),
    suite: str = "",
    date: str = "",
) -> style.Picture:
    """A card for each gate, and one for the verdict.

    Args:
        gates: in order.
        verdict: what they come to.
        outcome: what to do then, in a few words.
        names: of candidates; a sentence that begins with one keeps its letter small.
        suite: its name, for the heading.
        date: of the run, for the heading.
    """
    cards: list[_Said] = [
        (f"{i}  {gate.name}", gate.verdict, _capital(gate.reason, names)) for i, gate in enumerate(gates, 1)
    ]
    cards.append(("Fine-tune?", verdict, outcome))
    title = "The three gates before fine-tuning"
    under = style.heading(suite, date)
    said = "; ".join(f"{printable(name)}: {word}, {printable(why)}" for name, word, why in cards[:-1])
    alt = f"Gates. {said}. Verdict: {verdict}. {printable(outcome)}"
    return style.Picture("gates", title, under, [], alt, partial(_figure, cards, title=title, under=under))


def _figure(cards: Sequence[_Said], sheet: style.Sheet, *, title: str, under: str) -> Figure:
    side = 0.16 if sheet.worded else 0.03
    across = 1 if sheet.narrow else len(cards)
    width = (sheet.width - 2 * side - (across - 1) * _GAP) / across
    drawn = [_card(card, width, framed=card is cards[-1]) for card in cards]
    most = max(len(card.heading) for card in drawn)
    above = [len(card.heading) if sheet.narrow else most for card in drawn]  # verdicts stand side by side
    heights = [card.height(lines) for card, lines in zip(drawn, above, strict=True)]
    if sheet.narrow:
        tops = list(itertools.accumulate((height + _GAP for height in heights), initial=0.0))
        boxes = [(0.0, top, width, height) for top, height in zip(tops, heights, strict=False)]
        height = tops[-1] - _GAP
    else:
        height = max(heights)
        boxes = [(i * (width + _GAP), 0.0, width, height) for i in range(across)]
    figure, axes = style.blank(sheet, height, left=side, right=side, top=0.05, bottom=0.05)
    axes.set_xlim(0, sheet.width - 2 * side)
    axes.set_ylim(height, 0)
    axes.axis("off")
    for card, box, lines in zip(drawn, boxes, above, strict=True):
        _draw(axes, card, box, lines, size=10.5 if sheet.narrow else 8.5)
    style.words(figure, sheet, title=title, under=under, notes=[])
    return figure


def _capital(text: str, names: Collection[str]) -> str:
    return text if text.startswith(tuple(names)) else text[:1].upper() + text[1:]


def _card(card: _Said, width: float, *, framed: bool) -> _Card:
    characters = int((width - 2 * _PAD) * style.POINTS / _LETTER)
    heading, verdict, why = card
    lines = textwrap.wrap(printable(why), characters, max_lines=_MOST_LINES, placeholder=" …")
    return _Card(textwrap.wrap(printable(heading), characters), verdict, lines, framed)


def _draw(axes: Axes, card: _Card, box: tuple[float, float, float, float], above: int, *, size: float) -> None:
    """Heading, then the verdict, then why."""
    from matplotlib.patches import Rectangle

    sign, colour = LOOKS[card.verdict]
    x, y, width, height = box
    axes.add_patch(Rectangle((x, y), width, height, facecolor=style.BAND, linewidth=0, gid="card"))
    axes.add_patch(Rectangle((x, y), width, 0.05, facecolor=colour, linewidth=0))
    if card.framed:
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.6))
    text: dict[str, Any] = {"ha": "left", "va": "baseline", "parse_math": False, "gid": "words"}
    y += _PAD
    for i, line in enumerate(card.heading):
        axes.text(x + _PAD, y + 0.14 + i * _LINE, line, fontsize=8.5, color=style.QUIET, **text)
    y += above * _LINE
    axes.plot([x + _PAD + 0.08], [y + 0.22], marker="o", markersize=11.5, mfc=colour, mec="none")
    middle: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
    axes.text(x + _PAD + 0.08, y + 0.22, sign, fontsize=8, weight="bold", color=style.PAPER, **middle)
    axes.text(x + _PAD + 0.23, y + 0.22 + size / 200, card.verdict, fontsize=size, weight="bold", color=colour, **text)
    for i, line in enumerate(card.lines):
        axes.text(x + _PAD, y + _WORD + 0.12 + i * _LINE, line, fontsize=8.5, color=style.INK, **text)

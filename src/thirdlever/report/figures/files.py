"""Figures as files, and as SVG inside a page, where they take the page's colours."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING

from thirdlever.core import files
from thirdlever.report.figures.style import DARK, DPI, FILE, NARROW, WIDE, settings

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from thirdlever.report.figures.style import Picture

_METADATA = {"png": {"Software": None}, "svg": {"Date": None}}
_PROLOGUE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)
_DECIMALS = re.compile(r"([1-9]\d*\.\d\d)\d+")  # what is below 1 may be a scale
_ID = re.compile(r'\bid="([^"]*)"')
_USED = re.compile(r'(xlink:href="#|url\(#)([^")]+)')


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
    """The picture for a page: an SVG element for a desktop, and one for a phone.

    Colours are the page's variables (`variables`), so that one drawing serves a light and a dark page.
    """
    found = []
    with settings():
        for sheet, kind in ((WIDE, "wide"), (NARROW, "narrow")):
            svg = _saved(picture.draw(sheet), "svg").decode()
            found.append(_element(svg, f"{picture.name}-{kind}", kind, picture.alt))
    return found


def variables() -> str:
    """The figures' colours as CSS custom properties, for a page that is light or dark."""
    return " ".join(f"{_variable(light)}: light-dark({light}, {dark});" for light, dark in DARK.items())


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def _element(svg: str, prefix: str, kind: str, alt: str) -> str:
    """A file's SVG as part of a page: unique ids, short numbers, the page's colours, words in place of the picture."""
    svg = _DECIMALS.sub(r"\1", _PROLOGUE.sub("", svg))
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda found: _shade(found[0]), svg)
    used = {name for _, name in _USED.findall(svg)}
    svg = _ID.sub(lambda found: f'id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    svg = _USED.sub(rf"\1{prefix}-\2", svg)
    opening = f'<svg class="{kind}" role="img" aria-label="{html.escape(alt)}"'
    return svg.replace("<svg", opening, 1).strip()


def _variable(colour: str) -> str:
    return f"--f{colour.removeprefix('#')}"


def _shade(colour: str) -> str:
    return f"var({_variable(colour)})" if colour in DARK else colour

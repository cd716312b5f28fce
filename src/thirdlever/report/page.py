"""The report page of a run: one file that shows every answer, without a network.

What a model said is hostile. It comes only as deflated base64 in blocks that no browser executes, is shown as text by
the page's own script, and that script and style are all that the page's policy lets run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from thirdlever.core import files as atomic
from thirdlever.core.text import printable
from thirdlever.report.page_data import page_data

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.analysis.run import Run

NAME = "report.html"

_SCRIPTS = ("dom", "data", "candidates", "filters", "grid", "panel", "confusions", "main")
_PLACE = re.compile(r"\{\{ (\w+) \}\}")


def write(run: Run, path: Path | None = None) -> Path:
    """Write a run's page, whole or not at all.

    Args:
        run: what to show.
        path: where; `report.html` in its folder by default.

    Raises:
        RunError: the run has no answers.
        OSError: it cannot be written.
    """
    path = path or run.folder / NAME
    atomic.write(path, render(run).encode())
    return path


def render(run: Run) -> str:
    """The page as HTML."""
    data = page_data(run)
    style = _asset("report.css")
    script = "\n".join(['"use strict";', "{", *(_asset(f"report_{name}.js") for name in _SCRIPTS), "}"])
    matrix, *texts = (_block(name, content) for name, content in data.blocks.items())
    parts = {
        "title": html.escape(printable(f"{data.head['suite']}, {data.head['run']}: every answer")),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "style": style,
        "head": _inert(json.dumps(data.head, allow_nan=False)),
        "matrix": matrix,
        "script": script,
        "texts": "\n".join(texts),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _asset("report.html"))


def _asset(name: str) -> str:
    return (files("thirdlever.report") / "templates" / name).read_text("utf-8")


def _block(name: str, content: str) -> str:
    return f'<script type="text/plain" id="{name}">{content}</script>'


def _inert(text: str) -> str:
    """JSON in which no tag can begin or end."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

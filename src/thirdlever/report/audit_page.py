"""The page of an audit: every check with the items that it names and their texts, in one self-contained file."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from thirdlever.core import project
from thirdlever.core.text import counted, escape_html, sentence
from thirdlever.report.page import asset, policy_hash
from thirdlever.report.tables import audit_verdict, split_sizes

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence

    from thirdlever.runner.audit import Concern
    from thirdlever.suites.suite import Item, Suite

MOST = 1_000  # items of a check; the ids of all are in --format json
LONGEST = 2_000  # characters of a text
_FEW = 20  # items of a check that is open from the start


def render(suite: Suite, concerns: Sequence[Concern], today: dt.date) -> str:
    """The page as HTML. Its policy allows this script and this style only, so that no text can run or load anything.

    Items with secrets or personal data are named without their texts, under each check.
    """
    style = asset("report.css") + asset("audit.css")
    script = "\n".join(['"use strict";', "{", asset("audit.js"), "}"])
    known = {item.id: (part, item) for part, items in _parts(suite) for item in items}
    hidden = {name: concern.notes.get(name, "") for concern in concerns if concern.private for name in concern.items}
    shown = _Shown(known, hidden)
    return Template(asset("audit.html")).substitute(
        title=escape_html(f"{suite.name}: audit of the data"),
        subtitle=escape_html(f"{split_sizes(suite)} · {today} · thirdlever {project.version()}"),
        verdict=escape_html(sentence(audit_verdict(concerns))),
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
        style=style,
        script=script,
        concerns="\n".join(shown.concern(concern) for concern in concerns),
    )


def _parts(suite: Suite) -> Iterator[tuple[str, Sequence[Item]]]:
    yield from (("train", suite.train.items), ("dev", suite.dev.items), ("test", suite.test.items))
    yield "unlabelled", suite.unlabelled


class _Shown:
    """Items as HTML."""

    def __init__(self, known: Mapping[str, tuple[str, Item]], hidden: Mapping[str, str]) -> None:
        """Take the items by id, and what is in those whose texts are not shown."""
        self.known = known
        self.hidden = hidden

    def concern(self, concern: Concern) -> str:
        """A check, to be opened."""
        found = [name for name in concern.items if name in self.known]
        body = ""
        if found:
            body = f'<ul class="found">{"".join(self._line(concern, name) for name in found[:MOST])}</ul>'
        elif concern.examples:
            lines = "".join(f"<li><bdi>{escape_html(line)}</bdi></li>" for line in concern.examples)
            body = f'<ul class="examples">{lines}</ul>'
        if len(found) > MOST:
            left = counted(len(found) - MOST, "more item")
            body += f'<p class="rest">and {left}: their ids are in --format json</p>'
        is_open = " open" if concern.level in {"error", "warning"} and len(found) <= _FEW else ""
        head = (
            f'<span class="level {concern.level}">{concern.level}</span><h2>{escape_html(concern.check)}</h2>'
            f'<span class="sentence">{escape_html(concern.sentence)}</span>'
        )
        inside = body or '<p class="rest">No items to show.</p>'
        return (
            f'<details class="concern" data-level="{concern.level}"{is_open}><summary>{head}</summary>'
            f'<div class="body-of">{inside}</div></details>'
        )

    def _line(self, concern: Concern, name: str) -> str:
        part, item = self.known[name]
        said = concern.notes.get(name)
        other = concern.beside.get(name)
        more = f'<div class="said"><bdi>{escape_html(said)}</bdi></div>' if said and name not in self.hidden else ""
        if other is not None and other in self.known:
            near, like = self.known[other]
            label = f"{near} {other}"
            more += f'<div class="other"><div class="id">{escape_html(label)}</div>{self._text(like)}</div>'
        return (
            f'<li><div class="id"><strong><bdi>{escape_html(name)}</bdi></strong> {part}</div>'
            f'<div class="what">{self._text(item)}{more}</div></li>'
        )

    def _text(self, item: Item) -> str:
        if item.id in self.hidden:
            return f'<div class="quiet">not shown: {escape_html(self.hidden[item.id])}</div>'
        target = f'<div class="target"><bdi>{_clipped(item.target)}</bdi></div>' if item.target else ""
        return f'<div class="text inline">{_clipped(item.input)}</div>{target}'


def _clipped(text: str) -> str:
    """A text with its line breaks, escaped line by line: all else that cannot be seen is made visible."""
    left = len(text) - LONGEST
    more = f" … ({left:,} more characters)" if left > 0 else ""
    return "\n".join(escape_html(line) for line in f"{text[:LONGEST]}{more}".split("\n"))

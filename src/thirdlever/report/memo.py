"""The memo as Markdown (GitHub's), in which no name or answer is a link, HTML or layout."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files as resources
from typing import TYPE_CHECKING

from thirdlever.analysis import outcomes
from thirdlever.charts import accuracy, style
from thirdlever.charts import figures as cumulative
from thirdlever.charts import figures as gates
from thirdlever.charts import figures as latency
from thirdlever.charts.figures import LOOKS
from thirdlever.core import files
from thirdlever.core.text import md_code, percent
from thirdlever.report.memo_content import content, failures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import jinja2
    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.charts.style import Picture
    from thirdlever.decision.verdict import Decision
    from thirdlever.report.memo_content import Memo, Shown, Table


# What Markdown would obey: marks anywhere, addresses that become links by themselves, marks that begin a line.
_MARKS = re.compile(r"([\\`*_\[\]<>|#~&])|(:)(?=//)|(@)|(?<=www)(\.)")
_BEGINNING = re.compile(r"^(?:([-+=])(?!\d)|(\d+)(?=[.)](?:\s|$)))")
_SIGNS = {"GO": "✓", "NO-GO": "✕", "NEED-MORE-DATA": "?"}


def render_markdown(memo: Memo, pictures: Sequence[Picture]) -> str:
    """The memo's text; figures are referred to as files beside it."""
    return "\n".join(_lines(memo, {picture.name: picture for picture in pictures})).rstrip() + "\n"


def escaped(text: str) -> str:
    r"""Text in which Markdown finds nothing to obey.

    >>> escaped("<b>rag_k</b> | http://x")
    '\\<b\\>rag\\_k\\</b\\> \\| http\\://x'
    """
    text = _MARKS.sub(r"\\\g<0>", text.strip())
    return _BEGINNING.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\", text)


def _lines(memo: Memo, pictures: dict[str, Picture]) -> Iterator[str]:
    yield from (
        f"**{memo.verdict}.** {escaped(memo.sentence)}",
        "",
        f"# {escaped(memo.title)}",
        "",
        memo.under + ".",
        "",
    )
    yield from (f"- {escaped(what)}: **{escaped(value.replace(chr(10), ' '))}**" for what, value in memo.facts)
    yield from ("", "## Side by side", "", *_table(memo.candidates))
    yield from _picture(pictures.pop("chart"))
    yield from _picture(pictures.pop("gates"))
    yield from ("## Money and time", "")
    for picture in pictures.values():
        yield from _picture(picture)
    yield from _gates(memo)
    yield from ("## What would change our mind", "", *(f"- {escaped(line)}" for line in memo.changes))
    yield from ("", *(f"> {escaped(note)}  " for note in memo.notes), "")
    yield from ("## Failures worth reading", "")
    for heading, items in memo.failures:
        yield from (f"### {escaped(heading)}", "", *(line for item in items for line in _failure(item)))
    if not memo.failures:
        yield from ("No item sets the chosen candidate apart from the others.", "")
    for table in (memo.assumptions, memo.questions, *memo.details):
        yield from (f"## {table.title}", "", *_table(table))
    yield from ("## Provenance", "", *(f"- {escaped(what)}: {md_code(value)}" for what, value in memo.provenance), "")
    for table in memo.sources:
        yield from (f"### {table.title}", "", *_table(table))
    yield from ("### To recompute", "", "Offline, from the run's folder:", "")
    yield from (f"    {line}" for line in memo.recompute)


def _gates(memo: Memo) -> Iterator[str]:
    yield from ("## The gates in full", "")
    for i, gate in enumerate(memo.gates, 1):
        heading = f"### {i}. {escaped(gate.name)}: {_SIGNS[gate.verdict]} {gate.verdict}"
        yield from (heading, "", escaped(gate.question), "")
        told = {"Evidence": gate.evidence, "Held against": gate.threshold, "What would change it": gate.change}
        yield from (f"- {what}: {escaped(text)}" for what, text in told.items())
        yield ""


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(table.columns) + " |"
    yield "|" + "|".join("--:" if i in table.figures else ":--" for i in range(len(table.columns))) + "|"
    for row in table.rows:
        name, _, role = row[0].partition("\n")
        first = md_code(name) if table.names else escaped(name)
        yield "| " + " | ".join([f"{first}<br>**{role}**" if role else first, *map(escaped, row[1:])]) + " |"
    yield from ("", table.note, "") if table.note else ("",)


def _picture(picture: Picture) -> Iterator[str]:
    yield from (f"![{escaped(picture.alt)}]({picture.name}.png)", "")


def _failure(item: Shown) -> Iterator[str]:
    part = f" ({md_code(item.slice)})" if item.slice else ""
    yield from (f"- {md_code(item.item)}{part}: {md_code(item.input)}", f"  - Right: {md_code(item.target)}")
    for reply in item.replies:
        names = ", ".join(map(md_code, reply.candidates))
        yield f"  - {'✓' if reply.right else '✕'} {md_code(reply.text)}: {names}"
    yield from ([f"  - and {item.more} more"] if item.more else [])
    yield ""


_TEMPLATES = resources("thirdlever.report") / "templates"


def render_html(memo: Memo, pictures: Sequence[Picture]) -> str:
    """The page."""
    from markupsafe import Markup

    drawn = {picture.name: (picture, [Markup(svg) for svg in style.inline(picture)]) for picture in pictures}  # noqa: S704 - ours
    return _template().render(
        memo=memo,
        pictures=drawn,
        signs={verdict: sign for verdict, (sign, _) in LOOKS.items()},
        css=Markup((_TEMPLATES / "memo.css").read_text("utf-8")),  # noqa: S704 - ours
        colours=Markup(style.variables()),  # noqa: S704 - ours
    )


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((_TEMPLATES / "memo.html").read_text("utf-8"))


MARKDOWN, PAGE = "memo.md", "memo.html"


def write(run: Run, decision: Decision, folder: Path, *, given: Sequence[str] = ()) -> list[Path]:
    """Write `memo.md`, `memo.html` and the figures, each whole or not at all.

    Args:
        run: what was decided on.
        decision: what `decide` returned for it.
        folder: made where it is not there.
        given: the assumptions of the command line, as typed, so that the memo can say how it was made.

    Returns:
        The files, the page first.

    Raises:
        OSError: the folder cannot be written.
    """
    a = decision.assumptions
    summary = run.summary_at(a.device_usd_per_hour, a.utilisation)
    scores = outcomes.load(run)
    use = decision.chosen if decision.chosen in scores.candidates else None
    failed = failures(run, scores, use) if use else ([], [])
    memo = content(run, decision, summary, failed, given)
    pictures = _pictures(run, decision, summary)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / PAGE, folder / MARKDOWN]
    figures = [path for picture in pictures for path in style.save(picture, folder)]
    files.write(paths[0], render_html(memo, pictures).encode())
    files.write(paths[1], render_markdown(memo, pictures).encode())
    return [*paths, *figures]


def _pictures(run: Run, decision: Decision, summary: pd.DataFrame) -> list[Picture]:
    """The figures; money over months only where the volume is known."""
    suite, date = run.info["suite"]["name"], run.info["finished"][:10]
    a, tuned = decision.assumptions, decision.tuned
    found = [
        accuracy.picture(summary, suite=suite, date=date),
        gates.gates_picture(
            decision.gates,
            decision.verdict,
            _outcome(decision),
            names=[*decision.standings],
            suite=suite,
            date=date,
        ),
    ]
    if a.monthly_volume is not None:
        found.append(
            cumulative.cumulative_picture(
                decision.costs.values(),
                volume=a.monthly_volume,
                release=a.horizon_months,
                marked={name for name in (decision.chosen, decision.stay, tuned) if name is not None},
                pays=decision.paybacks.get(tuned) if tuned else None,
                suite=suite,
                date=date,
            )
        )
    return [*found, latency.latency_picture(summary, suite=suite, date=date)]


def _outcome(decision: Decision) -> str:
    """What to do, in a few words."""
    if decision.chosen is None:
        return "There is no candidate to use yet."
    one = decision.standings[decision.chosen]
    use = f"{decision.chosen}, {percent(one.accuracy)} right"
    if decision.worse_than_today:
        return f"Best measured: {use}."
    return f"{'Until then, use' if decision.verdict == 'NEED-MORE-DATA' else 'Use'} {use}."

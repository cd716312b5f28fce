"""The decision memo: written once, as GitHub Markdown, and rendered to one self-contained HTML page."""

from __future__ import annotations

import re
from importlib.resources import files as resources
from string import Template
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

from thirdlever.analysis import outcomes
from thirdlever.charts import accuracy, figures, style
from thirdlever.core import files
from thirdlever.core.table import Column, Table
from thirdlever.core.text import escape_html, escape_markdown, escape_terminal, markdown_code, percent
from thirdlever.report import memo_content as content
from thirdlever.report.decision import headline, notes, one_sentence, plan_lines, what_would_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

    from thirdlever.analysis.run import Run
    from thirdlever.charts.style import Picture
    from thirdlever.core.table import Cell
    from thirdlever.decision.verdict import Decision
    from thirdlever.report.memo_content import Disagreement, MemoTable


MARKDOWN, PAGE = "memo.md", "memo.html"

_LONGEST_EVIDENCE, _LONGEST_INPUT, _LONGEST_ANSWER = 4000, 600, 160  # characters
_SHOWN_ANSWERS = 5
_SECTION = 2  # the level of headings that open a section; those below it open an article
_WIDE = 40  # characters of a cell that needs a wide column
_SIGNED = re.compile(
    rf"[✓✕?] ({'|'.join(sorted([*figures.VERDICTS, *figures.OUTCOMES], key=len, reverse=True))})"
)  # a verdict or an outcome in a heading


def write(run: Run, decision: Decision, folder: Path, *, given: Sequence[str] = ()) -> list[Path]:
    """Write `memo.html`, `memo.md` and the figures, each whole or not at all.

    Args:
        run: the run that was decided on.
        decision: what `decide` returned for it.
        folder: is created if it is missing.
        given: the assumptions of the command line, as typed; the memo's commands repeat them.

    Returns:
        The files, the page first.

    Raises:
        OSError: the folder cannot be written.
    """
    a = decision.assumptions
    summary = run.summary_at(a.device_usd_per_hour, a.utilisation)
    pictures = {picture.name: picture for picture in _pictures(run, decision, summary)}
    markdown = render_markdown(run, decision, summary, pictures=pictures, given=given)
    title = f"{decision.verdict}: {_title(run)}"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [path for picture in pictures.values() for path in style.save(picture, folder)]
    files.write(folder / PAGE, render_html(markdown, title, pictures).encode())
    files.write(folder / MARKDOWN, markdown.encode())
    return [folder / PAGE, folder / MARKDOWN, *drawn]


def _pictures(run: Run, decision: Decision, summary: pd.DataFrame) -> Iterator[Picture]:
    suite, date = run.info["suite"]["name"], run.info["finished"][:10]
    a, tuned, names = decision.assumptions, decision.tuned, [*decision.standings]
    yield accuracy.picture(summary, suite=suite, date=date)
    yield figures.gates_picture(
        decision.gates, decision.verdict, _recommendation(decision), names=names, suite=suite, date=date
    )
    if a.monthly_volume is not None:
        yield figures.cumulative_picture(
            decision.costs.values(),
            volume=a.monthly_volume,
            release=a.horizon_months,
            marked={name for name in (decision.chosen, decision.stay, tuned) if name is not None},
            pays=decision.paybacks.get(tuned) if tuned else None,
            suite=suite,
            date=date,
        )
    yield figures.latency_picture(summary, suite=suite, date=date)


def _recommendation(decision: Decision) -> str:
    if decision.chosen is None:
        return "No candidate can be recommended yet."
    use = f"{decision.chosen}, {percent(decision.standings[decision.chosen].accuracy)} right"
    if decision.worse_than_today:
        return f"Best measured: {use}."
    return f"{'Until then, use' if decision.verdict == 'NEED-MORE-DATA' else 'Use'} {use}."


def _title(run: Run) -> str:
    return f"Prompt, retrieval or fine-tune: {escape_terminal(run.info['suite']['name'])}"


# Markdown


def _text(text: str, longest: int = content.LONGEST) -> str:
    return escape_markdown(content.clean(text, longest))


def _code(text: str) -> str:
    """A code span outside tables, where a pipe needs no backslash."""
    return markdown_code(text).replace("\\|", "|")


def render_markdown(
    run: Run,
    decision: Decision,
    summary: pd.DataFrame,
    *,
    pictures: Mapping[str, Picture],
    given: Sequence[str],
) -> str:
    """The memo as Markdown; figures are files beside it."""
    first, *rest = _page_one(run, decision, summary, pictures), _audit(run, decision, summary, given)
    blocks = (
        first,
        _money(pictures),
        _gates(decision),
        _changes(decision),
        _failures(run, decision),
        _prompts(run),
        *rest,
    )
    return "\n".join(line for block in blocks for line in block).rstrip() + "\n"


def _page_one(run: Run, decision: Decision, summary: pd.DataFrame, pictures: Mapping[str, Picture]) -> Iterator[str]:
    sign, _ = figures.VERDICTS[decision.verdict]
    yield f"# **{sign} {decision.verdict}.** {_text(headline(decision))}"
    yield from (
        "",
        _text(one_sentence(decision), _LONGEST_EVIDENCE),
        "",
        f"{escape_markdown(_title(run))}. Decision memo on the run of {escape_markdown(run.info['finished'][:10])}.",
        "",
    )
    for what, value in content.headline_facts(decision, summary):
        figure, _, interval = value.partition("\n")
        yield f"- {escape_markdown(what)}: **{escape_markdown(figure)}** {escape_markdown(interval)}".rstrip()
    yield from ("", "## The plan", "")
    yield from (f"{number}. {_text(line, _LONGEST_EVIDENCE)}" for number, line in enumerate(plan_lines(decision), 1))
    yield from ("", *_table(content.candidates(decision, summary), level=2))
    if (best := content.by_model(summary)) is not None:
        yield from _table(best)
    yield from (*_image(pictures["chart"]), *_image(pictures["gates"]))


def _money(pictures: Mapping[str, Picture]) -> Iterator[str]:
    yield from ("## Cost and latency", "")
    if "cumulative" in pictures:
        yield from _image(pictures["cumulative"])
    else:
        yield "Cost over time is not shown because the monthly volume is unknown. State it with"
        yield from ("`--assume monthly_volume=N`.", "")
    yield from _image(pictures["latency"])


def _image(picture: Picture) -> tuple[str, str]:
    return f"![{escape_markdown(picture.alt)}]({picture.name}.png)", ""


def _gates(decision: Decision) -> Iterator[str]:
    yield from ("## The gates in detail", "")
    for i, gate in enumerate(decision.gates, 1):
        sign, _ = figures.OUTCOMES[gate.outcome]
        yield from (
            f"### {i}. {escape_markdown(gate.name)}: {sign} {gate.outcome}",
            "",
            escape_markdown(gate.question),
            "",
        )
        texts = {"Evidence": gate.evidence, "Threshold": gate.threshold, "What would change it": gate.change}
        yield from (f"- **{what}:** {_text(text, _LONGEST_EVIDENCE)}" for what, text in texts.items())
        yield ""


def _changes(decision: Decision) -> Iterator[str]:
    changes = what_would_change(decision) or ["No change of the assumptions examined would change it."]
    yield from (
        "## What would change the verdict",
        "",
        *(f"- {_text(line)}" for line in changes),
        "",
    )
    if remarks := notes(decision):
        yield from ("### Notes", "", *(f"- {_text(note)}" for note in remarks), "")


def _failures(run: Run, decision: Decision) -> Iterator[str]:
    yield from ("## Failures worth reading", "")
    scores, chosen = outcomes.load(run), decision.chosen
    lost, won = content.disagreements(run, scores, chosen) if chosen in scores.candidates else ([], [])
    if not (lost or won):
        yield from ("No item distinguishes the recommended candidate from the others.", "")
    for heading, items in (("is wrong, others are right", lost), ("is right, others are wrong", won)):
        if items:
            yield from (f"### {_code(chosen or '')} {heading}", "", *(line for item in items for line in _item(item)))
            yield ""


def _prompts(run: Run) -> Iterator[str]:
    """The prompt files of the run, and what searches found."""
    shown = content.prompts(run)
    if shown:
        yield from ("## Prompts", "")
    for prompt in shown:
        lines = [escape_terminal(line) for line in prompt.source.strip().splitlines()]
        fence = "`" * max(3, 1 + max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0))
        yield from (f"### {_code(prompt.name)}", "", _text(prompt.about, _LONGEST_EVIDENCE), "")
        yield from (f"{fence}jinja", *lines, fence, "")


def _item(one: Disagreement) -> Iterator[str]:
    slice_ = f" ({_code(content.clean(one.slice))})" if one.slice else ""
    text = "input not recorded" if one.input is None else _code(content.clean(one.input, _LONGEST_INPUT))
    yield f"- **{_code(content.clean(one.item))}**{slice_}: {text}"
    yield f"  - Expected: {_code(content.clean(one.target, _LONGEST_ANSWER))}"
    for answer in one.answers[:_SHOWN_ANSWERS]:
        verdict = "✓ Right" if answer.right else "✕ Wrong"
        names = ", ".join(map(_code, answer.candidates))
        yield f"  - {verdict}: {_code(content.clean(answer.text, _LONGEST_ANSWER))} from {names}"
    if more := sum(len(answer.candidates) for answer in one.answers[_SHOWN_ANSWERS:]):
        yield f"  - and {more} more"


def _audit(run: Run, decision: Decision, summary: pd.DataFrame, given: Sequence[str]) -> Iterator[str]:
    yield from _table(content.assumptions(decision), level=2)
    yield from ("## All figures, tests and costs", "")
    for table in content.details(decision, summary):
        yield from _table(table)
    yield from ("## Provenance", "")
    yield from (f"- {escape_markdown(what)}: {_code(value)}" for what, value in content.provenance_facts(run))
    yield from ("", *_table(content.models(run)), *_table(content.prices(run)))
    yield from ("### Reproduce", "", "Without a model, a key or a network, from the run's folder:", "")
    yield from (f"    {line}" for line in content.commands(run, given))


def _table(memo: MemoTable, level: int = 3) -> Iterator[str]:
    columns = [
        Column(head, "figure" if side == "r" else "text") for head, side in zip(memo.columns, memo.align, strict=True)
    ]
    if memo.names:
        columns[0] = Column(memo.columns[0], "name")
    rows: list[list[Cell]] = [[tuple(cell.split("\n")) for cell in row] for row in memo.rows]
    yield from (f"{'#' * level} {memo.title}", "", Table(columns, rows).markdown(further=" *{}*", bold=memo.marked), "")
    yield from (memo.note, "") if memo.note else ()


# HTML


def render_html(markdown: str, title: str, pictures: Mapping[str, Picture]) -> str:
    """The memo as one file, with its figures inside: it runs no script and loads nothing.

    Args:
        markdown: what `render_markdown` returned.
        title: of the browser's tab.
        pictures: the figures by name; the page shows them as SVG in its own colours.
    """
    # The memo has no links and no HTML: with these rules off, even a mistake in `escape_markdown` could not make any.
    off = ["link", "autolink", "reference", "html_inline", "html_block", "entity"]
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table").disable(off)
    templates = resources("thirdlever.report") / "templates"
    return Template((templates / "memo.html").read_text("utf-8")).substitute(
        title=escape_html(title),
        colours=style.variables(),
        css=(templates / "memo.css").read_text("utf-8"),
        body=parser.render(markdown, {"pictures": {f"{name}.png": one for name, one in pictures.items()}}),
    )


class _Renderer(RendererHTML):
    """Renders sections, articles and scrolling tables, and draws figures in place of images."""

    def __init__(self, parser: Any = None) -> None:  # noqa: ANN401 - unused by markdown-it
        super().__init__(parser)
        self._levels: list[int] = []  # of the headings whose section or article is open
        self._heading = ""

    def render(self, tokens: Sequence[Token], options: OptionsDict, env: EnvType) -> str:
        return super().render(tokens, options, env) + self._closed(0)

    def heading_open(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        level, self._heading = int(tokens[i].tag[1]), tokens[i + 1].content
        found = _SIGNED.search(self._heading)
        tone = found[1].lower() if found else "plain"
        slug = re.sub(r"\W+", "-", self._heading.lower()).strip("-")
        opened = self._closed(level)
        if level == 1:
            tokens[i].attrSet("class", tone)
        else:
            opened += f'<section id="{slug}">\n' if level == _SECTION else f'<article class="{tone}">\n'
            self._levels.append(level)
        return opened + self.renderToken(tokens, i, options, env)

    def _closed(self, level: int) -> str:
        closed = ""
        while self._levels and self._levels[-1] >= level:
            closed += "</section>\n" if self._levels.pop() == _SECTION else "</article>\n"
        return closed

    def table_open(self, *_: object) -> str:
        label = escape_html(f"{self._heading}, table")
        return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">\n<table>\n'

    def table_close(self, *_: object) -> str:
        return "</table>\n</div>\n"

    def td_open(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        """A cell; the first of a row is its heading."""
        token, first = tokens[i], tokens[i - 1].type == "tr_open"
        classes = ["figure"] if "right" in str(token.attrs.pop("style", "")) else []
        classes += ["long"] if len(tokens[i + 1].content) > _WIDE else []
        if classes:
            token.attrSet("class", " ".join(classes))
        if token.tag == "th" or first:
            token.attrSet("scope", "col" if token.tag == "th" else "row")
            token.tag = "th"
        return self.renderToken(tokens, i, options, env)

    th_open = td_open

    def td_close(self, tokens: Sequence[Token], i: int, *_: object) -> str:
        return "</th>\n" if tokens[i - 3].type == "tr_open" else "</td>\n"

    def paragraph_open(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        beside = tokens[i + tokens[i].nesting]  # its text: the next token at its start, the one before at its end
        only_image = [child.type for child in beside.children or ()] == ["image"]
        return "" if only_image else self.renderToken(tokens, i, options, env)

    paragraph_close = paragraph_open

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        tokens[idx].attrSet("tabindex", "0")  # it scrolls
        return super().code_block(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        picture: Picture | None = env["pictures"].get(tokens[idx].attrs.get("src"))
        if picture is None:
            return escape_html(self.renderInlineAsText(tokens[idx].children, options, env))
        caption = f"<strong>{escape_html(picture.title)}</strong> {escape_html(' '.join(picture.notes))}"
        drawings = "\n".join(style.inline(picture))
        return f'<figure id="{picture.name}">\n<figcaption>{caption}</figcaption>\n{drawings}\n</figure>\n'

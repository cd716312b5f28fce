"""The decision memo: written once, as GitHub Markdown, and rendered to one self-contained HTML page."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass, replace
from importlib.resources import files as resources
from string import Template
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

from thirdlever.analysis import learning, outcomes
from thirdlever.charts import accuracy, figures, learning_curve, style
from thirdlever.core import files
from thirdlever.core.errors import RunError
from thirdlever.core.table import Column, Table
from thirdlever.core.text import escape_html, escape_markdown, escape_terminal, markdown_code, percent, quantity
from thirdlever.decision import gates
from thirdlever.decision.sensitivity import net_gain, swings
from thirdlever.decision.verdict import plan
from thirdlever.report import memo_content as content
from thirdlever.report import page_one
from thirdlever.report.decision import headline, notes, one_sentence, others, what_would_change
from thirdlever.report.more_labels import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

    from thirdlever.analysis.learning import LearningCurve
    from thirdlever.analysis.run import Run
    from thirdlever.charts.style import Picture
    from thirdlever.core.table import Cell
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.costs import Cost
    from thirdlever.decision.verdict import Decision
    from thirdlever.report.memo_content import Disagreement, MemoTable


FOLDER, MARKDOWN, PAGE = "memo", "memo.md", "memo.html"

_LONGEST_EVIDENCE, _LONGEST_INPUT, _LONGEST_ANSWER = 4000, 600, 160  # characters
_SHOWN_ANSWERS = 5
_LOOKED = (
    "These are test items. Whoever changes a prompt or the training because of them has used up the test: measure the "
    "change on new items."
)
_BARS = 5  # of the tornado
_SECTION = 2  # the level of headings that open a section; those below it open an article
_PERCENT = re.compile(r"(?<=\d) %")
_WIDE = 40  # characters of a cell that needs a wide column
_SIGNED = re.compile(
    rf"[✓✕?] ({'|'.join(sorted([*figures.VERDICTS, *figures.OUTCOMES], key=len, reverse=True))})"
)  # a verdict or an outcome in a heading


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a memo is about.

    Attributes:
        title: of the suite, or of the figures.
        source: what the decision was made on, for commands: a run's folder, or a file of figures.
        given: the assumptions of the command line, as typed; the memo's commands repeat them.
        run: None for stated figures.
        owner: who is responsible for the decision; "" if not named.
        approver: who signs it; "" if not named.
        curve: a learning curve of the run's suite; see `curve_of`.
    """

    title: str
    source: Path
    given: Sequence[str] = ()
    run: Run | None = None
    owner: str = ""
    approver: str = ""
    curve: LearningCurve | None = None

    @property
    def sources(self) -> list[str]:
        """The line under the charts' titles: run, suite, base models, date."""
        if self.run is None:
            return [self.source.name]
        bases = dict.fromkeys(one.get("base") or one.get("model") for one in self.run.info["candidates"])
        return [self.run.folder.name, self.title, *(base for base in bases if base), self.date]

    @property
    def date(self) -> str:
        """The day of the measurement; today for stated figures."""
        return self.run.info["finished"][:10] if self.run else f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"


def write(subject: Subject, decision: Decision, folder: Path) -> list[Path]:
    """Write `memo.html`, `memo.md` and the figures, each whole or not at all.

    Args:
        subject: the run or the figures that were decided on.
        decision: what `decide` returned for it.
        folder: is created if it is missing.

    Returns:
        The files, the page first.

    Raises:
        OSError: the folder cannot be written.
    """
    memo = _Memo(subject, decision)
    pictures = {picture.name: picture for picture in memo.pictures()}
    markdown = memo.markdown(pictures)
    title = f"{decision.verdict}: {escape_terminal(subject.title)}"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [path for picture in pictures.values() for path in style.save(picture, folder)]
    files.write(folder / PAGE, render_html(markdown, title, pictures).encode())
    files.write(folder / MARKDOWN, markdown.encode())
    return [folder / PAGE, folder / MARKDOWN, *drawn]


def curve_of(run: Run | None, folder: Path) -> LearningCurve:
    """The learning curve in a folder, for the memo of a run.

    Raises:
        RunError: the folder holds none, or its suite is not what the run was measured on, or there is no run.
    """
    if run is None:
        message = "--curve: a file of figures has no suite; give a run, or leave --curve out"
        raise RunError(message)
    of, suite = learning.info(folder)["suite"], run.info["suite"]
    if of["hash"] != suite["hash"]:
        what = "another version of" if of["name"] == suite["name"] else f"suite {of['name']!r}, not of"
        message = f"--curve: {str(folder)!r} is of {what} suite {suite['name']!r}; measure the curve again"
        raise RunError(message)
    return learning.load(folder)


def headline_of(markdown: str) -> tuple[str, str] | None:
    """Verdict and headline of a memo; None if the text is not a memo's."""
    found = re.match(r"# \*\*\S (.+?)\.\*\* (.+)", markdown)
    return None if found is None else (found[1], re.sub(r"\\(.)", r"\1", found[2]))


class _Memo:
    """The parts of a memo, which share the decision, its scorecards and the names for people."""

    def __init__(self, subject: Subject, decision: Decision) -> None:
        a, run = decision.assumptions, subject.run
        self.subject, self.decision, self.run = subject, decision, run
        self.names = page_one.DisplayNames(decision.standings, given=decision.given)
        self.summary = None if run is None else run.summary_at(a.device_usd_per_hour, a.utilisation)
        self.prompts = None if run is None else content.prompts_compared(run)

    # Pictures

    def pictures(self) -> Iterator[Picture]:
        """The chart of page one, then those of the appendix."""
        d, source = self.decision, self.subject.sources
        yield page_one.picture(d, self.names, source=source)
        names = list(map(self.names.__getitem__, d.standings))
        reasons = [replace(one, reason=self.names.within(one.reason)) for one in d.gates]
        yield figures.gates_picture(
            reasons, d.verdict, self._recommendation(), names=names, suite=self.subject.title, date=self.subject.date
        )
        if (spent := self._spending()) is not None:
            yield spent
        if (swings := self._swings()) is not None:
            yield swings
        if self.summary is not None:
            known = {name: self.names[name] for name in d.standings}
            shown = self.summary.assign(candidate=[known.get(name, name) for name in self.summary["candidate"]])
            yield figures.latency_picture(shown, suite=self.subject.title, date=self.subject.date)
            if self.subject.curve is not None:
                yield learning_curve.picture(self.subject.curve)
            if content.by_model(self.summary) is not None:
                whole = accuracy.picture(self.summary, suite=self.subject.title, date=self.subject.date)
                yield replace(whole, name="models")

    def _recommendation(self) -> str:
        d = self.decision
        if d.chosen is None:
            return "No candidate can be recommended yet."
        use = f"{self.names[d.chosen]}, {percent(d.standings[d.chosen].accuracy)} right"
        if d.worse_than_today:
            return f"Best measured: {use}."
        return f"{'Until then, use' if d.verdict == 'NEED-MORE-DATA' else 'Use'} {use}{others(d)}."

    def _spending(self) -> Picture | None:
        """Cost over time of today's solution, the recommended one and the tune; None without a volume."""
        d, a = self.decision, self.decision.assumptions
        if a.monthly_volume is None:
            return None
        pays = d.paybacks.get(d.tuned or "")
        end = figures.months_shown(a.horizon_months, pays)
        lines = []
        used = next((name for name, one in d.standings.items() if one.today), None)
        if used is None and (path := _path(page_one.stated_today(d), a, end)):
            lines.append(figures.Spending(name=page_one.TODAY, colour=figures.COLOURS["today"], path=path))
        for name in dict.fromkeys([used, d.stay, d.chosen, d.tuned]):
            cost = d.costs.get(name or "")
            path = [] if cost is None else _path(cost, a, end)
            if name and path:
                role = page_one.role(d, name)
                colour = style.LINE if name == d.stay and role == "other" else figures.COLOURS[role]
                lines.append(figures.Spending(name=self.names[name], colour=colour, path=path))
        shown = {line.name for line in lines}
        tuned = self.names[d.tuned] if d.tuned and self.names[d.tuned] in shown else None
        return figures.cumulative_picture(
            lines,
            volume=a.monthly_volume,
            release=a.horizon_months,
            tuned=tuned,
            pays=pays,
            errors=a.error_cost_usd is not None,
            source=self.subject.sources,
        )

    def _swings(self) -> Picture | None:
        """The tornado; None if the net gain of the tune is unknown."""
        d, a = self.decision, self.decision.assumptions
        back, cost = d.paybacks.get(d.tuned or ""), d.costs.get(d.tuned or "")
        now = net_gain(back, a.monthly_volume) if back else None
        if back is None or now is None:
            return None
        compared = next((one for one in d.comparisons if one.b == d.tuned and one.a == back.reference), None)
        again, extra = (cost.retuning if cost else None), back.extra_setup_usd or 0.0
        setup = None if again is None else (extra + again.low - again.usd, extra + again.high - again.usd)
        bars = swings(
            back,
            a,
            gain=(compared.low, compared.high) if compared else None,
            setup=setup,
            releases=gates.rules().release_months,
        )
        if not bars:
            return None
        return figures.tornado_picture(
            bars[:_BARS], now, shown=lambda one, value: quantity(value, one.unit), source=self.subject.sources
        )

    # Markdown

    def markdown(self, pictures: Mapping[str, Picture]) -> str:
        """The memo as Markdown; figures are files beside it."""
        blocks = (
            self._page_one(pictures),
            self._why(),
            self._prompts_compared(),
            self._retrieval(),
            self._money(pictures),
            self._more_labels(pictures),
            self._gates(pictures),
            self._failures(),
            self._prompts(),
            self._figures(pictures),
            self._provenance(),
        )
        return "\n".join(line for block in blocks for line in block).rstrip() + "\n"

    def _page_one(self, pictures: Mapping[str, Picture]) -> Iterator[str]:
        d, names = self.decision, self.names
        sign, _ = figures.VERDICTS[d.verdict]
        prompts = content.prompts_in_words(self.prompts) if self.prompts else []
        under = [self._about(), *(f"Which prompt? **{_text(line)}**" for line in prompts)]
        yield from (f"# **{sign} {d.outcome}.** {_text(headline(d))}", "", "  \n".join(under), "")
        for fact in page_one.facts(d, names):
            yield f"- {_text(fact.what)}: **{_text(fact.figure)}** {_text(fact.detail)}".rstrip()
        yield from ("", *_image(pictures["chart"]))
        yield from _table(content.options(page_one.choices(d, names), d), level=2)
        yield from ("## The plan", "")
        lines = page_one.steps(d, names)
        yield from (f"{number}. {_text(line, _LONGEST_EVIDENCE)}" for number, line in enumerate(lines, 1))
        yield from ("", "## Was it a fair comparison?", "")
        yield from (f"- {_text(what)}: **{_text(value)}**" for what, value in page_one.fairness(d))
        yield ""

    def _about(self) -> str:
        """The line under the headline."""
        found, subject = plan(self.decision), self.subject
        review = dt.date.fromisoformat(subject.date) + dt.timedelta(self.decision.assumptions.horizon_months * 365 / 12)
        tuned = self.decision.costs.get(self.decision.chosen or "")
        if tuned and tuned.retires:
            review = min(review, tuned.retires)
        parts = [
            subject.title,
            f"{'run' if subject.run else 'figures'} of {subject.date}",
            f"owner: {subject.owner or found.owner or 'not named'}",
            f"approver: {subject.approver or 'not named'}",
            f"next review by {review:%Y-%m-%d}",
        ]
        return " · ".join(map(_text, parts))

    def _why(self) -> Iterator[str]:
        d, names, within = self.decision, self.names, self.names.within
        changes = what_would_change(d) or ["No change of the assumptions examined would change it."]
        yield from ("## Why, and what would change it", "", _text(within(one_sentence(d)), _LONGEST_EVIDENCE), "")
        for one in plan(d).rejected:
            yield from (_text(f"Rejected: {names.inside(one.candidate)}: {within(one.reason)}.", _LONGEST_EVIDENCE), "")
        yield from (*(f"- {_text(within(line))}" for line in changes), "")
        if remarks := notes(d):
            yield from ("### Notes", "", *(f"- {_text(within(note))}" for note in remarks), "")

    def _prompts_compared(self) -> Iterator[str]:
        """Which prompt is better, if the run has strategies in several."""
        if self.prompts:
            yield from (*_table(content.by_prompt(self.prompts), level=2), "")

    def _retrieval(self) -> Iterator[str]:
        """Whether better search or a better model would help, if documents are retrieved."""
        found = self.run.retrieval() if self.run else {}
        if found:
            yield from ("## Would better search help?", "")
            yield from (_text(content.retrieval_in_words(found), _LONGEST_EVIDENCE), "")
            yield from (*_table(content.retrieval(found)), "")

    def _money(self, pictures: Mapping[str, Picture]) -> Iterator[str]:
        yield from ("## Cost and latency", "")
        if "cumulative" in pictures:
            yield from _image(pictures["cumulative"])
        else:
            yield "Cost over time is not shown because the monthly volume is unknown. State it with"
            yield from ("`--assume monthly_volume=N`.", "")
        for name in ("sensitivity", "latency"):
            if name in pictures:
                yield from _image(pictures[name])

    def _more_labels(self, pictures: Mapping[str, Picture]) -> Iterator[str]:
        """The learning curve, if one is given."""
        if (curve := self.subject.curve) is None:
            return
        a = self.decision.assumptions
        priced = replace(curve, usd_per_label=a.usd_per_label if "usd_per_label" in a.sources else None)
        yield from ("## Would more labels help?", "", *_image(pictures[learning_curve.NAME]))
        yield from (f"- {_text(line, _LONGEST_EVIDENCE)}" for line in sentences(priced))
        yield ""

    def _gates(self, pictures: Mapping[str, Picture]) -> Iterator[str]:
        yield from ("## The gates in detail", "", *_image(pictures["gates"]))
        for i, gate in enumerate(self.decision.gates, 1):
            sign, _ = figures.OUTCOMES[gate.outcome]
            yield from (f"### {i}. {_text(gate.name)}: {sign} {gate.outcome}", "", _text(gate.question), "")
            texts = {"Evidence": gate.evidence, "Threshold": gate.threshold, "What would change it": gate.change}
            yield from (
                f"- **{what}:** {_text(self.names.within(text), _LONGEST_EVIDENCE)}" for what, text in texts.items()
            )
            yield ""

    def _failures(self) -> Iterator[str]:
        """Items on which the recommended candidate and others disagree."""
        if self.run is None or self.decision.evidence.no_verdict:
            return
        yield from ("## Failures worth reading", "")
        scores, chosen = outcomes.load(self.run), self.decision.chosen
        chosen = self.decision.evidence.repeats.get(chosen or "", (chosen,))[0]
        found = content.disagreements(self.run, scores, chosen) if chosen in scores.candidates else ([], [])
        if not any(found):
            yield from ("No item distinguishes the recommended candidate from the others.", "")
        else:
            yield from (_LOOKED, "")
        for heading, items in zip(("is wrong, others are right", "is right, others are wrong"), found, strict=True):
            if items:
                name = _code(chosen or "")
                yield from (f"### {name} {heading}", "", *(line for item in items for line in _item(item)), "")

    def _prompts(self) -> Iterator[str]:
        """The prompt files of the run, and what searches found."""
        shown = content.prompts(self.run) if self.run else []
        if shown:
            yield from ("## Prompts", "")
        for prompt in shown:
            lines = [escape_terminal(line) for line in prompt.source.strip().splitlines()]
            fence = "`" * max(3, 1 + max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0))
            yield from (f"### {_code(prompt.name)}", "", _text(prompt.about, _LONGEST_EVIDENCE), "")
            yield from (f"{fence}jinja", *lines, fence, "")

    def _figures(self, pictures: Mapping[str, Picture]) -> Iterator[str]:
        yield from ("## All figures, tests and costs", "")
        yield from _table(content.names(self.names, self.decision))
        if self.summary is not None:
            yield from _table(content.candidates(self.decision, self.summary))
            if (best := content.by_model(self.summary)) is not None:
                yield from (*_table(best), *_image(pictures["models"]))
        for table in (content.assumptions(self.decision), *content.details(self.decision, self.summary)):
            yield from _table(table)

    def _provenance(self) -> Iterator[str]:
        yield from ("## Provenance", "")
        if self.run is not None:
            yield from (f"- {_text(what)}: {_code(value)}" for what, value in content.provenance_facts(self.run))
            found = [
                *content.chosen_facts(self.run),
                *content.grader_facts(self.run),
                *content.near_leak_facts(self.run),
            ]
            yield from (f"- {_text(what)}: {_text(value, _LONGEST_EVIDENCE)}" for what, value in found)
            yield from ("", *_table(content.models(self.run)), *_table(content.prices(self.run)))
        yield from ("### Reproduce", "", "In the project's folder, without a model, a key or a network:", "")
        yield from (f"    {line}" for line in content.commands(self.subject.source, self.subject.given, self.run))


def _path(cost: Cost, a: Assumptions, end: float) -> list[tuple[float, float]]:
    """What a candidate costs so far, with a step at each re-tuning; empty if it is unknown."""
    volume, steps = a.monthly_volume or 0.0, [i * a.horizon_months for i in range(1, math.ceil(end / a.horizon_months))]
    found = []
    for month in (0.0, *(place for step in steps for place in (step, math.nextafter(step, math.inf))), end):
        spent = cost.cumulative_usd(month, volume, a.error_cost_usd)
        if spent is None or not math.isfinite(spent):
            return []
        found.append((month, spent))
    return found


# Pieces of Markdown


def _text(text: str, longest: int = content.LONGEST) -> str:
    return escape_markdown(content.clean(text, longest))


def _code(text: str) -> str:
    """A code span outside tables, where a pipe needs no backslash."""
    return markdown_code(text).replace("\\|", "|")


def _image(picture: Picture) -> tuple[str, str]:
    return f"![{escape_markdown(picture.alt)}]({picture.name}.png)", ""


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
        self._columns: list[str] = []  # heads of the open table
        self._column = 0

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
        self._columns = []
        return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">\n<table>\n'

    def table_close(self, *_: object) -> str:
        return "</table>\n</div>\n"

    def td_open(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        """A cell; the first of a row is its heading, and the others carry their column's, for narrow screens."""
        token, first = tokens[i], tokens[i - 1].type == "tr_open"
        self._column = 0 if first else self._column + 1
        if token.tag == "th":
            self._columns.append(tokens[i + 1].content)
        elif not first:
            token.attrSet("data-label", re.sub(r"\\(.)", r"\1", self._columns[self._column]))
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

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Text in which a line never ends between a number and its percent sign."""
        return _PERCENT.sub("\u00a0%", super().text(tokens, idx, options, env))

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        picture: Picture | None = env["pictures"].get(tokens[idx].attrs.get("src"))
        if picture is None:
            return escape_html(self.renderInlineAsText(tokens[idx].children, options, env))
        caption = f"<strong>{escape_html(picture.title)}</strong> {escape_html(' '.join(picture.notes))}"
        caption = _PERCENT.sub("\u00a0%", caption)
        drawings = "\n".join(style.inline(picture))
        return f'<figure id="{picture.name}">\n<figcaption>{caption}</figcaption>\n{drawings}\n</figure>\n'

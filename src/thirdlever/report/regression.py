"""The release gate as JUnit XML, which every CI server shows: one test case a check.

A check that fails is a failure. One that is open is an error, for it must not look green. One that is held to nothing
is skipped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

from thirdlever.core.text import md_code, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.lifecycle.checks import Check
    from thirdlever.lifecycle.regress import Flip, Regression, Result


_TAGS = {"FAIL": "failure", "INCONCLUSIVE": "error", None: "skipped"}


def to_xml(found: Regression) -> str:
    """The document, with its declaration."""
    root = ET.Element("testsuites", name=printable(f"thirdlever regress {found.suite}"))
    for result in found.results:
        models = f": {result.old} -> {result.new}" if result.new else ""
        name = printable(f"{result.candidate}{models}")
        checks = result.checks
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(checks)),
            failures=_count(checks, "FAIL"),
            errors=_count(checks, "INCONCLUSIVE"),
            skipped=_count(checks, None),
            time="0",
        )
        for check in checks:
            _case(suite, check, name)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return f"{document.decode()}\n"


def _case(suite: ET.Element, check: Check, of: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=of, name=printable(check.name), time="0")
    tag = _TAGS.get(check.verdict)
    if tag is not None:
        told = ET.SubElement(case, tag, message=printable(check.reason))
        if tag != "skipped":
            told.set("type", str(check.verdict))


def _count(checks: Sequence[Check], verdict: str | None) -> str:
    return str(sum(check.verdict == verdict for check in checks))


Format = Literal["text", "md", "json", "junit"]
UNKNOWN = "unknown"
LISTED = 20  # items that a reader is shown; JSON has them all
_WIDE = 40  # characters of an item's input in a terminal
_SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔"}
_MEANING = {
    "PASS": "may replace what is pinned: every limit holds",
    "FAIL": "must not replace what is pinned: a limit is broken",
    "INCONCLUSIVE": "cannot be judged yet: nothing is shown to be broken, and not every limit is shown to hold",
}


def render(found: Regression, fmt: Format = "text") -> str:
    """The findings in one of the formats."""
    match fmt:
        case "json":
            return found.to_json()
        case "junit":
            return to_xml(found)
        case "md":
            return _markdown(found)
        case "text":
            return _text(found)


def headline(found: Regression) -> str:
    """The verdict as a sentence."""
    new = " and ".join(dict.fromkeys(filter(None, (result.new for result in found.results))))
    return f"{found.verdict}: {new or 'the new run'} {_MEANING[found.verdict]}."


def saving(result: Result, found: Regression) -> str:
    """What the new model would save or cost in a month; "" where a price or the volume is unknown.

    A cost that is not held to a limit is device time, which says as much about the machine as about the model.
    """
    cost = next(check for check in result.checks if check.name == "cost per 1,000")
    if cost.before is None or cost.after is None or cost.limit is None or found.monthly_volume is None:
        return ""
    usd = (cost.before - cost.after) * found.monthly_volume / 1000
    if math.isclose(usd, 0.0, abs_tol=0.005):
        return ""
    would = f"save ${usd:,.2f}" if usd > 0 else f"cost ${-usd:,.2f} more"
    return f"it would {would} a month at {found.monthly_volume:,.0f} requests"


def _text(found: Regression) -> str:
    lines = [printable(headline(found)), *_about(found, printable)]
    for result in found.results:
        lines += ["", _title(result, printable)]
        cells = [("", "baseline", "new", "change", "limit", ""), *(_cells(check) for check in result.checks)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        for row in cells:
            padded = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:5], widths[1:5], strict=True))]
            lines.append(printable("  " + "  ".join([*padded, row[5]]).rstrip()))
        lines += [printable(f"  - {line}") for line in _told(result, found)]
        for what, flips in (("broken", result.broken), ("fixed", result.fixed)):
            lines += [f"  {what}: {len(flips):,}{_first(flips)}"]
            lines += [f"    {_flip(flip)}" for flip in flips[:LISTED]]
    lines += ["", printable(f"Records, logs and all answers: {found.folder}")]
    return "\n".join(lines) + "\n"


def _markdown(found: Regression) -> str:
    lines = [
        f"## {_SIGNS[found.verdict]} {md_text(headline(found))}",
        "",
        *(f"{line}  " for line in _about(found, md_code)),
    ]
    for result in found.results:
        lines += ["", f"### {_SIGNS[result.verdict]} {_title(result, md_code)}", ""]
        lines += ["| | baseline | new | change | limit | |", "|:--|--:|--:|--:|--:|:--|"]
        for check in result.checks:
            name, *cells = _cells(check)
            lines.append(f"| {_md_name(name)} | {' | '.join(cells)} |")
        lines += ["", *(f"- {md_text(line)}" for line in _told(result, found))]
        for what, flips in (("broken", result.broken), ("fixed", result.fixed)):
            lines += ["", f"<details><summary>{len(flips):,} {what}{_first(flips)}</summary>", ""]
            if not flips:
                lines[-3:] = [f"Nothing {what}."]
                continue
            lines += ["| item | input | right | before | now |", "|:--|:--|:--|:--|:--|"]
            lines += [f"| {' | '.join(md_code(cell) for cell in _row(flip))} |" for flip in flips[:LISTED]]
            lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def md_text(text: str) -> str:
    """A sentence in which nothing is markup: names in it come from users and providers."""
    return "".join(f"\\{c}" if c in r"\*_[]<>|~#" else c for c in printable(text).replace("`", "'"))


def _md_name(name: str) -> str:
    head, comma, slice_ = name.partition(", slice ")
    return f"{head}, slice {md_code(slice_)}" if comma else head


def _about(found: Regression, shown: Callable[[str], str]) -> list[str]:
    pinned = f"Suite {shown(found.suite)}, baseline {shown(found.baseline)} of {printable(found.pinned)}"
    lines = [f"{pinned}, {found.asked:,} of {found.items:,} items."]
    slices = any(check.name.startswith("accuracy, slice") for result in found.results for check in result.checks)
    if slices:
        lines.append(
            "PASS takes every check, so each is held at 5 % uncorrected; for FAIL the slices are corrected (Holm). "
            + ("Each slice must be shown to hold." if found.limits.prove_slices else "A slice counts when it fails.")
        )
    return lines + [f"{_capital(note)}." for note in map(printable if shown is printable else md_text, found.notes)]


def _title(result: Result, shown: Callable[[str], str]) -> str:
    models = f": {shown(result.old)} → {shown(result.new)}" if result.new else ""  # some ask no model
    return f"{shown(result.candidate)}{models}: {result.verdict}"


def _told(result: Result, found: Regression) -> list[str]:
    """Reasons of what is not a plain pass, and what else has changed."""
    reasons = [f"{check.name}: {check.reason}" for check in result.checks if _word(check) not in {"PASS", "open"}]
    return [*reasons, *filter(None, [saving(result, found)]), *result.notes]


def _cells(check: Check) -> tuple[str, str, str, str, str, str]:
    limit = "" if check.limit is None else f"{_limit(check)}{'' if check.source == 'default' else f' ({check.source})'}"
    before, after = (_value(value, check) for value in (check.before, check.after))
    return check.name, before, after, _change(check), limit, _word(check)


def _word(check: Check) -> str:
    return check.verdict or ("not held" if check.limit is None else "open")


def _value(value: float | None, check: Check) -> str:
    if value is None:
        return UNKNOWN
    match check.unit:
        case "share":
            return f"{100 * value:.1f} %"
        case "s":
            return f"{1000 * value:,.0f} ms" if value < 10 else f"{value:,.1f} s"  # noqa: PLR2004
        case "usd_per_1k":
            return f"${value:.3g}" if value < 100 else f"${value:,.0f}"  # noqa: PLR2004


def _change(check: Check) -> str:
    if check.change is None:
        return ""
    if check.unit == "share":
        ends = "" if check.low is None else f" [{100 * check.low:+.1f}, {100 * (check.high or 0):+.1f}]"
        return f"{100 * check.change:+.1f}{ends}"
    ends = "" if check.low is None else f" [{check.low:.2f}, {check.high or 0:.2f}]"
    return f"×{check.change:.2f}{ends}"


def _limit(check: Check) -> str:
    limit = check.limit or 0.0
    if check.name.startswith("accuracy"):
        return f"> {100 * limit:+.3g}"
    return f"≤ {100 * limit:.3g} %" if check.unit == "share" else f"≤ ×{limit:g}"


def _first(flips: Sequence[Flip]) -> str:
    return f", the first {LISTED}" if len(flips) > LISTED else ""


def _flip(flip: Flip) -> str:
    item, asked, target, before, after = (printable(cell) for cell in _row(flip))
    right = f" (right: {target})" if target and target not in {before, after} else ""
    return f"{item}  {asked}{'  ' if asked else ''}{before} → {after}{right}"


def _row(flip: Flip) -> tuple[str, str, str, str, str]:
    short = flip.input if len(flip.input) <= _WIDE else f"{flip.input[: _WIDE - 1]}…"
    return flip.id, short, flip.target, flip.before, flip.after


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

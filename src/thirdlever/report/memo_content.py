"""What a memo says, as plain text: md and html differ only in how they write it down.

Every string here is safe to show as text (`printable`), and none is long; what writes it escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from thirdlever.core.text import printable
from thirdlever.report import memo_tables, provenance
from thirdlever.report.memo_audit import details
from thirdlever.report.memo_tables import Table, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.decision.gates import Gate
    from thirdlever.decision.verdict import Decision
    from thirdlever.report.failures import Failure, Reply

_LONGEST_EVIDENCE = 4000
_LONGEST_INPUT, _LONGEST_REPLY, _MOST_REPLIES = 600, 160, 5


@dataclass(frozen=True, kw_only=True)
class Memo:
    """A memo, from the verdict to the provenance.

    Attributes:
        title: what it is about.
        under: of what run, when.
        verdict: GO, NO-GO or NEED-MORE-DATA.
        sentence: the verdict in one plain sentence.
        facts: (what, figure), the few that matter.
        candidates: side by side, those that matter.
        notes: what a reader should know of the verdict.
        gates: the three.
        questions: the six.
        changes: what would change the verdict.
        failures: (heading, items).
        details: tables for an auditor, in order.
        assumptions: all of them.
        provenance: (what, value).
        sources: tables of models and prices.
        recompute: commands.
    """

    title: str
    under: str
    verdict: str
    sentence: str
    facts: Sequence[tuple[str, str]]
    candidates: Table
    notes: Sequence[str]
    gates: Sequence[Gate]
    questions: Table
    changes: Sequence[str]
    failures: Sequence[tuple[str, Sequence[Shown]]]
    details: Sequence[Table]
    assumptions: Table
    provenance: Sequence[tuple[str, str]]
    sources: Sequence[Table]
    recompute: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An item worth reading, cut to a length that can be read."""

    item: str
    slice: str
    input: str
    target: str
    replies: Sequence[Reply] = field(default_factory=list)
    more: int = 0


def content(
    run: Run,
    decision: Decision,
    summary: pd.DataFrame,
    failed: tuple[Sequence[Failure], Sequence[Failure]],
    given: Sequence[str],
) -> Memo:
    """Put a memo's words together.

    Args:
        run: whose run.json is told.
        decision: what was decided on it.
        summary: the scorecards.
        failed: what `failures` returns.
        given: the assumptions of the command line, as typed.
    """
    suite = printable(run.info["suite"]["name"])
    return Memo(
        title=f"Prompt, retrieval or fine-tune: {suite}",
        under=f"Decision memo on the run of {run.info['finished'][:10]}",
        verdict=decision.verdict,
        sentence=clean(decision.sentence),
        facts=memo_tables.facts(decision, summary),
        candidates=memo_tables.candidates(decision, summary),
        notes=[clean(note) for note in decision.notes],
        gates=[_told(gate) for gate in decision.gates],
        questions=memo_tables.questions(decision),
        changes=[clean(line) for line in decision.what_would_change],
        failures=_failures(decision, failed),
        details=details(decision, summary),
        assumptions=memo_tables.assumptions(decision),
        provenance=provenance.facts(run),
        sources=[provenance.models(run), provenance.prices(run)],
        recompute=provenance.commands(run, given),
    )


def _told(gate: Gate) -> Gate:
    """Its sentences hold the names of candidates."""
    return replace(
        gate,
        reason=clean(gate.reason, _LONGEST_EVIDENCE),
        evidence=clean(gate.evidence, _LONGEST_EVIDENCE),
        threshold=clean(gate.threshold, _LONGEST_EVIDENCE),
        change=clean(gate.change, _LONGEST_EVIDENCE),
    )


def _failures(
    decision: Decision, failed: tuple[Sequence[Failure], Sequence[Failure]]
) -> list[tuple[str, Sequence[Shown]]]:
    name = printable(decision.chosen or decision.stay or "")
    headings = (f"{name} is wrong, others are right", f"{name} is right, others are wrong")
    return [(heading, [_shown(one) for one in group]) for heading, group in zip(headings, failed, strict=True) if group]


def _shown(one: Failure) -> Shown:
    text = "(the run's folder does not hold its text)" if one.input is None else clean(one.input, _LONGEST_INPUT)
    cut = [
        type(reply)(clean(reply.text, _LONGEST_REPLY), reply.right, [printable(name) for name in reply.candidates])
        for reply in one.replies[:_MOST_REPLIES]
    ]
    return Shown(
        item=clean(one.item),
        slice=clean(one.slice),
        input=text,
        target=clean(one.target, _LONGEST_REPLY),
        replies=cut,
        more=sum(len(reply.candidates) for reply in one.replies[_MOST_REPLIES:]),
    )

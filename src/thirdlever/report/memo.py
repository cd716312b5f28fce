"""The memo of a run: what to do and all that it rests on, as Markdown, as one HTML file, and its figures as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.analysis import outcomes
from thirdlever.core import files as atomic
from thirdlever.core.text import percent
from thirdlever.report import chart, memo_html, memo_md
from thirdlever.report.failures import failures
from thirdlever.report.figures import cumulative, files, gates, latency
from thirdlever.report.memo_content import content

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.decision.verdict import Decision
    from thirdlever.report.figures.style import Picture

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
    summary = _summary(run, decision)
    scores = outcomes.load(run)
    use = decision.chosen if decision.chosen in scores.candidates else None
    failed = failures(run, scores, use) if use else ([], [])
    memo = content(run, decision, summary, failed, given)
    pictures = _pictures(run, decision, summary)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / PAGE, folder / MARKDOWN]
    figures = [path for picture in pictures for path in files.save(picture, folder)]
    atomic.write(paths[0], memo_html.render(memo, pictures).encode())
    atomic.write(paths[1], memo_md.render(memo, pictures).encode())
    return [*paths, *figures]


def _summary(run: Run, decision: Decision) -> pd.DataFrame:
    """The scorecards with the decision's intervals, which count sources of items, and its costs: one figure each."""
    import pandas as pd

    from thirdlever.analysis.scorecards import typed

    summary = run.summary.copy()
    ends, usd = [], []
    for name, measured in zip(summary["candidate"], summary["accuracy_ci95"], strict=True):
        one, cost = decision.standings.get(name), decision.costs.get(name)
        ends.append(measured if one is None or one.low is None else (one.low, one.high))
        usd.append(None if cost is None or cost.per_request_usd is None else 1000 * cost.per_request_usd)
    summary["accuracy_ci95"] = pd.Series(ends, dtype="object")
    summary["cost_per_1k_usd"] = pd.Series(usd, dtype="float64")
    return typed(summary)


def _pictures(run: Run, decision: Decision, summary: pd.DataFrame) -> list[Picture]:
    """The figures; money over months only where the volume is known."""
    suite, date = run.info["suite"]["name"], run.info["finished"][:10]
    a, tuned = decision.assumptions, decision.tuned
    found = [
        chart.picture(summary, suite=suite, date=date),
        gates.picture(
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
            cumulative.picture(
                decision.costs.values(),
                volume=a.monthly_volume,
                release=a.horizon_months,
                marked={name for name in (decision.chosen, decision.stay, tuned) if name is not None},
                pays=decision.paybacks.get(tuned) if tuned else None,
                suite=suite,
                date=date,
            )
        )
    return [*found, latency.picture(summary, suite=suite, date=date)]


def _outcome(decision: Decision) -> str:
    """What to do, in a few words."""
    if decision.chosen is None:
        return "There is no candidate to use yet."
    one = decision.standings[decision.chosen]
    use = f"{decision.chosen}, {percent(one.accuracy)} right"
    if decision.worse_than_today:
        return f"Best measured: {use}."
    return f"{'Until then, use' if decision.verdict == 'NEED-MORE-DATA' else 'Use'} {use}."

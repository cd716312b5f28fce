"""`thirdlever memo`.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated

import typer

from thirdlever.commands import options


def memo(
    run: options.Run,
    assume: options.Assume = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write it. [default: RUN/memo]")] = None,
) -> None:
    """Write the decision memo of a run: Markdown, one self-contained HTML file, and the figures."""
    from thirdlever.analysis.run import load
    from thirdlever.core.text import printable
    from thirdlever.decision.verdict import decide_on_run
    from thirdlever.report import memo as report

    found = load(run)
    decision = decide_on_run(found, assume or ())
    page = report.write(found, decision, out or found.folder / "memo", given=assume or ())[0]
    typer.echo(printable(f"{decision.verdict}: {decision.sentence}"))
    typer.echo(printable(f"Memo: {page}"))

"""Progress of long steps on stderr: a bar on a terminal, an occasional line in a log file."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thirdlever.core.text import escape_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress


_bars: list[Progress] = []  # shown now
_LINE_EVERY = 15.0  # seconds
_WORTH_A_LINE = 2.0  # seconds; a shorter step of unknown length is not reported


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a step until the block ends; call the yielded function for each unit done, or with the number of units.

    Args:
        title: what is being done; "" shows nothing.
        total: how many units; None if unknown.
    """
    from rich.console import Console

    if not title:
        yield lambda *_: None
        return
    console = Console(stderr=True, force_jupyter=False)  # as text, not as HTML of a notebook
    with _bar(console, title, total) if console.is_terminal else _lines(title, total) as advance:
        yield advance


def note(line: str) -> None:
    """Print one line to stderr, escaped: it may contain text of a model or a provider."""
    from rich.console import Console

    Console(stderr=True, force_jupyter=False).print(
        escape_terminal(line), markup=False, highlight=False, soft_wrap=True
    )


def question(line: str) -> str:
    """Ask at the terminal, with all bars stopped, and return the answer in lower case."""
    for bar in _bars:
        bar.stop()
    note(line)
    try:
        return sys.stdin.readline().strip().lower()
    finally:
        for bar in _bars:
            bar.start()


@contextmanager
def _bar(console: Console, title: str, total: int | None) -> Iterator[Callable[..., None]]:
    from rich import progress as rich_progress
    from rich.markup import escape

    columns = [
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn() if total is None else rich_progress.TimeRemainingColumn(),
    ]
    with rich_progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(title), total=total)
        _bars.append(bar)
        try:
            yield lambda units=1: bar.advance(task, units)
        finally:
            _bars.remove(bar)


@contextmanager
def _lines(title: str, total: int | None) -> Iterator[Callable[..., None]]:
    start = last = time.monotonic()
    done = 0

    def advance(units: int = 1) -> None:
        nonlocal done, last
        done += units
        now = time.monotonic()
        if total and done < total and now - last >= _LINE_EVERY:
            last = now
            # The first units of a batch say little about the rest.
            left = f", about {(now - start) / done * (total - done):.0f} s left" if done >= total / 10 else ""
            note(f"{title}: {done:,} of {total:,} done{left}")

    yield advance
    took = time.monotonic() - start
    if total is not None or took >= _WORTH_A_LINE:
        note(f"{title}{'' if total is None else f': {done:,} of {total:,} done'} in {took:.1f} s")

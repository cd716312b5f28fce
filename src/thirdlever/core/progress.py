"""How far a long step has come: a bar where someone watches, a line now and then where a file does."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from thirdlever.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress


_bars: list[Progress] = []  # that are shown now
_LINE_EVERY = 15.0  # seconds
_WORTH_A_LINE = 2.0  # seconds that a step of unknown length must take to be mentioned at all


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show a step on stderr until the block ends; call what is yielded once for each thing done.

    Args:
        title: what is being done.
        total: how many things; None when that is not known.
    """
    from rich.console import Console

    console = Console(stderr=True)
    with _bar(console, title, total) if console.is_terminal else _lines(title, total) as advance:
        yield advance


def note(line: str) -> None:
    """Say one thing on stderr; it may hold what a model or a provider wrote."""
    from rich.console import Console

    Console(stderr=True).print(printable(line), markup=False, highlight=False, soft_wrap=True)


def question(line: str) -> str:
    """Ask who sits at the terminal, with no bar moving over what is typed; the answer in lower case."""
    for bar in _bars:
        bar.stop()
    note(line)
    try:
        return sys.stdin.readline().strip().lower()
    finally:
        for bar in _bars:
            bar.start()


@contextmanager
def _bar(console: Console, title: str, total: int | None) -> Iterator[Callable[[], None]]:
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
            yield lambda: bar.advance(task)
        finally:
            _bars.remove(bar)


@contextmanager
def _lines(title: str, total: int | None) -> Iterator[Callable[[], None]]:
    start = told = time.monotonic()
    done = 0

    def advance() -> None:
        nonlocal done, told
        done += 1
        now = time.monotonic()
        if total and done < total and now - told >= _LINE_EVERY:
            told = now
            # The first answers of a batch tell little of the rest.
            left = f", about {(now - start) / done * (total - done):.0f} s left" if done >= total / 10 else ""
            note(f"{title} {done}/{total}{left}")

    yield advance
    took = time.monotonic() - start
    if total is not None or took >= _WORTH_A_LINE:
        note(f"{title}{'' if total is None else f' {done}/{total}'} in {took:.1f} s")

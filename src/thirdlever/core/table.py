"""The table writer: the same rows for a terminal, for Markdown and for CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.core.text import WIDTH, escape_csv, escape_markdown, escape_terminal, fold, markdown_code

if TYPE_CHECKING:
    from collections.abc import Sequence


Kind: TypeAlias = Literal["name", "text", "figure"]
Cell: TypeAlias = "str | tuple[str, ...]"

_GAP = 2
_LEAST_NAME = 8  # characters of a line
_MOST_TEXT = 24  # characters of a line, while names need the room


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        head: its heading, which is not escaped; line breaks are kept in a terminal only.
        kind: "name" for a candidate or a model, which is folded in a terminal and code in Markdown; "text" for
            anything else that is read; "figure" for what is aligned right and never broken.
    """

    head: str
    kind: Kind = "figure"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows; the writer escapes the cells.

    >>> table = Table([Column("candidate", "name"), Column("accuracy %")], [("rag", "89.7"), ("null", "61.0")])
    >>> print(table.markdown())
    | candidate | accuracy % |
    |:--|--:|
    | `rag` | 89.7 |
    | `null` | 61.0 |

    Attributes:
        columns: left to right.
        rows: cells as plain text; a tuple is a cell of several lines.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def terminal(self, width: int = WIDTH) -> str:
        """Lines of at most `width` characters: names and text are broken, figures are not."""
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
        for column in self.columns:
            figure = column.kind == "figure"
            table.add_column(Text(column.head), justify="right" if figure else "left", no_wrap=figure, overflow="fold")
        room = self._room(width)
        for row in self.rows:
            table.add_row(*(Text(self._shown(cell, column, room)) for cell, column in self._cells(row)))
        buffer = io.StringIO()
        Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False).print(table)
        return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())

    def markdown(self, *, further: str = "<br>{}", bold: str | None = None) -> str:
        """GitHub's table syntax.

        Args:
            further: form of the lines of a cell after its first.
            bold: the first cell of the row that is emphasised.
        """
        heads = " | ".join(column.head.replace("\n", " ") for column in self.columns)
        rule = "|".join("--:" if column.kind == "figure" else ":--" for column in self.columns)
        rows = []
        for row in self.rows:
            cells = [_markdown(lines, column, further) for lines, column in self._cells(row)]
            if bold is not None and bold in {row[0], row[0][0]}:
                cells[0] = (f"**{cells[0][0]}**", cells[0][1])
            rows.append(" | ".join(map("".join, cells)))
        return "\n".join([f"| {heads} |", f"|{rule}|", *(f"| {row} |" for row in rows)])

    def csv(self) -> str:
        """Comma-separated, heads first; figures as they are."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(column.head.replace("\n", " ") for column in self.columns)
        for row in self.rows:
            cells = ((" ".join(lines), column) for lines, column in self._cells(row))
            writer.writerow(text if column.kind == "figure" else escape_csv(text) for text, column in cells)
        return buffer.getvalue()

    def _cells(self, row: Sequence[Cell]) -> list[tuple[tuple[str, ...], Column]]:
        return [
            ((cell,) if isinstance(cell, str) else cell, column) for cell, column in zip(row, self.columns, strict=True)
        ]

    def _room(self, width: int) -> int:
        """Characters of a line of each name column: an equal share of what the others leave."""
        names = sum(column.kind == "name" for column in self.columns)
        used = _GAP * (len(self.columns) - 1)
        for i, column in enumerate(self.columns):
            if column.kind != "name":
                lines = [line for row in self.rows for line in self._cells(row)[i][0]]
                longest = max(map(len, [*column.head.split("\n"), *lines]))
                used += longest if column.kind == "figure" else min(longest, _MOST_TEXT)
        return max((width - used) // max(names, 1), _LEAST_NAME)

    def _shown(self, lines: tuple[str, ...], column: Column, room: int) -> str:
        escaped = map(escape_terminal, lines)
        return "\n".join(fold(line, room) for line in escaped) if column.kind == "name" else "\n".join(escaped)


def _markdown(lines: tuple[str, ...], column: Column, further: str) -> tuple[str, str]:
    first, *rest = lines
    match column.kind:
        case "name":
            shown = markdown_code(first)
        case "text":
            shown = escape_markdown(first)
        case "figure":
            shown = escape_terminal(first).replace("|", "\\|")
    return shown, "".join(further.format(escape_markdown(line)) for line in rest)

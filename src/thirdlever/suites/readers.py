"""Strict readers of JSON lines, CSV and TSV; every row knows the line on which it starts."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import SuiteError, ThirdleverError, unknown
from thirdlever.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_SURROGATE = re.compile("[\ud800-\udfff]")  # cannot be encoded


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file.

    Attributes:
        where: "file:line".
        values: by column name; strings from CSV and TSV, any JSON value from JSON lines.
        header: "file:line" of the columns' names; None if each row has its own.
    """

    where: str
    values: Mapping[str, Any]
    header: str | None = None

    def text(self, column: str) -> str:
        """A value as text: strings unchanged, other JSON values as JSON.

        Raises:
            SuiteError: the row has no such column, or it is empty.
        """
        if column not in self.values:
            message = f"{self.header or self.where}: {unknown('column', column, self.values)}"
            raise SuiteError(message)
        value = self.values[column]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if value is None or not text.strip():
            message = f"{self.where}: {column!r} is empty; fill it in or remove the row"
            raise SuiteError(message)
        if _SURROGATE.search(text):
            message = f"{self.where}: {column!r} contains half of a surrogate pair; write the whole character"
            raise SuiteError(message)
        return text


_ROLES = ("system", "user", "assistant")


def read_turns(row: Row, column: str = "input") -> tuple[tuple[str, str], ...]:
    """The turns of an input that is a list of messages with role and content; none if it is a text.

    Raises:
        SuiteError: a message has another role or no text, or the last is not the user's.
    """
    found = row.values.get(column)
    if isinstance(found, str) and found.lstrip().startswith("[{"):  # in a table, as JSON
        try:
            found = json.loads(found)
        except ValueError:
            return ()
    if not isinstance(found, list) or not all(isinstance(each, dict) and "role" in each for each in found) or not found:
        return ()
    for number, each in enumerate(found, start=1):
        if each["role"] not in _ROLES or not isinstance(each.get("content"), str):
            message = f"{row.where}: message {number} of {column!r} needs a role of {', '.join(_ROLES)} and a text"
            raise SuiteError(message)
    if found[-1]["role"] != "user":
        message = f"{row.where}: the last message of {column!r} is the {found[-1]['role']}'s; end with the user's"
        raise SuiteError(message)
    return tuple((each["role"], each["content"]) for each in found)


def transcript(turns: Iterable[tuple[str, str]]) -> str:
    """A conversation as one text."""
    return "\n".join(f"{role}: {text}" for role, text in turns)


def read_rows(path: Path) -> list[Row]:
    """Every row of a .jsonl, .csv or .tsv file, except blank lines.

    Raises:
        SuiteError: with file and line, if any row cannot be read.
    """
    suffix = path.suffix.casefold()
    if suffix in _JSON_LINES:
        return list(_json_lines(path))
    if suffix in _SEPARATORS:
        return list(_table(path, _SEPARATORS[suffix]))
    message = f"{str(path)!r} has an unknown format; give a file that ends in {', '.join([*_SEPARATORS, *_JSON_LINES])}"
    raise SuiteError(message)


def read_text(path: Path, kind: type[ThirdleverError] = SuiteError) -> str:
    """A UTF-8 file without the byte order mark that spreadsheets write.

    Raises:
        ThirdleverError: of that kind; the file does not exist (with a near match), cannot be opened, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
        message = f"no file {str(path)!r}; {f'did you mean {near[0]!r}?' if near else 'check the path'}"
        raise kind(message) from None
    except OSError as error:
        message = f"cannot read {str(path)!r}: {error.strerror}; give a readable file"
        raise kind(message) from None
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fix = "save the file as UTF-8 (e.g. iconv -f LATIN1 -t UTF-8)"
        message = f"{path}:{line}: byte {error.start} is not UTF-8; {fix}"
        raise kind(message) from None


def _json_lines(path: Path) -> Iterator[Row]:
    # Not splitlines(), which splits at U+2028 and the like: JSON strings may contain them.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            message = f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); correct or remove the line"
            raise SuiteError(message) from None
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets 1,000 deep
            message = f"{path}:{number}: unreadable JSON ({error}); correct or remove the line"
            raise SuiteError(message) from None
        if not isinstance(value, dict):
            message = f"{path}:{number}: a JSON {type(value).__name__}; expected an object"
            raise SuiteError(message)
        yield Row(f"{path}:{number}", value)


def _table(path: Path, separator: str) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # the default refuses inputs of 128 kB and more: documents can be longer
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for fields in reader:
            if header is None:
                twice = next((name for name in fields if fields.count(name) > 1), None)
                if twice is not None:
                    message = f"{path}:1: the header has {twice!r} twice; rename one of the columns"
                    raise SuiteError(message)
                header = fields
            elif len(fields) == len(header):
                yield Row(f"{path}:{start}", dict(zip(header, fields, strict=True)), header=f"{path}:1")
            elif fields:
                message = (
                    f"{path}:{start}: {counted(len(fields), 'field')} where the header has {len(header)}; "
                    f"put fields that contain {separator!r} or a line break in double quotes"
                )
                raise SuiteError(message)
            start = reader.line_num + 1
    except csv.Error as error:
        message = f"{path}:{start}: {error}; a field that begins with a double quote must end with one"
        raise SuiteError(message) from None

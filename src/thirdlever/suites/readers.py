"""Readers of JSON lines, JSON arrays, CSV and TSV; every row knows the line on which it starts.

`read_rows` reads the project's own files, which are UTF-8 and whose format is their name's. Files from elsewhere are
read by `thirdlever.suites.sources`, through the same readers.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import SuiteError, ThirdleverError, unknown
from thirdlever.core.text import clipped, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
JSON_ARRAY = ".json"
_BETWEEN = re.compile(r"[\s,]*")  # the objects of an array
_SURROGATE = re.compile("[\ud800-\udfff]")  # cannot be encoded


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file.

    Attributes:
        where: "file:line", and ":column" in a JSON array; no two rows have the same.
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
        value = self.value(column)
        if is_missing(value):
            message = f"{self.where}: {column!r} is empty; fill it in or remove the row"
            raise SuiteError(message)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def value(self, column: str) -> Any:  # noqa: ANN401 - any JSON value
        """A value as it was read.

        Raises:
            SuiteError: the row has no such column, or it cannot be encoded.
        """
        if column not in self.values:
            message = f"{self.header or self.where}: {unknown('column', column, self.values)}"
            raise SuiteError(message)
        value = self.values[column]
        if _SURROGATE.search(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)):
            message = f"{self.where}: {column!r} contains half of a surrogate pair; write the whole character"
            raise SuiteError(message)
        return value


def is_missing(value: object) -> bool:
    """Whether a value is none at all: null, a bare NaN (which data frames write), or an empty text.

    The texts "NA", "None" and "NaN" are values.
    """
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


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
    """Every row of a .jsonl, .csv or .tsv file, except blank lines, or of a .json file that holds one array.

    Raises:
        SuiteError: with file and line, if any row cannot be read.
    """
    suffix = path.suffix.casefold()
    if suffix in JSON_LINES:
        return list(json_lines(read_text(path), path))
    if suffix in SEPARATORS:
        return list(table(read_text(path), path, SEPARATORS[suffix]))
    if suffix == JSON_ARRAY:
        return list(json_array(read_text(path), path))
    known = ", ".join([*SEPARATORS, *JSON_LINES, JSON_ARRAY])
    message = f"{str(path)!r} has an unknown format; give a file that ends in {known}"
    raise SuiteError(message)


def each_row(path: Path, longest: int = 2**31) -> Iterator[Row]:
    """The rows of a .jsonl file, which may be packed by gzip, line by line, so that one is in memory.

    Args:
        path: of the file.
        longest: bytes of a line.

    Raises:
        SuiteError: with file and line, if a row cannot be read.
        OSError: the file cannot be opened.
    """
    with gzip.open(path) if path.suffix.casefold() == ".gz" else path.open("rb") as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            if len(line) > longest:
                most = f"{longest / 1e6:,.0f} MB, the most that is read"
                message = f"{path}:{number}: the line is longer than {most}; split it"
                raise SuiteError(message)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                fix = "save the file as UTF-8 (e.g. iconv -f LATIN1 -t UTF-8)"
                message = f"{path}:{number}: byte {error.start} of the line is not UTF-8; {fix}"
                raise SuiteError(message) from None
            if text.strip():
                yield row_of(parsed_json(text, path, number), f"{path}:{number}")


def read_label_names(given: str) -> dict[str, str]:
    """Names of labels by the numbers or codes that stand for them.

    Args:
        given: "0=anger,1=joy", or a file: lines of code, tab (or =) and name, or a Hugging Face README whose
            `dataset_info` names the classes.

    Raises:
        SuiteError: no names can be read, or two codes have one name.
    """
    if "=" in given and not Path(given).exists():
        lines, where = given.split(","), "--labels"
    else:
        text, where = read_text(Path(given)), given
        if text.startswith("---"):
            return _distinct(_class_names(text, where), where)
        lines = [line for line in text.split("\n") if line.strip()]
    pairs = [re.split(r"\t|=", line.strip(), maxsplit=1) for line in lines]
    wrong = next((line for line, pair in zip(lines, pairs, strict=True) if len(pair) < 2 or not all(pair)), None)  # noqa: PLR2004 - code and name
    if wrong is not None:
        message = f"{where}: {clipped(wrong)} is not a code, a tab or =, and a name; write 0=anger"
        raise SuiteError(message)
    return _distinct({code.strip(): name.strip() for code, name in pairs}, where)


def _class_names(text: str, where: str) -> dict[str, str]:
    """The names of the first `class_label` in the front matter of a Hugging Face README."""
    import yaml

    def find(value: object) -> dict[str, str] | None:
        if isinstance(value, dict):
            names = value["class_label"].get("names") if isinstance(value.get("class_label"), dict) else None
            if names:
                return {
                    str(k): str(v) for k, v in (names if isinstance(names, dict) else dict(enumerate(names))).items()
                }
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return next(filter(None, map(find, inner)), None)

    try:
        names = find(yaml.safe_load(text.split("---")[1]))
    except yaml.YAMLError as error:
        message = f"{where}: its front matter is not YAML ({error}); correct it, or write --labels 0=NAME,1=NAME"
        raise SuiteError(message) from None
    if names is None:
        message = f"{where}: its front matter has no class_label with names; write --labels 0=NAME,1=NAME"
        raise SuiteError(message)
    return names


def _distinct(names: dict[str, str], where: str) -> dict[str, str]:
    if twice := [name for name, times in Counter(names.values()).items() if times > 1]:
        message = f"{where}: two codes have the name {twice[0]!r}; give each label a name of its own"
        raise SuiteError(message)
    return names


def read_text(path: Path, kind: type[ThirdleverError] = SuiteError) -> str:
    """A UTF-8 file without the byte order mark that spreadsheets write.

    Raises:
        ThirdleverError: of that kind; the file does not exist (with a near match), cannot be opened, or is not UTF-8.
    """
    content = read_bytes(path, kind)
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fix = "save the file as UTF-8 (e.g. iconv -f LATIN1 -t UTF-8)"
        message = f"{path}:{line}: byte {error.start} is not UTF-8; {fix}"
        raise kind(message) from None


def read_bytes(path: Path, kind: type[ThirdleverError] = SuiteError) -> bytes:
    """What a file holds.

    Raises:
        ThirdleverError: of that kind; the file does not exist (with a near match), or cannot be opened.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
        message = f"no file {str(path)!r}; {f'did you mean {near[0]!r}?' if near else 'check the path'}"
        raise kind(message) from None
    except OSError as error:
        message = f"cannot read {str(path)!r}: {error.strerror}; give a readable file"
        raise kind(message) from None


def json_lines(text: str, path: Path) -> Iterator[Row]:
    """The objects of JSON lines; blank lines are skipped.

    Raises:
        SuiteError: with file and line, at what is not one.
    """
    # Not splitlines(), which splits at U+2028 and the like: JSON strings may contain them.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        yield row_of(parsed_json(line, path, number), f"{path}:{number}")


def json_array(text: str, path: Path) -> Iterator[Row]:
    """The objects of an array, each with the line and the column at which it starts: many may be on one line.

    Raises:
        SuiteError: with file and line, at what is not one.
    """
    found = parsed_json(text, path)
    if not isinstance(found, list):
        message = f"{path}:1: a JSON {type(found).__name__}; expected an array of objects, or .jsonl with one a line"
        raise SuiteError(message)
    decoder, at, line = json.JSONDecoder(), text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
    for value in found:
        start = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        line += text.count("\n", at, start)
        column = start - text.rfind("\n", 0, start)
        yield row_of(value, f"{path}:{line}:{column}")
        _, at = decoder.raw_decode(text, start)
        line += text.count("\n", start, at)


def parsed_json(text: str, path: Path, line: int = 1) -> Any:  # noqa: ANN401 - any JSON value
    """JSON that begins on a line of a file.

    Raises:
        SuiteError: it is none.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{line + error.lineno - 1}"
        message = f"{where}: not JSON ({error.msg} at column {error.colno}); correct or remove the line"
        raise SuiteError(message) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets 1,000 deep
        message = f"{path}:{line}: unreadable JSON ({error}); correct or remove the line"
        raise SuiteError(message) from None


def row_of(value: object, where: str) -> Row:
    """A JSON object as a row.

    Raises:
        SuiteError: it is no object.
    """
    if not isinstance(value, dict):
        message = f"{where}: a JSON {type(value).__name__}; expected an object"
        raise SuiteError(message)
    return Row(where, value)


def table(text: str, path: Path, separator: str, *, line: int = 1, changes: list[str] | None = None) -> Iterator[Row]:
    """The rows of a table with a header, all values texts.

    Blanks around the columns' names are no part of them. Columns and rows without any name or value, which spreadsheets
    leave behind, are left out.

    Args:
        text: the table.
        path: of its file, for messages.
        separator: between fields.
        line: of the file, on which it begins.
        changes: receives what was left out, in sentences.

    Raises:
        SuiteError: with file and line, if any row cannot be read.
    """
    csv.field_size_limit(2**31 - 1)  # the default refuses inputs of 128 kB and more: documents can be longer
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    named: list[int] = []
    start, blank, header_at = line, 0, ""
    try:
        for fields in reader:
            where, start = f"{path}:{start}", line + reader.line_num
            if not any(map(str.strip, fields)):
                blank += bool(fields and header)
            elif not header:
                header, header_at = _header(fields, where), where
                named = [i for i, name in enumerate(header) if name]
            else:
                values = _fields(fields, header, where, separator)
                yield Row(where, {header[i]: values[i] for i in named}, header=header_at)
    except csv.Error as error:
        message = f"{path}:{start}: {error}; a field that begins with a double quote must end with one"
        raise SuiteError(message) from None
    if changes is not None:
        nameless = len(header) - len(named)
        changes += [f"empty columns without a name left out: {nameless}"] if nameless else []
        changes += [f"empty rows left out: {blank}"] if blank else []


def _header(fields: Sequence[str], where: str) -> list[str]:
    names = [field.strip() for field in fields]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        message = f"{where}: the header has {twice!r} twice; rename one of the columns"
        raise SuiteError(message)
    return names


def _fields(fields: list[str], header: Sequence[str], where: str, separator: str) -> list[str]:
    """A row's fields, one a column with a name; beyond those, empty ones may be missing or too many."""
    if any(header[len(fields) :]) or any(map(str.strip, fields[len(header) :])):
        message = (
            f"{where}: {counted(len(fields), 'field')} where the header has {len(header)}; "
            f"put fields that contain {separator!r} or a line break in double quotes"
        )
        raise SuiteError(message)
    pairs = enumerate(zip(header, fields, strict=False))
    nameless = next((i for i, (name, value) in pairs if not name and value.strip()), None)
    if nameless is not None:
        message = f"{where}: column {nameless + 1} has a value but no name; name it in the header"
        raise SuiteError(message)
    return fields

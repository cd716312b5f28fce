"""Labelled files as people have them: formats, dialects, encodings and layouts, read into rows that know their place.

`read_source` reads one file, one folder or one data set of the Hugging Face hub. What it took a file for, and what it
left out, it says in sentences; what it cannot read for sure it refuses with one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import SuiteError, need
from thirdlever.core.text import clipped, counted, listed
from thirdlever.suites.readers import (
    JSON_ARRAY,
    JSON_LINES,
    SEPARATORS,
    Row,
    is_missing,
    json_array,
    json_lines,
    parsed_json,
    read_bytes,
    row_of,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

HUB = "hf:"
PARTS = {"train": "train", "test": "test", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev"}
FORMATS = ".csv, .tsv, .jsonl, .json, .xlsx or .parquet, or one of these with .gz"
_CANDIDATES = (",", ";", "\t", "|")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_TRIED = 200  # lines by which the delimiter is found
_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EXCEL_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_CONTROL = re.compile("[\x80-\x9f]")  # what Windows writes quotation marks and dashes as, read as another encoding
_GUESSED = 200_000  # bytes by which the encoding is guessed
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "developer": "system"}  # ShareGPT's and newer names
_TOO_OLD = {".xls": "open it in a spreadsheet and save it as .xlsx or .csv"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read what a file does not say itself.

    Attributes:
        delimiter: between the fields of a table; None finds it.
        encoding: of a text, as Python names it; None is UTF-8, or UTF-16 and UTF-32 by their mark.
    """

    delimiter: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds.

    Attributes:
        parts: rows by the name of their split; the name is "" if the file has no splits.
        changes: how it was read and what was left out, in sentences.
        labels: the names of a column's codes, by column.
        documents: (title, text) of what the questions are about, where the file has it.
        instruction: the system prompt that all conversations share.
    """

    parts: Mapping[str, Sequence[Row]]
    changes: Sequence[str] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    documents: Sequence[tuple[str, str]] = ()
    instruction: str | None = None

    def rows(self, wanted: str) -> Sequence[Row]:
        """The rows of a split; all of a file without splits.

        Raises:
            SuiteError: the file has splits, and not this one.
        """
        if set(self.parts) == {""}:
            return self.parts[""]
        by_role = {PARTS[name]: rows for name, rows in self.parts.items() if name in PARTS}
        if wanted not in by_role:
            message = f"the file has the splits {listed(sorted(self.parts))}, none of which is {wanted}; rename one"
            raise SuiteError(message)
        return by_role[wanted]


def read_source(given: str, reading: Dialect | None = None) -> Source:
    """Read a file, a folder that `datasets` can load, or "hf:owner/name" with ":config" and "@revision" if wanted.

    Raises:
        SuiteError: with file and line and what to do.
        MissingExtraError: a library for the format is not installed.
    """
    reading = reading or Dialect()
    if given.startswith(HUB):
        return _from_hub(given)
    path = Path(given)
    if path.is_dir():
        return _from_folder(path)
    found = _read(path, reading)
    return found if set(found.parts) != {""} else _conversations(found)


def _read(path: Path, reading: Dialect) -> Source:
    inner = path.with_suffix("") if path.suffix.casefold() == ".gz" else path
    suffix = inner.suffix.casefold()
    if suffix in _TOO_OLD:
        message = f"{str(path)!r}: {suffix} cannot be read; {_TOO_OLD[suffix]}"
        raise SuiteError(message)
    readers: Mapping[str, Callable[[bytes, Path, Dialect], Source]] = {
        **dict.fromkeys(SEPARATORS, _table),
        **dict.fromkeys(JSON_LINES, _json_lines),
        JSON_ARRAY: _json,
        ".parquet": _parquet,
        ".xlsx": _xlsx,
    }
    if suffix not in readers:
        message = f"{str(path)!r} has an unknown format; give a file that ends in {FORMATS}"
        raise SuiteError(message)
    content = read_bytes(path)
    if inner is not path:
        content = _unpacked(content, path)
    return readers[suffix](content, path, reading)


def _unpacked(content: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError) as error:
        message = f"{str(path)!r} is no complete gzip file ({error}); copy it again, or unpack it"
        raise SuiteError(message) from None


# Texts


def decoded(content: bytes, path: Path, reading: Dialect) -> tuple[str, list[str]]:
    """A file's text, and how it was read if that is not UTF-8."""
    marked = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), None)
    encoding = reading.encoding or (marked[1] if marked else "utf-8")
    try:
        text = content.decode(encoding)
    except LookupError:
        message = f"--encoding {encoding} is unknown; write utf-8, utf-16, cp1252 or another name that Python knows"
        raise SuiteError(message) from None
    except UnicodeDecodeError as error:
        from_pairs = _with_pairs(content) if encoding == "utf-8" else None
        if from_pairs is None:
            raise SuiteError(_not_decoded(content, path, encoding, error)) from None
        text, encoding = from_pairs, "cesu-8"
    if control := _CONTROL.search(text):
        message = f"{path}: as {encoding} its text has control characters ({control[0]!r}); try --encoding cp1252"
        raise SuiteError(message)
    plain = encoding == "utf-8" or reading.encoding is not None
    return text.removeprefix("\ufeff"), [] if plain else [f"read as {encoding.upper()}"]


def _with_pairs(content: bytes) -> str | None:
    """CESU-8, which Java and Oracle write: UTF-8 in which an emoji is a pair of surrogates. None if it is not that."""
    try:
        return content.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return None


def _not_decoded(content: bytes, path: Path, encoding: str, error: UnicodeDecodeError) -> str:
    from charset_normalizer import from_bytes

    line = content.count(b"\n", 0, error.start) + 1
    where = f"{path}:{line}: byte {error.start} is not {encoding.upper()}"
    start = content.rfind(b"\n", 0, error.start) + 1
    broken = content[start:].partition(b"\n")[0]
    best = from_bytes(content[:_GUESSED]).best()
    possible = best.could_be_from_charset if best else []
    # Most such files are Western European Windows text, which short ones cannot be told from.
    usual = best is None or "cp1252" in possible or best.encoding in {"utf_8", "ascii", encoding}
    guess = "cp1252" if usual or best is None else best.encoding.replace("_", "-")
    shown = clipped(broken.decode(guess, "replace").strip())
    return f"{where}; with --encoding {guess} the line reads {shown}: repeat with it, or with the one that is right"


def _table(content: bytes, path: Path, reading: Dialect) -> Source:
    text, changes = decoded(content, path, reading)
    line = 1
    separator = reading.delimiter
    if stated := _EXCEL_SEPARATOR.match(text):
        text, line, separator = text[stated.end() :], 2, separator or stated[1]
    usual = SEPARATORS[path.with_suffix("").suffix.casefold() if path.suffix == ".gz" else path.suffix.casefold()]
    if separator is None:
        separator = _delimiter(text) or usual
    if len(separator) != 1:
        message = f"--delimiter {separator!r} is not one character; write ';' or, for a tab, $'\\t'"
        raise SuiteError(message)
    if separator != usual:
        changes.append(f"fields are separated by {_NAMES.get(separator, repr(separator))}")
    return Source({"": list(table(text, path, separator, line=line, changes=changes))}, changes)


def _delimiter(text: str) -> str | None:
    """The separator under which the rows have as many fields as the header; None if none makes two columns."""
    tried = "\n".join(text.split("\n", _TRIED)[:_TRIED])
    scores: dict[str, tuple[float, int]] = {}
    for candidate in _CANDIDATES:
        rows = [row for row in csv.reader(io.StringIO(tried, newline=""), delimiter=candidate) if any(row)]
        columns = len(rows[0]) if rows else 0
        if columns > 1:
            fitting = sum(len(row) == columns for row in rows) / len(rows)
            scores[candidate] = (fitting, columns)
    return max(scores, key=lambda each: scores[each], default=None)


def _json_lines(content: bytes, path: Path, reading: Dialect) -> Source:
    text, changes = decoded(content, path, reading)
    if text.lstrip().startswith("["):
        return Source({"": list(json_array(text, path))}, [*changes, "one JSON array, not one object a line"])
    return Source({"": list(json_lines(text, path))}, changes)


def _json(content: bytes, path: Path, reading: Dialect) -> Source:
    text, changes = decoded(content, path, reading)
    first, _, rest = text.strip().partition("\n")
    if first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{"):
        return Source({"": list(json_lines(text, path))}, [*changes, "one JSON object a line"])
    found = parsed_json(text, path)
    if isinstance(found, dict):
        return _json_object(found, path, changes)
    if isinstance(found, list) and found and all(map(_is_pair, found)):
        return Source({"": list(_listed_rows(found, str(path)))}, [*changes, _PAIRS])
    return Source({"": list(json_array(text, path))}, changes)


_PAIRS = "rows are pairs: the first is named text, the second label"


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)  # noqa: PLR2004


def _listed_rows(values: Iterable[Any], where: str) -> Iterator[Row]:
    for number, value in enumerate(values, start=1):
        row = {"text": value[0], "label": value[1]} if _is_pair(value) else value
        yield row_of(row, f"{where}[{number}]")


def _json_object(found: Mapping[str, Any], path: Path, changes: list[str]) -> Source:
    """Splits by name, SQuAD's paragraphs, a list under a key, or columns."""
    articles = found.get("data")
    if isinstance(articles, list) and articles and all(isinstance(a, dict) and "paragraphs" in a for a in articles):
        return _squad(articles, path, changes)
    lists = {name: value for name, value in found.items() if isinstance(value, list) and value}
    of_rows = {name: rows for name, rows in lists.items() if all(isinstance(r, dict) or _is_pair(r) for r in rows)}
    if of_rows and all(_is_annotated(row) for rows in of_rows.values() for row in rows):
        annotated = [
            _annotated(row, name, f"{path}:{name}[{n}]") for name, of in of_rows.items() for n, row in enumerate(of, 1)
        ]
        return Source({"": annotated}, [*changes, "annotated texts, read as text, intent and slots"])
    if of_rows:
        if any(_is_pair(rows[0]) for rows in of_rows.values()):
            changes.append(_PAIRS)
        parts = {name: list(_listed_rows(rows, f"{path}:{name}")) for name, rows in of_rows.items()}
        return Source(parts if set(parts) & set(PARTS) else {"": next(iter(parts.values()))}, changes)
    columns = {name: [*value.values()] if isinstance(value, dict) else value for name, value in found.items()}
    sizes = {len(value) if isinstance(value, list) else -1 for value in columns.values()}
    if columns and len(sizes) == 1 and sizes != {-1} and all(isinstance(v, list | dict) for v in found.values()):
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return Source({"": list(_listed_rows(rows, str(path)))}, [*changes, "one list a column"])
    message = f"{path}:1: a JSON object without rows; give an array of objects, or splits such as {{'train': [...]}}"
    raise SuiteError(message)


def _is_annotated(row: object) -> bool:
    """Whether a row is a text in pieces, some of which are named: `{"data": [{"text": "Add "}, …]}`."""
    pieces = row.get("data") if isinstance(row, dict) and len(row) == 1 else None
    return isinstance(pieces, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in pieces)


def _annotated(row: Mapping[str, Any], intent: str, where: str) -> Row:
    """Snips' layout: the text, its intent (the key of its list) and its slots; one that occurs twice has a list."""
    slots: dict[str, Any] = {}
    for piece in row["data"]:
        if name := piece.get("entity"):
            value = piece["text"]
            slots[name] = value if name not in slots else [*(s if isinstance(s := slots[name], list) else [s]), value]
    text = "".join(piece["text"] for piece in row["data"])
    return Row(where, {"text": text, "intent": intent, "slots": slots})


def _squad(articles: Sequence[Mapping[str, Any]], path: Path, changes: list[str]) -> Source:
    """Questions with their right answers; the paragraphs become documents."""
    rows: list[Row] = []
    documents: list[tuple[str, str]] = []
    for article in articles:
        for paragraph in article["paragraphs"]:
            title, context = str(article.get("title") or ""), str(paragraph["context"])
            documents.append((title or clipped(context), context))
            rows += [
                Row(f"{path}:{asked.get('id', len(rows) + 1)}", _question(asked, title)) for asked in paragraph["qas"]
            ]
    unanswerable = sum(not row.values["answers"] for row in rows)
    if unanswerable:
        changes = [*changes, f"questions without an answer: {unanswerable}"]
    distinct = list(dict.fromkeys(documents))
    return Source({"": rows}, [*changes, f"SQuAD: {counted(len(distinct), 'paragraph')}"], documents=distinct)


def _question(asked: Mapping[str, Any], title: str) -> dict[str, Any]:
    answers = list(dict.fromkeys(str(answer["text"]) for answer in asked.get("answers") or ()))
    return {"id": asked.get("id"), "question": asked["question"], "answers": answers, "title": title}


# Tables that are no texts


def _parquet(content: bytes, path: Path, reading: Dialect) -> Source:  # noqa: ARG001 - as the others
    import pyarrow as pa
    from pyarrow import parquet

    try:
        read = parquet.read_table(io.BytesIO(content))
    except (pa.ArrowInvalid, OSError) as error:
        message = f"{str(path)!r} is no Parquet file ({clipped(str(error))}); write it again"
        raise SuiteError(message) from None
    about = json.loads((read.schema.metadata or {}).get(b"huggingface", b"{}"))
    labels = _class_names(about.get("info", {}).get("features", {}))
    rows = (_jsonable(row) for batch in read.to_batches() for row in batch.to_pylist())
    return Source({"": [Row(f"{path}:{number}", row) for number, row in enumerate(rows, start=1)]}, (), labels)


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - any JSON value, a date, bytes, ...
    """The same value; what JSON does not have becomes a text."""
    if isinstance(value, dict):
        return {name: _jsonable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _class_names(features: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Names of labels from a Hugging Face data set's features, by column."""
    found = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
            found[column] = {str(number): name for number, name in enumerate(inner["names"])}
    return found


def _xlsx(content: bytes, path: Path, reading: Dialect) -> Source:  # noqa: ARG001 - as the others
    openpyxl = need("openpyxl", extra="xlsx")
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    except Exception as error:  # whatever is wrong with the zip file or its XML, which openpyxl does not wrap
        message = f"{str(path)!r} is no Excel workbook ({clipped(str(error))}); save it again, or save it as CSV"
        raise SuiteError(message) from error
    changes = [f"read the first of {len(book.worksheets)} sheets, {sheet.title!r}"] if len(book.worksheets) > 1 else []
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)  # as a table, so that a sheet is read like the CSV file that it could be saved as
    return Source({"": list(table(text.getvalue(), path, ",", changes=changes))}, changes)


def _cell(value: Any) -> str:  # noqa: ANN401 - a text, a number, a date, ...
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    isoformat = getattr(value, "isoformat", None)
    return "" if value is None else isoformat() if isoformat else str(value)


# Hugging Face


def _from_hub(given: str) -> Source:
    name, _, revision = given.removeprefix(HUB).partition("@")
    name, _, config = name.partition(":")
    datasets = need("datasets", extra="hf")
    try:
        found = datasets.load_dataset(name, config or None, revision=revision or None)
    except Exception as error:  # of the hub, of its files, or of the network: there is no common class
        message = f"{given!r} cannot be loaded ({clipped(str(error))}); check its name, or give a local file"
        raise SuiteError(message) from error
    return _of_datasets(found, given)


def _from_folder(path: Path) -> Source:
    """A folder with one data set: as `save_to_disk` writes it, or of data files."""
    datasets = need("datasets", extra="hf")
    saved = any((path / name).exists() for name in ("dataset_dict.json", "state.json"))
    try:
        found = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path))
    except Exception as error:  # likewise
        message = f"{str(path)!r} is no folder of a data set ({clipped(str(error))}); give one of its files"
        raise SuiteError(message) from error
    return _of_datasets(found, str(path))


def _of_datasets(found: Any, where: str) -> Source:  # noqa: ANN401 - of an optional library
    splits = dict(found) if hasattr(found, "keys") else {"": found}
    labels = _class_names(next(iter(splits.values())).features.to_dict())
    parts = {name: list(_hub_rows(split, ":".join(filter(None, (where, name))))) for name, split in splits.items()}
    return Source(parts, (), labels)


def _hub_rows(split: Iterable[Mapping[str, Any]], where: str) -> Iterator[Row]:
    for number, row in enumerate(split, start=1):
        yield Row(f"{where}:{number}", _jsonable(dict(row)))


# Conversations


def _conversations(found: Source) -> Source:
    """The same with inputs and targets, if its rows are conversations of a training file."""
    made = as_rows(found.parts[""])
    if made is None:
        return found
    return Source({"": made.rows}, [*found.changes, *made.changes], instruction=made.instruction)


@dataclass(frozen=True, slots=True)
class Chats:
    """Conversations as rows.

    Attributes:
        rows: with the columns input, target and those that the file has beside its messages.
        instruction: the system prompt, if all conversations have the same.
        changes: what was taken for what, in sentences.
    """

    rows: Sequence[Row]
    instruction: str | None
    changes: Sequence[str]


def as_rows(rows: Sequence[Row]) -> Chats | None:
    """Rows with an input and a target; None if the file does not hold conversations.

    Raises:
        SuiteError: with file and line, a conversation has no question or answer, calls a tool, or has a message that
            cannot be read.
    """
    column = next((name for name in ("messages", "conversations") if rows and _are_messages(rows, name)), None)
    if column is None:
        return None
    turns = [_turns(row, column) for row in rows]
    systems = Counter(found[0][1] if found[0][0] == "system" else "" for found in turns)
    shared = next(iter(systems)) or None if len(systems) == 1 else None
    made = [_pair(row, column, found, shared) for row, found in zip(rows, turns, strict=True)]
    long = sum(sum(role == "assistant" for role, _ in found) > 1 for found in turns)
    changes = [f"conversations in {column!r}: the last answer is the target, what stands before it the input"]
    changes += ["the system prompt that they share is the instruction"] if shared else []
    changes += [f"system prompts differ ({len(systems)}); each stays in its input"] if len(systems) > 1 else []
    changes += [f"conversations of several answers: {long}"] if long else []
    return Chats(made, shared, changes)


def _are_messages(rows: Sequence[Row], name: str) -> bool:
    return all(isinstance(row.values.get(name), list) and row.values[name] for row in rows)


def _turns(row: Row, column: str) -> list[tuple[str, str]]:
    """(role, text) of each message, the last one the assistant's."""
    found = [_turn(each, number, row.where) for number, each in enumerate(row.values[column], start=1)]
    system = row.values.get("system")
    if isinstance(system, str) and system and found[0][0] != "system":  # as ShareGPT has it
        found.insert(0, ("system", system))
    roles = [role for role, _ in found]
    if roles[-1] != "assistant":
        message = (
            f"{row.where}: the last message is the {roles[-1]}'s, so there is no answer; add it or remove the line"
        )
        raise SuiteError(message)
    if "user" not in roles[:-1]:
        message = f"{row.where}: the conversation has no user's message; add the question or remove the line"
        raise SuiteError(message)
    if row.values[column][-1].get("weight") == 0:
        message = f"{row.where}: the last answer has the weight 0, so it is no target; remove it or the line"
        raise SuiteError(message)
    return found


def _turn(message: Any, number: int, where: str) -> tuple[str, str]:  # noqa: ANN401 - any JSON value
    given: Mapping[str, Any] = message if isinstance(message, dict) else {}
    role = given.get("role", given.get("from"))
    role, text = _ROLES.get(str(role), str(role)), given.get("content", given.get("value"))
    if given.get("tool_calls") or given.get("function_call") or role in {"tool", "function", "observation"}:
        sentence = f"{where}: message {number} calls a tool, which a suite cannot measure; remove the line"
        raise SuiteError(sentence)
    if isinstance(text, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in text):
        text = "".join(str(part.get("text", "")) for part in text)
    if role not in {"system", "user", "assistant"} or not isinstance(text, str) or not text.strip():
        sentence = f"{where}: message {number} needs a role (system, user, assistant) and a text; correct the line"
        raise SuiteError(sentence)
    return role, text


def _pair(row: Row, column: str, turns: Sequence[tuple[str, str]], shared: str | None) -> Row:
    *before, (_, target) = turns
    asked = before[1:] if shared is not None and before[0][0] == "system" else before
    alone = len(asked) == 1
    given: Any = asked[0][1] if alone else [{"role": role, "content": text} for role, text in asked]
    others = {name: value for name, value in row.values.items() if name not in {column, "system"}}
    return Row(row.where, {**others, "input": given, "target": target})


# Columns

_INPUTS = (
    "input",
    "text",
    "question",
    "sentence",
    "utterance",
    "query",
    "prompt",
    "message",
    "content",
    "body",
    "title",
)
_TARGETS = (
    *("target", "label", "labels", "category", "class", "intent", "intents", "answer", "answers"),
    *("output", "completion", "response", "expected", "gold"),
)


def propose(rows: Sequence[Row], input_: str | None, targets: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """The input's column and the targets', found by name, or by length and repetition if there are two.

    Args:
        rows: of train.
        input_: the user's choice; None finds it.
        targets: likewise; empty finds one.

    Returns:
        (input, targets, what was found, in sentences)

    Raises:
        SuiteError: which column is meant is not clear.
    """
    names = list(dict.fromkeys(name for row in rows[:1_000] for name in row.values))
    named = {name.casefold(): name for name in names}
    found: list[str] = []
    wanted = list(targets)
    if not wanted:
        wanted = [_found("target", names, {input_}, [named[n] for n in _TARGETS if n in named], rows)]
        found.append(f"target: column {wanted[0]!r}")
    chosen = input_
    if chosen is None:
        chosen = _found("input", names, set(wanted), [named[n] for n in _INPUTS if n in named], rows)
        found.insert(0, f"input: column {chosen!r}")
    return chosen, wanted, found


def _found(role: str, names: Sequence[str], taken: set[str | None], by_name: Sequence[str], rows: Sequence[Row]) -> str:
    free = [name for name in by_name if name not in taken]
    if free:
        return free[0]
    left = [name for name in names if name not in taken]
    if len(left) == 1:
        return left[0]
    if len(left) == 2 and not any(taken):  # noqa: PLR2004 - the longer and more varied one is the input
        by_size = sorted(left, key=lambda name: _size(name, rows))
        return by_size[-1] if role == "input" else by_size[0]
    message = f"which column is the {role}? There are {listed([repr(name) for name in names])}; add --{role} COLUMN"
    raise SuiteError(message)


def _size(name: str, rows: Sequence[Row]) -> tuple[int, int]:
    values = [json.dumps(row.values.get(name), ensure_ascii=False, default=str) for row in rows[:1_000]]
    return len(set(values)), sum(map(len, values))


def joined(rows: Sequence[Row], targets: Sequence[str]) -> tuple[Sequence[Row], list[str], list[str]]:
    """Targets such as "scenario+intent" as one column, whose labels are those of both, joined by "_".

    Returns:
        (rows, targets, what was joined, in sentences)
    """
    changes: list[str] = []
    wanted = []
    for target in targets:
        parts = target.split("+")
        if len(parts) < 2 or any(target in row.values for row in rows[:1]):  # noqa: PLR2004 - two columns make one
            wanted.append(target)
            continue
        name = "_".join(parts)
        rows = [Row(row.where, {**row.values, name: _together(row, parts)}, row.header) for row in rows]
        changes.append(f"{name!r} is {listed([repr(part) for part in parts])}, joined by _")
        wanted.append(name)
    return rows, wanted, changes


def _together(row: Row, parts: Sequence[str]) -> str | None:
    if any(is_missing(row.value(part)) for part in parts):
        return None
    return "_".join(row.text(part).strip() for part in parts)

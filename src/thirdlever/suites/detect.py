"""Which kind of answer a suite's targets are, and the targets in that kind's form.

`detect` looks at the values of the target column, or of several, and says in words what it took them for and why. Its
rules of thumb: labels and their sets repeat, free texts hardly do, and numbers with decimals or with many values are
quantities. Every rule can be overridden by naming the kind.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from thirdlever.answers.sets import NONE
from thirdlever.core.errors import SuiteError
from thirdlever.core.text import clipped, counted, listed
from thirdlever.suites.readers import is_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Kind: TypeAlias = Literal["label", "labels", "number", "text", "json"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_FEW = 20  # distinct integers, strings of an enum: more are quantities, or names
_OFTEN = 10  # rows per value that make a gapless range of integers the codes of labels
_SEPARATORS = (";", "|")  # between the labels of a cell
_BETWEEN = (", ", "; ", " | ")  # between labels in an answer, the first that occurs in none
_JOINS = ("|", ";", "||", "¦", "\n")  # between right answers, the first that occurs in none
# Without leading zeros, which codes have: "007" is no quantity.
_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_SQUAD = {"text", "answer_start"}  # keys of the answers of SQuAD: lists of equal length
_SWITCHES = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_NO_LABEL = "-1"  # where Hugging Face `datasets` publishes integers for names


@dataclass(frozen=True, slots=True)
class Detected:
    """The answer kind of a suite's targets.

    Attributes:
        kind: which.
        words: the kind in words, e.g. "a set of labels".
        reason: why, as a clause.
        targets: each value in the kind's form: a text, or JSON of a list or an object.
        settings: further arguments of the answer kind, by name.
        by: the key of a JSON object whose values repeat most clearly, to draw rows by; None if there is none.
        changes: what was done to the targets, in sentences.
        warnings: what the user should look at, in sentences.
    """

    kind: Kind
    words: str
    reason: str
    targets: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    changes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def classes(self, target: str) -> tuple[str, ...]:
        """What rows with this target are drawn by: its labels, or the value of the key `by`."""
        if self.kind == "label":
            return (target,)
        if self.kind == "labels":
            return tuple(json.loads(target))
        return (json.dumps(json.loads(target)[self.by]),) if self.by is not None else ()

    def shown(self, target: str) -> str:
        """A target for people: a set as its labels, "none" if it is empty."""
        return ", ".join(json.loads(target)) or "none" if self.kind == "labels" else target


def detect(
    values: Sequence[Any],
    columns: Sequence[str],
    where: Sequence[str],
    *,
    sample: Sequence[int] | None = None,
    kind: Kind | None = None,
) -> Detected:
    """Find the answer kind of values, none of which is missing.

    Args:
        values: one a row: any JSON value of one column, or a mapping of several columns to theirs.
        columns: names of the target columns.
        where: "file:line" of each, for messages.
        sample: positions of the rows whose repeats count; None is all. What test repeats of train is no repeat.
        kind: the user's choice; None detects it.

    Raises:
        SuiteError: the values do not fit the kind that was asked for, or no kind at all.
    """
    several = len(columns) > 1
    read = [{name: _parsed(each) for name, each in value.items()} if several else _parsed(value) for value in values]
    if kind is None and len({type(value) for value in read} | {list, dict}) > 2:  # noqa: PLR2004 - not all of one of these
        read = [value.strip() if isinstance(value, str) else value for value in values]  # a label may look like a list
    found = _Values(read, columns, where, range(len(read)) if sample is None else sample)
    if kind is None:
        return found.of_columns() if several else found.of_one_column()
    if several and kind not in {"labels", "json"}:
        message = f"--answer {kind} takes one target column, not {len(columns)}; leave out {columns[-1]!r}"
        raise SuiteError(message)
    makers: Mapping[Kind, Callable[[str], Detected]] = {
        "label": found.label,
        "labels": found.sets,
        "number": found.number,
        "text": found.text,
        "json": found.objects,
    }
    return makers[kind](f"--answer {kind} was given")


@dataclass(frozen=True, slots=True)
class _Values:
    """Targets as JSON values, and what they look like."""

    values: Sequence[Any]
    columns: Sequence[str]
    where: Sequence[str]
    sample: Sequence[int]

    # Which kind

    def of_one_column(self) -> Detected:
        if self._all(dict):
            if all(set(value) == _SQUAD for value in self.values):
                return self.text(f"every {self._column} holds a list of right answers, as in SQuAD")
            return self.objects(f"every {self._column} is a JSON object")
        if self._all(list):
            return self._of_lists()
        texts = self._texts()
        if (number := self._of_numbers(texts)) is not None:
            return number
        separator = next((each for each in _SEPARATORS if _separates(each, texts)), None)
        if separator is not None:
            return self.sets(f"the parts of {self._column} between {separator!r} repeat in other cells")
        different = len(set(texts))
        often = f"{counted(len(texts), 'row')} of {self._column} have {counted(different, 'different value')}"
        return self.label(often) if _repeat(texts) else self.text(f"targets rarely repeat: {often}")

    def of_columns(self) -> Detected:
        named = f"the columns {listed([repr(name) for name in self.columns])}"
        cells = [cell for value in self.values for cell in value.values()]
        if all(_switch(cell) is not None for cell in cells):
            return self.sets(f"{named} have only the values 0 and 1")
        if all(isinstance(cell, list) and _flat(cell) for cell in cells):
            return self.sets(f"{named} are lists")
        return self.objects(f"the target is {counted(len(self.columns), 'column')}, each a key of the answer")

    def _of_lists(self) -> Detected:
        self._refuse(
            lambda value: not _flat(value), "is a list of lists or objects", "put it under a key: {KEY: [...]}"
        )
        pieces = [piece for i in self.sample for piece in _pieces(self.values[i])]
        if not _repeat(pieces):
            return self.text(f"every {self._column} is a list of texts that rarely repeat: all of them right answers")
        if all(len(_pieces(value)) == 1 for value in self.values):
            return self.label(f"every {self._column} is a list of one value, and the values repeat")
        sizes = [len(_pieces(value)) for value in self.values]
        size = f"{min(sizes)} to {max(sizes)} a row"
        return self.sets(f"every {self._column} is a list, {size}, and the values repeat")

    def _of_numbers(self, texts: Sequence[str]) -> Detected | None:
        """Quantities, or whole numbers that stand for labels; None if the texts are neither."""
        different = set(texts)
        if not all(map(_is_number, different)) or len({float(text) for text in different}) < len(different):
            return None
        if not all(float(text).is_integer() for text in different):
            return self.number(f"every {self._column} is a number, some with decimals")
        whole = {int(float(text)) for text in different}
        gapless = min(whole) in {-1, 0} and len(whole) == max(whole) - min(whole) + 1
        coded = gapless and len(texts) >= _OFTEN * len(whole)
        if _repeat(texts) and (len(whole) <= _FEW or coded):
            return self.label(f"every {self._column} is one of {len(whole)} whole numbers, which repeat")
        return self.number(f"every {self._column} is a number, with {len(whole)} different values")

    # The targets as a kind

    def label(self, reason: str) -> Detected:
        def read(value: object) -> str:
            return _text(value[0] if isinstance(value, list) and len(value) == 1 else value)

        targets = [read(value) for value in self.values]
        labels = sorted(set(targets))
        return Detected("label", "a label", reason, targets, warnings=_about_numbers(labels))

    def sets(self, reason: str) -> Detected:
        texts = [value for value in self.values if isinstance(value, str)]
        separator = next((each for each in (*_SEPARATORS, ",") if any(each in text for text in texts)), None)
        given = [self._set(value, separator) for value in self.values]
        found = [[label for label in each if label.casefold() != NONE] for each in given]
        labels = sorted({label for each in found for label in each})
        if not labels:
            message = f"no row has a label in {self._column}; give rows that have some"
            raise SuiteError(message)
        targets = [json.dumps(sorted(set(each)), ensure_ascii=False) for each in found]
        between = next((each for each in _BETWEEN if not any(each.strip() in label for label in labels)), "\n")
        named = sum(map(len, given)) - sum(map(len, found))
        return Detected(
            "labels",
            "a set of labels",
            reason,
            targets,
            settings={} if between == _BETWEEN[0] else {"separator": between},
            changes=[f"labels {NONE!r} read as the empty set: {named}"] if named else [],
            warnings=_about_numbers(labels),
        )

    def _set(self, value: Any, separator: str | None) -> Sequence[str]:  # noqa: ANN401 - any JSON value
        if not isinstance(value, dict):
            return _cut(value, separator) if isinstance(value, str) else _pieces(_listed(value))
        if all(_switch(cell) is not None for cell in value.values()):
            return [name for name, cell in value.items() if _switch(cell)]
        return [piece for cell in value.values() for piece in _pieces(_listed(cell))]

    def number(self, reason: str) -> Detected:
        self._refuse(lambda value: not _is_number(_text(value)), "is not a number", "correct it, or give --answer text")
        targets = [_text(value) for value in self.values]
        return Detected("number", "a number", reason, targets)

    def text(self, reason: str) -> Detected:
        lists = [_pieces(_alternatives(value)) for value in self.values]
        if all(len(each) == 1 for each in lists):
            return Detected("text", "a free text", reason, [each[0] for each in lists])
        every = {text for each in lists for text in each}
        separator = next((each for each in _JOINS if not any(each in text for text in every)), None)
        if separator is None:
            message = f"the right answers of {self._column} contain every separator: {listed(_JOINS)}; leave one out"
            raise SuiteError(message)
        targets = [separator.join(each) for each in lists]
        settings = {"separator": separator}
        return Detected("text", "a free text with several right answers", reason, targets, settings=settings)

    def objects(self, reason: str) -> Detected:
        self._refuse(
            lambda value: not isinstance(value, dict), "is not a JSON object", "correct it, or give --answer text"
        )
        values = _typed(self.values, self.columns) if len(self.columns) > 1 else self.values
        keys = list(dict.fromkeys(key for value in values for key in value))
        if not keys:
            message = f"the JSON objects of {self._column} are all empty; give targets with keys"
            raise SuiteError(message)
        whole = [{key: _without_nan(value[key]) for key in keys if key in value} for value in values]
        schema = infer_schema(whole)
        required = tuple(schema.get("required", ()))
        changes = [] if required else ["no key is in all targets: those that are missing are written as null"]
        if not required:
            whole = [{key: value.get(key) for key in keys} for value in whole]
            schema, required = infer_schema(whole), tuple(keys)
        by = next((key for key in required if _draws(schema["properties"][key])), None)
        return Detected(
            "json",
            f"a JSON object with the {'key' if len(keys) == 1 else 'keys'} {listed(keys)}",
            reason,
            [json.dumps(value, ensure_ascii=False) for value in whole],
            settings={"keys": required, "schema": schema},
            by=by,
            changes=changes,
        )

    # What they look like

    @property
    def _column(self) -> str:
        return listed([repr(name) for name in self.columns])

    def _all(self, of: type) -> bool:
        return all(isinstance(value, of) for value in self.values)

    def _texts(self) -> list[str]:
        return [_text(self.values[i]) for i in self.sample]

    def _refuse(self, is_wrong: Callable[[Any], bool], what: str, remedy: str) -> None:
        for value, where in zip(self.values, self.where, strict=True):
            if is_wrong(value):
                message = f"{where}: {clipped(value)} of {self._column} {what}; {remedy}"
                raise SuiteError(message)


# Values


def _parsed(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A value; a list or an object that is written as text (JSON, or as pandas writes it into a CSV) is read."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in {"[", "{"}:
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _python(text)
    return found if isinstance(found, list | dict) else text


def _python(text: str) -> Any:  # noqa: ANN401 - likewise
    """A Python literal, exactly as `repr` writes it: in "['a' 'b']", as NumPy writes it, Python would join a and b."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return found if repr(found) == text else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(value: Sequence[object]) -> bool:
    return not any(isinstance(each, list | dict) or each is None for each in value)


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def _pieces(value: Sequence[object]) -> list[str]:
    """The different members of a list, as texts."""
    return list(dict.fromkeys(_text(each).strip() for each in value))


def _cut(text: str, separator: str | None) -> list[str]:
    if text == "[]":  # how a cell says that a set is empty
        return []
    return [piece for part in text.split(separator) if (piece := part.strip())] if separator else [text]


def _alternatives(value: object) -> Sequence[object]:
    """All right answers of a row."""
    return _listed(value["text"] if isinstance(value, dict) and set(value) == _SQUAD else value)


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def _switch(value: object) -> bool | None:
    """Whether a cell of a one-hot table is set; None if it is no such cell."""
    return _SWITCHES.get(_text(value).casefold())


def _repeat(texts: Sequence[str]) -> bool:
    """Whether each value occurs twice on average."""
    return 0 < 2 * len(set(texts)) <= len(texts)


def _separates(separator: str, texts: Iterable[str]) -> bool:
    """Whether the texts are sets, with the separator between labels.

    The parts repeat, and most parts of longer cells are in other cells too. In "food|fruit" and "food|meat", which are
    names of one label each, only "food" is.
    """
    cells = {tuple(_cut(text, separator)) for text in texts}
    in_cells = Counter(part for cell in cells for part in set(cell))
    joined = {part for cell in cells if len(cell) > 1 for part in cell}
    shared = sum(in_cells[part] > 1 for part in joined)
    return bool(joined) and 2 * shared > len(joined) and _repeat([p for text in texts for p in _cut(text, separator)])


def _about_numbers(labels: Sequence[str]) -> list[str]:
    """Warnings about labels that are numbers: their names are elsewhere, and -1 may be none of them."""
    if not all(re.fullmatch(r"-?\d+(?:\.0)?", label) for label in labels):
        return []
    found, names = [], sorted((label for label in labels if label != _NO_LABEL), key=float)
    if _NO_LABEL in labels and names:
        found.append(
            f"the label -1 among {names[0]} to {names[-1]} perhaps means 'no label'; if so, remove its rows, or name "
            "the other labels with --labels and leave out the rest with --skip-unlabelled"
        )
    shown = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"  # noqa: PLR2004 - an example
    found.append(
        f"the labels are numbers ({shown}), whose meaning a model can only guess from a prompt; name them with "
        "--labels FILE (lines of number, tab, name) or --labels 0=NAME,1=NAME"
    )
    return found


# JSON


def infer_schema(values: Sequence[Any]) -> dict[str, Any]:
    """The JSON schema that all values fit: types, keys, and an enum for texts of few values that repeat.

    >>> infer_schema([{"n": 1, "note": None}, {"n": 2.5, "note": "late"}])["properties"]
    {'n': {'type': 'number'}, 'note': {'type': ['string', 'null']}}
    """
    there = [value for value in values if value is not None]
    types = sorted({_type(value) for value in there})
    if types == ["integer", "number"]:
        types = ["number"]
    if len(there) < len(values):
        types.append("null")
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    texts = [value for value in there if isinstance(value, str)]
    if texts and len(texts) == len(there) and len(set(texts)) <= _FEW and _repeat(texts):
        schema["enum"] = [*sorted(set(texts)), *([None] if "null" in types else [])]
    if objects := [value for value in there if isinstance(value, dict)]:
        keys = list(dict.fromkeys(key for value in objects for key in value))
        schema["properties"] = {key: infer_schema([each[key] for each in objects if key in each]) for key in keys}
        if required := [key for key in keys if all(key in each for each in objects)]:
            schema["required"] = required
    if members := [each for value in there if isinstance(value, list) for each in value]:
        schema["items"] = infer_schema(members)
    return schema


def _type(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _draws(schema: Mapping[str, Any]) -> bool:
    return "enum" in schema or schema["type"] == "boolean"


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _typed(values: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Cells of a table as JSON: an empty one is null, and a column of numbers has numbers."""
    numeric = {
        name
        for name in columns
        if all(
            is_missing(value[name]) or (isinstance(value[name], str) and _is_number(value[name])) for value in values
        )
    }

    def read(name: str, cell: Any) -> Any:  # noqa: ANN401 - any JSON value
        if is_missing(cell):
            return None
        return json.loads(cell.lstrip("+")) if name in numeric else cell

    return [{name: read(name, value[name]) for name in columns} for value in values]

"""Source of the eval file that `thirdlever init` writes.

What comes from the user's data is written as a literal, so that it never becomes code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.answers.answer import most_tokens
from thirdlever.core.text import counted, listed
from thirdlever.suites.suite import COLUMNS, Item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.suites.detect import Detected, Kind

CLASSES: Mapping[Kind, str] = {"labels": "Labels", "number": "Number", "text": "Text", "json": "Json"}
_LINE = 120  # characters
_NAMED = 6  # keys that an instruction names
_WIDTH = 60  # characters of an example in the docstring

_EVAL = '''"""{name}: {task}.

Source:  {sources} (sha256 in datasets/{name}/card.yaml).
Licence: unknown; fill it in here and in datasets/{name}/card.yaml.
Example: {example}
Run:     thirdlever run {name}
"""

from thirdlever import {imports}


@suite
def {name}() -> Suite:
    """{summary}."""
    return load_suite(
        {name_literal},
        instruction={instruction},
        answer={answer},
        input_name={input_name},{answer_name}{further}
    )
'''


def eval_file(
    name: str,
    source: str,
    targets: Sequence[str],
    found: Detected,
    *,
    sources: Sequence[str],
    items: Sequence[Item],
    prompt: str | None,
) -> str:
    """Source of `evals/<name>.py`.

    Args:
        name: the suite's.
        source: the user's name of the input column.
        targets: and of the target columns.
        found: the answer kind.
        sources: names of the files that the suite was made from.
        items: all of the suite, train's first.
        prompt: the suite's own, in `prompts/`; None for the default one.
    """
    further = (("input_column", source if source not in COLUMNS else None), ("prompt", prompt))
    shown, wanted = _in_words(source, "Text"), _wanted(targets, found)
    labels = sorted({label for item in items for label in found.classes(item.target)})
    several = counted(len(labels), "label")
    kind = {"label": f"one of {several}", "labels": f"a set of {several}"}.get(found.kind, found.words)
    keys = [_in_words(key, "JSON").lower() for key in found.settings.get("keys", ())]
    extract = f"Extract {listed(keys) if len(keys) <= _NAMED else 'the fields'} from the {shown.lower()}."
    answer = None if found.kind == "label" else _answer(found, wanted, labels, [item.target for item in items])
    return _EVAL.format(
        name=name,
        task=f"{_quoted(', '.join(targets))} ({kind}) from {_quoted(source)}",
        sources=", ".join(map(_quoted, sources)),
        example=f"{_quoted(items[0].input)} -> {_quoted(found.shown(items[0].target))}",
        imports=", ".join(sorted({"Suite", "load_suite", "suite"} | ({answer.name} if answer else set()))),
        summary=f"The {wanted.lower()} of each {shown.lower()}",
        name_literal=_literal(name),
        instruction=_literal(extract if keys else f"Give the {wanted.lower()} of the {shown.lower()}."),
        answer=_source(answer, 8, len("answer=")) if answer else '"label"',
        input_name=_literal(shown),
        answer_name="" if answer else f"\n        answer_name={_literal(wanted)},",
        further="".join(f"\n        {name}={_literal(value)}," for name, value in further if value),
    )


def _wanted(targets: Sequence[str], found: Detected) -> str:
    """What the prompt calls an answer."""
    if len(targets) == 1:
        return _in_words(targets[0], "Category")
    return "Categories" if found.kind == "labels" else "JSON"


def _answer(found: Detected, name: str, labels: Sequence[str], targets: Sequence[str]) -> _Call:
    """The answer kind, with all that it needs."""
    settings = dict(found.settings)
    if found.kind == "labels":
        settings["labels"] = tuple(labels)
    first = [("", settings.pop(key)) for key in ("labels", "keys") if key in settings]
    if found.kind in {"text", "json"}:
        separator = settings.get("separator")
        answers = [each for target in targets for each in (target.split(separator) if separator else [target])]
        settings = {"max_tokens": max(map(most_tokens, answers)), **settings}
    return _Call(CLASSES[found.kind], [*first, ("name=", name), *((f"{key}=", v) for key, v in settings.items())])


def _in_words(column: str, otherwise: str) -> str:
    """A column's name for the prompt: "merchant_name" becomes "Merchant name"."""
    words = " ".join(re.sub(r"[\W_]+", " ", column).split())[:_WIDTH]
    return words[:1].upper() + words[1:] or otherwise


def _quoted(text: str) -> str:
    """Data inside a docstring: a shortened literal that can neither end the docstring nor start an escape."""
    shown = repr(text if len(text) <= _WIDTH else text[:_WIDTH] + "…")
    return shown.replace("\\", "\\\\").replace('"', '\\"')


# Python source


@dataclass(frozen=True, slots=True)
class _Call:
    """A call, as source: each argument with what stands before it, "" or "name="."""

    name: str
    arguments: Sequence[tuple[str, Any]]


def _literal(text: str) -> str:
    """A text in double quotes, as a formatter writes it; what cannot be seen is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _source(value: Any, indent: int, used: int) -> str:  # noqa: ANN401 - any JSON value, a tuple or a call
    """A value as source: on one line if it fits there, otherwise one line for each of its members.

    Args:
        value: what to write.
        indent: spaces before the line on which it begins.
        used: characters on that line before it.
    """
    opening, members, closing = _members(value)
    flat = ", ".join(f"{before}{_source(each, 0, -_LINE * len(members))}" for before, each in members)
    line = opening + flat + ("," if isinstance(value, tuple) and len(members) == 1 else "") + closing
    if not members or indent + used + len(line) < _LINE:
        return line
    inner = indent + 4
    lines = [f"{' ' * inner}{before}{_source(each, inner, len(before))}," for before, each in members]
    return "\n".join([opening, *lines, " " * indent + closing])


def _members(value: Any) -> tuple[str, Sequence[tuple[str, Any]], str]:  # noqa: ANN401 - likewise
    if isinstance(value, _Call):
        return f"{value.name}(", value.arguments, ")"
    if isinstance(value, dict):
        return "{", [(f"{_literal(key)}: ", each) for key, each in value.items()], "}"
    if isinstance(value, list | tuple):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return opening, [("", each) for each in value], closing
    return _literal(value) if isinstance(value, str) else repr(value), (), ""

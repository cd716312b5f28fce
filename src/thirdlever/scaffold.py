"""The two files that a person reads of a suite made by `thirdlever init`: its eval file and its card.

Names and examples come out of somebody's data: each is written as a literal or as YAML, never as code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.suite import Item

_WIDTH = 60

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
        input_name={input_name},{answer_name}
    )
'''

_CARD = """\
# What this data is, for whoever meets it next. Fill in what says unknown or null.
{head}
licence: unknown  # who may use the data for what, and how to credit it
{facts}
target_accuracy: null  # the share of right answers that the product needs, 0 to 1: what candidates are held to
monthly_volume: null  # requests a month in production: whether a dearer lever pays depends on it
error_cost_usd: null  # what one wrong answer costs: what a point of accuracy is worth depends on it
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the two files say.

    Attributes:
        name: the suite's.
        columns: the user's column names by the role they have (input, target, slice, group).
        sources: file name, sha256 and rows of each file that the suite was made from.
        counts: rows by split, and labels.
        changes: what was dropped or drawn, in sentences.
        example: one item of train.
        longest: characters of the longest target, when answers are free text; None when they are labels.
    """

    name: str
    columns: Mapping[str, str]
    sources: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    changes: Sequence[str]
    example: Item
    longest: int | None


def eval_file(outline: Outline) -> str:
    """The Python source of `evals/<name>.py`."""
    source, target = outline.columns["input"], outline.columns["target"]
    asked, wanted = _in_words(source, "Text"), _in_words(target, "Category")
    answer, answer_name, imports = '"label"', f"\n        answer_name={_literal(wanted)},", "Suite, load_suite, suite"
    kind = f"one of {outline.counts.get('labels')} labels"
    if outline.longest is not None:
        # Half the characters and a little: no tokenizer in use needs more.
        answer = f"Text(name={_literal(wanted)}, max_tokens={outline.longest // 2 + 8})"
        answer_name, imports, kind = "", "Suite, Text, load_suite, suite", "a free text"
    return _EVAL.format(
        name=outline.name,
        task=f"{_quoted(target)} ({kind}) from {_quoted(source)}",
        sources=", ".join(_quoted(entry["file"]) for entry in outline.sources),
        example=f"{_quoted(outline.example.input)} -> {_quoted(outline.example.target)}",
        imports=imports,
        summary=f"The {wanted.lower()} of each {asked.lower()}",
        name_literal=_literal(outline.name),
        instruction=_literal(f"Give the {wanted.lower()} of the {asked.lower()}."),
        answer=answer,
        input_name=_literal(asked),
        answer_name=answer_name,
    )


def card(outline: Outline) -> str:
    """The YAML of `datasets/<name>/card.yaml`."""
    facts = {
        "source": [dict(entry) for entry in outline.sources],
        "schema": {role: f"column {column!r}" for role, column in outline.columns.items()},
        "counts": dict(outline.counts),
        "changes": list(outline.changes),
    }
    return _CARD.format(head=_yaml({"name": outline.name}), facts=_yaml(facts))


def _yaml(value: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip()


def _in_words(column: str, otherwise: str) -> str:
    """A column's name as a prompt says it: "merchant_name" is "Merchant name"."""
    words = " ".join(re.sub(r"[\W_]+", " ", column).split())[:_WIDTH]
    return words[:1].upper() + words[1:] or otherwise


def _literal(text: str) -> str:
    """A Python literal in double quotes, as a formatter would write it: JSON's strings are Python's, too."""
    return json.dumps(text, ensure_ascii=False)


def _quoted(text: str) -> str:
    """Data inside a docstring: a literal, cut short, that can neither end the docstring nor start an escape."""
    shown = repr(text if len(text) <= _WIDTH else text[:_WIDTH] + "…")
    return shown.replace("\\", "\\\\").replace('"', '\\"')

"""The built-in answer kinds as run.json states them, so that figures can be computed without the eval."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from thirdlever.answers.answer import Label, Text
from thirdlever.answers.judge import Judge
from thirdlever.answers.number import Number
from thirdlever.answers.rules import Checks, Rule
from thirdlever.answers.sets import Labels
from thirdlever.answers.structured import Json
from thirdlever.core.errors import SuiteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thirdlever.answers.answer import Answer


_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Label, Labels, Json, Number, Text, Checks)}


def described(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - an answer kind
    """An answer kind as JSON: the name of its class, and the arguments of a built-in one."""
    name = type(answer).__name__
    if isinstance(answer, Judge):
        rules = [described(check) for check in answer.rules_first]
        return {"kind": name, "rubric": answer.rubric, "mode": answer.mode, "repeats": answer.repeats, "checks": rules}
    if type(answer) is not _KINDS.get(name):
        return {"kind": name}
    built_in: Any = answer
    arguments = asdict(built_in)
    shown: dict[str, Any] = json.loads(json.dumps({f.name: arguments[f.name] for f in fields(built_in) if f.init}))
    return {"kind": name} | shown


def restored(stated: Mapping[str, Any] | None) -> Answer | None:
    """The answer kind that `described` stated; None for a user's own, a judge, and runs that stated none."""
    arguments = dict(stated or {})
    kind = _KINDS.get(arguments.pop("kind", ""))
    if kind is None:
        return None
    if "rules" in arguments:
        arguments["rules"] = [Rule(**rule) for rule in arguments["rules"]]
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    try:
        made: Answer = kind(**tuples)
    except (TypeError, SuiteError):  # an argument of another release
        return None
    return made

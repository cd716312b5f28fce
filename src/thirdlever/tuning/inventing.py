"""Inputs that nobody labelled, written by a model after a few that it is shown."""

from __future__ import annotations

import math
import random
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thirdlever.core.text import normalise
from thirdlever.evaluation.ask import Used, replies, setup
from thirdlever.strategies.contract import Deployment
from thirdlever.suites.suite import Item, Split

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inspect_ai.solver import Solver

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import SetupCost
    from thirdlever.suites.suite import Suite

_SHOWN = 8  # inputs of train in one request
_WANTED = 10  # new ones asked for in one request
_USABLE = 0.5  # of these, expected: the rest repeats what is there
_TOKENS = 600  # of one answer at most
_TEMPERATURE = 0.9
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.):])\s*")


def invent(
    suite: Suite, model: BaseModel, store: Store, seeds: Sequence[Item], n: int, *, seed: int
) -> tuple[list[str], SetupCost]:
    """Have a model write up to `n` new inputs, each request after a few seeds drawn at random.

    Returns:
        Inputs that are neither seeds nor each other's repetitions, and what writing them took.
    """
    draw = random.Random(seed)  # noqa: S311 - not a secret
    texts = [item.input for item in seeds]
    shown = [
        "\n".join(f"- {text}" for text in draw.sample(texts, min(_SHOWN, len(texts))))
        for _ in range(math.ceil(n / (_WANTED * _USABLE)))
    ]

    def build(folder: Path) -> dict[str, Any]:
        asked = Split("seeds", tuple(Item(id=f"seed-{i}", input=text, target="") for i, text in enumerate(shown)))
        writer = Deployment(_writing(suite), model=model)
        given = replies(suite, writer, asked, folder, title="teacher: writing inputs", temperature=_TEMPERATURE)
        known = set(map(normalise, texts))
        written: dict[str, str] = {}
        for line in (line for reply in given for line in reply.completion.splitlines()):
            text = _BULLET.sub("", line).strip()
            if normalise(text) and normalise(text) not in known:
                written.setdefault(normalise(text), text)
        return {"inputs": list(written.values())[:n], **asdict(Used.by(given))}

    depends = {"suite": suite.seen_hash, "model": [model.name, model.revision], "shown": shown, "n": n}
    facts = store.once("inputs", of=depends, build=build, resume=True).facts
    return facts["inputs"], setup(facts, labels=0)


def _writing(suite: Suite) -> Solver:
    """Asks for more of the kind that it is shown."""
    from inspect_ai.model import ChatMessageUser
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def writing() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            wish = (
                f"Here are inputs of one kind ({suite.input_name}):\n\n{state.input_text}\n\n"
                f"Write {_WANTED} more of the same kind, as different from each other as real ones are. One a line."
            )
            state.messages = [ChatMessageUser(content=wish)]
            return await generate(state, max_tokens=_TOKENS)

        return solve

    return writing()

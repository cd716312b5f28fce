"""Distillation: a teacher labels inputs, the reliable labels are kept, and a model can write further inputs."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import TuningError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note
from thirdlever.core.text import normalise
from thirdlever.evaluation.ask import Questions, Used, asking, replies, setup
from thirdlever.strategies.contract import Deployment
from thirdlever.suites.suite import Item, Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from inspect_ai.solver import Solver

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import SetupCost
    from thirdlever.suites.suite import Suite


_SAMPLING = 0.7  # temperature for several samples: high enough for an unsure teacher to disagree with itself
_SHOWN = 8  # train inputs in one request for new inputs
_WANTED = 10  # new inputs per request
_USABLE = 0.5  # expected share of these that are new
_MAX_TOKENS = 600  # of one answer with new inputs
_TEMPERATURE = 0.9
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.):])\s*")


@dataclass(frozen=True, slots=True)
class Lesson:
    """Training data labelled by a teacher.

    Attributes:
        items: inputs with the teacher's labels.
        survived: share of the inputs that passed the filters.
        setup: what labelling cost, in the teacher's own tokens.
    """

    items: tuple[Item, ...]
    survived: float
    setup: SetupCost


def teach(
    suite: Suite,
    teacher: Deployment,
    inputs: Sequence[str | Item],
    store: Store,
    *,
    of: Mapping[str, Any],
    samples: int = 1,
    agreement: float = 1.0,
) -> Lesson:
    """Have a teacher label inputs, once, and keep the reliable rows.

    A row is dropped if its input repeats an earlier one (ignoring case, spaces and punctuation), if the teacher's
    completion cannot be parsed, or if the teacher's samples disagree too often.

    Args:
        suite: defines the form of an answer.
        teacher: any strategy's deployment.
        inputs: texts, or items, whose targets are not read but whose columns a prompt may show.
        store: keeps the lesson.
        of: what the teacher depends on, JSON-able.
        samples: completions per input.
        agreement: share of the samples that must agree.

    Raises:
        TuningError: no row is left.
    """
    posed = [Item("", each, "") if isinstance(each, str) else each for each in inputs]
    distinct = list({normalise(item.input): item for item in reversed(posed)}.values())[::-1]
    asked = Split("lesson", tuple(replace(item, id=f"lesson-{i}", target="") for i, item in enumerate(distinct)))

    def build(folder: Path) -> dict[str, Any]:
        given = replies(
            suite,
            teacher,
            asked,
            folder,
            title="teacher: labelling",
            times=samples,
            temperature=_SAMPLING if samples > 1 else 0.0,
        )
        votes: dict[str, Counter[str | None]] = {item.id: Counter() for item in asked}
        for reply in given:
            votes[reply.item_id][reply.read(suite.answer).value] += 1
        labels = {item_id: count.most_common(1)[0] if count else (None, 0) for item_id, count in votes.items()}
        agreed = {item_id: label for item_id, (label, n) in labels.items() if n >= agreement * samples}
        rows = [[item.id, item.input, agreed[item.id]] for item in asked if agreed.get(item.id) is not None]
        (folder / "rows.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
        return {
            "asked": len(inputs),
            "duplicates": len(inputs) - len(distinct),
            "unparseable": sum(label is None for label in agreed.values()),
            "disagreed": len(distinct) - len(agreed),
            "kept": len(rows),
            **asdict(Used.by(given)),
        }

    depends = {"suite": suite.seen_hash, "inputs": content_hash(_content(posed)), "votes": [samples, agreement], **of}
    with asking(Questions(deployment=teacher, items=asked, times=samples)):
        artefact = store.once("lesson", of=depends, build=build, resume=True)
    facts = artefact.facts
    dropped = ", ".join(f"{facts[why]} {why}" for why in ("duplicates", "unparseable", "disagreed"))
    note(f"teacher: {facts['kept']} of {facts['asked']} rows survived ({dropped})")
    if not facts["kept"]:
        message = f"none of {facts['asked']} rows labelled by the teacher survived ({dropped}); use a better teacher"
        raise TuningError(message, reason="no row labelled by the teacher survived")
    rows = json.loads((artefact.folder / "rows.json").read_text("utf-8"))
    by_id = {item.id: item for item in asked}
    items = tuple(replace(by_id[item_id], target=label) for item_id, _, label in rows)
    return Lesson(items, facts["kept"] / facts["asked"], setup(facts, labels=0))


def _content(posed: Sequence[Item]) -> list[Any]:
    return [[item.input, dict(item.fields)] if item.fields else item.input for item in posed]


def invent(
    suite: Suite, model: BaseModel, store: Store, seeds: Sequence[Item], n: int, *, seed: int
) -> tuple[list[str], SetupCost]:
    """Have a model write up to `n` new inputs; each request shows a few randomly chosen seeds.

    Returns:
        Inputs that repeat neither a seed nor each other, and what writing them cost.
    """
    draw = random.Random(seed)  # noqa: S311 - not a secret
    texts = [item.input for item in seeds]
    shown = [
        "\n".join(f"- {text}" for text in draw.sample(texts, min(_SHOWN, len(texts))))
        for _ in range(math.ceil(n / (_WANTED * _USABLE)))
    ]
    asked = Split("seeds", tuple(Item(id=f"seed-{i}", input=text, target="") for i, text in enumerate(shown)))
    writer = Deployment(_writing(suite, model.completion_tokens(_MAX_TOKENS)), model=model)

    def build(folder: Path) -> dict[str, Any]:
        given = replies(suite, writer, asked, folder, title="teacher: writing inputs", temperature=_TEMPERATURE)
        known = set(map(normalise, texts))
        written: dict[str, str] = {}
        for line in (line for reply in given for line in reply.completion.splitlines()):
            text = _BULLET.sub("", line).strip()
            if normalise(text) and normalise(text) not in known:
                written.setdefault(normalise(text), text)
        return {"inputs": list(written.values())[:n], **asdict(Used.by(given))}

    depends = {"suite": suite.seen_hash, "model": [model.name, model.revision], "shown": shown, "n": n}
    expected = _WANTED * sum(map(model.tokens, texts)) / max(1, len(texts))
    with asking(Questions(deployment=writer, items=asked, output_tokens=min(expected, _MAX_TOKENS))):
        facts = store.once("inputs", of=depends, build=build, resume=True).facts
    return facts["inputs"], setup(facts, labels=0)


def _writing(suite: Suite, max_tokens: int) -> Solver:
    from inspect_ai.model import ChatMessageUser
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def writing() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            request = (
                f"Here are inputs of one kind ({suite.input_name}):\n\n{state.input_text}\n\n"
                f"Write {_WANTED} more of the same kind, as different from each other as real ones are. One a line."
            )
            state.messages = [ChatMessageUser(content=request)]
            return await generate(state, max_tokens=max_tokens)

        return solve

    return writing()

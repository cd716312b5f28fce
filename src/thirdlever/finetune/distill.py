"""A teacher's lesson: its answers to inputs without labels, and what of these is good enough to be learnt."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import StrategyError
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


_SAMPLING = (
    0.7  # temperature at which a teacher is asked more than once: hot enough to disagree with itself when unsure
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a teacher has to teach.

    Attributes:
        items: inputs with the teacher's labels.
        survived: share of what the teacher was asked that passed the filters.
        setup: what asking took, at the teacher's own token counts.
    """

    items: tuple[Item, ...]
    survived: float
    setup: SetupCost


def teach(
    suite: Suite,
    teacher: Deployment,
    inputs: Sequence[str],
    store: Store,
    *,
    of: Mapping[str, Any],
    samples: int = 1,
    agreement: float = 1.0,
) -> Lesson:
    """Have a teacher label inputs, once, and keep the rows that can be trusted.

    A row is dropped when its input was there before (case, spaces and punctuation aside), when no answer can be read
    out of the teacher's completion, or when the teacher, asked several times, does not agree with itself often enough.

    Args:
        suite: what an answer looks like.
        teacher: any strategy's deployment.
        inputs: without labels.
        store: where the lesson is kept.
        of: what the teacher depends on, JSON-able.
        samples: how often each input is asked.
        agreement: the share of these answers that must be the same.

    Raises:
        StrategyError: nothing survives.
    """
    distinct = list({normalise(text): text for text in reversed(inputs)}.values())[::-1]
    asked = Split("lesson", tuple(Item(id=f"lesson-{i}", input=text, target="") for i, text in enumerate(distinct)))

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
            votes[reply.item_id][suite.answer.parse(reply.completion)] += 1
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

    depends = {"suite": suite.seen_hash, "inputs": content_hash(list(inputs)), "votes": [samples, agreement], **of}
    with asking(Questions(deployment=teacher, items=asked, times=samples)):
        artefact = store.once("lesson", of=depends, build=build, resume=True)
    facts = artefact.facts
    dropped = ", ".join(f"{facts[why]} {why}" for why in ("duplicates", "unparseable", "disagreed"))
    note(f"teacher: {facts['kept']} of {facts['asked']} rows survived ({dropped})")
    if not facts["kept"]:
        message = f"none of {facts['asked']} rows that the teacher labelled survived ({dropped}); use a better teacher"
        raise StrategyError(message)
    rows = json.loads((artefact.folder / "rows.json").read_text("utf-8"))
    return Lesson(tuple(Item(*row) for row in rows), facts["kept"] / facts["asked"], setup(facts, labels=0))


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
    asked = Split("seeds", tuple(Item(id=f"seed-{i}", input=text, target="") for i, text in enumerate(shown)))
    writer = Deployment(_writing(suite), model=model)

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
    with asking(Questions(deployment=writer, items=asked, output_tokens=min(expected, _TOKENS))):
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

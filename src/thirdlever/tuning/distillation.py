"""A teacher's lesson: its answers to inputs without labels, and what of these is good enough to be learnt."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import StrategyError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note
from thirdlever.core.text import normalise
from thirdlever.evaluation.ask import Used, replies, setup, understudy
from thirdlever.suites.suite import Item, Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.core.store import Store
    from thirdlever.strategies.contract import Deployment, SetupCost
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

    def build(folder: Path) -> dict[str, Any]:
        asked = Split("lesson", tuple(Item(id=f"lesson-{i}", input=text, target="") for i, text in enumerate(distinct)))
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
    artefact = store.once("lesson", of=depends, build=build, resume=True)
    facts = artefact.facts
    dropped = ", ".join(f"{facts[why]} {why}" for why in ("duplicates", "unparseable", "disagreed"))
    if not understudy():
        note(f"teacher: {facts['kept']} of {facts['asked']} rows survived ({dropped})")
    if not facts["kept"]:
        message = f"none of {facts['asked']} rows that the teacher labelled survived ({dropped}); use a better teacher"
        raise StrategyError(message)
    rows = json.loads((artefact.folder / "rows.json").read_text("utf-8"))
    return Lesson(tuple(Item(*row) for row in rows), facts["kept"] / facts["asked"], setup(facts, labels=0))

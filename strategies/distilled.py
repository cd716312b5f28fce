"""Distillation: a teacher with full context labels inputs once, and a student learns to answer without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from thirdlever import (
    BaseModel,
    Deployment,
    Prepare,
    Settings,
    Split,
    Store,
    StrategyError,
    Suite,
    add_setups,
    ask,
    invent,
    parse,
    resolve,
    strategy,
    teach,
    tune,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever import Item

MAX_DEV = 200  # dev items that choose between epochs; never more than it learns from


@strategy
def distilled(
    *,
    teacher: str = "rag",
    teacher_model: str | None = None,
    labelled: int = 1000,
    rows: int = 1000,
    inputs: Literal["unlabelled", "generated"] = "unlabelled",
    samples: int = 1,
    agreement: float = 1.0,
    epochs: int | Literal["auto"] = 3,
    rank: int = 16,
    seed: int = 0,
) -> Prepare:
    """A student tuned on a teacher's answers, then asked with the instruction alone.

    Args:
        teacher: the strategy that labels, such as rag or rag:k=20.
        teacher_model: the teacher's model; none uses the student's base model.
        labelled: items of train that the teacher may use; the student never sees their labels.
        rows: number of inputs that the teacher labels.
        inputs: "unlabelled" uses those of the suite, or the rest of train without its labels; "generated" has the
            teacher's model write them.
        samples: how often the teacher labels each input.
        agreement: share of these labels that must agree.
        epochs: the student's passes over the rows, or "auto".
        rank: rank of the student's adapter.
        seed: for every draw.
    """
    if min(labelled, rows, samples) < 1 or not 0 < agreement <= 1:
        message = "distilled: labelled, rows and samples must be 1 or more and agreement in (0, 1]; correct them"
        raise StrategyError(message)
    spec = parse(teacher)
    settings = Settings(epochs=epochs, rank=rank, seed=seed)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        base = resolve(teacher_model) if teacher_model else model
        known = suite.train.sample(labelled, seed=seed)
        taught = replace(suite, train=Split("train", known))
        deployment = spec.prepare(taught, base, store)
        if inputs == "generated":
            texts, writing = invent(taught, base, store, known, rows, seed=seed)
            unlabelled: Sequence[str | Item] = texts
        else:
            held = {item.id for item in known}
            rest = Split("unlabelled", suite.unlabelled or tuple(item for item in suite.train if item.id not in held))
            unlabelled, writing = rest.sample(rows, how="random", seed=seed), None
        if not unlabelled:
            message = (
                f"distilled: no input is left to label; give labelled below {len(suite.train)} or inputs=generated"
            )
            raise StrategyError(message)
        of = {"teacher": [str(spec), spec.source_hash], "train": taught.train.hash, "model": [base.name, base.revision]}
        lesson = teach(suite, deployment, unlabelled, store, of=of, samples=samples, agreement=agreement)
        dev = tuple(suite.dev.first(min(MAX_DEV, len(lesson.items)))) if epochs != 1 else ()
        student = tune(suite, model, store, lesson.items, dev=dev, settings=settings)
        teaching = [setup for setup in (deployment.setup, writing, lesson.setup) if setup]
        setup = add_setups(*teaching, teacher=base if teacher_model else None)
        labels = len(known) + len(dev)
        return Deployment(
            ask(suite, brief=True),
            model=student.model,
            lever="tuned",
            setup=replace(add_setups(setup, student.setup), labels=labels),
            given=(*deployment.given, *lesson.items, *dev),
            tuning=replace(student.tuning, survived=lesson.survived),
        )

    return prepare

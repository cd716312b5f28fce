"""Preparing a strategy without spending: what would ask a model, or order a tune, is counted instead."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from thirdlever.evaluation.ask import standing_in
from thirdlever.evaluation.records import Reply
from thirdlever.retrieval.index import SERVER
from thirdlever.strategies.contract import SetupCost, Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.catalog.tuning import Estimate
    from thirdlever.evaluation.inspect_eval import Pass
    from thirdlever.evaluation.records import Key
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.managed import Tuned
    from thirdlever.models.base import BaseModel
    from thirdlever.planning.requests import Request, Trials
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training that would be made.

    Attributes:
        method: "lora", "qlora" or "full".
        where: "local", or the provider's title.
        examples: rows.
        epochs: passes over them, at most.
        tokens: trained on, all epochs together.
        dev_tokens: read for choosing an epoch, all epochs together.
        here: whether it is this machine that trains.
        estimate: of a provider's bill; None where nobody sends one.
    """

    method: str
    where: str
    examples: int
    epochs: int
    tokens: float
    dev_tokens: float
    here: bool
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Questions that preparing asks, all of one kind."""

    requests: int
    each: Request
    model: BaseModel


@dataclass(kw_only=True)
class Spent:
    """What preparing would take.

    Attributes:
        rounds: questions to models.
        trainings: tunes.
        seconds: of embedding, indexing and fitting on this machine.
        notes: what of this is assumed, and why.
    """

    rounds: list[Round] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Stands in while a strategy prepares for a plan; see `thirdlever.evaluation.inspect_eval.ask`.

    Attributes:
        base: who plays models that are not tuned yet.
        spent: where all is written down.
        trials: how requests are tried.
    """

    base: BaseModel
    spent: Spent
    trials: Trials

    def asked(self, work: Pass, deployment: Deployment) -> list[Reply]:
        """Answers that can be read, and what asking would have taken."""
        each = self.trials.rehearse(work.suite, deployment, work.items, base=self.base)
        if deployment.model is not None:
            self.spent.rounds.append(Round(requests=len(work.keys), each=each, model=deployment.model))
        return [_reply(key, work.suite) for key in work.keys]

    def ordered(
        self,
        model: BaseModel,
        examples: Sequence[Conversation],
        *,
        dev: Sequence[Conversation],
        provider: str,
        epochs: int | None,
        horizon_days: int,
    ) -> Tuned:
        """Check all that is checked before an order is placed, and write down what it would be charged."""
        from thirdlever.catalog.tuning import estimate, profile
        from thirdlever.finetune import managed
        from thirdlever.finetune import managed as preflight
        from thirdlever.finetune.conversations import to_jsonl
        from thirdlever.planning.counting import example

        terms = profile(provider)
        base = terms.base(model.name)
        preflight.check_format(terms, to_jsonl(examples), to_jsonl(dev))
        preflight.check_dates(terms, base, horizon_days=horizon_days)
        passes = preflight.AUTO_EPOCHS if epochs is None else epochs
        # A provider's tokenizer is not at hand: the count is the one that its bill is estimated by.
        tokens = sum(example(model, turns) for turns in examples) * passes if terms.free else None
        billed = preflight.count(examples, model.tokens, passes)
        self.spent.trainings.append(
            Training(
                method="lora",
                where=terms.title,
                examples=len(examples),
                epochs=passes,
                tokens=billed if tokens is None else tokens,
                dev_tokens=preflight.count(dev, model.tokens, passes),
                here=terms.free,
                estimate=None if terms.free else estimate(provider, base, billed),
            )
        )
        shown = base.rpartition("/")[2] if base.startswith("hf/") else base
        tuning = Tuning(method="supervised", where=terms.title, examples=len(examples), epochs=passes, tokens=billed)
        return managed.Tuned(
            model=replace(model, name=f"{terms.title}: ft:{shown}:planned"), setup=SetupCost(), tuning=tuning
        )


@contextmanager
def rehearsing(base: BaseModel, spent: Spent, trials: Trials) -> Iterator[None]:
    """Ask nobody, order nothing and fill no server that others share, until the block ends."""
    server = os.environ.pop(SERVER, None)
    try:
        with standing_in(Rehearsal(base=base, spent=spent, trials=trials)):
            yield
    finally:
        if server is not None:
            os.environ[SERVER] = server


def _reply(key: Key, suite: Suite) -> Reply:
    """An answer that can be read."""
    phase, item_id, epoch = key
    return Reply(
        phase=phase,
        item_id=item_id,
        epoch=epoch,
        completion=suite.train.items[0].target,
        input_tokens=0,
        cached_tokens=0,
        output_tokens=0,
        latency_s=0.0,
    )

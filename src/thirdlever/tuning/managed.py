"""Tune elsewhere: from conversations to a tuned model, for every strategy that has somebody else do the training."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import estimate, profile, provider_of
from thirdlever.core.files import content_hash
from thirdlever.evaluation.ask import understudy
from thirdlever.strategies.contract import SetupCost, Tuning
from thirdlever.tuning import preflight, tuned
from thirdlever.tuning.examples import to_jsonl
from thirdlever.tuning.ledger import Job, Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.models.base import BaseModel
    from thirdlever.tuning.examples import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What came of it.

    Attributes:
        model: answers with the tuned weights, reached when it is first asked.
        setup: what the tuning took and cost; the labels are the caller's to state.
        tuning: what it came to.
    """

    model: BaseModel
    setup: SetupCost
    tuning: Tuning


def tune(
    model: BaseModel,
    examples: Sequence[Conversation],
    *,
    dev: Sequence[Conversation] = (),
    provider: str = "auto",
    epochs: int | None = 3,
    seed: int = 0,
    max_usd: float | None = None,
    horizon_days: int = 120,
    label: str = "",
    ledger: Ledger | None = None,
) -> Tuned:
    """Have a model tuned once: the same order again, whatever became of the process, finds the same job.

    Args:
        model: the base.
        examples: conversations; the last turn is what is learned.
        dev: others, that the provider validates on.
        provider: a name of `profiles.toml`; "auto" goes by the model's name.
        epochs: passes; None leaves it to the provider.
        seed: of the training.
        max_usd: submit without asking when the estimate is no higher.
        horizon_days: how long the tuned model has to answer.
        label: whose data it is, for `thirdlever jobs`.
        ledger: where jobs are written; the current project's by default.

    Raises:
        StrategyError: preflight found something, or the job failed.
        ModelError: the provider refuses, or does not answer.
        MissingExtraError: the provider's client is not installed.
    """
    provider = provider_of(model.name) if provider == "auto" else provider
    if stand_in := understudy():
        return stand_in.ordered(model, examples, dev=dev, provider=provider, epochs=epochs, horizon_days=horizon_days)
    ledger = ledger or Ledger()
    terms = profile(provider)
    base = terms.base(model.name)
    training, validation = to_jsonl(examples), to_jsonl(dev)
    identity = content_hash([provider, base, model.revision, training, validation, epochs, seed])
    with ledger.lock(identity):
        job = ledger.get(identity)
        if job is None:
            preflight.check_format(terms, training, validation)
            preflight.check_dates(terms, base, horizon_days=horizon_days)
            tokens = preflight.count(examples, model.tokens, epochs)
            expected = estimate(provider, base, tokens)
            preflight.check_cost(terms, base, expected, max_usd)
            new = Job(
                identity=identity,
                provider=provider,
                base=base,
                model=model.name,
                label=label,
                examples=len(examples),
                validation=len(dev),
                epochs=epochs,
                seed=seed,
                estimated_tokens=tokens,
                estimated_usd=expected.usd,
                ordered=time.time(),
            )
            job = ledger.order(new, training, validation)
    return _told(tuned.finished(job, ledger), model)


def _told(job: Job, base: BaseModel) -> Tuned:
    terms = profile(job.provider)
    seconds = job.seconds or 0.0
    return Tuned(
        model=tuned.of(job, base),
        setup=SetupCost(seconds=seconds, device_seconds=seconds if terms.free else 0.0, usd=_charged(job)),
        tuning=Tuning(
            method="supervised",
            where=terms.title,
            examples=job.examples,
            epochs=job.epochs_made or job.epochs or 0,
            tokens=job.trained_tokens,
            hosting_usd_per_hour=terms.idle_usd_per_hour,
        ),
    )


def _charged(job: Job) -> float | None:
    """What the provider charges for the tokens that it says it trained on; None when either is unknown."""
    if profile(job.provider).free:
        return 0.0
    if job.trained_tokens is None:
        return None
    return estimate(job.provider, job.base, job.trained_tokens).usd

"""Managed tuning: checks before anything is uploaded, one job per request, and the tuned model with its deployment."""

from __future__ import annotations

import atexit
import datetime as dt
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.model_names import retirement
from thirdlever.catalog.tuning import estimate, profile, provider_of
from thirdlever.core.errors import ModelError, StrategyError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, question
from thirdlever.core.store import NotBuilt
from thirdlever.core.text import counted
from thirdlever.finetune import jobs
from thirdlever.finetune.conversations import FormatError, parse, to_jsonl
from thirdlever.finetune.jobs import ENDED, MAX_QUEUE_HOURS, GoneError, Job, Ledger, UndeployedError
from thirdlever.finetune.providers import open_provider
from thirdlever.finetune.tune import Tuned as Tuned  # noqa: PLC0414 - also exported from here
from thirdlever.models.base import BaseModel
from thirdlever.models.parameters import joined, watched
from thirdlever.strategies.contract import SetupCost, Tuning

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspect_ai.model import Model

    from thirdlever.catalog.tuning import Estimate, Profile
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Access, Provider
    from thirdlever.models.base import Tokens

AUTO_EPOCHS = 10  # estimates assume this if the provider chooses: an upper bound except for tiny files
APPEARS_S = 600.0  # after a job's end until its provider must know the model
APPEARS_POLL_S = 10.0
_TURN = 4  # tokens that a chat template adds to a turn
_NOT_DEPLOYED: dict[str, Any] = {"served": None, "ours": False, "idle_usd_per_hour": 0.0}
_torn_down_at_exit: set[str] = set()


def too_large(provider: Profile, size: int) -> bool:
    """Whether the provider refuses a training file of so many bytes."""
    return provider.max_file_mb is not None and size / 1e6 > provider.max_file_mb


def check_format(provider: Profile, training: str, validation: str) -> None:
    """Refuse files that the provider would refuse hours later; raises `StrategyError`."""
    size = len(training.encode())
    if too_large(provider, size):
        message = (
            f"managed: {provider.title} accepts at most {provider.max_file_mb} MB, not {size / 1e6:.0f}; "
            "give fewer examples"
        )
        raise StrategyError(message)
    try:
        parse(training, param="training_file")
        if validation:
            parse(validation, param="validation_file", minimum=1)
    except FormatError as error:
        message = f"managed: the {error.param.replace('_', ' ')} would be refused: {error.message}"
        raise StrategyError(message) from error


def count(examples: Iterable[Conversation], tokens: Tokens, epochs: int | None) -> int:
    """Tokens trained on over all epochs, by the base model's counter."""
    once = sum(tokens(turn["content"]) + _TURN for example in examples for turn in example)
    return once * (AUTO_EPOCHS if epochs is None else epochs)


def check_dates(provider: Profile, base: str, *, horizon_days: int, today: dt.date | None = None) -> None:
    """Refuse a provider that no longer accepts jobs, and a base model that retires too soon.

    Args:
        provider: the fine-tuning provider.
        base: as the provider names it.
        horizon_days: how long the tuned model must remain available; 0 for any time.
        today: the date, for tests.

    Raises:
        StrategyError: with an alternative.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    if provider.last_jobs and today > provider.last_jobs:
        message = f"{provider.title} has accepted no fine-tuning jobs since {provider.last_jobs}; {provider.instead}"
        raise StrategyError(message)
    known = retirement(provider.name, base)
    if known is None:
        return
    if today >= known.retires:
        message = f"{provider.title}: {base!r} and its tuned models were retired on {known.retires}; choose another"
        raise StrategyError(message)
    left = (known.retires - today).days
    if left < horizon_days:
        message = (
            f"{provider.title}: {base!r} and its tuned models retire on {known.retires}, in {left} days; "
            f"choose a base model that remains available, or accept the date with horizon_days={left}"
        )
        raise StrategyError(message)


def check_cost(provider: Profile, base: str, estimate: Estimate, max_usd: float | None) -> None:
    """Compare the estimate with the limit, or ask for confirmation at the terminal.

    Raises:
        StrategyError: the cost is too high or unknown, or was not confirmed.
    """
    if provider.free:
        return
    what = f"tuning {base!r} at {provider.title} on about {counted(estimate.tokens, 'token')}"
    if provider.notice:
        note(f"note: {provider.notice}")
    if max_usd is not None:
        if estimate.usd is None:
            message = f"{what} has no known price; give the rate in tuning.toml, or omit max_usd and confirm"
            raise StrategyError(message)
        if estimate.usd > max_usd:
            message = (
                f"{what} would cost about ${estimate.usd:.2f}, more than max_usd={max_usd:g}; "
                "raise it, or give fewer examples or epochs"
            )
            raise StrategyError(message)
        return
    cost = "an unknown amount" if estimate.usd is None else f"about ${estimate.usd:.2f} ({estimate.source})"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"{what} costs {cost} and needs confirmation at a terminal; allow it with managed:max_usd=USD"
        raise StrategyError(message)
    if question(f"{what} costs {cost}. Submit it? Type yes:") not in {"y", "yes"}:
        message = f"{what} was not confirmed; nothing was submitted"
        raise StrategyError(message)


@dataclass(frozen=True)
class TunedModel(BaseModel):
    """A tuned model; nothing is connected or deployed before `connect`, and no field contains a secret.

    Attributes:
        job: identity of the job that produced it.
    """

    job: str = ""

    @property
    def service(self) -> str:
        """Inspect's name of the provider that answers."""
        return profile(super().service).inspect.partition("/")[0]

    @property
    def costs_device_time(self) -> bool:
        """Whether this machine's endpoint serves it."""
        return profile(self.inspect_name.partition("/")[0]).free

    def connect(self) -> Model:
        """Deploy it if necessary; the inspect model."""
        from inspect_ai.model import get_model

        ledger = Ledger()
        found = ledger.get(self.job)
        if found is None:
            message = f"job {self.job[:8]} is no longer in the ledger; run the same command again"
            raise ModelError(message)
        access = serve(found, ledger)
        model = get_model(access.inspect_name, memoize=False, base_url=access.url, api_key=access.key)
        return watched(model, self.name, self.settings)


def tuned_model(job: Job, base: BaseModel) -> TunedModel:
    """The model that a job has tuned from a base model."""
    shown = job.base.rpartition("/")[2] if job.base.startswith("hf/") else job.base
    return TunedModel(
        name=joined(f"{profile(job.provider).title}: ft:{shown}:{job.short}", base.settings),
        inspect_name=f"{job.provider}/{job.tuned}",
        revision=job.tuned or "",
        context_window=base.context_window,
        tokens=base.tokens,
        settings=base.settings,
        reasons=base.reasons,
        max_output=base.max_output,
        job=job.identity,
    )


def serve(job: Job, ledger: Ledger) -> Access:
    """Make a tuned model answer; a deployment that costs money while idle is removed when this process ends."""
    with ledger.lock(job.identity), open_provider(job.provider, job.model) as provider:
        hourly = provider.terms.idle_usd_per_hour
        if job.served is None and hourly and provider.terms.serves != "by hand":
            # Recorded before it is created, so that `thirdlever jobs` shows it whatever happens next.
            job = ledger.update(job.identity, served=job.tag, ours=True, idle_usd_per_hour=hourly)
        if job.ours and job.identity not in _torn_down_at_exit:
            _torn_down_at_exit.add(job.identity)
            atexit.register(_at_exit, job.identity, ledger)
        try:
            return provider.access(_deployed(job, provider))
        except UndeployedError:
            ledger.update(job.identity, **_NOT_DEPLOYED)
            raise


def _deployed(job: Job, provider: Provider) -> str:
    """Deploy a model; one that has just been tuned may be unknown to its provider for some minutes."""
    noted = False
    while True:
        try:
            return provider.deploy(job)
        except GoneError:
            if time.time() - job.ended > APPEARS_S:
                raise
            if not noted:
                note(f"{provider.terms.title} does not know {job.tuned} yet, as after many jobs; waiting for it")
            noted = True
            time.sleep(APPEARS_POLL_S)


def tear_down(job: Job, ledger: Ledger) -> Job:
    """Remove a deployment that thirdlever created and that costs money while idle."""
    if not job.ours:
        message = f"job {job.short} has no deployment created by thirdlever; remove your own deployments yourself"
        raise ModelError(message)
    with ledger.lock(job.identity), open_provider(job.provider, job.model) as provider:
        provider.tear_down(job)
        return ledger.update(job.identity, **_NOT_DEPLOYED)


def _at_exit(identity: str, ledger: Ledger) -> None:
    _torn_down_at_exit.discard(identity)
    job = ledger.get(identity)
    if job is None or not job.ours:
        return
    title = profile(job.provider).title
    try:
        tear_down(job, ledger)
    except ModelError as error:
        note(
            f"WARNING: {title} deployment {job.served} is still running and costs ${job.idle_usd_per_hour:.2f} an hour "
            f"({error}); remove it: thirdlever jobs teardown {job.short}"
        )
    else:
        note(f"{title} deployment {job.served} removed; the tuned model stays and costs nothing")


def finished(job: Job, ledger: Ledger) -> Job:
    """Submit a job if necessary and wait for it; raises `TuningError` unless it succeeds."""
    if job.stage not in ENDED:
        with open_provider(job.provider, job.model) as provider:
            job = jobs.follow(jobs.submit(job, provider, ledger), provider, ledger)
    return jobs.check_succeeded(job, ledger)


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
    max_queue_hours: float = MAX_QUEUE_HOURS,
    label: str = "",
    ledger: Ledger | None = None,
) -> Tuned:
    """Have a provider tune a model once: an equal call finds the same job, even after a kill.

    Args:
        model: the base model.
        examples: conversations; the last turn of each is learned.
        dev: conversations for the provider to validate on.
        provider: a name in `profiles.toml`; "auto" selects it by the model's name.
        epochs: passes; None leaves the number to the provider.
        seed: of the training.
        max_usd: submit without confirmation if the estimate is no higher.
        horizon_days: how long the tuned model must remain available.
        max_queue_hours: cancel a job that has not started this many hours after its submission.
        label: the suite's name, for `thirdlever jobs`.
        ledger: where jobs are recorded; by default the current project's.

    Raises:
        StrategyError: a check failed.
        TuningError: the job failed.
        ModelError: the provider refuses, or does not answer.
        MissingExtraError: the provider's client is not installed.
    """
    provider = provider_of(model.plain_name) if provider == "auto" else provider
    ledger = ledger or Ledger()
    terms = profile(provider)
    base = terms.base(model.plain_name)
    training, validation = to_jsonl(examples), to_jsonl(dev)
    identity = content_hash([provider, base, model.revision, training, validation, epochs, seed])

    def checked() -> Job:
        check_format(terms, training, validation)
        check_dates(terms, base, horizon_days=horizon_days)
        expected = estimate(provider, base, count(examples, model.tokens, epochs))
        if max_usd is not None or not model.offline:  # a plan asks nobody for approval
            check_cost(terms, base, expected, max_usd)
        return Job(
            identity=identity,
            provider=provider,
            base=base,
            model=model.plain_name,
            label=label,
            examples=len(examples),
            validation=len(dev),
            epochs=epochs,
            seed=seed,
            estimated_tokens=expected.tokens,
            estimated_usd=expected.usd,
            ordered=time.time(),
        )

    if model.offline:
        job = ledger.get(identity)
        if job is None or job.stage not in ENDED:
            raise NotBuilt(kind="job", of=asdict(job or checked()))
        return _tuned(jobs.check_succeeded(job, ledger), model)
    with ledger.lock(identity):
        if ledger.get(identity) is None:
            ledger.add(checked(), training, validation)
        job = ledger.update(identity, max_queue_hours=max_queue_hours)
    return _tuned(finished(job, ledger), model)


def _tuned(job: Job, base: BaseModel) -> Tuned:
    terms = profile(job.provider)
    seconds = job.total_seconds
    return Tuned(
        model=tuned_model(job, base),
        setup=SetupCost(seconds=seconds, device_seconds=seconds if terms.free else 0.0, usd=job.total_usd),
        tuning=Tuning(
            method="supervised",
            where=terms.title,
            examples=job.examples,
            epochs=job.epochs_made or job.epochs or 0,
            tokens=job.trained_tokens,
            hosting_usd_per_hour=terms.idle_usd_per_hour,
        ),
    )

"""A model that was tuned elsewhere, as the harness asks it: reached when it is asked, and no sooner."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.tuning import profile
from thirdlever.core.errors import ModelError
from thirdlever.core.progress import note
from thirdlever.models.base import BaseModel
from thirdlever.tuning import jobs
from thirdlever.tuning.ledger import Ledger
from thirdlever.tuning.tuner import ENDED, UndeployedError
from thirdlever.tuning.tuners import tuner

if TYPE_CHECKING:
    from inspect_ai.model import Model

    from thirdlever.tuning.ledger import Job
    from thirdlever.tuning.tuner import Access

_NOTHING: dict[str, Any] = {"served": None, "ours": False, "idle_usd_per_hour": 0.0}
_torn_down_at_exit: set[str] = set()


@dataclass(frozen=True)
class TunedModel(BaseModel):
    """A tuned model. Nothing is connected, started or deployed before `connect`, and no secret is among its fields.

    Attributes:
        job: identity of the job that made it.
    """

    job: str = ""

    @property
    def costs_device_time(self) -> bool:
        """Whether this machine's endpoint serves it."""
        return profile(self.inspect_name.partition("/")[0]).free

    def connect(self) -> Model:
        """Deploy it if need be; the inspect model.

        Raises:
            ModelError: it cannot be reached.
        """
        from inspect_ai.model import get_model

        ledger = Ledger()
        found = ledger.get(self.job)
        if found is None:
            message = f"job {self.job[:8]} is in the ledger no more; run the same command again"
            raise ModelError(message)
        access = serve(found, ledger)
        return get_model(access.inspect_name, base_url=access.url, api_key=access.key)


def of(job: Job, base: BaseModel) -> TunedModel:
    """The model that a job has made of a base."""
    shown = job.base.rpartition("/")[2] if job.base.startswith("hf/") else job.base
    return TunedModel(
        name=f"{profile(job.provider).title}: ft:{shown}:{job.short}",
        inspect_name=f"{job.provider}/{job.tuned}",
        revision=job.tuned or "",
        context_window=base.context_window,
        tokens=base.tokens,
        job=job.identity,
    )


def serve(job: Job, ledger: Ledger) -> Access:
    """Have a tuned model answer; a deployment that costs while it is idle is removed when this process ends."""
    with ledger.lock(job.identity), tuner(job.provider, job.model) as provider:
        if job.served is None and provider.idle_usd_per_hour:
            # Written before it is made: whatever happens next, `thirdlever jobs` tells of it.
            job = ledger.update(job.identity, served=job.tag, ours=True, idle_usd_per_hour=provider.idle_usd_per_hour)
        if job.ours and job.identity not in _torn_down_at_exit:
            _torn_down_at_exit.add(job.identity)
            atexit.register(_at_exit, job.identity, ledger)
        try:
            return provider.access(provider.deploy(job))
        except UndeployedError:
            ledger.update(job.identity, **_NOTHING)
            raise


def tear_down(job: Job, ledger: Ledger) -> Job:
    """Remove what costs while it is idle.

    Raises:
        ModelError: there is nothing of thirdlever's making, or it cannot be removed.
    """
    if not job.ours:
        message = f"job {job.short} has no deployment that thirdlever made; what you deployed is yours to remove"
        raise ModelError(message)
    with ledger.lock(job.identity), tuner(job.provider, job.model) as provider:
        provider.tear_down(job)
        return ledger.update(job.identity, **_NOTHING)


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
            f"WARNING: {title} deployment {job.served} still stands and costs ${job.idle_usd_per_hour:.2f} an hour "
            f"({error}); remove it: thirdlever jobs teardown {job.short}"
        )
    else:
        note(f"{title} deployment {job.served} removed: it costs nothing any more; the tuned model stays")


def finished(job: Job, ledger: Ledger) -> Job:
    """Wait for a job and make sure that it came to something."""
    title = profile(job.provider).title
    if job.stage not in ENDED:
        with tuner(job.provider, job.model) as provider:
            job = jobs.follow(jobs.submit(job, provider, ledger), provider, ledger)
    return jobs.succeeded(job, title)

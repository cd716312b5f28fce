"""A managed job from order to end, once: whatever dies in between, the same command goes on with the same job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from thirdlever.core.errors import ModelError, StrategyError
from thirdlever.core.progress import note
from thirdlever.tuning.tuner import ENDED, GoneError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever.tuning.ledger import Job, Ledger
    from thirdlever.tuning.tuner import State, Tuner

SETTLE = 10.0  # seconds after which a provider surely lists a job whose submission was cut off
TRIES = 3  # submissions that went unanswered
MISSES = 20  # polls in a row that did: at a provider's patience some ten minutes
FIRST_WAIT = 0.5  # seconds before the second poll; each wait is half as long again as the one before
TOLD_EVERY = 15.0  # seconds between two lines of progress that say the same


def submit(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    """Have an ordered job at the provider, exactly once, and its id in the ledger.

    The job may be there already: a process died between the request and writing the id, or the answer never came. So
    the provider is asked for its tag before anything is sent, and long enough after an earlier try.

    Raises:
        ModelError: the provider refuses; the order is forgotten, for nothing came of it.
        UnreachableError: it does not answer; the order stands.
    """
    failures = 0
    with ledger.lock(job.identity):
        job = ledger.get(job.identity) or job
        while job.id is None:
            found = _look_up(job, tuner)
            if found is not None:
                job = ledger.update(job.identity, id=found, stage="queued")
                continue
            job = ledger.update(job.identity, tried=time.time())
            try:
                job = ledger.update(job.identity, id=tuner.submit(ledger.order_of(job)), stage="queued")
                note(f"{tuner.title}: job {job.id} submitted")
            except UnreachableError as error:
                failures += 1
                if failures == TRIES:
                    raise
                note(f"{error}; looking whether the job arrived")
            except ModelError:
                ledger.forget(job)
                raise
    return job


def _look_up(job: Job, tuner: Tuner) -> str | None:
    """The provider's id of a job that may have arrived; None when it surely did not."""
    while True:
        found = tuner.find(job.tag)
        if found is not None:
            note(f"{tuner.title}: job {found} was submitted before; going on with it")
        if found is not None or time.time() - job.tried >= SETTLE:
            return found
        time.sleep(1.0)


def follow(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    """Wait until a submitted job has ended, telling how it stands.

    Raises:
        ModelError: the provider has no such job, or has not answered for long.
        KeyboardInterrupt: the job goes on all the same.
    """
    try:
        return _follow(job, tuner, ledger)
    except KeyboardInterrupt:
        note(f"{tuner.title}: job {job.id} goes on; to stop it: thirdlever jobs cancel {job.short}")
        raise


def _follow(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    wait, misses, told, last = FIRST_WAIT, 0, 0.0, ""
    while job.stage not in ENDED:
        try:
            state = poll(job, tuner)
        except UnreachableError as error:
            misses += 1
            if misses == MISSES:
                message = f"{error}; job {job.id} goes on there, and the same command waits for it again"
                raise ModelError(message) from error
        else:
            misses = 0
            job = record(job, state, ledger)
            line = f"{tuner.title}: job {job.id} {state.said}{f': {state.message}' if state.message else ''}"
            if state.said != last or time.monotonic() - told >= TOLD_EVERY:
                note(line)
                last, told = state.said, time.monotonic()
        if job.stage not in ENDED:
            time.sleep(wait)
            wait = min(wait * 1.5, tuner.patience)
    return job


def poll(job: Job, tuner: Tuner) -> State:
    """How a submitted job stands at the provider.

    Raises:
        GoneError: it is not there any more.
    """
    if job.id is None:
        message = f"job {job.short} was not submitted yet; run: thirdlever jobs resume {job.short}"
        raise ModelError(message)
    try:
        return tuner.poll(job.id)
    except GoneError as error:
        message = f"{tuner.title} has no job {job.id} any more; thirdlever jobs resume {job.short} submits it anew"
        raise GoneError(message) from error


def record(job: Job, state: State, ledger: Ledger) -> Job:
    """Write down what the provider said."""
    return ledger.update(
        job.identity,
        stage=state.status,
        said=state.said,
        tuned=state.tuned,
        trained_tokens=state.trained_tokens,
        epochs_made=state.epochs,
        seconds=state.seconds,
        error=state.error,
    )


def succeeded(job: Job, title: str) -> Job:
    """The job, if it came to a tuned model.

    Raises:
        StrategyError: it failed or was cancelled.
    """
    if job.stage == "succeeded" and job.tuned:
        return job
    why = f": {job.error.rstrip('.')}" if job.error else ""
    message = f"{title}: job {job.id} {job.said or job.stage}{why}; thirdlever jobs resume {job.short} submits it anew"
    raise StrategyError(message)


def cancel(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    """Stop a job; one that never arrived at the provider is struck off the ledger.

    Raises:
        ModelError: it has ended, or the provider refuses.
    """
    if job.stage in ENDED:
        message = f"job {job.short} has ended ({job.stage}); there is nothing to cancel"
        raise ModelError(message)
    with ledger.lock(job.identity):
        if job.id is None:
            found = _look_up(job, tuner)
            if found is None:
                ledger.forget(job)
                return job
            job = ledger.update(job.identity, id=found, stage="queued")
        return record(job, tuner.cancel(job.id or ""), ledger)


def resume(job: Job, tuner: Tuner, ledger: Ledger, confirm: Callable[[], None]) -> Job:
    """Go on with a job until it ends; one that failed, was cancelled or is gone is ordered anew.

    Args:
        job: any.
        tuner: its provider.
        ledger: where it is written.
        confirm: raises unless a new submission, which may cost money, is wanted.
    """
    with ledger.lock(job.identity):
        if job.id is not None and (job.stage in {"failed", "cancelled"} or _gone(job, tuner)):
            confirm()
            anew = {"attempt": job.attempt + 1, "stage": "ordered", "id": None, "said": "", "tried": 0.0}
            job = ledger.update(job.identity, **anew, tuned=None, error=None, served=None)
        job = submit(job, tuner, ledger)
    return follow(job, tuner, ledger)


def _gone(job: Job, tuner: Tuner) -> bool:
    try:
        poll(job, tuner)
    except GoneError:
        return True
    return False

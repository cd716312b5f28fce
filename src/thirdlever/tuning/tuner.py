"""The contract of managed tuning: what any provider must be able to do with a job.

A job is submitted once. Its `tag` travels with it, so that a process that died before it could write the provider's
id down finds the job again by asking for the tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from thirdlever.core.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.catalog.tuning import Estimate
    from thirdlever.tuning.ledger import Job


Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class UnreachableError(ModelError):
    """A provider that did not answer, or not in a way that can be understood: asking again may help."""


class GoneError(ModelError):
    """A job, a file or a model that the provider does not have (any more)."""


class UndeployedError(ModelError):
    """A tuned model that does not answer yet, and that nothing was begun for: its user has to do something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a provider is asked to tune.

    Attributes:
        tag: names the order at the provider: lower-case letters, digits and hyphens, at most 40.
        base: the base model as the provider names it.
        training: a file of `{"messages": […]}` lines.
        validation: another; None for none.
        epochs: passes over the examples; None leaves it to the provider.
        seed: of the training, where the provider takes one.
    """

    tag: str
    base: str
    training: Path
    validation: Path | None
    epochs: int | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a provider says of a job.

    Attributes:
        status: in our words.
        said: in the provider's.
        message: the latest event; "" for none.
        tuned: the provider's name of the tuned model; None until it succeeded.
        trained_tokens: all epochs together; None where the provider does not say.
        epochs: passes made; None where the provider does not say.
        seconds: from creation to end; None until it ended.
        error: why it failed, in the provider's words.
    """

    status: Status
    said: str
    message: str = ""
    tuned: str | None = None
    trained_tokens: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How requests reach a tuned model.

    Attributes:
        inspect_name: for inspect's `get_model`.
        url: for it; None for the provider's own.
        key: for it; None where the provider finds one by itself. It is passed on and kept nowhere.
    """

    inspect_name: str
    url: str | None = None
    key: str | None = field(default=None, repr=False)


class Tuner(Protocol):
    """One provider. Every method raises `UnreachableError`, `GoneError` or `ModelError`."""

    @property
    def title(self) -> str:
        """What messages and tables call it."""

    @property
    def patience(self) -> float:
        """Longest wait between two polls, in seconds."""

    @property
    def idle_usd_per_hour(self) -> float | None:
        """What a deployed model costs while nobody asks it; None when unknown."""

    def estimate(self, base: str, tokens: int) -> Estimate:
        """What training on so many tokens (all epochs) costs, from dated data: nothing is asked."""

    def submit(self, order: Order) -> str:
        """Upload and create the job; its id. Called at most once for a tag that `find` does not know."""

    def find(self, tag: str) -> str | None:
        """The id of the job with this tag, whatever became of it; None when there is none."""

    def poll(self, job_id: str) -> State:
        """How it stands."""

    def cancel(self, job_id: str) -> State:
        """Stop it."""

    def deploy(self, job: Job) -> str:
        """Have a tuned model answer; the name that requests give it. Asked again, it finds what it made before."""

    def access(self, served: str) -> Access:
        """How requests reach it."""

    def tear_down(self, job: Job) -> None:
        """Remove what `deploy` made, if it costs while it is idle; the tuned model itself stays."""

    def close(self) -> None:
        """End its connections."""

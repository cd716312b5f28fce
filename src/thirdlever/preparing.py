"""Asking a model while preparing: a strategy's questions before any measurement, resumable like a run's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.core.progress import progress
from thirdlever.journal import Journal
from thirdlever.strategies.contract import SetupCost
from thirdlever.understudy import understudy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from thirdlever.journal import Reply
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Split, Suite


def replies(
    suite: Suite,
    deployment: Deployment,
    items: Split,
    folder: Path,
    *,
    title: str,
    times: int = 1,
    temperature: float = 0.0,
) -> list[Reply]:
    """Ask a deployment each item so many times.

    Args:
        suite: how answers are specified.
        deployment: whom to ask.
        items: what.
        folder: where the answers are kept as they come; those found there are not asked for again.
        title: shown while it goes on.
        times: how often each.
        temperature: of the sampling; 0 always takes the likeliest token.
    """
    from thirdlever.evaluation import Pass, evaluate

    work = Pass(
        name=title,
        phase="accuracy",
        suite=suite,
        items=items,
        epochs=times,
        seed=None if temperature else 0,  # one seed would make all samples the same
        constrain=False,
        about={},
        temperature=temperature,
    )
    if stand_in := understudy():
        return list(stand_in.asked(work, deployment))
    journal = Journal(folder / "answers.jsonl")
    try:
        missing = [key for key in work.keys if journal.answered(key) is None]
        if missing:
            with progress(title, len(missing)) as advance:

                def keep(reply: Reply) -> bool:
                    journal.append(reply)
                    advance()
                    return True

                evaluate(work, deployment, folder, answered=journal.answered, keep=keep)
        return [journal.replies[key] for key in work.keys if key in journal.replies]
    finally:
        journal.close()


@dataclass(frozen=True, slots=True)
class Used:
    """What questions took, in all.

    Attributes:
        input_tokens: sent.
        output_tokens: answered with.
        device_seconds: of a local model's device.
    """

    input_tokens: int
    output_tokens: int
    device_seconds: float

    @classmethod
    def by(cls, given: Sequence[Reply]) -> Used:
        """Add up."""
        return cls(
            sum(reply.input_tokens or 0 for reply in given),
            sum(reply.output_tokens or 0 for reply in given),
            sum(reply.device_s or 0.0 for reply in given),
        )


def setup(facts: Mapping[str, Any], *, labels: int) -> SetupCost:
    """The set-up cost of an artefact whose facts hold the fields of `Used`."""
    return SetupCost(
        labels=labels,
        seconds=facts["seconds"],
        device_seconds=facts["device_seconds"],
        input_tokens=facts["input_tokens"],
        output_tokens=facts["output_tokens"],
    )

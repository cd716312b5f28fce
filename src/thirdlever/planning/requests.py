"""What requests take: prompts built by the very solver and counted, a few really sent where the model is local."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.planning.speed import cheap
from thirdlever.suites.suite import Split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.evaluation.records import Phase, Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Suite

SAMPLE = 100  # prompts that are built and counted
_SINGLE = 4  # real requests one by one, the first of which is a cold start
_TOGETHER = 16  # real requests at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, on average.

    Attributes:
        input_tokens: of its prompt; 0 where no model is asked.
        output_tokens: of its answer.
        sampled: prompts that this rests on.
        overhead_s: building the prompt, retrieving and keeping the books.
        busy_s: of a local model's device, for each further request where many are asked at once; 0 where no model is
            asked or none was tried.
        single_s: wall time of a request alone, warm; None where no request was tried.
        first_s: what the very first takes beyond that.
    """

    input_tokens: float
    output_tokens: float
    sampled: int
    overhead_s: float
    busy_s: float = 0.0
    single_s: float | None = None
    first_s: float = 0.0

    def together_s(self, n: int) -> float | None:
        """Wall time of n requests at once; None where no request was tried."""
        if self.single_s is None:
            return None
        return self.first_s + self.single_s + (n - 1) * (self.busy_s + self.overhead_s)

    def in_turn_s(self, n: int) -> float | None:
        """Wall time of n requests one after the other, after others like them; None where no request was tried."""
        return None if self.single_s is None else n * self.single_s

    def device_s(self, together: int, in_turn: int) -> float | None:
        """Time of this machine's device for so many of either kind; None where no request was tried."""
        if self.single_s is None:
            return None
        return self.first_s + (1 + in_turn) * self.single_s + (together - 1) * (self.busy_s or self.single_s)


class Trials:
    """Requests rehearsed, and a few of them really made; what was tried once is known for all candidates."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known: dict[str, Request] = {}

    def rehearse(self, suite: Suite, deployment: Deployment, items: Split, *, base: BaseModel) -> Request:
        """Count what a deployment would be sent, without asking its model; try a few requests if that is cheap.

        Args:
            suite: with its answer specification.
            deployment: whom the items would be put to.
            items: what would be asked.
            base: who plays a model that is not tuned yet.

        Raises:
            RunError: a prompt cannot be made.
        """
        from thirdlever.planning.counting import Counting

        shown = Split(items.name, items.items[:SAMPLE])
        asked = base if deployment.tuning else deployment.model
        stand_in = Counting.of(asked, suite.train.items[0].target) if asked else None
        start = time.perf_counter()
        replies = _replies(suite, replace(deployment, model=stand_in), shown, "accuracy")
        overhead = (time.perf_counter() - start) / len(shown)
        if asked is None:
            single = statistics.median(reply.latency_s for reply in replies)
            return Request(input_tokens=0, output_tokens=0, sampled=len(shown), overhead_s=overhead, single_s=single)
        counted = Request(
            input_tokens=statistics.fmean(reply.input_tokens or 0 for reply in replies),
            output_tokens=answer_tokens(asked, suite),
            sampled=len(shown),
            overhead_s=overhead,
        )
        if not cheap(asked):
            return counted
        prompts = sorted(reply.prompt_hash or "" for reply in replies)
        key = content_hash([asked.name, asked.revision, deployment.tuning is not None, prompts])
        if key not in self._known:
            self._known[key] = _tried(suite, replace(deployment, model=asked), shown, counted)
        return self._known[key]


def _tried(suite: Suite, deployment: Deployment, items: Split, counted: Request) -> Request:
    """The same with the times of a few real requests to a local model, and the lengths of its answers.

    A base that plays a model yet to be tuned is held to answers as short as the tuned one's.
    """
    tuned = deployment.tuning is not None
    if tuned:
        suite = replace(suite, answer=_Short(suite.answer, round(counted.output_tokens)))
    alone = _replies(suite, deployment, Split("alone", items.items[:_SINGLE]), "latency")
    together = _replies(suite, deployment, Split("together", items.items[-_TOGETHER:]), "accuracy")
    cold, *warm = sorted(alone, key=lambda reply: not reply.cold)
    single = statistics.fmean(reply.latency_s for reply in warm or [cold])
    device = statistics.fmean(reply.device_s or 0.0 for reply in warm or [cold])
    further = sum(reply.device_s or 0.0 for reply in together) - device
    answers = [reply.output_tokens or 0 for reply in (*alone, *together)]
    return replace(
        counted,
        output_tokens=counted.output_tokens if tuned else statistics.fmean(answers),
        busy_s=max(0.0, further) / max(1, len(together) - 1),
        single_s=single,
        first_s=max(0.0, (cold.device_s or 0.0) - single),
    )


def answer_tokens(model: BaseModel, suite: Suite) -> float:
    """Mean tokens of a right answer, with the one that ends it."""
    return statistics.fmean(model.tokens(item.target) + 1 for item in suite.train.items[:SAMPLE])


def _replies(suite: Suite, deployment: Deployment, items: Split, phase: Phase) -> Sequence[Reply]:
    """Through inspect, as a run asks; nothing is kept."""
    from thirdlever.evaluation.inspect_eval import Pass, evaluate

    kept: list[Reply] = []

    def keep(reply: Reply) -> bool:
        kept.append(reply)
        return True

    work = Pass(
        name="plan", phase=phase, suite=suite, items=items, epochs=1, seed=0, constrain=False, about={"planned": True}
    )
    with tempfile.TemporaryDirectory() as folder:
        evaluate(work, deployment, Path(folder), answered=lambda _: None, keep=keep)
    failed = [reply.error for reply in kept if reply.error]
    if failed:
        message = f"a prompt cannot be asked: {failed[0]}; the run would fail as well"
        raise RunError(message)
    return kept


class _Short:
    """An answer specification that leaves room for short answers only."""

    def __init__(self, answer: Any, most: int) -> None:  # noqa: ANN401 - a suite's answer, of any class
        self._answer = answer
        self.max_tokens = most

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the answer's own
        return getattr(self._answer, name)

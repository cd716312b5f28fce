"""One pass over test items as one inspect eval: the deployment's solver, timed; the suite's grading as its scorer.

Import this module at the point of use: inspect comes with it.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspect_ai import Epochs, Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, ModelInfo, set_model_info
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.util._display import init_display_type  # no public way to keep eval_async's own display quiet

from thirdlever.core.errors import RunError
from thirdlever.measuring import Gate, measured
from thirdlever.records import item_hash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model
    from inspect_ai.solver import TaskState

    from thirdlever.journal import Key, Phase
    from thirdlever.measuring import Answered, Keep
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Item, Split, Suite

LOCAL_CONNECTIONS = 512  # the engine batches; it wants to see as many requests as it can hold
HOSTED_CONNECTIONS = 20  # polite to any provider's rate limit
BATCH = 1000  # requests handed to a batch API together; a budget can end a run between two batches, not within one
LOG_BUFFER = 500  # samples; inspect's work grows with its square, and with the log's size at every write
RETRIES = 8  # of one request, with inspect's backoff; its own default is to go on for ever

_one_eval = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One phase of one candidate.

    Attributes:
        name: the candidate's, as progress shows it.
        phase: "accuracy" asks as many at once as the model likes, "latency" one at a time.
        suite: where answers are specified.
        items: what is asked, in this order.
        epochs: how often.
        seed: passed to the model; None lets it draw anew.
        constrain: whether models may answer with one of the suite's choices only.
        about: what the log tells of the candidate.
        temperature: of the sampling; candidates are measured at 0.
        batch: whether the requests go through the provider's batch API.
    """

    name: str
    phase: Phase
    suite: Suite
    items: Split
    epochs: int
    seed: int | None
    constrain: bool
    about: Mapping[str, Any]
    temperature: float = 0.0
    batch: bool = False

    @property
    def keys(self) -> list[Key]:
        """Every request of the pass."""
        return [(self.phase, item.id, epoch) for epoch in range(1, self.epochs + 1) for item in self.items]


def evaluate(work: Pass, deployment: Deployment, folder: Path, *, answered: Answered, keep: Keep) -> EvalLog | None:
    """Run a pass through inspect, from inside or outside a running event loop.

    Args:
        work: what to ask.
        deployment: what to ask it of.
        folder: where inspect writes its log.
        answered: the reply to a request that need not be asked again.
        keep: takes each new reply as it comes; False lets what is under way finish and asks no more.

    Returns:
        The log's header; None when `keep` ended the pass.

    Raises:
        RunError: inspect could not run it, or another run is in progress in this process.
        ThirdleverError: what the solver or `keep` raised: it concerns every request. Other errors of a solver fail one.
        OSError: what `keep` raised, or the log cannot be written.
        KeyboardInterrupt: the user stopped it.
    """
    if not _one_eval.acquire(blocking=False):
        message = "another run is in progress in this process; wait for it to end"
        raise RunError(message)
    try:
        return _conclude(*_in_a_loop(work, deployment, folder, Gate(answered, keep)))
    finally:
        _one_eval.release()


def _in_a_loop(work: Pass, deployment: Deployment, folder: Path, gate: Gate) -> tuple[Gate, list[EvalLog]]:
    """A notebook's loop is running already and cannot run ours: a thread with a loop of its own can."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return gate, asyncio.run(_run(work, deployment, folder, gate))
    with ThreadPoolExecutor(1) as thread:
        logs = thread.submit(asyncio.run, _run(work, deployment, folder, gate))
        try:
            return gate, logs.result()
        except KeyboardInterrupt:
            gate.cancel()
            raise


async def _run(work: Pass, deployment: Deployment, folder: Path, gate: Gate) -> list[EvalLog]:
    init_display_type("none")
    connections = _connections(work, deployment)
    async with _connected(deployment.model) as model:
        evaluation = eval_async(
            _task(work, deployment, gate, connections),
            model=model,
            log_dir=str(folder),
            log_format="eval",
            log_level="error",
            log_realtime=False,  # a third of the overhead, and the journal does what it is for
            log_buffer=LOG_BUFFER,
            log_header_only=True,
            log_model_api=False,
            score_display=False,
            fail_on_error=False,
            score_on_error=True,  # a failed request is a wrong answer in inspect's accuracy too
            max_samples=connections,
            ctl_server=False,
            acp_server=False,
        )
        return await gate.watch(asyncio.ensure_future(evaluation))


def _connections(work: Pass, deployment: Deployment) -> int:
    """How many requests are under way at once."""
    if work.phase == "latency":
        return 1
    if work.batch:  # what waits for a batch to fill is under way too
        return BATCH
    return LOCAL_CONNECTIONS if deployment.model is None or deployment.model.local else HOSTED_CONNECTIONS


@asynccontextmanager
async def _connected(base: BaseModel | None) -> AsyncIterator[Model | None]:
    """The model for one pass."""
    if base is None:
        yield None
    elif base.local:
        model = base.connect()
        # Asked about a model that it does not know, inspect makes a second one to ask it: a second set of weights.
        set_model_info(str(model), ModelInfo(context_length=base.context_window))
        yield model
    else:
        async with base.connect() as model:  # its connections belong to the pass's loop, and end before that does
            yield model


def _task(work: Pass, deployment: Deployment, gate: Gate, connections: int) -> Task:
    """A fresh task: inspect changes the tasks that it is given."""
    choices = list(work.suite.answer.choices)
    constraint = {"structured_outputs": {"choice": choices}} if work.constrain and choices else None
    return Task(
        name=f"{work.suite.name}-{work.phase}",
        dataset=MemoryDataset([_sample(item) for item in work.items]),
        solver=measured(deployment.solver, gate, work.phase),
        scorer=_graded(work.suite),
        epochs=Epochs(work.epochs, "mean"),
        metadata={"phase": work.phase, **work.about},
        config=GenerateConfig(
            temperature=work.temperature,
            seed=work.seed,
            max_tokens=work.suite.answer.max_tokens,
            max_connections=connections,
            max_retries=RETRIES,
            extra_body=constraint,
            batch=BATCH if work.batch else None,
        ),
    )


def _sample(item: Item) -> Sample:
    facts = {"slice": item.slice, "group": item.group, "item_hash": item_hash(item)}
    return Sample(id=item.id, input=item.input, target=item.target, metadata=facts)


def _graded(suite: Suite) -> Scorer:
    @scorer(name="graded", metrics=[accuracy(), stderr()])
    def graded() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            grade = suite.answer.grade(state.output.completion, target.text)
            return Score(value=grade.value, answer=grade.prediction, explanation=grade.reason)

        return score

    return graded()


def _conclude(gate: Gate, logs: list[EvalLog]) -> EvalLog | None:
    if gate.failure is not None:
        raise gate.failure
    log = logs[0] if logs else None
    if log is not None and log.status == "success":
        return log
    if log is not None and log.error is not None:
        message = f"inspect could not run this pass: {log.error.message}; the same command with the same --out goes on"
        raise RunError(message)
    if not gate.closed:
        raise KeyboardInterrupt
    return None

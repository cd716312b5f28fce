"""The requests that preparing a strategy sends: `replies` asks, `choose` picks an option by its accuracy on dev."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

from thirdlever.answers.judge import Judge
from thirdlever.core.errors import BudgetError, StrategyError
from thirdlever.core.progress import note, progress
from thirdlever.core.store import NotBuilt
from thirdlever.evaluation.records import Journal, Reply, describe_lost
from thirdlever.models.base import BaseModel
from thirdlever.strategies.contract import Deployment, SetupCost, added

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from inspect_ai.solver import Solver

    from thirdlever.core.store import Store
    from thirdlever.suites.suite import Split, Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Requests that building an artefact sends.

    Attributes:
        deployment: answers them.
        items: the inputs.
        times: how often each item is asked.
        output_tokens: expected length of an answer; None for about as long as the correct answers.
    """

    deployment: Deployment
    items: Split
    times: int = 1
    output_tokens: float | None = None


Count: TypeAlias = Callable[[Reply, BaseModel | None], bool]
_terms: ContextVar[tuple[Count, int | None]] = ContextVar("terms", default=(lambda *_: True, None))


@contextmanager
def metered(count: Count, *, max_connections: int | None = None) -> Iterator[None]:
    """Pass every reply in the block to a function that says whether more requests may be sent.

    Args:
        count: that function.
        max_connections: requests at once, as `Pass` has them.
    """
    token = _terms.set((count, max_connections))
    try:
        yield
    finally:
        _terms.reset(token)


@contextmanager
def asking(*questions: Questions) -> Iterator[None]:
    """Add to a `NotBuilt` raised in the block which requests the artefact needs, so that a plan can count them."""
    try:
        yield
    except NotBuilt as missing:
        missing.asks = questions
        raise


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
        title: shown while it goes on; "" shows nothing.
        times: how often each.
        temperature: of the sampling; 0 always takes the likeliest token.

    Raises:
        BudgetError: no more requests may be sent; the answers so far are kept.
    """
    from thirdlever.evaluation.passes import Pass, evaluate

    count, max_connections = _terms.get()
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
        graded=any(item.target for item in items),  # not the unlabelled inputs of a teacher
        max_connections=max_connections,
    )
    journal = Journal(folder / "answers.jsonl")
    lost_before = journal.lost
    try:
        within = True
        for known in journal.replies.values():
            within = count(known, deployment.model)
        missing = [key for key in work.keys if journal.answered(key) is None]
        if missing and within:
            with progress(title, len(missing)) as advance:

                def keep(reply: Reply) -> bool:
                    journal.append(reply)
                    advance()
                    return count(reply, deployment.model)

                within = evaluate(work, deployment, answered=journal.answered, keep=keep, lose=journal.lose)
        if not within:
            done = sum(journal.answered(key) is not None for key in work.keys)
            message = f"the budget was spent on {title!r}, after {done:,} of {len(work.keys):,} requests"
            raise BudgetError(message)
        return [journal.replies[key] for key in work.keys if key in journal.replies]
    finally:
        journal.close()
        if lost := journal.lost - lost_before:
            note(f"{title}: {describe_lost(lost)}")


@dataclass(frozen=True, slots=True)
class Used:
    """What questions took, in all.

    Attributes:
        input_tokens: sent; None if the provider did not report every count, as for all tokens.
        cached_tokens: those read from the provider's cache.
        cache_write_tokens: those written to it.
        output_tokens: answered with.
        device_seconds: of a local model's device.
    """

    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    device_seconds: float

    @classmethod
    def by(cls, given: Sequence[Reply]) -> Used:
        """Add up."""
        return cls(
            input_tokens=added([reply.input_tokens for reply in given]),
            cached_tokens=added([reply.cached_tokens for reply in given]),
            cache_write_tokens=added([reply.cache_write_tokens for reply in given]),
            output_tokens=added([reply.output_tokens for reply in given]),
            device_seconds=sum(reply.device_s or 0.0 for reply in given),
        )


def setup(facts: Mapping[str, Any], *, labels: int) -> SetupCost:
    """The set-up cost of an artefact whose facts hold the fields of `Used`."""
    used = {each.name: facts[each.name] for each in fields(Used) if each.name in facts}
    return SetupCost(labels=labels, seconds=facts["seconds"], **used)


def check_grades(suite: Suite) -> None:
    """Check that answers to dev can be graded while a strategy is prepared.

    Raises:
        StrategyError: a grader model judges them, after the run.
    """
    if isinstance(suite.answer, Judge):
        message = (
            f"the answers of suite {suite.name!r} are judged by a grader after they are given, so dev cannot choose; "
            "state the setting, such as k=8, or use a strategy without a search"
        )
        raise StrategyError(message)


NEVER = 1.1  # a confidence that is never reached
ITEMS = 200  # of dev: tells 6 points apart (one standard error is at most 3.5)


@dataclass(frozen=True, slots=True)
class Choice:
    """What dev says.

    Attributes:
        best: the option with the highest accuracy; of equals the one listed first.
        accuracy: of every option.
        setup: what finding out cost.
    """

    best: str
    accuracy: Mapping[str, float]
    setup: SetupCost


def choose(
    suite: Suite, model: BaseModel, store: Store, options: Mapping[str, Solver], *, of: Mapping[str, Any]
) -> Choice:
    """Ask up to 200 dev items in every way, and keep the result.

    Args:
        suite: whose dev split decides.
        model: whom to ask.
        store: where the result is kept.
        options: ways to ask by name, the cheapest first.
        of: what the options depend on beside suite and model, JSON-able.
    """
    if not len(suite.dev):
        message = f"suite {suite.name!r} has no dev split to choose on; add its dev.jsonl or choose yourself"
        raise StrategyError(message)
    check_grades(suite)
    items = suite.dev.first(ITEMS)

    def build(folder: Path) -> dict[str, Any]:
        given = {
            name: replies(suite, Deployment(solver, model=model), items, folder / name, title=f"dev: {name}")
            for name, solver in options.items()
        }
        targets = {item.id: item.target for item in items}
        accuracy = {
            name: sum(r.graded(suite.answer, targets[r.item_id]).score or 0.0 for r in answers) / len(items)
            for name, answers in given.items()
        }
        return {"accuracy": accuracy, **asdict(Used.by([reply for answers in given.values() for reply in answers]))}

    depends = {"suite": suite.seen_hash, "model": [model.name, model.revision], "options": list(options), **of}
    with asking(*(Questions(deployment=Deployment(way, model=model), items=items) for way in options.values())):
        facts = store.once("choice", of=depends, build=build, resume=True).facts
    accuracy: Mapping[str, float] = facts["accuracy"]
    return Choice(max(options, key=lambda name: accuracy[name]), accuracy, setup(facts, labels=len(items)))


@dataclass(frozen=True, slots=True)
class Threshold:
    """How sure a first strategy must be, as dev says.

    Attributes:
        value: the lowest confidence at which its answer is taken; above 1 if it never is.
        accuracy: of both together on dev.
        share: of the dev items that the first one answers.
        setup: what finding out cost.
    """

    value: float
    accuracy: float
    share: float
    setup: SetupCost


def choose_threshold(
    suite: Suite, first: Deployment, then: Deployment, store: Store, *, of: Mapping[str, Any]
) -> Threshold:
    """Ask up to 200 dev items of two deployments, and find the confidence that makes them most accurate together.

    Of equally accurate thresholds the lowest is taken, at which the first one answers most.

    Args:
        suite: whose dev split decides.
        first: reports a confidence.
        then: answers where the first one is not sure enough.
        store: where the result is kept.
        of: what the two depend on beside the suite, JSON-able.

    Raises:
        StrategyError: there is no dev split, or the first one reports no confidence.
    """
    if not len(suite.dev):
        message = f"suite {suite.name!r} has no dev split to choose a threshold on; add its dev.jsonl, or state below"
        raise StrategyError(message)
    check_grades(suite)
    items = suite.dev.first(ITEMS)

    def build(folder: Path) -> dict[str, Any]:
        both = []
        for name, deployment in (("first", first), ("then", then)):
            given = replies(suite, deployment, items, folder / name, title=f"dev: {name}")
            both.append([reply.graded(suite.answer, item.target) for reply, item in zip(given, items, strict=True)])
        if any(reply.confidence is None for reply in both[0]):
            message = "the first strategy does not say how sure it is; use null, or another with votes=5"
            raise StrategyError(message)
        sure = [reply.confidence or 0.0 for reply in both[0]]
        scores = [[reply.score or 0.0 for reply in side] for side in both]

        def accuracy(value: float) -> float:
            right = [a if own >= value else b for own, a, b in zip(sure, *scores, strict=True)]
            return float(sum(right)) / len(items)

        value = max(sorted({*sure, NEVER}), key=accuracy)  # the first of equals
        share = sum(own >= value for own in sure) / len(items)
        used = Used.by([reply for side in both for reply in side])
        return {"value": value, "accuracy": accuracy(value), "share": share, **asdict(used)}

    depends = {"suite": suite.seen_hash, **of}
    with asking(*(Questions(deployment=each, items=items) for each in (first, then))):
        facts = store.once("threshold", of=depends, build=build, resume=True).facts
    return Threshold(facts["value"], facts["accuracy"], facts["share"], setup(facts, labels=len(items)))

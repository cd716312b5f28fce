"""Put answers to a grader: each question once, kept in a journal, so that a resumed run pays for none of them again.

A question is identified by its text and the grader. Equal answers to an item, by whichever candidate, are one question.
The grader answers as the model of its own pass: there is no other that it could fall back on, so that no candidate
grades itself unless the user names it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from thirdlever.answers.judge import Judge
from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.evaluation.ask import Used
from thirdlever.evaluation.records import Journal, Reply
from thirdlever.strategies.contract import Deployment, SetupCost
from thirdlever.suites.suite import Item, Split, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from inspect_ai.solver import Generate, Solver, TaskState

    from thirdlever.answers.answer import Grade
    from thirdlever.models.base import BaseModel


class JudgedAnswer(NamedTuple):
    """An answer to judge.

    Attributes:
        item: what was asked.
        value: the answer, as it was read.
    """

    item: Item
    value: str


def questions(suite: Suite, judge: Judge, case: JudgedAnswer) -> tuple[str, ...]:
    """What the grader is asked about an answer."""
    task = f"{suite.instruction}\n\n{suite.input_name}: {case.item.input}"
    return judge.questions(task, case.item.target, case.value)


def check_grader(suite: Suite, grader: object) -> Judge | None:
    """The suite's judge; None if its answers are graded without a model.

    Raises:
        RunError: it needs a grader and has none, or has one and needs none.
    """
    if isinstance(suite.answer, Judge):
        if grader is None:
            message = f"the answers of suite {suite.name!r} are judged by a model; name one: --grader MODEL"
            raise RunError(message)
        return suite.answer
    if grader is not None:
        kind = type(suite.answer).__name__
        message = f"--grader: the answers of suite {suite.name!r} ({kind}) are graded without a model; leave it out"
        raise RunError(message)
    return None


@dataclass(frozen=True, kw_only=True)
class Grading:
    """A grader, and every verdict it has given in a run.

    Attributes:
        suite: with the answers.
        judge: the suite's answer kind.
        model: the grader.
        folder: where its journal is.
        count: counts a reply's cost, and says whether more requests may be sent.
        max_connections: requests at once, as `Pass` has them.
    """

    suite: Suite
    judge: Judge
    model: BaseModel
    folder: Path
    count: Callable[[Reply], bool]
    max_connections: int | None = None

    @cached_property
    def _journal(self) -> Journal:
        """Every reply so far; those of earlier processes are counted when it is opened."""
        key = content_hash([self.model.name, self.model.revision])[:24]
        journal = Journal(self.folder / f"grader-{key}.jsonl")
        for reply in journal.replies.values():
            self.count(reply)
        return journal

    def close(self) -> None:
        """Close the journal."""
        if "_journal" in vars(self):
            self._journal.close()

    @property
    def lost(self) -> int:
        """Attempts without a usable reply that the provider may have billed."""
        return self._journal.lost

    def grades(self, cases: Iterable[JudgedAnswer], *, title: str) -> Mapping[JudgedAnswer, Grade]:
        """The grades of answers, `UNGRADED` where the grader gave no verdict or the budget is spent.

        Args:
            cases: the answers; equal ones are judged once.
            title: shown as progress.

        Raises:
            ProviderError: the grader's provider fails every request; verdicts so far are kept.
        """
        asked = {case: [_item(text) for text in questions(self.suite, self.judge, case)] for case in cases}
        items = {item.id: item for each in asked.values() for item in each}
        self._ask(Split("grading", tuple(items.values())), title)
        return {case: self.judge.verdict([self._readings(item) for item in each]) for case, each in asked.items()}

    def cost(self, cases: Iterable[JudgedAnswer]) -> SetupCost:
        """What judging these answers took, whoever else gave the same answer."""
        ids = {_item(text).id for case in cases for text in questions(self.suite, self.judge, case)}
        used = asdict(Used.by([reply for reply in self._journal.replies.values() if reply.item_id in ids]))
        return SetupCost(**used)

    def requests(self, cases: Iterable[JudgedAnswer]) -> int:
        """How many questions these answers are."""
        return len({text for case in cases for text in questions(self.suite, self.judge, case)}) * self.judge.repeats

    def _ask(self, items: Split, title: str) -> None:
        from thirdlever.evaluation.passes import Pass, evaluate

        work = Pass(
            name=title,
            phase="accuracy",
            suite=replace(self.suite, answer=self.judge.verdicts),
            items=items,
            epochs=self.judge.repeats,
            seed=0 if self.judge.repeats == 1 else None,
            constrain=False,
            about={},
            graded=False,
            max_connections=self.max_connections,
        )
        missing = [key for key in work.keys if self._journal.answered(key) is None]
        if not missing:
            return
        failed: list[str] = []
        with progress(title, len(missing)) as advance:

            def keep(reply: Reply) -> bool:
                self._journal.append(reply)
                failed.extend([reply.error] if reply.error else [])
                advance()
                return self.count(reply)

            solver = _put()
            evaluate(
                work,
                Deployment(solver, model=self.model),
                answered=self._journal.answered,
                keep=keep,
                lose=self._journal.lose,
            )
        if failed:
            note(f"{title}: {len(failed):,} of {len(missing):,} requests failed, the first: {failed[0]}")

    def _readings(self, item: Item) -> Sequence[Any]:
        epochs = range(1, self.judge.repeats + 1)
        replies = [self._journal.replies.get(("accuracy", item.id, epoch)) for epoch in epochs]
        return [(reply or _NOT_ASKED).read(self.judge.verdicts) for reply in replies]


_NOT_ASKED = Reply(
    phase="accuracy",
    item_id="",
    epoch=1,
    completion="",
    input_tokens=None,
    cached_tokens=None,
    output_tokens=None,
    latency_s=0.0,
    error="it was not asked",
)


def _item(text: str) -> Item:
    return Item(content_hash([text]), text, "")


def _put() -> Solver:
    """Sends the question as it is."""
    from inspect_ai.solver import solver

    @solver
    def put() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            return await generate(state)

        return solve

    return put()

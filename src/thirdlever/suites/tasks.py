"""An inspect Task as a suite: its samples, its prompt and its scorer stay, and strategies ask in its solver's place.

The task's own solver is played twice for each sample. Before a run it writes the messages that it would send, which
become the conversation that every strategy asks with: zero_shot sends exactly these, few_shot and rag put
demonstrations and documents before them. After an answer it continues with that answer, as `multiple_choice` must, and
the task's scorer grades what it makes of it.

Import this module at the point of use: it imports inspect.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import signature
from itertools import islice, product
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from inspect_ai._eval.loader import load_tasks
from inspect_ai._eval.task.util import sample_messages
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import is_registry_object, registry_info, registry_lookup, registry_unqualified_name
from inspect_ai.event import ModelEvent
from inspect_ai.log._transcript import Transcript, init_transcript, transcript
from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from inspect_ai.model._model import ModelName, init_active_model
from inspect_ai.scorer import Target, value_to_float
from inspect_ai.solver import TaskState, chain
from inspect_ai.solver._task_state import set_sample_state
from inspect_ai.util._store import init_subtask_store

from thirdlever.answers.answer import Grade, equality, most_tokens
from thirdlever.answers.reading import Reading
from thirdlever.core.arguments import pairs
from thirdlever.core.errors import SuiteError, require, unknown
from thirdlever.core.progress import note
from thirdlever.core.text import clipped, listed
from thirdlever.suites.prompts import quoted, read_source
from thirdlever.suites.splitting import split
from thirdlever.suites.suite import Item, Split, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessage
    from inspect_ai.scorer import Score

_T = TypeVar("_T")
Turns: TypeAlias = tuple[tuple[str, str], ...]  # role, text

# How a right answer is written: the first of these that the task's scorer accepts.
FORMS = ("{}", "ANSWER: {}", "Answer: {}", "The answer is {}.", "\\boxed{{{}}}")
ACCEPTED = 0.95  # of the samples at least
_TRIED = 200  # samples
_ROOM = 128  # tokens beside the answer, for models that talk around it
_REASONING = 300  # tokens, where the prompt asks for it
_STEPS = "step by step"
_FEW = 100  # different answers, of which a classifier can choose
_PACKAGE = "inspect_evals/"
_OWN_MODEL = "its solver or scorer asks a model itself"


@dataclass(frozen=True)
class Scored:
    """Answers that a task's scorer grades; all of a completion is the answer.

    Attributes:
        task: the task's name.
        scorer: its name.
        max_tokens: of an answer.
        score: grades an answer to an item; None for an item that is no sample of the task.
    """

    task: str
    scorer: str
    max_tokens: int
    score: Callable[[str, str], Grade | None] = field(repr=False)
    name: str = field(default="Answer", init=False, repr=False)
    choices: tuple[str, ...] = field(default=(), init=False, repr=False)

    def describe(self) -> str:
        """Nothing: the task's own messages ask for the answer."""
        return ""

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """All of it, as inspect's scorers have it, also if it was cut off."""
        value = completion.strip()
        if not value:
            return Reading(None, "cut_off" if cut_off else "unparsed", "the answer is empty")
        return Reading(value, "answered", "it was cut off at its limit" if cut_off else "")

    def grade(self, value: str, target: str) -> Grade:
        """Right if equal to the target: the scorer knows samples only, see `grade_item`."""
        return equality(value, target)

    def grade_item(self, value: str, item: str, target: str) -> Grade:
        """The scorer's verdict on an answer to an item."""
        return self.score(item, value) or self.grade(value, target)

    def problem(self, target: str) -> str | None:
        """Any text that is not empty is possible."""
        return None if target.strip() else "the target is empty"


class ScoredLabels(Scored):
    """The same where few different answers are right, which the null baseline can classify."""

    def parts(self, value: str) -> dict[str, str]:
        """The answer, as the one part."""
        return {self.name: value}

    def join(self, parts: Mapping[str, str]) -> str:
        """The answer."""
        return parts[self.name]


def from_task(spec: str, train: str | None = None) -> Suite:
    """Make a suite of an inspect task.

    Args:
        spec: `path/to/file.py@task`, or `package/task` of an installed package, with the task's arguments after a
            colon: `file.py@task:level=hard,shots=3`.
        train: another task, whose samples strategies learn from. Without it, test is a fifth of the samples and
            strategies learn from the others.

    Raises:
        SuiteError: there is no such task, or it is one whose solver cannot be replaced: with tools, several calls, a
            sandbox, or a scorer that is a model or gives several values.
        MissingExtraError: inspect_evals is not installed.
    """
    measured = _Played(spec, _load(spec))
    learned = _Played(train, _load(train), prefix="train-") if train else measured
    form = learned.form()
    given = {"train": learned.items(form)} | ({"test": measured.items(form)} if train else {})
    parts = split(given, classes=lambda _: (), closed=False)
    for change in parts.changes:
        note(f"{spec}: {change}")
    asked = {
        item.id: (learned if item.id in learned.samples else measured).messages(item.id)
        for items in parts.parts.values()
        for item in items
    }
    shared = _shared([*asked.values()])
    train_, dev, test = (
        Split(part, tuple(replace(item, turns=asked[item.id][len(shared) :]) for item in parts.parts[part]))
        for part in ("train", "dev", "test")
    )
    template = "".join(f"{role}:\n{quoted(text)}\n" for role, text in shared)
    return Suite(
        measured.name,
        "\n\n".join(text for role, text in shared if role == "system"),
        _answer(measured, learned, [*train_, *dev, *test]),
        train_,
        dev,
        test,
        input_name="Input",
        card={"name": measured.name, "task": "inspect", "source": spec, "scorer": measured.scorer_name},
        prompt=read_source(measured.name, f"{template}messages:\n"),
    )


def _answer(measured: _Played, learned: _Played, items: Sequence[Item]) -> Scored:
    """How the task's answers are graded; labels if few different ones are right."""
    targets = {item.target for item in items}
    thinks = any(_STEPS in text.casefold() for item in items for _, text in item.turns)
    room = max(map(most_tokens, targets)) + (_REASONING if thinks else 0) + _ROOM
    kind = ScoredLabels if len(targets) <= min(_FEW, len(items) // 2) else Scored
    by_item = {name: played for played in (learned, measured) for name in played.samples}
    return kind(
        measured.name,
        measured.scorer_name,
        measured.max_tokens or room,
        lambda name, value: by_item[name].grade(name, value) if name in by_item else None,
    )


def _shared(conversations: Sequence[Turns]) -> Turns:
    """The messages with which all conversations begin; each keeps at least its last."""
    first, *others = conversations
    shared: list[tuple[str, str]] = []
    for place, turn in enumerate(first[:-1]):
        if any(len(other) <= place + 1 or other[place] != turn for other in others):
            break
        shared.append(turn)
    return tuple(shared)


# A task


def _load(spec: str) -> Task:
    """The task of that name, with its arguments; a file with one task needs no name.

    Raises:
        SuiteError: there is none or several, it takes no such argument, or loading it fails.
        MissingExtraError: inspect_evals is not installed.
    """
    spec, given = _with_arguments(spec)
    if spec.startswith(_PACKAGE):
        require(_PACKAGE.rstrip("/"), extra="inspect-evals")
    try:
        found = load_tasks([spec], given)
    except Exception as error:  # the task's own code, of which anything may fail
        why = clipped(" ".join(str(error).split()) or type(error).__name__, 200)
        message = f"the task {spec!r} cannot be loaded: {why}; try: inspect eval {spec} --limit 1"
        raise SuiteError(message) from error
    if not found:
        message = f"no task {spec!r}; give path/to/file.py@task, or package/task of an installed package"
        raise SuiteError(message)
    if len(found) > 1:
        names = [_name(task) for task in found]
        message = f"{spec!r} has the tasks {listed(names)}; name one, such as {spec}@{names[0]}"
        raise SuiteError(message)
    known = _parameters(found[0])
    if lost := next((name for name in given if name not in known), None):  # inspect only warns
        message = f"the task {spec!r}: {unknown('argument', lost, known)}; correct it or leave it out"
        raise SuiteError(message)
    return found[0]


def _parameters(task: Task) -> list[str]:
    """The names of a task's arguments."""
    made = registry_lookup("task", registry_info(task).name) if is_registry_object(task) else None
    return [*signature(made).parameters] if callable(made) else []


def _with_arguments(spec: str) -> tuple[str, dict[str, Any]]:
    """A task's name and its arguments, whose values are read as YAML, as those of `inspect eval -T` are.

    Raises:
        SuiteError: what is after the colon is not name=value,name=value.
    """
    import yaml

    name, _, text = spec.partition(":")
    try:
        return name, {key: yaml.safe_load(value) for key, value in pairs(text, name).items()}
    except (ValueError, yaml.YAMLError) as error:
        message = f"{spec!r}: {' '.join(str(error).split())}"
        raise SuiteError(message) from None


def _name(task: Task) -> str:
    return registry_unqualified_name(task) if is_registry_object(task) else task.name


class _Asked(Exception):  # noqa: N818 - it ends the solver's part; nothing is wrong
    """The task's solver asks the model."""


class _Played:
    """A task whose solver is played, with answers that are given to it.

    Attributes:
        name: of the task.
        scorer_name: of its scorer.
        samples: by item id.
        max_tokens: of an answer, as far as the task says.
    """

    def __init__(self, spec: str, task: Task, *, prefix: str = "") -> None:
        """Refuse a task that needs more than a model's answers.

        Raises:
            SuiteError: it runs in a sandbox, has no samples, no scorer or one that is a model.
        """
        self._spec = spec
        self.name = _name(task)
        self._solver = chain([each for part in (task.setup, task.solver) if part for each in _several(part)])
        self.max_tokens = task.config.max_tokens
        self._scorer, *others = _several(task.scorer or [])[:2] or [None]
        if self._scorer is None:
            self._refuse("it has no scorer")
        self.scorer_name = registry_unqualified_name(self._scorer)
        if self.scorer_name.startswith("model_graded"):
            self._refuse(f"its scorer {self.scorer_name} is a model", "write a suite with answer=Judge(…)")
        if others:
            note(f"{spec}: only its first scorer counts, {self.scorer_name}")
        self.samples: dict[str, Sample] = {
            f"{prefix}{number if sample.id is None else sample.id}": sample
            for number, sample in enumerate(task.dataset, start=1)
        }
        if task.sandbox is not None or any(sample.sandbox or sample.files for sample in self.samples.values()):
            self._refuse("it runs in a sandbox")
        if not self.samples:
            self._refuse("it has no samples")

    def items(self, form: Callable[[Sample], str]) -> list[Item]:
        """Its samples as items, whose targets are written so that the scorer accepts them."""
        return [Item(name, _input(sample), form(sample)) for name, sample in self.samples.items()]

    def messages(self, name: str) -> Turns:
        """What the task's solver sends for a sample.

        Raises:
            SuiteError: it calls tools, sends more than texts, or does not ask at all.
        """
        sent: list[ChatMessage] = []

        async def generate(state: TaskState, *_: Any, **settings: Any) -> TaskState:  # noqa: ANN401 - inspect's protocol
            if state.tools:
                self._refuse("it calls tools")
            sent.extend(state.messages)
            self.max_tokens = settings.get("max_tokens") or self.max_tokens
            raise _Asked

        with suppress(_Asked):
            self._run(lambda state: self._solver(state, generate), name)
        if not sent or sent[-1].role != "user":
            self._refuse("its solver does not end with a message of the user's")
        if any(not isinstance(message.content, str) for message in sent):
            self._refuse("its messages are more than text")
        return tuple((message.role, message.text) for message in sent)

    def grade(self, name: str, value: str) -> Grade:
        """The scorer's verdict on an answer to a sample.

        Raises:
            SuiteError: the solver asks again, or the scorer asks a model or gives no score from 0 to 1.
        """
        sample = self.samples[name]
        given = iter([value])

        async def generate(state: TaskState, *_: Any, **__: Any) -> TaskState:  # noqa: ANN401 - inspect's protocol
            state.output = ModelOutput.from_content("none", next(given, ""))
            state.messages.append(state.output.message)
            return state

        async def play(state: TaskState) -> Score | None:
            found: Score | None = await self._scorer(await self._solver(state, generate), state.target)
            if any(isinstance(event, ModelEvent) for event in transcript().events):
                self._refuse(_OWN_MODEL)
            return found

        score = self._run(play, name)
        if score is None or isinstance(score.value, list | tuple | dict):
            self._refuse("its scorer gives no score" if score is None else "its scorer gives several values")
        graded = value_to_float()(score.value)
        if not 0 <= graded <= 1:
            self._refuse(f"its scorer gave {graded:g}, which is not between 0 and 1")
        wanted = score.explanation or f"expected {listed([*Target(sample.target)])!r}"
        return Grade(graded, "right by the task's scorer" if graded == 1 else clipped(" ".join(wanted.split()), 200))

    def form(self) -> Callable[[Sample], str]:
        """How a right answer is written, so that the task's own scorer accepts it.

        Raises:
            SuiteError: no form is accepted.
        """
        tried = dict(islice(self.samples.items(), _TRIED))
        best = ""
        for joined, written in product((False, True), FORMS):

            def form(sample: Sample, *, joined: bool = joined, written: str = written) -> str:
                targets = [*Target(sample.target)]
                return written.format(",".join(targets) if joined else targets[0])

            right = sum(self.grade(name, form(sample)).value for name, sample in tried.items())
            if right >= ACCEPTED * len(tried):
                return form
            best = best or form(next(iter(tried.values())))
        return self._refuse(f"its scorer does not accept its own targets, such as {clipped(best)}, as answers")

    def _run(self, play: Callable[[TaskState], Coroutine[Any, Any, _T]], name: str) -> _T:
        """Let a part of the task run, with the state and the contexts that inspect has for a sample."""
        sample = self.samples[name]

        async def run() -> _T:
            init_active_model(get_model("none/none"), GenerateConfig())
            init_transcript(Transcript())
            state = TaskState(
                model=ModelName("none/none"),
                sample_id=sample.id or name,
                epoch=1,
                input=sample.input,
                messages=sample_messages(sample),
                target=Target(sample.target),
                choices=sample.choices,
                metadata=dict(sample.metadata or {}),
            )
            set_sample_state(state)
            init_subtask_store(state.store)
            return await play(state)

        try:
            return asyncio.run_coroutine_threadsafe(run(), _loop()).result()
        except (_Asked, SuiteError):
            raise
        except PrerequisiteError:  # inspect has no model but those that a task names itself
            self._refuse(_OWN_MODEL)
        except Exception as error:  # noqa: BLE001 - the task's own code, of which anything may fail
            why = clipped(f"{type(error).__name__}: {error}", 200)
            self._refuse(f"it fails on sample {name!r} ({why})", f"try: inspect eval {self._spec} --limit 1", error)

    def _refuse(self, why: str, remedy: str = "", cause: Exception | None = None) -> NoReturn:
        remedy = remedy or "take a task that asks a model once and scores its answer"
        message = f"the task {self._spec!r} cannot be a suite: {why}; {remedy}"
        raise SuiteError(message) from cause


def _several(part: Any) -> list[Any]:  # noqa: ANN401 - a solver or scorer, or several
    return list(part) if isinstance(part, Sequence) else [part]


def _input(sample: Sample) -> str:
    """What a sample asks: its text, or its last message, with the choices if these are apart from it."""
    text = sample.input if isinstance(sample.input, str) else sample.input[-1].text
    if not sample.choices or all(choice in text for choice in sample.choices):
        return text
    return "\n".join(
        [text, *(f"{letter}) {choice}" for letter, choice in zip(ascii_uppercase, sample.choices, strict=False))]
    )


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """An event loop of its own: a request may be graded while another loop runs in this thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="inspect task", daemon=True).start()
    return loop

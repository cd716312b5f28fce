"""`thirdlever check`: run strategies, evals and prompts against a fake model, without network, weights or money."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.answers.answer import grade_item
from thirdlever.core import project
from thirdlever.core.errors import StrategyError, SuiteError, ThirdleverError, unknown
from thirdlever.core.mistakes import explained, line_in
from thirdlever.core.store import Store
from thirdlever.core.text import clipped, counted, normalise
from thirdlever.prompting.frame import check_prompt, remarks
from thirdlever.strategies import specs
from thirdlever.suites.find import find_suite
from thirdlever.suites.prompts import available_prompts, read_prompt
from thirdlever.suites.splitting import shared_groups
from thirdlever.suites.suite import Inputs, Item, Leakage, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inspect_ai.solver import Solver

    from thirdlever.core.arguments import Argument
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Document, Suite

ASKED = 2  # test items, each asked twice
TRAIN = 1100  # items: more than the defaults of the shipped strategies draw
_TARGET = "target-that-only-grading-may-see"
_LOCATED = re.compile(r"\S+\.\w+:(\d+:)? ")  # "file.py:12: " and the like


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome for one strategy, eval or prompt.

    Attributes:
        sentence: what was checked; if it failed: file, line, cause and remedy.
    """

    kind: Literal["strategy", "eval", "prompt"]
    name: str
    status: Literal["ok", "failed", "skipped"]
    sentence: str


def check(names: Sequence[str] = ()) -> list[Checked]:
    """Check strategies (a spec such as "rag:k=5" sets arguments), evals and prompts.

    Args:
        names: which; by default all in `strategies/`, `evals/` and `prompts/` of the current folder.

    Raises:
        ThirdleverError: a name is unknown, or the folder has none of them.
    """
    strategies, evals, prompts = project.files("strategies"), project.files("evals"), available_prompts()
    together = [name for name in names if name in evals]
    if not names:
        files = (file for kind in (strategies, evals, prompts) for file in kind.items())
        names = list(dict.fromkeys(name for name, path in files if path.resolve().parents[1] == Path.cwd()))
    if not names:
        folders = "strategies/, evals/ or prompts/"
        message = f"no {folders} in {str(Path.cwd())!r}; write strategies/NAME.py or run: thirdlever init"
        raise ThirdleverError(message)
    findings = []
    for spec in names:
        name = re.split(r"[: ]", spec, maxsplit=1)[0]
        if Path(spec).is_file():
            findings.append(check_prompt_file(Path(spec).stem, Path(spec), evals))
            continue
        if name not in strategies and spec not in evals and spec not in prompts:
            raise ThirdleverError(unknown("strategy, eval or prompt", name, {*strategies, *evals, *prompts}))
        with contextlib.redirect_stderr(io.StringIO()):  # progress of steps that take no time
            if name in strategies:
                findings.append(check_strategy(spec, strategies[name], evals, together))
            if spec in evals:
                findings.append(check_eval(spec, evals[spec]))
            if spec in prompts:
                findings.append(check_prompt_file(spec, prompts[spec], evals))
    return findings


def check_eval(name: str, path: Path) -> Checked:
    """Load a suite, look for overlapping splits, and grade every target as an answer."""
    try:
        suite = find_suite(name)
        Leakage(suite).check_suite()
        _check_kind(suite)
        _check_dev(suite)
        _check_grading(suite)
    except Exception as error:  # noqa: BLE001 - whatever the user's file raises is the finding
        return Checked("eval", name, "failed", _sentence(error, path))
    sizes = ", ".join(f"{len(split)} {split.name}" for split in (suite.train, suite.dev, suite.test) if len(split))
    said = f"{sizes}; no item is in two splits; every target is graded as right"
    if shared := shared_groups(suite.test, [*suite.train, *suite.dev]):
        groups = counted(len({item.group for item in suite.test}), "group")
        said += f"; {shared} of {groups} of test are in train or dev too"
    return Checked("eval", name, "ok", said)


def check_prompt_file(name: str, path: Path, evals: Mapping[str, Path]) -> Checked:
    """Render a prompt for the suites that name it, or else for the first one that it fits."""
    try:
        prompt = read_prompt(path)
    except ThirdleverError as error:
        return Checked("prompt", name, "failed", _sentence(error, path))
    suites = _loaded(evals)
    named = [suite for suite in suites if suite.prompt and suite.prompt.name == name]
    failed: list[ThirdleverError] = []
    fits: list[str] = []
    for suite in named or suites:
        try:
            check_prompt(prompt, suite)
        except ThirdleverError as error:
            failed.append(error)
        else:
            fits.append("; ".join([f"fits {suite.name}", *remarks(prompt, suite)]))
    if failed and (named or not fits):
        return Checked("prompt", name, "failed", _sentence(failed[0], path))
    if not fits:
        return Checked("prompt", name, "skipped", "no suite to render it for; run: thirdlever init")
    return Checked("prompt", name, "ok", ". ".join(fits if named else fits[:1]))


def _loaded(evals: Mapping[str, Path]) -> list[Suite]:
    """The suites of the current folder, or of the starter project if it has none; broken ones are left out."""
    own = [name for name, path in evals.items() if path.parents[1] == Path.cwd()] or list(evals)
    found = []
    for name in own:
        with contextlib.suppress(ThirdleverError):
            found.append(find_suite(name))
    return found


def check_strategy(spec: str, path: Path, evals: Mapping[str, Path], together: Sequence[str] = ()) -> Checked:
    """Prepare and ask a strategy on a small suite of labels, or else on the first of another kind that it fits.

    Args:
        spec: the strategy, with arguments if needed.
        path: its file.
        evals: by name.
        together: evals that it must fit as well.
    """
    from thirdlever.testing import example_suite

    try:
        known = specs.arguments(specs.find(path.stem)[0]).values()
        _check_arguments(known)
        needed = ",".join(f"{argument.name}=VALUE" for argument in known if argument.required)
        if needed and spec == path.stem:
            return Checked("strategy", spec, "skipped", f"needs arguments; run: thirdlever check {spec}:{needed}")
    except Exception as error:  # noqa: BLE001 - whatever the user's file raises is the finding
        return Checked("strategy", spec, "failed", _sentence(error, path))
    failures: list[tuple[str, str]] = []
    for suite in (example_suite(train=TRAIN), *_of_other_kinds(evals)):
        try:
            said = _try_strategy(spec, suite)
        except Exception as error:  # noqa: BLE001 - likewise
            failures.append((_sentence(error, path), suite.name))
        else:
            found = Checked("strategy", spec, "ok", f"{said}; on the suite {suite.name}" if failures else said)
            return _on_evals(found, path, together)
    (first, _), (own, name) = failures[0], failures[:2][-1]  # the second is of a suite of the folder
    return Checked("strategy", spec, "failed", first if first == own else f"{own} (on the suite {name})")


def _on_evals(found: Checked, path: Path, together: Sequence[str]) -> Checked:
    """The finding, or what fails on a suite that is named with the strategy."""
    for name in together:
        try:
            suite = find_suite(name)
            _try_strategy(found.name, replace(suite, train=replace(suite.train, items=suite.train.items[:TRAIN])))
        except Exception as error:  # noqa: BLE001 - whatever the user's file raises is the finding
            return replace(found, status="failed", sentence=f"{_sentence(error, path)} (on the suite {name})")
        found = replace(found, sentence=f"{found.sentence}; fits {name}")
    return found


def _check_arguments(known: Iterable[Argument]) -> None:
    for argument in known:
        if not argument.writable:
            kinds = "int, float, bool, str or Literal"
            message = f"the argument {argument} cannot be written on the command line; use {kinds}"
            raise StrategyError(message)


def _check_kind(suite: Suite) -> None:
    """Refuse JSON objects as labels: the answer kind was left out."""
    if suite.answer.choices and all(label.startswith("{") and label.endswith("}") for label in suite.answer.choices):
        message = "its labels are JSON objects; give load_suite the answer kind: answer=Json((KEY, KEY)) or a schema"
        raise SuiteError(message)


def _of_other_kinds(evals: Mapping[str, Path]) -> Iterator[Suite]:
    """The folder's suites whose answers are not labels, with few enough items for a trial."""
    for suite in _loaded({name: path for name, path in evals.items() if path.parents[1] == Path.cwd()}):
        if not suite.answer.choices:
            yield replace(suite, train=replace(suite.train, items=suite.train.items[:TRAIN]))


def _try_strategy(spec: str, suite: Suite) -> str:
    from thirdlever.testing import FakeModel, offline

    train = _Watched("train", suite.train.items, parts=suite.train.parts)
    seen = replace(suite.without_test(), train=train, card=dict(suite.card))
    model = FakeModel(answer=lambda _: suite.answer.choices[0] if suite.answer.choices else suite.train.items[0].target)
    with offline(model), tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"))
        prepare = specs.parse(spec).prepare
        deployment = prepare(seen, model, store)
        reads = len(train.reads)
        _check_preparing(spec, suite, seen, deployment.given, model.prompts)
        _check_given(train, deployment, read=reads > 0)
        calls, artefacts = len(model.prompts), _artefacts(store)
        deployment = prepare(seen, model, store)
        if len(model.prompts) > calls or _artefacts(store) != artefacts:
            message = "a second prepare repeats work; build with store.once, and put everything it depends on into `of`"
            raise StrategyError(message)
        model.prompts.clear()
        completions = _ask(suite, deployment, Path(folder, "asked"))
        _check_prompts(suite, deployment, model.prompts)
    _check_answers(suite, completions)
    called = counted(len(model.prompts) // len(completions), "model call")
    labels = counted(deployment.setup.labels, "label")
    return f"prepared with {labels}; {called} per item; answer {completions[0]!r} parsed"


def _artefacts(store: Store) -> list[str]:
    return sorted(str(path) for path in store.root.glob("*/*/artefact.json"))


def _check_preparing(
    spec: str, suite: Suite, seen: Suite, given: Sequence[Item | Document], prompts: Sequence[str]
) -> None:
    if replace(seen).seen_hash != replace(suite).seen_hash or seen.card != suite.card:
        message = "prepare changed the suite; make a copy with dataclasses.replace"
        raise StrategyError(message)
    leakage = Leakage(suite)
    leakage.check_given(given, strategy=spec)
    if any(leak := list(leakage.test.quoted(prompt)) for prompt in prompts):
        message = f"prepare sends test item {leak[0]!r} to the model; use suite.train and suite.dev only"
        raise StrategyError(message)


def _check_given(train: Split, deployment: Deployment, *, read: bool) -> None:
    """Without a model there is no prompt that shows what was learned: the data must be declared if train is read."""
    known = {item.id for item in deployment.given if isinstance(item, Item)}
    if read and deployment.model is None and known.isdisjoint(item.id for item in train):
        message = "prepare reads suite.train, but Deployment(given=…) has no item of it; write given=tuple(suite.train)"
        raise StrategyError(message)


@dataclass(frozen=True)
class _Watched(Split):
    """A split that notes when its items are read."""

    reads: list[str] = field(default_factory=list, compare=False, repr=False, kw_only=True)

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        if name == "items":
            super().__getattribute__("reads").append(name)
        return super().__getattribute__(name)

    def __len__(self) -> int:
        return len(self.__dict__["items"])


def _ask(suite: Suite, deployment: Deployment, folder: Path) -> list[str]:
    """Completions of a few test items, each asked twice."""
    from thirdlever.evaluation.ask import replies

    errors: list[Exception] = []
    items = replace(suite.test, items=suite.test.items[:ASKED])
    folder.mkdir()
    watched = replace(deployment, solver=_watched(deployment.solver, errors))
    try:
        answered = replies(suite, watched, items, folder, title="check", times=2)
    except ThirdleverError:
        if not errors:
            raise
    if errors and deployment.model is None and type(errors[0]).__name__ == "PrerequisiteError":  # inspect: no model
        message = "the solver calls a model, but the deployment has model=None; pass the model to Deployment"
        raise StrategyError(message)
    if errors:
        raise errors[0]
    failed = next((reply.error for reply in answered if reply.error), None)
    if failed:
        raise StrategyError(failed)
    return [reply.completion for reply in answered]


def _watched(inner: Solver, errors: list[Exception]) -> Solver:
    """Keeps the solver's errors with their tracebacks, and shows it a target that must appear nowhere."""
    from inspect_ai.scorer import Target
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def watched() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            shown = TaskState(
                model=state.model,
                sample_id=state.sample_id,
                epoch=state.epoch,
                input=state.input,
                messages=list(state.messages),
                target=Target(_TARGET),
                metadata=state.metadata,
            )
            try:
                left: object = await inner(shown, generate)
                if not isinstance(left, TaskState):
                    message = f"the solver returned {clipped(left)}; it must return the state"
                    raise StrategyError(message)  # noqa: TRY301 - kept like any other
            except Exception as error:
                errors.append(error)
                raise
            if (left.sample_id, left.epoch, left.input) != (state.sample_id, state.epoch, state.input):
                errors.append(StrategyError("the solver changed the state of another request; use the one it is given"))
            state.messages, state.output = left.messages, left.output
            return state

        return solve

    return watched()


def _check_prompts(suite: Suite, deployment: Deployment, prompts: Sequence[str]) -> None:
    if deployment.model is not None and not prompts:
        message = "the solver calls no model; return Deployment(…, model=None)"
        raise StrategyError(message)
    if any(times % 2 for times in Counter(prompts).values()):
        message = "the same item is asked differently the second time; keep no state between requests, and seed draws"
        raise StrategyError(message)
    for prompt in prompts:
        for fault in _faults(suite, deployment, prompt):
            raise StrategyError(fault)


def _faults(suite: Suite, deployment: Deployment, prompt: str) -> Iterator[str]:
    """What a prompt shows that it must not."""
    if _TARGET in prompt:
        yield "the prompt contains the item's target; `state.target` is for grading only"
    asked = {item.id for item in suite.test.items[:ASKED]}
    others = [found for found in Leakage(suite).test.quoted(prompt) if found not in asked]
    if others:
        yield f"the prompt contains test item {others[0]!r}; use suite.train, suite.dev and suite.documents only"
    given = {normalise(piece.input if isinstance(piece, Item) else piece.text) for piece in deployment.given}
    labelled = {item.id: item for item in (*suite.train, *suite.dev)}
    shown = [labelled[found] for found in Inputs(labelled.values()).quoted(prompt)]
    texts = {item.id: item.input for item in shown} | {d.id: d.text for d in suite.documents if d.text in prompt}
    missing = [name for name, text in texts.items() if normalise(text) not in given]
    if missing:
        shows = f"the prompt shows {missing[0]!r} of the suite {suite.name}"
        yield f"{shows}, which is not in Deployment(given=…); add all that the solver uses"


def _check_answers(suite: Suite, completions: Sequence[str]) -> None:
    for completion in completions:
        if _TARGET in completion:
            message = "the answer contains the item's target; `state.target` is for grading only"
            raise StrategyError(message)
        if suite.answer.read(completion).value is None:
            wanted = suite.answer.name.lower()
            message = f"no answer can be read from {completion[:80]!r}; leave a {wanted} in state.output"
            raise StrategyError(message)


def _check_dev(suite: Suite) -> None:
    dev = Inputs(suite.dev)
    both = [(item.id, found) for item in suite.train if (found := dev.equal(item.input)) is not None]
    if both:
        train_id, dev_id = both[0]
        shared = f"train and dev share {counted(len(both), 'input')} ({train_id!r} is {dev_id!r})"
        message = f"{shared}; remove the duplicates from one of them"
        raise SuiteError(message)


def _check_grading(suite: Suite) -> None:
    for item in (*suite.train, *suite.dev, *suite.test):
        reading = suite.answer.read(item.target)
        grade = None if reading.value is None else grade_item(suite.answer, reading.value, item.id, item.target)
        if grade is None or grade.value < 1:  # nan: a grader has yet to decide
            wrong = f"the target {item.target!r} of item {item.id!r} is graded as wrong ({(grade or reading).reason})"
            message = f"{wrong}; correct the answer's `read` or `grade`"
            raise SuiteError(message)


def _sentence(error: Exception, path: Path) -> str:
    """File, line, cause and remedy."""
    chain = list(_chain(error))
    known = next((str(each) for each in chain if isinstance(each, ThirdleverError)), None)
    text = " ".join((known or explained(error, path)).replace(f"{Path.cwd()}/", "").split())
    shown = str(path).replace(f"{Path.cwd()}/", "")
    text = text.removeprefix(f"{shown}: ")
    if text.startswith(f"{shown}:") or _LOCATED.match(text):
        return text
    line = next(filter(None, (line_in(each, path) for each in reversed(chain))), None)
    return f"{shown}:{line}: {text}" if line else f"{shown}: {text}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

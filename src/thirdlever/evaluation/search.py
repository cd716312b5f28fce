"""Search a better prompt on the labelled data, without the test split: reflective prompt evolution (GEPA).

Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning", arXiv:2507.19457; the search
is the package `gepa`. A prompt is asked a few items of train; a model reads its answers with the grades' reasons and
rewrites the instruction; what does better on these items is measured on dev, and the best on dev is kept.

gepa's own state is a pickle, so it is not used: the search is repeated from its seed, and every answer that it has had
before is read from the journal. It comes to the same point without a request.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from thirdlever.answers.reading import spoken
from thirdlever.core.errors import PromptError, StrategyError, ThirdleverError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.evaluation.ask import Questions, Used, asking, check_grades, replies, setup
from thirdlever.prompting.frame import ask, chat, check_prompt
from thirdlever.strategies.contract import Deployment, Found, add_setups
from thirdlever.suites.prompts import default_source, instruction_of, quoted, read_source, with_turns
from thirdlever.suites.suite import Item, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from inspect_ai.solver import Solver

    from thirdlever.core.store import Store
    from thirdlever.evaluation.records import Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import SetupCost
    from thirdlever.suites.prompts import Prompt
    from thirdlever.suites.suite import Suite

Part: TypeAlias = Literal["instruction", "demonstrations", "both"]

_NAME = "found"
_COMMA = ", "
INSTRUCTION, DEMONSTRATIONS = "instruction", "demonstrations"
_SHOWN = 4  # items of train whose answers a model reads to rewrite the instruction
_MOST_DEV, _LEAST_DEV = 100, 4
_PER_DEV = 6  # calls for each dev item, so that several prompts can be measured on dev
_MAX_TOKENS = 800  # of a rewritten instruction
_TEMPERATURE = 1.0
_LONGEST = 6_000  # characters of an instruction; a longer one is cut by its model
_REQUEST = """An assistant follows this instruction:
```
<curr_param>
```
It was given these inputs. Each answer was graded, and the feedback says what was right or wrong:
```
<side_info>
```
Write a better instruction for the assistant. Describe the task and how to tell the possible answers apart. State the
rules that follow from the feedback, because the assistant sees neither these inputs nor the right answers. Keep what
works, and keep placeholders in double braces as they are. Write the instruction alone, between two lines of ```."""


@dataclass(frozen=True, slots=True)
class Optimised:
    """What the search found.

    Attributes:
        prompt: to be asked in, with the demonstrations as its own turns.
        found: its text and its accuracy on dev.
        setup: what the search cost, in the candidate's model's tokens.
        given: the labelled items that it has seen.
    """

    prompt: Prompt
    found: Found
    setup: SetupCost
    given: tuple[Item, ...]


def optimise(
    suite: Suite,
    model: BaseModel,
    store: Store,
    *,
    calls: int,
    reflection: BaseModel | None = None,
    what: Part = "both",
    k: int = 4,
    seed: int = 0,
) -> Optimised:
    """Search a prompt that does better on dev, once; a search that was interrupted goes on where it was.

    Args:
        suite: its prompt, or the default one, is where the search starts.
        model: answers.
        store: keeps what was found, and every answer on the way.
        calls: answers to spend. Those on the way to a rewritten instruction are not counted.
        reflection: rewrites the instruction; None for `model`.
        what: the instruction, the demonstrations, or both.
        k: number of demonstrations; 0 for none.
        seed: of every draw.

    Raises:
        StrategyError: there is no dev split, or too few calls for it.
        BudgetError: no more requests may be sent; what has been asked is kept.
    """
    from gepa.api import optimize

    check_grades(suite)
    if len(suite.dev) < _LEAST_DEV:
        message = f"suite {suite.name!r} has {len(suite.dev)} dev items; a search needs {_LEAST_DEV} or more"
        raise StrategyError(message)
    dev = suite.dev.first(min(_MOST_DEV, max(_LEAST_DEV, calls // _PER_DEV)), seed=seed)
    if calls < 2 * len(dev):
        message = f"calls={calls} is too few for {len(dev)} dev items; give {2 * len(dev)} or more"
        raise StrategyError(message)
    writer = reflection or model
    task = _Task(suite, model, writer, dev, what=what, k=k, seed=seed)

    def build(folder: Path) -> dict[str, Any]:
        with progress("searching a prompt", calls) as advance:
            task.start(folder, advance, calls)
            done: Any = optimize(
                seed_candidate=task.first,
                trainset=list(task.train),
                valset=list(dev),
                adapter=cast("Any", task),  # whose protocol has further, optional methods
                custom_candidate_proposer=task.propose,
                max_metric_calls=calls,
                reflection_minibatch_size=_SHOWN,
                stop_callbacks=[lambda _: task.failure is not None],
                logger=_Quiet(),
                skip_perfect_score=True,
                cache_evaluation=True,
                seed=seed,
                raise_on_exception=True,
            )
        if task.failure is not None:
            raise task.failure
        best, scores = done.best_candidate, done.val_aggregate_scores
        return {
            "source": task.source(best),
            "accuracy": max(scores),
            "start": scores[0],
            "demonstrations": task.shown(best),
            "prompts": len(scores),
            "calls": task.calls,
            "own": asdict(Used.by(task.answers)),
            "rewriting": asdict(Used.by(task.rewritten)),
        }

    depends = {
        "suite": suite.seen_hash,
        "model": [model.name, model.revision],
        "reflection": [writer.name, writer.revision],
        "calls": calls,
        "search": [what, k, seed],
    }
    first = Deployment(task.solver(task.first), model=model)
    with asking(Questions(deployment=first, items=dev, times=max(1, round(calls / len(dev))))):
        facts = store.once("prompt", of=depends, build=build, resume=True).facts
    said = f"{100 * facts['start']:.1f} -> {100 * facts['accuracy']:.1f} % of {len(dev)} dev items"
    note(f"prompt search: {said}, the best of {facts['prompts']} prompts")
    own, rewriting = (setup({**facts[part], "seconds": 0.0}, labels=0) for part in ("own", "rewriting"))
    cost = add_setups(own, add_setups(rewriting, teacher=reflection))
    given = (*dev, *task.train, *(item for item in suite.train if item.id in facts["demonstrations"]))
    return Optimised(
        read_source(_NAME, facts["source"]),
        Found(
            source=facts["source"],
            accuracy=facts["accuracy"],
            start=facts["start"],
            items=len(dev),
            prompts=facts["prompts"],
            calls=facts["calls"],
        ),
        replace(cost, labels=len(given), seconds=facts["seconds"]),
        given,
    )


class _Quiet:
    """gepa logs to standard output otherwise."""

    def log(self, message: str) -> None:
        """Drop it."""


class _Task:
    """gepa's adapter: how a candidate prompt is asked and graded, and how the next one is made."""

    propose_new_texts = None  # gepa's optional method

    def __init__(
        self, suite: Suite, model: BaseModel, writer: BaseModel, dev: Split, *, what: Part, k: int, seed: int
    ) -> None:
        """Draw the items and take the starting prompt apart."""
        self._suite, self._model, self._writer = suite, model, writer
        self._start = suite.prompt.jinja if suite.prompt else default_source(suite.instruction.strip())
        self._seed = seed
        drawn = suite.train.sample(len(suite.train), seed=seed)
        shown = drawn[:k]
        pool = drawn[k : k + 2 * len(dev)]
        self.train = Split("train", pool)
        self._by_id = {item.id: item for item in drawn}
        self._pool = {item.id for item in pool}
        self.first: dict[str, str] = {}
        if what != DEMONSTRATIONS:
            self.first[INSTRUCTION] = instruction_of(self._start)
        if what != INSTRUCTION and shown:
            self.first[DEMONSTRATIONS] = _COMMA.join(item.id for item in shown)
        self._fixed = _COMMA.join(item.id for item in shown) if what == INSTRUCTION else ""
        if not self.first:
            message = "nothing to search: there are no demonstrations; give k 1 or more, or search the instruction"
            raise StrategyError(message)
        self.answers: list[Reply] = []
        self.rewritten: list[Reply] = []
        self.failure: ThirdleverError | None = None
        self.calls = 0
        self._known: dict[tuple[str, str], Reply] = {}
        self._solvers: dict[str, Solver] = {}
        self._batches = 0
        self._folder: Path | None = None

    def start(self, folder: Path, advance: Callable[[], None], calls: int) -> None:
        """Begin a search whose answers are kept in a folder."""
        self._folder, self._advance, self._most = folder, advance, calls

    def shown(self, candidate: Mapping[str, str]) -> list[str]:
        """Ids of a candidate's demonstrations."""
        return [name for name in candidate.get(DEMONSTRATIONS, self._fixed).split(_COMMA) if name]

    def source(self, candidate: Mapping[str, str]) -> str:
        """The prompt file of a candidate."""
        system = candidate.get(INSTRUCTION, instruction_of(self._start))
        source = self._start.replace(instruction_of(self._start), system, 1)
        items = [self._by_id[name] for name in self.shown(candidate)]
        if not items:
            return source
        base = read_source(_NAME, source)
        asked = [chat(self._suite, base, item)[-1] for item in items]
        return with_turns(
            source, [turn for item, ask in zip(items, asked, strict=True) for turn in (ask, ("assistant", item.target))]
        )

    def solver(self, candidate: Mapping[str, str]) -> Solver:
        """Asks in a candidate's prompt.

        Raises:
            PromptError: it cannot be rendered.
        """
        source = self.source(candidate)
        if source not in self._solvers:
            prompt = read_source(_NAME, source)
            check_prompt(prompt, self._suite)
            self._solvers[source] = ask(replace(self._suite, prompt=prompt))
        return self._solvers[source]

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - gepa's protocol
        """Ask a candidate a few items."""
        from gepa.core.adapter import EvaluationBatch

        self.calls += len(batch)
        for _ in batch[: max(0, self._most - self.calls + len(batch))]:
            self._advance()
        try:
            graded = self._graded(batch, candidate)
        except PromptError as error:  # the rewritten instruction broke the template
            graded = [(0.0, str(error), "") for _ in batch]
        except ThirdleverError as error:
            self.failure = error
            raise
        traces = [
            {"item": item, "answer": answer, "reason": reason, "score": score}
            for item, (score, reason, answer) in zip(batch, graded, strict=True)
        ]
        scores = [score for score, _, _ in graded]
        return EvaluationBatch(
            outputs=[answer for _, _, answer in graded], scores=scores, trajectories=traces if capture_traces else None
        )

    def _graded(self, batch: Sequence[Item], candidate: Mapping[str, str]) -> list[tuple[float, str, str]]:
        """Score, reason and completion of each item."""
        key = content_hash(dict(candidate))
        deployment = Deployment(self.solver(candidate), model=self._model)
        missing = tuple(item for item in dict.fromkeys(batch) if (key, item.id) not in self._known)
        if missing:
            given = self._asked(deployment, Split("batch", missing), temperature=0.0)
            self.answers += given
            self._known |= {(key, reply.item_id): reply for reply in given}
        found = []
        for item in batch:
            reply = self._known[key, item.id].graded(self._suite.answer, item.target)
            found.append((reply.score or 0.0, reply.reason or "", reply.completion))
        return found

    def _asked(self, deployment: Deployment, items: Split, *, temperature: float) -> list[Reply]:
        assert self._folder is not None  # noqa: S101 - gepa runs after `start`
        folder = self._folder / f"{self._batches:05}"
        folder.mkdir(exist_ok=True)
        self._batches += 1
        return replies(self._suite, deployment, items, folder, title="", temperature=temperature)

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],  # noqa: ARG002 - gepa's protocol
        eval_batch: Any,  # noqa: ANN401
        components_to_update: list[str],
    ) -> dict[str, list[dict[str, Any]]]:
        """What the next prompt is made from."""
        records = [
            {
                "Input": trace["item"].input,
                "Answer": trace["answer"] or "(none)",
                "Feedback": f"{'right' if trace['score'] == 1 else 'wrong'}: {trace['reason']}",
                "target": trace["item"].target,
                "right": trace["score"] == 1,
            }
            for trace in eval_batch.trajectories
        ]
        return dict.fromkeys(components_to_update, records)

    def propose(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """New texts of some components."""
        if self.failure is not None:
            return {}
        try:
            return {
                name: self._rewritten(candidate[name], reflective_dataset[name])
                if name == INSTRUCTION
                else self._redrawn(candidate[name], reflective_dataset[name])
                for name in components_to_update
            }
        except ThirdleverError as error:  # gepa would go on with the next proposal
            self.failure = error
            return {}

    def _rewritten(self, instruction: str, records: Sequence[Mapping[str, Any]]) -> str:
        """The instruction, rewritten by the reflection model."""
        from gepa.strategies.instruction_proposal import InstructionProposalSignature as Signature

        shown = [{key: record[key] for key in ("Input", "Answer", "Feedback")} for record in records]
        request = Signature.prompt_renderer(
            {"current_instruction_doc": instruction, "dataset_with_feedback": shown, "prompt_template": _REQUEST}
        )
        solver = _verbatim(self._writer.completion_tokens(_MAX_TOKENS))
        item = Item("instruction", str(request), "")
        [reply] = self._asked(
            Deployment(solver, model=self._writer), Split("requests", (item,)), temperature=_TEMPERATURE
        )
        self.rewritten.append(reply)
        text = Signature.output_extractor(spoken(reply.completion) or "")["new_instruction"].strip()[:_LONGEST]
        if not text:
            return instruction
        return text if "{{" in instruction else quoted(text)

    def _redrawn(self, shown: str, records: Sequence[Mapping[str, Any]]) -> str:
        """The demonstrations with one replaced, by one of an answer that was missed if there is any."""
        names = shown.split(_COMMA)
        rng = random.Random(content_hash([self._seed, shown, self._batches]))  # noqa: S311 - not a secret
        missed = {record["target"] for record in records if not record["right"]}
        free = [item for item in self._suite.train if item.id not in self._pool and item.id not in names]
        wanted = [item for item in free if item.target in missed] or free
        if not wanted:
            return shown
        names[rng.randrange(len(names))] = rng.choice(wanted).id
        return _COMMA.join(names)


def _verbatim(max_tokens: int) -> Solver:
    """A solver that sends the item's text alone."""
    from inspect_ai.model import ChatMessageUser
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def sending() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            state.messages = [ChatMessageUser(content=state.input_text)]
            return await generate(state, max_tokens=max_tokens)

        return solve

    return sending()

"""Preparing a strategy without spending: what would ask a model, or order a tune, is counted instead."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, modelapi

from thirdlever.core import project
from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.store import Artefact, Store
from thirdlever.evaluation.ask import standing_in
from thirdlever.evaluation.records import Reply
from thirdlever.models.base import BaseModel
from thirdlever.retrieval.index import SERVER
from thirdlever.strategies.contract import SetupCost, Tuning
from thirdlever.suites.suite import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.tool import ToolChoice, ToolInfo

    from thirdlever.catalog.tuning import Estimate
    from thirdlever.evaluation.inspect_eval import Pass
    from thirdlever.evaluation.records import Key, Phase
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.managed import Tuned
    from thirdlever.finetune.settings import Method, Step
    from thirdlever.models.engine.chat import Turn
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Suite

    Build = Callable[[Path], "Mapping[str, Any] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training that would be made.

    Attributes:
        method: "lora", "qlora" or "full".
        where: "local", or the provider's title.
        examples: rows.
        epochs: passes over them, at most.
        tokens: trained on, all epochs together.
        dev_tokens: read for choosing an epoch, all epochs together.
        here: whether it is this machine that trains.
        estimate: of a provider's bill; None where nobody sends one.
    """

    method: str
    where: str
    examples: int
    epochs: int
    tokens: float
    dev_tokens: float
    here: bool
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Questions that preparing asks, all of one kind."""

    requests: int
    each: Request
    model: BaseModel


@dataclass(kw_only=True)
class Spent:
    """What preparing would take.

    Attributes:
        rounds: questions to models.
        trainings: tunes.
        seconds: of embedding, indexing and fitting on this machine.
        notes: what of this is assumed, and why.
    """

    rounds: list[Round] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Stands in while a strategy prepares for a plan; see `thirdlever.evaluation.inspect_eval.ask`.

    Attributes:
        base: who plays models that are not tuned yet.
        spent: where all is written down.
        trials: how requests are tried.
    """

    base: BaseModel
    spent: Spent
    trials: Trials

    def asked(self, work: Pass, deployment: Deployment) -> list[Reply]:
        """Answers that can be read, and what asking would have taken."""
        each = self.trials.rehearse(work.suite, deployment, work.items, base=self.base)
        if deployment.model is not None:
            self.spent.rounds.append(Round(requests=len(work.keys), each=each, model=deployment.model))
        return [_reply(key, work.suite) for key in work.keys]

    def ordered(
        self,
        model: BaseModel,
        examples: Sequence[Conversation],
        *,
        dev: Sequence[Conversation],
        provider: str,
        epochs: int | None,
        horizon_days: int,
    ) -> Tuned:
        """Check all that is checked before an order is placed, and write down what it would be charged."""
        from thirdlever.catalog.tuning import estimate, profile
        from thirdlever.finetune import managed
        from thirdlever.finetune import managed as preflight
        from thirdlever.finetune.conversations import to_jsonl

        terms = profile(provider)
        base = terms.base(model.name)
        preflight.check_format(terms, to_jsonl(examples), to_jsonl(dev))
        preflight.check_dates(terms, base, horizon_days=horizon_days)
        passes = preflight.AUTO_EPOCHS if epochs is None else epochs
        # A provider's tokenizer is not at hand: the count is the one that its bill is estimated by.
        tokens = sum(example(model, turns) for turns in examples) * passes if terms.free else None
        billed = preflight.count(examples, model.tokens, passes)
        self.spent.trainings.append(
            Training(
                method="lora",
                where=terms.title,
                examples=len(examples),
                epochs=passes,
                tokens=billed if tokens is None else tokens,
                dev_tokens=preflight.count(dev, model.tokens, passes),
                here=terms.free,
                estimate=None if terms.free else estimate(provider, base, billed),
            )
        )
        shown = base.rpartition("/")[2] if base.startswith("hf/") else base
        tuning = Tuning(method="supervised", where=terms.title, examples=len(examples), epochs=passes, tokens=billed)
        return managed.Tuned(
            model=replace(model, name=f"{terms.title}: ft:{shown}:planned"), setup=SetupCost(), tuning=tuning
        )


@contextmanager
def rehearsing(base: BaseModel, spent: Spent, trials: Trials) -> Iterator[None]:
    """Ask nobody, order nothing and fill no server that others share, until the block ends."""
    server = os.environ.pop(SERVER, None)
    try:
        with standing_in(Rehearsal(base=base, spent=spent, trials=trials)):
            yield
    finally:
        if server is not None:
            os.environ[SERVER] = server


def _reply(key: Key, suite: Suite) -> Reply:
    """An answer that can be read."""
    phase, item_id, epoch = key
    return Reply(
        phase=phase,
        item_id=item_id,
        epoch=epoch,
        completion=suite.train.items[0].target,
        input_tokens=0,
        cached_tokens=0,
        output_tokens=0,
        latency_s=0.0,
    )


TEXTS = 128  # embedded for the speed of embedding; neighbours of sampled prompts are found among them
_FITTING = 0.25  # of the time that embedding takes: what fitting null's classifier took in runs of `transactions`


@dataclass(frozen=True, slots=True)
class RehearsalStore(Store):
    """Takes the place of a project's store.

    Attributes:
        into: a store that is thrown away; all candidates of a plan share it, as they share the real one in a run.
        suite: that is planned for.
        base: the candidate's base model.
        spent: where it is written down what building would take.
    """

    into: Store
    suite: Suite
    base: BaseModel
    spent: Spent

    def once(self, kind: str, *, of: Mapping[str, Any], build: Build, resume: bool = False) -> Artefact:
        """Find an artefact, or stand in for it."""
        if (self.home(kind, of, build) / "artefact.json").is_file():
            return Store.once(self, kind, of=of, build=build, resume=resume)

        cheaply: dict[str, Build] = {
            "adapter": lambda _: self._train(of),
            "embeddings": lambda folder: self._embed(of["texts"], folder),
            "index": lambda folder: self._timed(build, folder),
            "classifier": self._fit,
            "choice": lambda folder: self._choose(of["options"], build, folder),
            "inputs": lambda _: self._invent(of),
        }
        return self.into.once(kind, of=of, build=cheaply.get(kind, build))

    def _timed(self, build: Build, folder: Path) -> Mapping[str, Any] | None:
        start = time.perf_counter()
        facts = build(folder)
        self.spent.seconds += time.perf_counter() - start
        return facts

    def _choose(self, options: list[str], build: Build, folder: Path) -> dict[str, Any]:
        """What dev would choose is not known: the last option, for the cheapest comes first."""
        facts = dict(build(folder) or {})
        self.spent.notes.append(f"dev is taken to choose {options[-1]}")
        return facts | {"accuracy": {name: rank for rank, name in enumerate(options)}}

    def _train(self, of: Mapping[str, Any]) -> dict[str, Any]:
        from thirdlever.finetune.settings import MOST_EPOCHS

        settings = of["settings"]
        epochs = MOST_EPOCHS if settings["epochs"] == "auto" else settings["epochs"]
        each = example_tokens(self.suite, self.base)
        made = Training(
            method=settings["method"],
            where="local",
            examples=of["examples"],
            epochs=epochs,
            tokens=of["examples"] * each * epochs,
            dev_tokens=of["dev"] * each * epochs,
            here=True,
        )
        self.spent.trainings.append(made)
        none = {"trained_seconds": 0.0, "device_seconds": 0.0, "bytes": 0, "curve": []}
        return {"folder": "planned", "tokens": round(made.tokens), "epochs": epochs, **none}

    def _embed(self, texts: list[str], folder: Path) -> None:
        import numpy as np

        from thirdlever.retrieval.embedder import embed

        embed(texts[:1])  # the first one loads the weights
        start = time.perf_counter()
        vectors = embed(texts[:TEXTS])
        each = (time.perf_counter() - start) / len(vectors)
        np.save(folder / "vectors.npy", vectors, allow_pickle=False)
        self.spent.seconds += each * len(texts)
        self.spent.notes.append(f"{len(texts):,} texts are embedded, at the speed of {len(vectors)} here")

    def _fit(self, folder: Path) -> None:
        """The classifier of the strategy null, which asks no model: one that knows nothing stands in for it."""
        import numpy as np

        from thirdlever.retrieval.embedder import DIMENSIONS

        labels = np.array(sorted({item.target for item in self.suite.train}))
        rows = len(labels) if len(labels) > 2 else 1  # noqa: PLR2004 - as scikit-learn keeps two classes
        np.savez(folder / "fitted.npz", w=np.zeros((rows, DIMENSIONS)), b=np.zeros(rows), labels=labels)
        self.spent.seconds += _FITTING * self.spent.seconds
        self.spent.notes.append(f"fitting is taken for {_FITTING:.0%} of embedding")

    def _invent(self, of: Mapping[str, Any]) -> dict[str, Any]:
        seeds = self.suite.train.items
        inputs = [f"{seeds[i % len(seeds)].input} {i}" for i in range(of["n"])]
        self.spent.notes.append(f"writing {of['n']:,} inputs, in {len(of['shown']):,} requests, is left out")
        return {"inputs": inputs, "input_tokens": 0, "output_tokens": 0, "device_seconds": 0.0}


def example_tokens(suite: Suite, base: BaseModel, sample: int = 200) -> float:
    """Mean tokens of a training example, prompt and answer."""
    from thirdlever.finetune.conversations import conversations

    return statistics.fmean(example(base, turns) for turns in conversations(suite, suite.train.items[:sample]))


_TURN = 4  # tokens that a chat template puts around a turn, where the template is not at hand


Count: TypeAlias = "Callable[[Sequence[Turn]], int]"


@dataclass(frozen=True)
class Counting(BaseModel):
    """Takes a model's place for as long as a plan is made.

    Attributes:
        count: tokens of a conversation.
        answer: what every request is answered with, one that can be read.
    """

    count: Count = field(kw_only=True, compare=False)
    answer: str = field(kw_only=True)

    @classmethod
    def of(cls, base: BaseModel, answer: str) -> Counting:
        """Stand in for a model, whose tokenizer counts where there is one."""
        return cls(base.name, "counting/model", local=True, count=counter(base), answer=answer)

    def connect(self) -> Model:
        """An inspect model."""
        return Model(_CountingAPI(self.name, stands_in=self), GenerateConfig())


def counter(base: BaseModel) -> Count:
    """Counts the tokens of a conversation: exactly for a local model, else as the model estimates texts."""
    if base.local:
        from thirdlever.models.engine import chat, local

        name = base.inspect_name.removeprefix("thirdlever/")
        if name == local.EMBEDDED or name.startswith(local.HF):
            return lambda turns: len(chat.encode(name, turns))
    return lambda turns: sum(base.tokens(turn["content"]) + _TURN for turn in turns)


def example(base: BaseModel, turns: Sequence[Turn]) -> int:
    """Tokens of a training example, whose last turn is the answer."""
    return counter(base)(turns[:-1]) + base.tokens(turns[-1]["content"]) + 1


@modelapi(name="counting")
class _CountingAPI(ModelAPI):
    def __init__(self, model_name: str, *, stands_in: Counting) -> None:
        super().__init__(model_name)
        self._counting = stands_in

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's name
        tools: list[ToolInfo],  # noqa: ARG002 - inspect's signature, as the next two
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,  # noqa: ARG002
    ) -> ModelOutput:
        output = ModelOutput.from_content(self.model_name, self._counting.answer)
        sent = self._counting.count([{"role": turn.role, "content": turn.text} for turn in input])
        output.usage = ModelUsage(input_tokens=sent, output_tokens=1, total_tokens=sent + 1)
        return output

    def max_connections(self) -> int:
        return 512


LARGEST = 2e9  # bytes of weights; of a larger model nothing is tried on a CPU, for a plan is to take a minute
_BACKWARD = 3  # a trained token takes a pass forward and, twice as long, one backward
_STEPS = 3  # of the optimiser, the first of which warms up
_EXAMPLES = 128


def cheap(base: BaseModel) -> bool:
    """Whether trying a local model takes seconds."""
    if not base.local:
        return False
    if not base.inspect_name.startswith("thirdlever/"):
        return True
    from thirdlever.models.engine import local
    from thirdlever.models.engine.weights import device

    weights = local.folder(base.inspect_name.removeprefix("thirdlever/")).glob("*.safetensors")
    return device().type != "cpu" or sum(path.stat().st_size for path in weights) <= LARGEST


def work(training: Training) -> float:
    """Tokens' passes forward that a training is worth."""
    return _BACKWARD * training.tokens + training.dev_tokens


def rate(base: BaseModel, method: str, suite: Suite) -> tuple[float, str] | None:
    """Passes forward a second while training, and where that is from; None when it cannot be told."""
    return _before(base, method) or (_tried(base, method, suite) if cheap(base) else None)


def _before(base: BaseModel, method: str) -> tuple[float, str] | None:
    passes = seconds = 0.0
    found = [json.loads(path.read_text("utf-8")) for path in (project.STORE / "adapter").glob("*/artefact.json")]
    for facts in found:
        of: dict[str, Any] = facts["of"]
        if (of["base"], of["settings"]["method"]) != (base.name, method):
            continue
        each = facts["tokens"] / of["examples"]  # all epochs together
        passes += _BACKWARD * facts["tokens"] + of["dev"] * each
        seconds += facts["trained_seconds"]
    return (passes / seconds, "earlier trainings in .thirdlever/store") if seconds else None


def _tried(base: BaseModel, method: str, suite: Suite) -> tuple[float, str]:
    from thirdlever.finetune.conversations import conversations
    from thirdlever.finetune.settings import Settings, Stopped
    from thirdlever.finetune.trainer import train

    ends: list[float] = []

    def told(step: Step) -> bool:
        if step.loss is not None:
            ends.append(time.perf_counter())
        return len(ends) < _STEPS

    wanted: Method = method  # type: ignore[assignment]  # one of its values, see `Training`
    settings = Settings(method=wanted, epochs=1)
    items = itertools.islice(itertools.cycle(suite.train.items), _EXAMPLES)
    shown = conversations(suite, items)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Stopped):
        train(base.name, shown, into=Path(folder), settings=settings, on_step=told)
    steps = len(ends) - 1
    passes = _BACKWARD * settings.batch_size * example_tokens(suite, base) * steps
    return passes / (ends[-1] - ends[0]), f"{steps} steps of training tried here"


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
            self._known[key] = _tried_request(suite, replace(deployment, model=asked), shown, counted)
        return self._known[key]


def _tried_request(suite: Suite, deployment: Deployment, items: Split, counted: Request) -> Request:
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

"""What a run would take, and which difference it could detect, before anything is spent.

Each candidate is prepared by its own code, with a store that builds nothing and a model that records its requests. Up
to 100 of its prompts are rendered, counted and multiplied by the catalog's rates. An artefact that does not exist yet
is estimated from its settings, or reported as unknown.
"""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

from thirdlever.analysis.past_runs import (
    DetectableEffect,
    embedding_seconds,
    measured_speed,
    measured_tokens,
    training_seconds,
)
from thirdlever.analysis.usage import total
from thirdlever.catalog.price_lookup import embedding_price, price_of
from thirdlever.catalog.prices import device_cost, in_batch
from thirdlever.catalog.tuning import profile
from thirdlever.core import project
from thirdlever.core.errors import MissingExtraError, RunError, ThirdleverError
from thirdlever.core.progress import progress
from thirdlever.core.store import NotBuilt, ReadOnlyStore
from thirdlever.core.text import counted
from thirdlever.evaluation import judging
from thirdlever.evaluation.passes import Pass, evaluate
from thirdlever.finetune.conversations import conversations
from thirdlever.finetune.settings import MOST_EPOCHS
from thirdlever.models.recorder import PromptCache, Recorder, cacheable, may_reason, resolve_offline
from thirdlever.prompting.frame import REASONING, Context, ask, messages
from thirdlever.retrieval import vectors
from thirdlever.retrieval.embedders import find_embedder, usd_of
from thirdlever.retrieval.hosted import HostedEmbedder
from thirdlever.retrieval.stores import SERVER
from thirdlever.runner.budget import batches, timed_requests
from thirdlever.strategies.contract import Deployment
from thirdlever.strategies.specs import in_prompts, once, parse_all
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Suite, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from thirdlever.analysis.past_runs import MeasuredTokens, Speed
    from thirdlever.answers.judge import Judge
    from thirdlever.catalog.prices import Price
    from thirdlever.evaluation.ask import Questions
    from thirdlever.evaluation.records import Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.specs import StrategySpec
    from thirdlever.suites.suite import Item, Split


SAMPLE = 100  # prompts rendered per candidate
_BUILT = frozenset({"lexical"})  # kinds of artefact that a plan builds: a moment of this machine, and no money


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCandidate:
    """What a candidate would take. None is unknown.

    Attributes:
        candidate: its name.
        model: answers the requests; None if it uses no model.
        requests: model calls of the accuracy pass and the latency probe, or items where no model is used.
        input_tokens: of the prompts.
        cached_tokens: input tokens that the provider, or the local engine, finds in its cache.
        output_tokens: of the answers, with the reasoning that an earlier run measured.
        reasoning_tokens: what reasoning takes beyond them; 0 if it is measured or the model does not reason, None if no
            run has measured it.
        setup_requests: sent while preparing.
        setup_tokens: of these requests and their answers, and of texts that a provider embeds.
        trained_tokens: over all epochs.
        usd: of requests, reasoning and set-up together.
        minutes: wall time of both.
        request_usd: of the requests, without reasoning that no run has measured; with the embedding of queries.
        reasoning_usd: of `reasoning_tokens`, here and in the set-up.
        missing: kinds of artefacts that are not built yet, e.g. "adapter".
        basis: where the figures come from.
        calls_per_item: mean model calls of an item; 0 if it uses no model.
        error: why it cannot be planned, as one sentence; None if it can.
    """

    candidate: str
    model: str | None
    requests: int | None = None
    input_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None
    reasoning_tokens: float | None = None
    setup_requests: int | None = None
    setup_tokens: float | None = None
    trained_tokens: float | None = None
    usd: float | None = None
    minutes: float | None = None
    request_usd: float | None = None
    reasoning_usd: float | None = None
    request_minutes: float | None = None
    setup_usd: float | None = None
    setup_minutes: float | None = None
    missing: Sequence[str] = ()
    basis: Sequence[str] = ()
    calls_per_item: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would take. A total is None if any part of it is unknown.

    Attributes:
        suite: its name.
        items: test items asked for accuracy.
        epochs: how often each of them is asked.
        probed: test items asked one by one for latency; the first is a cold start. 0 without a probe.
        candidates: one for each strategy on each model.
        detectable_effect: which difference in accuracy the run could detect.
    """

    suite: str
    items: int
    epochs: int
    probed: int
    candidates: Sequence[PlannedCandidate]
    detectable_effect: DetectableEffect

    @property
    def requests(self) -> float | None:
        """All requests, those of the set-up included."""
        return total([number for one in self.candidates for number in (one.requests, one.setup_requests)])

    @property
    def usd(self) -> float | None:
        """Total cost."""
        return total([one.usd for one in self.candidates])

    @property
    def minutes(self) -> float | None:
        """Total wall time; candidates run one after another."""
        return total([one.minutes for one in self.candidates])


def recorded(suite: Suite, deployment: Deployment, recorder: Recorder, items: Split) -> list[Reply]:
    """Run a solver on items as a run does, with a recorder in place of its model.

    Raises:
        RunError: a request cannot be rendered.
    """
    work = Pass(name="plan", phase="accuracy", suite=suite, items=items, epochs=1, seed=0, constrain=False, about={})
    replies: list[Reply] = []

    def keep(reply: Reply) -> bool:
        replies.append(reply)
        return True

    evaluate(work, replace(deployment, model=recorder), answered=lambda _: None, keep=keep)
    if failed := [reply.error for reply in replies if reply.error]:
        message = f"a prompt cannot be rendered: {failed[0]}; the run would fail as well"
        raise RunError(message)
    return replies


def plan(
    suite: str | Suite,
    strategies: Sequence[str],
    *,
    train: str | None = None,
    models: Sequence[str | BaseModel] = ("embedded",),
    prompts: Sequence[str | Path] | None = None,
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    probe: int | None = None,
    device_usd_per_hour: float | None = None,
    utilisation: float = 1.0,
    batch: bool = False,
    max_connections: int | None = None,
    grader: str | BaseModel | None = None,
    wanted: float = 0.03,
) -> RunPlan:
    """Estimate a run. It sends no request, orders no job, trains nothing and writes no file.

    A candidate that cannot be planned has unknown figures and an `error`; the others are planned.

    Args: those of `run`, and `wanted`, the difference in accuracy to detect.

    Raises:
        ThirdleverError: an argument is invalid, or no candidate can be planned.
    """
    if not 0 < wanted < 1:
        message = f"wanted={wanted} is not allowed; give a difference in accuracy between 0 and 1, such as 0.03"
        raise RunError(message)
    least_allowed = (("limit", limit, 1), ("epochs", epochs, 1), ("probe", probe, 0))
    for name, value, least in (*least_allowed, ("max_connections", max_connections, 1)):
        if value is not None and value < least:
            message = f"{name}={value} is not allowed; give {least} or more"
            raise RunError(message)
    device_cost(0.0, device_usd_per_hour, utilisation)  # raises if either is invalid
    probe = timed_requests(probe, limit)
    suite = find_suite(suite, train) if isinstance(suite, str) else check(suite)
    judge = judging.check_grader(suite, grader)
    groups = in_prompts(parse_all(strategies, defer_extras=True), suite, prompts)
    bases = {_name(model): _resolved(model) for model in models}
    once("model", list(map(_name, models)))
    items = suite.test.first(limit, seed=seed)
    options = _Options(
        asked=[*items] * epochs,
        probed=suite.test.first(probe + 1, seed=seed).items if probe else (),
        sample=suite.test.first(min(len(items), SAMPLE), seed=seed),
        batch=batch,
        max_connections=max_connections,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
    )
    planned: list[PlannedCandidate] = []
    errors: list[ThirdleverError] = []
    with _without_chroma_server():
        for group in groups:
            for (model, base), spec in product(bases.items(), group):
                name = f"{spec} @ {model}" if len(bases) > 1 else str(spec)
                try:
                    with progress(f"{name}: planning"):
                        planned.append(_Candidate(suite, options, base(), spec).plan(name))
                except ThirdleverError as error:
                    errors.append(error)
                    planned.append(PlannedCandidate(candidate=name, model=model, error=" ".join(str(error).split())))
                if planned[-1].model is None:  # measured once for all models and prompts
                    break
    if len(errors) == len(planned):
        raise _nothing_planned(planned, errors)
    if judge is not None and grader is not None:
        answers = sum(one.error is None for one in planned) * len(options.asked)
        planned.append(_grading(suite, judge, resolve_offline(grader), options, answers))
    return RunPlan(
        suite=suite.name,
        items=len(items),
        epochs=epochs,
        probed=len(options.probed),
        candidates=planned,
        detectable_effect=DetectableEffect.of(suite, len(items), wanted),
    )


def _grading(suite: Suite, judge: Judge, grader: BaseModel, options: _Options, answers: int) -> PlannedCandidate:
    """What grading so many answers, and those that people labelled, takes; answers are as long as the right ones."""
    recorder = Recorder.of(grader, judge.verdicts.choices[0])
    shown = [judging.JudgedAnswer(item, item.target) for item in options.sample]
    asked = [question for case in shown for question in judging.questions(suite, judge, case)]
    each = statistics.fmean(recorder.count([{"role": "user", "content": text}]) for text in asked)
    requests = (answers + len(suite.human)) * len(asked) // len(shown) * judge.repeats
    words = statistics.fmean(grader.tokens(word) + 1 for word in judge.verdicts.choices)
    price = price_of(grader)
    unknown = price is None and not grader.costs_device_time
    reasons = may_reason(grader)
    usd = None if price is None or reasons else requests * price.cost(each, 0, words)
    found = "price unknown: add it to prices.toml" if unknown else f"price: {price.origin}" if price else "device time"
    return PlannedCandidate(
        candidate="grading",
        model=grader.name,
        requests=requests,
        input_tokens=requests * each,
        cached_tokens=0.0,
        output_tokens=requests * words,
        reasoning_tokens=None if reasons else 0.0,
        setup_requests=0,
        setup_tokens=0.0,
        trained_tokens=0.0,
        usd=usd,
        request_usd=None if price is None else requests * price.cost(each, 0, words),
        basis=[
            f"{counted(answers, 'answer')} and {len(suite.human):,} labelled ones to judge; fewer if answers are equal",
            found,
        ],
        calls_per_item=len(asked) / len(shown) * judge.repeats,
    )


def _name(model: str | BaseModel) -> str:
    return model if isinstance(model, str) else model.name


def _resolved(model: str | BaseModel) -> Callable[[], BaseModel]:
    """Returns the model, or raises that its extra is missing: that affects only the candidates on this model."""
    try:
        base = resolve_offline(model)
    except MissingExtraError as error:
        missing = error
    else:
        return lambda: base

    def fail() -> NoReturn:
        raise missing

    return fail


def _nothing_planned(failed: Sequence[PlannedCandidate], errors: Sequence[ThirdleverError]) -> ThirdleverError:
    """One error for all candidates: their common one, else each with its candidates."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for one in failed:
        by_reason[one.error or ""].append(one.candidate)
    if len(by_reason) == 1:
        return errors[0]
    reasons = (f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    return RunError(f"no candidate can be planned. {'. '.join(reasons)}")


@contextmanager
def _without_chroma_server() -> Iterator[None]:
    """Preparing would write to a server that others share."""
    server = os.environ.pop(SERVER, None)
    try:
        yield
    finally:
        if server is not None:
            os.environ[SERVER] = server


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """Requests of the accuracy pass and the latency probe, the items to render, and the rates."""

    asked: Sequence[Item]
    probed: Sequence[Item]
    sample: Split
    batch: bool
    max_connections: int | None
    device_usd_per_hour: float | None
    utilisation: float
    known: dict[tuple[str, bool], MeasuredTokens | None] = field(default_factory=dict)

    def measured(self, suite: Suite, model: BaseModel, *, think: bool) -> MeasuredTokens | None:
        """Tokens of the model in earlier runs, which are read once; with reasoning that the prompt asks for, or not."""
        key = model.name, think
        if key not in self.known:
            self.known[key] = measured_tokens(suite, model, think=think)
        return self.known[key]

    def device_usd(self, seconds: float | None) -> float | None:
        return seconds and device_cost(seconds, self.device_usd_per_hour, self.utilisation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompts:
    """A candidate's prompts.

    Attributes:
        model: answers them; None if none is used.
        tokens: by item id, all model calls of an item together.
        calls: mean model calls of an item.
        prefix: tokens with which the prompts of all model calls begin.
        texts: the prompts of all model calls.
        more: tokens of an item, such as its nearest examples, that `texts` do not have.
        basis: how they were counted.
    """

    model: BaseModel | None
    tokens: Mapping[str, float] = field(default_factory=dict)
    calls: float = 0.0
    prefix: float = 0.0
    texts: Sequence[str] = ()
    more: float = 0.0
    basis: str = "uses no model"

    @property
    def mean(self) -> float:
        return statistics.fmean(self.tokens.values()) if self.tokens else 0.0

    def requests(self, items: int) -> int:
        """Model calls for so many items; without a model, the items."""
        return items if self.model is None else round(items * self.calls)


class _Candidate:
    """Plans one candidate; the lists add up what preparing it takes."""

    def __init__(self, suite: Suite, options: _Options, base: BaseModel, spec: StrategySpec) -> None:
        self._suite, self._options, self._base, self._spec = suite, options, base, spec
        self._requests = 0
        self._tokens: list[float | None] = []
        self._trained: list[float | None] = []
        self._usd: list[float | None] = []
        self._seconds: list[float | None] = []
        self._queries_usd: float | None = 0.0  # of a provider that embeds the queries
        self._reasons = False  # whether a request may reason for an unknown number of tokens
        self._caches: dict[str, PromptCache] = {}  # by model
        self._missing: list[str] = []
        self._basis: list[str] = []

    def plan(self, name: str) -> PlannedCandidate:
        prompts = self._prepared()
        model = prompts.model if prompts else self._base
        asked = [*self._options.asked, *self._options.probed]
        requests = len(asked)
        reasoning: float | None = 0.0
        sent = cached = came = usd = seconds = None
        basis: list[str] = []
        if prompts:
            requests = prompts.requests(len(asked))
            speed = measured_speed(self._suite, model, self._base, self._spec)
            sent = sum(prompts.tokens.get(item.id, prompts.mean) for item in asked)
            each, measured = self._answer_tokens(prompts, speed)
            came = each * len(asked)
            usd, cached, basis = self._request_usd(prompts, requests, sent, came)
            basis += measured
            seconds, timed = self._request_seconds(prompts, speed, (sent - cached + came) / len(asked))
            if model is None or (model.costs_device_time and price_of(model) is None):
                usd = self._options.device_usd(seconds)
            usd = total([usd, self._queries_usd])
            basis = [prompts.basis, *basis, timed]
        if self._reasons:
            reasoning = None
            basis.append("reasoning tokens are unknown: run --limit 10 first")
        return PlannedCandidate(
            candidate=name if model else str(self._spec.plain or self._spec),
            model=model.name if model else None,
            requests=requests,
            input_tokens=sent,
            cached_tokens=cached,
            output_tokens=came,
            reasoning_tokens=reasoning,
            setup_requests=self._requests,
            setup_tokens=total(self._tokens),
            trained_tokens=total(self._trained),
            usd=total([usd, reasoning, *self._usd]),
            minutes=_times(total([seconds, *self._seconds]), 1 / 60),
            request_usd=usd,
            reasoning_usd=reasoning,
            request_minutes=_times(seconds, 1 / 60),
            setup_usd=total(self._usd),
            setup_minutes=_times(total(self._seconds), 1 / 60),
            missing=self._missing,
            basis=[*basis, *self._basis],
            calls_per_item=prompts.calls if prompts else None,
        )

    def _prepared(self) -> _Prompts | None:
        """Prepare the strategy, after the one whose model it asks; its prompts, None if they are unknown."""
        seen, store = self._suite.without_test(), ReadOnlyStore(project.STORE, _BUILT)
        recorder = self._recorder(self._base)
        model: BaseModel | None = recorder
        prompts: _Prompts | None = None
        for step in self._spec.steps:
            if model is None:  # the strategy below uses no model: preparing both raises the error of a run
                self._spec.prepare(seen, recorder, store)
                return None
            self._suite = replace(self._suite, prompt=step.prompt)
            try:
                prompts = self._rendered(step.prepare(seen, model, store))
            except NotBuilt as missing:
                if missing.kind != vectors.KIND or missing.of.get("texts"):  # without texts, only queries are missing
                    self._missing.append(missing.kind)
                prompts = self._estimated(missing, step.args, model)
            model = prompts.model if prompts else model
        if n := len(recorder.sent):  # a strategy that asks its model directly
            self._requests += n
            self._tokens.append(None)
            self._add(None, None, f"{counted(n, 'request')} while preparing, with unknown answers")
        return prompts

    def _recorder(self, model: BaseModel) -> Recorder:
        known = self._known(model)
        answer = self._suite.train.items[0].target
        return Recorder.of(model, answer, chars_per_token=known.chars_per_token if known else None)

    def _known(self, model: BaseModel) -> MeasuredTokens | None:
        found = self._options.measured(self._suite, model, think=self._thinks)
        return found or (self._options.measured(self._suite, model, think=False) if self._thinks else None)

    @property
    def _thinks(self) -> bool:
        """Whether the strategy asks for reasoning."""
        return bool(self._spec.args.get("think"))

    def _rendered(self, deployment: Deployment, items: Split | None = None) -> _Prompts:
        """Run the solver on up to 100 items, through inspect as a run does, and record its requests."""
        if deployment.model is None:
            return _Prompts(model=None)
        shown = items.first(SAMPLE) if items else self._options.sample
        recorder = self._recorder(deployment.model)
        replies = recorded(self._suite, deployment, recorder, shown)
        rendered = counted(len(recorder.sent), "prompt")
        if len(recorder.sent) != len(replies):
            rendered += f" for {counted(len(replies), 'item')}"
        return _Prompts(
            model=deployment.model,
            tokens={reply.item_id: reply.input_tokens or 0 for reply in replies},
            calls=len(recorder.sent) / len(replies),
            prefix=recorder.prefix(),
            texts=recorder.texts,
            basis=f"{rendered} rendered, {recorder.how}",
        )

    def _estimated(self, missing: NotBuilt, args: Mapping[str, Any], model: BaseModel) -> _Prompts | None:
        """Estimate what building an artefact takes, and the prompts that follow; None if these are unknown."""
        of, kind = missing.of, missing.kind
        asked = self._ask(missing.asks)
        if kind in {"embeddings", "index"}:
            self._index(of.get("texts", ()), of.get("embedder"))
            return self._retrieval(args, model)
        if kind == "classifier":
            self._add(None, None, "classifier not built yet: time unknown")
            return _Prompts(model=None)
        if kind in {"choice", "prompt", "threshold"} and asked:
            # A search begins with its first prompt; of a threshold, the second strategy has the longer prompts.
            place = {"prompt": 0, "threshold": -1}.get(kind, asked.index(max(asked)))
            self._basis.append(_assumption(kind, of))
            return self._rendered(missing.asks[place].deployment)
        if kind == "job" and "provider" in of:
            model = self._job(of, model)
        elif kind == "adapter" and "settings" in of:
            self._train(of["examples"], of["settings"]["epochs"], of["settings"]["method"], args)
        elif kind == "lesson" and asked:
            self._train(len(missing.asks[0].items), args.get("epochs"), "lora", args)
        else:
            self._add(None, None, f"{kind} not built yet: the prompts that depend on it are unknown")
            return None
        return self._rendered(Deployment(ask(self._suite, brief=True), model=model))

    def _add(self, usd: float | None, seconds: float | None, basis: str) -> None:
        self._usd.append(usd)
        self._seconds.append(seconds)
        self._basis.append(basis)

    def _ask(self, asks: Sequence[Questions]) -> list[float]:
        """Count the requests that building an artefact sends; mean prompt tokens of each kind of them."""
        means: list[float] = []
        consist: Counter[str] = Counter()
        before = self._requests
        for questions in asks:
            prompts = self._rendered(questions.deployment, questions.items)
            means.append(prompts.mean)
            n, calls = len(questions.items) * questions.times, prompts.calls
            if (model := prompts.model) is None or not calls:
                continue
            requests = prompts.requests(n)
            answer, _ = self._answer_tokens(prompts, None, questions.output_tokens)
            speed = measured_speed(self._suite, model, model, None)
            computed = prompts.mean - prompts.prefix * calls + answer
            seconds = speed.seconds(model, n, 0, computed, calls=calls) if speed else None
            price = price_of(model)
            cached = self._cached(prompts, len(questions.items), n) / requests if price and _has_cache(price) else 0.0
            usd = requests * price.cost(prompts.mean / calls, cached, answer / calls) if price else None
            if price is None and model.costs_device_time:
                usd = self._options.device_usd(seconds)
            self._requests += requests
            self._tokens.append(n * (prompts.mean + answer))
            self._usd.append(usd)
            self._seconds.append(seconds)
            several = f" × {calls:.3g} model calls" if calls != 1 else ""
            items = counted(len(questions.items), f"{questions.items.name.removesuffix('s')} item")
            consist[items + several] += questions.times
        if consist:
            parts = " + ".join(f"{times} × {items}" if times > 1 else items for items, times in consist.items())
            self._basis.append(f"{self._requests - before:,} requests while preparing: {parts}")
        return means

    def _train(self, examples: int, epochs: object, method: str, args: Mapping[str, Any]) -> None:
        """Estimate a training on this machine: epochs times the tokens of the examples."""
        several = [name for name, value in args.items() if value == "auto" and name != "epochs"]
        passes = MOST_EPOCHS if epochs == "auto" else epochs
        if several or not isinstance(passes, int):
            self._trained.append(None)
            why = f"{several[0]}=auto trains several adapters" if several else "the number of epochs is not stated"
            return self._add(None, None, f"training unknown: {why}")
        count = self._recorder(self._base)
        shown = conversations(self._suite, self._suite.train.items[:SAMPLE])
        each = statistics.fmean(count.count(turns[:-1]) + count.tokens(turns[-1]["content"]) + 1 for turns in shown)
        self._trained.append(examples * each * passes)
        seconds = _times(training_seconds(self._base.name, method), examples * each * passes)
        speed = "speed unknown" if seconds is None else "speed of earlier trainings in .thirdlever/store"
        most = "up to " * (epochs == "auto")
        said = f"training on {counted(examples, 'example')}, {most}{counted(passes, 'epoch')}, {speed}"
        return self._add(self._options.device_usd(seconds), seconds, said)

    def _job(self, job: Mapping[str, Any], model: BaseModel) -> BaseModel:
        """Estimate a tuning job, by the fields of `finetune.jobs.Job`; the tuned model, under its own price."""
        terms, tokens = profile(job["provider"]), job["estimated_tokens"]
        seconds = _times(training_seconds(job["model"], "lora"), tokens) if terms.free else None
        usd = self._options.device_usd(seconds) if terms.free else job["estimated_usd"]
        self._trained.append(tokens)
        said = f"tuning job at {terms.title} on {counted(job['examples'], 'example')}"
        said += ", duration unknown" if seconds is None else ", speed of earlier trainings in .thirdlever/store"
        if usd is None and not terms.free:
            said += ", price unknown: add it to tuning.toml"
        self._add(usd, seconds, said)
        base = job["base"].rpartition("/")[2] if job["base"].startswith("hf/") else job["base"]
        return replace(model, name=f"{terms.title}: ft:{base}:planned")

    def _index(self, texts: Sequence[str], embedder: str | None) -> None:
        """Estimate what embedding texts takes, and every query if a provider embeds them."""
        by = find_embedder(embedder) if embedder else None
        if isinstance(by, HostedEmbedder):
            return self._hosted_index(texts, by)
        seconds = _times(embedding_seconds(by), len(texts)) if by else None
        speed = "time unknown" if seconds is None else "speed of earlier embeddings in .thirdlever/store"
        return self._add(self._options.device_usd(seconds), seconds, f"retrieval index not built yet: {speed}")

    def _hosted_index(self, texts: Sequence[str], by: HostedEmbedder) -> None:
        known = vectors.measured(ReadOnlyStore(project.STORE), by)
        chars = known.chars / known.tokens if known.tokens else None
        price = embedding_price(by.plain_name)
        asked = [item.input for item in (*self._options.asked, *self._options.probed)]
        sent, _ = by.tokens(asked, chars, query=True)
        self._queries_usd = usd_of(by, sent)
        rate = f"price: {price.origin}" if price else f"price of {by.plain_name} unknown: add it to prices.toml"
        if not texts:
            return self._basis.append(f"index built; {sent:,.0f} tokens of queries to embed, {rate}")
        tokens, how = by.tokens(texts, chars)
        self._tokens.append(tokens)
        seconds = _times(embedding_seconds(by), len(texts))
        speed = "time unknown" if seconds is None else "speed of earlier embeddings in .thirdlever/store"
        said = f"{counted(len(texts), 'text')} to embed, {tokens:,.0f} tokens {how}"
        queries = f"queries {sent:,.0f} tokens, {rate}"
        return self._add(usd_of(by, tokens), seconds, f"retrieval index not built yet: {said}; {queries}; {speed}")

    def _retrieval(self, args: Mapping[str, Any], model: BaseModel) -> _Prompts | None:
        """Estimate prompts without an index: k examples and documents of mean length are added to each."""
        k, documents = args.get("k", 0), args.get("documents", 0)
        if not (isinstance(k, int) and isinstance(documents, int) and k + documents):
            self._basis.append("prompts unknown: they depend on the index")
            return None
        k, documents = min(k, len(self._suite.train)), min(documents, len(self._suite.documents))
        shots = [Context(shots=(item,)) for item in self._suite.train.sample(SAMPLE, how="random")]
        notes = [Context(documents=(document,)) for document in self._suite.documents[:SAMPLE]]
        note, thing = self._added(notes, model), "document"
        if passage := args.get("passage"):  # tokens of the embedder, nearly as many of other models
            note, thing = min(note, passage), "passage"
        example, worked = self._added(shots, model), args.get("worked", 0)
        more = (k + worked) * example + (1 + worked) * documents * note
        shown = " and ".join(counted(n, what) for n, what in ((k + worked, "example"), (documents, thing)) if n)
        plain = self._rendered(Deployment(ask(self._suite), model=model))
        return replace(
            plain,
            tokens={item: tokens + more for item, tokens in plain.tokens.items()},
            more=more,
            basis=f"prompts estimated with {shown} of mean length",
        )

    def _added(self, contexts: Sequence[Context], model: BaseModel) -> float:
        """Mean tokens that a context adds to a prompt."""

        def tokens(context: Context | None) -> int:
            turns = messages(self._suite, self._options.sample.items[0], context)
            return self._recorder(model).count([{"role": turn.role, "content": turn.text} for turn in turns])

        return statistics.fmean(map(tokens, contexts)) - tokens(None) if contexts else 0.0

    def _answer_tokens(
        self, prompts: _Prompts, speed: Speed | None, each: float | None = None
    ) -> tuple[float, list[str]]:
        """Mean output tokens of an item, and where they were measured.

        Those of the same candidate's earlier run, else those of the same model for each model call, else the length of
        the correct answers without reasoning. Reasoning that a strategy asks for is assumed until it is measured.

        Args:
            prompts: of the candidate.
            speed: of its earlier run, or another one's.
            each: expected length of one answer, to which reasoning is added; None for that of the correct answers.
        """
        model = prompts.model
        if model is None:
            return 0.0, []
        known = self._known(model)
        if speed and speed.same and speed.output_tokens is not None:
            return speed.output_tokens, [
                f"{speed.output_tokens:,.0f} output tokens per item measured in {speed.source}"
            ]
        thought, assumed = 0, []
        if self._thinks and not each and not self._options.measured(self._suite, model, think=True):
            thought, assumed = REASONING, [f"{REASONING} tokens assumed for the reasoning that the prompt asks for"]
        if known and not each:
            return prompts.calls * (known.output_tokens + thought), [known.basis, *assumed]
        self._reasons = self._reasons or (known is None and may_reason(model))
        if not each:
            tokens = self._recorder(model).tokens
            each = statistics.fmean(tokens(item.target) + 1 for item in self._suite.train.items[:SAMPLE])
        return prompts.calls * (each + thought + (known.reasoning_tokens or 0.0 if known else 0.0)), assumed

    def _cached(self, prompts: _Prompts, items: int, asked: int) -> float:
        """Tokens that the provider finds in its cache, of all model calls for so many requests about so many items."""
        if prompts.model is None or not prompts.texts:
            return 0.0
        known = self._known(prompts.model)
        chars = known.chars_per_token if known else None
        cache = self._caches.setdefault(prompts.model.name, PromptCache(chars))
        first, *others = [cache.read(text) for text in prompts.texts]  # a run sends the first request alone
        again = statistics.fmean(cache.read(text) for text in prompts.texts)
        if prompts.more:
            again = cacheable(prompts.mean / prompts.calls)
        new, repeated = prompts.requests(items), prompts.requests(asked) - prompts.requests(items)
        return first + (new - 1) * (statistics.fmean(others) if others else 0.0) + repeated * again

    def _request_usd(
        self, prompts: _Prompts, n: int, sent: float, came: float
    ) -> tuple[float | None, float, list[str]]:
        """USD of `n` requests, their cached tokens, and where the price comes from."""
        model, options = prompts.model, self._options
        mean, answer = sent / max(n, 1), came / max(n, 1)
        price = price_of(model) if model else None
        if model is None or price is None:
            if model is None or model.costs_device_time:
                return None, prompts.prefix * max(n - 1, 0), []
            return None, 0.0, [f"price of {model.name} unknown: add it to prices.toml"]
        said = f"price: {price.origin}"
        if options.batch and batches(model):
            probe = prompts.requests(len(options.probed))
            accuracy = (n - probe) * in_batch(price).cost(mean, 0, answer)
            return accuracy + probe * price.cost(mean, 0, answer), 0.0, [f"{said}, accuracy at the batch rate"]
        if not _has_cache(price):
            return n * price.cost(mean, 0, answer), 0.0, [said]
        asked = [item.id for item in (*options.asked, *options.probed)]
        cached = self._cached(prompts, len(set(asked)), len(asked))
        if cached:
            said += f", {cached / n:,.0f} of {mean:,.0f} prompt tokens cached on average"
        return n * price.cost(mean, cached / n, answer), cached, [said]

    def _request_seconds(self, prompts: _Prompts, speed: Speed | None, tokens: float) -> tuple[float | None, str]:
        """Wall time of all requests, and where it comes from; `tokens` are the computed ones of an item."""
        model = prompts.model
        if self._options.batch and batches(model):
            return None, "time unknown: a batch takes up to a day"
        if speed is None:
            return None, "time unknown: no run in results/ has measured it"
        options = self._options
        seconds = speed.seconds(
            model,
            len(options.asked),
            len(options.probed),
            tokens,
            calls=prompts.calls,
            connections=options.max_connections,
        )
        return seconds, f"speed of {speed.source}"


def _assumption(kind: str, of: Mapping[str, Any]) -> str:
    """Which prompts are planned while dev has not decided."""
    if kind == "prompt":
        return (
            "the prompt is not searched yet: the one that the search begins with is assumed, its rewriting not counted"
        )
    if kind == "threshold":
        return "which items the first strategy answers is unknown: all are planned for the second"
    return f"dev chooses between {', '.join(of['options'])}: the longest prompts are assumed"


def _times(rate: float | None, amount: float) -> float | None:
    return None if rate is None else rate * amount


def _has_cache(price: Price) -> bool:
    """Whether a provider's cache makes prompts cheaper."""
    return price.cached_input_per_m < price.input_per_m

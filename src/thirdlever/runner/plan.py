"""What earlier runs of this project measured: the best estimate of a hosted model, which a plan does not ask."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, load
from thirdlever.analysis.stats.power import Design
from thirdlever.analysis.usage import total
from thirdlever.catalog.lookup import price_of
from thirdlever.catalog.prices import device_cost, in_batch
from thirdlever.core import project
from thirdlever.core.errors import ModelError, RunError
from thirdlever.core.progress import progress
from thirdlever.core.store import Store
from thirdlever.models.base import BaseModel
from thirdlever.runner import dry_run
from thirdlever.runner.budget import batches
from thirdlever.runner.dry_run import RehearsalStore, Spent, rehearsing
from thirdlever.strategies.specs import once, parse_all
from thirdlever.suites.suite import Suite, check, find_suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.analysis.run import Run
    from thirdlever.runner.dry_run import Request, Round, Training
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Split


ASSUMED_S = 1.5  # a request to a hosted model with a short answer, where no run has measured one


def runs() -> Iterator[Run]:
    """Finished runs, the latest first."""
    found = project.RESULTS.glob(f"*/{INFO}")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        yield load(path.parent)


def request_seconds(model: str) -> tuple[float, str]:
    """Median latency of single requests to a model, and where it is from."""
    for run in runs():
        if not any(one["model"] == model for one in run.info["candidates"]):
            continue
        records = run.records
        probe = records[(records["model"] == model) & (records["phase"] == "latency") & ~records["cold"]]
        latencies = probe.loc[probe["error"].isna(), "latency_s"]
        if len(latencies):
            return float(latencies.median()), f"measured in {run.folder}"
    return ASSUMED_S, "assumed"


AT_ONCE = 20  # requests to a hosted model
JOB_S = 10.0  # starting the endpoint of this machine, and queueing


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the run would be made; see `runner.run`."""

    items: Split
    epochs: int
    probe: int
    device_usd_per_hour: float | None
    utilisation: float
    batch: bool

    @property
    def asked(self) -> int:
        """Requests of the accuracy pass."""
        return len(self.items) * self.epochs

    @property
    def timed(self) -> int:
        """Requests of the latency probe, with its cold start."""
        return min(self.probe + 1, len(self.items)) if self.probe else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a candidate would take. None is unknown.

    Attributes:
        candidate: its name.
        model: whom it asks; None when it asks none.
        requests: to measure it, the latency probe included.
        input_tokens: of these requests.
        output_tokens: of their answers.
        setup_requests: to prepare it.
        setup_tokens: of these, prompts and answers.
        trained_tokens: all epochs together.
        usd: money, the one-off part included.
        minutes: wall time, the one-off part included.
        setup_usd: the one-off part.
        setup_minutes: likewise.
        basis: what the figures rest on.
    """

    candidate: str
    model: str | None
    requests: int
    input_tokens: float
    output_tokens: float
    setup_requests: int
    setup_tokens: float
    trained_tokens: float
    usd: float | None
    minutes: float | None
    setup_usd: float | None
    setup_minutes: float | None
    basis: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self)


class Estimator:
    """Plans the candidates of one run, one after the other, as the run would make them."""

    def __init__(self, suite: Suite, options: Options, store: Store, scratch: Store) -> None:
        """Plan for a suite.

        Args:
            suite: with its test split.
            options: of the run.
            store: the project's, for what is made already.
            scratch: thrown away with the plan.
        """
        self._suite, self._options = suite, options
        self._store, self._scratch = store, scratch
        self._trials = dry_run.Trials()
        self._rates: dict[tuple[str, str], tuple[float, str] | None] = {}

    def plan(self, spec: str, base: BaseModel, name: str) -> Planned:
        """Plan one candidate.

        Args:
            spec: the strategy as the user writes it.
            base: the model.
            name: of the candidate.

        Raises:
            ThirdleverError: the run would refuse it as well.
        """
        from thirdlever.strategies.specs import parse

        spent = Spent()
        with rehearsing(base, spent, self._trials):
            prepare = parse(spec).prepare
            store = RehearsalStore(self._store.root, self._scratch, self._suite, base, spent)
            deployment = prepare(self._suite.without_test(), base, store)
        options = self._options
        each = self._trials.rehearse(self._suite, deployment, options.items, base=base)
        usd, seconds, basis = self._measuring(deployment, each, base)
        setup_usd, setup_s, setup_basis = self._setting_up(spent, base)
        count = options.asked + options.timed
        return Planned(
            candidate=name,
            model=deployment.model.name if deployment.model else None,
            requests=count,
            input_tokens=count * each.input_tokens,
            output_tokens=count * each.output_tokens,
            setup_requests=sum(one.requests for one in spent.rounds),
            setup_tokens=sum(one.requests * (one.each.input_tokens + one.each.output_tokens) for one in spent.rounds),
            trained_tokens=sum(one.tokens for one in spent.trainings),
            usd=total([usd, setup_usd]),
            minutes=_minutes(total([seconds, setup_s])),
            setup_usd=setup_usd,
            setup_minutes=_minutes(setup_s),
            basis=[*basis, *setup_basis, *spent.notes],
        )

    def _measuring(
        self, deployment: Deployment, each: Request, base: BaseModel
    ) -> tuple[float | None, float | None, list[str]]:
        """USD, seconds and their basis, of the accuracy pass and the probe."""
        options, model = self._options, deployment.model
        together, in_turn, basis = _seconds(each, options, model, here=_here(model, base))
        seconds = total([together, in_turn])
        price = price_of(model) if model else None
        if model is None or (price is None and _here(model, base)):
            return self._device_usd(each.device_s(options.asked, options.timed)), seconds, basis
        if price is None:
            return None, seconds, [*basis, f"nobody states the price of {model.name}: state it in prices.toml"]
        batched = options.batch and batches(model)
        rates = [(options.asked, in_batch(price) if batched else price), (options.timed, price)]
        basis.append(f"price: {price.origin}" + (", accuracy at the batch rate" if batched else ""))
        return sum(n * rate.cost(each.input_tokens, 0, each.output_tokens) for n, rate in rates), seconds, basis

    def _setting_up(self, spent: Spent, base: BaseModel) -> tuple[float | None, float | None, list[str]]:
        """USD, seconds and their basis, of preparing."""
        usd: list[float | None] = [self._device_usd(spent.seconds)]
        seconds: list[float | None] = [spent.seconds]
        basis: list[str] = []
        for one in spent.rounds:
            cost, took = self._round(one)
            usd.append(cost)
            seconds.append(took)
            basis.append(f"{one.requests:,} requests to {one.model.name} while preparing")
        for training in spent.trainings:
            took, said = self._training_s(training, base)
            seconds.append(took)
            usd.append(training.estimate.usd if training.estimate else self._device_usd(took))
            basis.append(said)
        return total(usd), total(seconds), basis

    def _round(self, one: Round) -> tuple[float | None, float | None]:
        price = price_of(one.model)
        seconds = one.each.together_s(one.requests)
        if price is None:
            return self._device_usd(one.each.device_s(one.requests, 0)) if one.model.local else None, seconds
        if not one.model.local:
            seconds = one.requests * request_seconds(one.model.name)[0] / AT_ONCE
        return one.requests * price.cost(one.each.input_tokens, 0, one.each.output_tokens), seconds

    def _training_s(self, training: Training, base: BaseModel) -> tuple[float | None, str]:
        what = f"{training.tokens:,.0f} tokens trained ({training.examples:,} examples, {training.epochs} epochs)"
        if not training.here:
            charged = training.estimate.source if training.estimate and training.estimate.usd is not None else ""
            return None, f"{what}, {charged or 'at a price that nobody states'}; {training.where} says not how long"
        key = base.name, training.method
        if key not in self._rates:
            self._rates[key] = dry_run.rate(base, training.method, self._suite)
        rate = self._rates[key]
        if rate is None:
            return None, f"{what}; how fast, only a first training tells"
        extra = 0.0 if training.where == "local" else JOB_S
        return dry_run.work(training) / rate[0] + extra, f"{what}, at the speed of {rate[1]}"

    def _device_usd(self, seconds: float | None) -> float | None:
        """What this machine's time costs; None when its rate is not stated. No time costs nothing."""
        if not seconds:
            return None if seconds is None else 0.0
        return device_cost(seconds, self._options.device_usd_per_hour, self._options.utilisation)


def _seconds(
    each: Request, options: Options, model: BaseModel | None, *, here: bool
) -> tuple[float | None, float | None, list[str]]:
    """Of the accuracy pass and of the probe."""
    if each.single_s is not None:
        built = "all" if each.sampled >= len(options.items) else each.sampled
        basis = [f"tokens: {built} prompts built", "times: a few requests tried here"]
        return each.together_s(options.asked), each.in_turn_s(options.timed), basis
    said = [f"tokens: {each.sampled} prompts built, counted by length", "answers as long as the right ones"]
    if here or model is None:
        return None, None, [*said, "times: the model is too large to be tried for a plan"]
    single, source = request_seconds(model.name)
    said.append(f"times: {single:.2g} s a request ({source}), {AT_ONCE} at once")
    return options.asked * single / AT_ONCE, options.timed * single, said


def _here(model: BaseModel | None, base: BaseModel) -> bool:
    """Whether it is this machine that answers."""
    return model is None or model.costs_device_time or (base.local and model.local)


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 60


USUAL = 0.2  # share of items that two good candidates answer differently, where nobody has measured it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a comparison of two candidates would see, with a power of 80 % at a two-sided 5 %.

    Attributes:
        items: that are asked.
        detectable: the smallest difference in accuracy that is found; nan when none is.
        wanted: the difference that is to be found.
        needed: items that this takes.
        available: items of the test split.
        discordant: share of items that two candidates answer differently.
        effect: how many items are worth one, for items of one source are alike.
        basis: where these two are from.
    """

    items: int
    detectable: float
    wanted: float
    needed: int
    available: int
    discordant: float
    effect: float
    basis: str


def sight(suite: Suite, items: Split, wanted: float) -> Sight:
    """Look ahead, by the two best candidates of the latest run of the same suite where there is one."""
    design, basis = _measured(suite) or (
        Design(USUAL),
        f"assumed: two candidates answer {USUAL:.0%} of the items differently, and items are independent",
    )
    return Sight(
        items=len(items),
        detectable=design.detectable(len(items)),
        wanted=wanted,
        needed=design.needed(wanted),
        available=len(suite.test),
        discordant=design.discordant,
        effect=design.effect,
        basis=basis,
    )


def _measured(suite: Suite) -> tuple[Design, str] | None:
    from thirdlever.analysis.compare import Differences
    from thirdlever.analysis.outcomes import outcomes
    from thirdlever.core.errors import RunError

    for run in runs():
        if run.info["suite"]["hash"] != suite.hash or len(run.info["candidates"]) < 2:  # noqa: PLR2004 - a pair
            continue
        try:
            found = outcomes(run.records)
        except RunError:  # not all of its candidates answered the same items
            continue
        best = sorted(found.candidates, key=lambda name: -found.row(name).mean())[:2]
        differences = Differences(found, *best)
        if not differences.won + differences.lost:
            continue
        design = differences.design()
        return design, f"measured: {best[0]} and {best[1]} in {run.folder}, on {differences.n:,} items"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would take.

    Attributes:
        suite: its name.
        items: that would be asked.
        epochs: how often each.
        candidates: in the order of the run.
        sight: what the items can show.
    """

    suite: str
    items: int
    epochs: int
    candidates: Sequence[Planned]
    sight: Sight
    requests: int = field(init=False)
    usd: float | None = field(init=False)
    minutes: float | None = field(init=False)

    def __post_init__(self) -> None:
        """Add up; a sum is unknown when a part is."""
        object.__setattr__(self, "requests", sum(one.requests + one.setup_requests for one in self.candidates))
        object.__setattr__(self, "usd", total([one.usd for one in self.candidates]))
        object.__setattr__(self, "minutes", total([one.minutes for one in self.candidates]))


def plan(
    suite: str | Suite,
    strategies: Sequence[str],
    *,
    models: Sequence[str | BaseModel] = ("embedded",),
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    probe: int = 20,
    device_usd_per_hour: float | None = None,
    utilisation: float = 1.0,
    batch: bool = False,
    wanted: float = 0.03,
) -> Plan:
    """Estimate a run; the arguments are `run`'s. No hosted model is asked, no job ordered, nothing trained.

    Args:
        suite: a name under `evals/`, or a suite.
        strategies: such as "rag:k=20".
        models: base models.
        limit: test items; None for all.
        epochs: ask each item so often.
        seed: of the draw of items.
        probe: items that are timed one by one.
        device_usd_per_hour: what an hour of this machine costs.
        utilisation: the share of its hours that it is in use.
        batch: whether accuracy passes go through a batch API.
        wanted: the difference in accuracy that is to be found.

    Raises:
        ThirdleverError: the run would be refused as well, or `wanted` is no difference.
    """
    if not 0 < wanted < 1:
        message = f"wanted={wanted} is not allowed; give a difference in accuracy between 0 and 1, such as 0.03"
        raise RunError(message)
    for name, value, least in (("limit", limit, 1), ("epochs", epochs, 1), ("probe", probe, 0)):
        if value is not None and value < least:
            message = f"{name}={value} is not allowed; give {least} or more"
            raise RunError(message)
    device_cost(0.0, device_usd_per_hour, utilisation)  # refuses a rate or a share that cannot be
    suite = find_suite(suite) if isinstance(suite, str) else check(suite)
    specs = parse_all(strategies)
    bases = [_resolve(model) for model in models]
    once("model", [base.name for base in bases])
    options = Options(
        items=suite.test.first(limit, seed=seed),
        epochs=epochs,
        probe=probe,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
    )
    planned: list[Planned] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        estimator = Estimator(suite, options, Store(project.STORE), Store(Path(scratch)))
        for written, spec in zip(strategies, specs, strict=True):
            for base in bases:
                name = f"{spec} @ {base.name}" if len(bases) > 1 else str(spec)
                with progress(f"{name}: planning"):
                    planned.append(estimator.plan(written, base, name))
                if planned[-1].model is None:  # measured once, whatever the models
                    break
    return Plan(
        suite=suite.name,
        items=len(options.items),
        epochs=epochs,
        candidates=planned,
        sight=sight(suite, options.items, wanted),
    )


def _resolve(model: str | BaseModel) -> BaseModel:
    """The model; one whose key is not set can be planned for all the same."""
    if isinstance(model, BaseModel):
        return model
    from thirdlever.models import registry

    try:
        return registry.resolve(model)
    except ModelError:
        from inspect_ai.model import get_model_info

        info = get_model_info(model) if "/" in model else None
        if info is None:
            raise
        return BaseModel(name=model, inspect_name=model, revision=model, context_window=info.context_length)

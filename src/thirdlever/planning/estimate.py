"""One candidate's plan: requests, tokens, money and minutes, and what each of these rests on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.usage import total
from thirdlever.batching import batches
from thirdlever.catalog.lookup import price_of
from thirdlever.catalog.prices import device_cost, in_batch
from thirdlever.planning import earlier, requests, speed
from thirdlever.planning.artefacts import RehearsalStore
from thirdlever.planning.rehearsal import Spent, rehearsing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.planning.rehearsal import Round, Training
    from thirdlever.planning.requests import Request
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Split, Suite

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
        self._trials = requests.Trials()
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
            seconds = one.requests * earlier.seconds(one.model.name)[0] / AT_ONCE
        return one.requests * price.cost(one.each.input_tokens, 0, one.each.output_tokens), seconds

    def _training_s(self, training: Training, base: BaseModel) -> tuple[float | None, str]:
        what = f"{training.tokens:,.0f} tokens trained ({training.examples:,} examples, {training.epochs} epochs)"
        if not training.here:
            charged = training.estimate.source if training.estimate and training.estimate.usd is not None else ""
            return None, f"{what}, {charged or 'at a price that nobody states'}; {training.where} says not how long"
        key = base.name, training.method
        if key not in self._rates:
            self._rates[key] = speed.rate(base, training.method, self._suite)
        rate = self._rates[key]
        if rate is None:
            return None, f"{what}; how fast, only a first training tells"
        extra = 0.0 if training.where == "local" else JOB_S
        return speed.work(training) / rate[0] + extra, f"{what}, at the speed of {rate[1]}"

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
    single, source = earlier.seconds(model.name)
    said.append(f"times: {single:.2g} s a request ({source}), {AT_ONCE} at once")
    return options.asked * single / AT_ONCE, options.timed * single, said


def _here(model: BaseModel | None, base: BaseModel) -> bool:
    """Whether it is this machine that answers."""
    return model is None or model.costs_device_time or (base.local and model.local)


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 60

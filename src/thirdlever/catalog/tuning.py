"""What tuning costs: dated rows, each with its source; what no row states is unknown.

Rows come from `tuning.toml` in the current folder (the user's own) before the ones shipped in `profiles.toml`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.catalog.names import undated
from thirdlever.catalog.prices import Price
from thirdlever.core.dated_tables import check_amounts, check_dates, check_keys, read_rows
from thirdlever.core.errors import ModelError, StrategyError, unknown

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from thirdlever.core.dated_tables import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a tune would come to.

    Attributes:
        tokens: trained on, all epochs together; from a cautious count where the tokenizer is not at hand.
        usd: None when no source states the price.
        source: where the price comes from, with its date; "" when there is none.
    """

    tokens: int
    usd: float | None
    source: str = ""


SHIPPED = Path(__file__).with_name("profiles.toml")
OVERLAY = "tuning.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What tuning a model costs, and what the tuned model does, in USD per 1M tokens; None is unknown.

    Attributes:
        provider: whose.
        model: the base.
        train: trained tokens, all epochs together.
        input: prompt tokens of the tuned model.
        cached_input: of those the ones found in the provider's cache.
        output: its completion tokens.
        source: of the rates.
        as_of: the day they were read.
        confidence: "list", "mirror" or "contract".
    """

    provider: str
    model: str
    train: float
    source: str
    as_of: dt.date
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    confidence: str = ""

    def estimate(self, tokens: int) -> Estimate:
        """Of a training on so many tokens."""
        return Estimate(tokens=tokens, usd=tokens * self.train / 1e6, source=f"{self.source}, {self.as_of}")

    def price(self) -> Price | None:
        """Of the tuned model's answers; None when no source states it."""
        if self.input is None or self.output is None:
            return None
        return Price(
            model=f"tuned {self.model}",
            input_per_m=self.input,
            cached_input_per_m=self.input if self.cached_input is None else self.cached_input,
            output_per_m=self.output,
            source=self.source,
            as_of=self.as_of.isoformat(),
            confidence=self.confidence,
        )


def rate(provider: str, base: str) -> Rate | None:
    """What a provider charges for a base model, a dated snapshot of it included; None when no source states it.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    for rows in (_rates(Path(OVERLAY)), _rates(SHIPPED)):
        for name in (base, undated(base)):
            if (provider, name) in rows:
                return rows[provider, name]
    return None


def rates() -> list[Rate]:
    """All of them, the user's own before the shipped ones of the same name.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    return list({**_rates(SHIPPED), **_rates(Path(OVERLAY))}.values())


def _rates(path: Path) -> Mapping[tuple[str, str], Rate]:
    found = [_rate(row, where) for row, where in read_rows(path, "rate", beside={"provider"})]
    return {(one.provider, one.model): one for one in found}


def _rate(row: Row, where: str) -> Rate:
    check_keys(row, {one.name for one in fields(Rate)}, ("provider", "model", "train", "source", "as_of"), where)
    check_amounts(row, ("train", "input", "cached_input", "output"), where)
    check_dates(row, ("as_of",), where)
    return Rate(**row)


Serves: TypeAlias = Literal["itself", "azure", "by hand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A provider.

    Attributes:
        name: as `provider=` takes it.
        title: as messages and tables show it.
        models: how names of its base models begin.
        url: of its OpenAI protocol; "" where each customer has one.
        url_variable: the environment variable that says otherwise.
        key_variable: the environment variable that holds the key.
        inspect: what inspect calls the provider of its models.
        free: whether a tune costs no money there.
        metadata: whether a job takes metadata; where it does not, its file's name alone tells whose it is.
        suffix: whether the tuned model's name takes a suffix.
        max_file_mb: the largest file that it takes; None when unknown.
        job: what else the body of a job must hold.
        serves: whether a tuned model answers by itself, once deployed through Azure's management plane, or once its
            user has deployed it.
        deploying: how its user does that.
        idle_usd_per_hour: what a deployed model costs while nobody asks it; None when unknown.
        patience_s: longest wait between two polls.
        last_jobs: the last day on which it takes a job.
        notice: what its customers should know.
        instead: what to use when it takes no job.
        source: of all this.
        as_of: the day it was read.
    """

    name: str
    title: str
    models: list[str]
    url: str = ""
    url_variable: str = ""
    key_variable: str = ""
    inspect: str = ""
    free: bool = False
    metadata: bool = True
    suffix: bool = True
    max_file_mb: int | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    serves: Serves = "itself"
    deploying: str = ""
    idle_usd_per_hour: float | None = None
    patience_s: float = 30.0
    last_jobs: dt.date | None = None
    notice: str = ""
    instead: str = ""
    source: str = ""
    as_of: dt.date | None = None

    def base(self, model: str) -> str:
        """A base model as the provider names it, from the name that the user gave."""
        prefixes = sorted((prefix for prefix in self.models if prefix.endswith("/")), key=len, reverse=True)
        if self.free:
            return model
        return next((model.removeprefix(prefix) for prefix in prefixes if model.startswith(prefix)), model)

    def access(self) -> tuple[str, str]:
        """Address and key, from the environment.

        Raises:
            ModelError: naming the variable to set.
        """
        url = os.environ.get(self.url_variable) or self.url
        for variable, value in ((self.url_variable, url), (self.key_variable, os.environ.get(self.key_variable))):
            if not value:
                message = f"{self.title}: the environment variable {variable} is not set; set it and run again"
                raise ModelError(message)
        return url, os.environ[self.key_variable]


@cache
def profiles() -> Mapping[str, Profile]:
    """Every provider by name."""
    table = tomllib.loads(SHIPPED.read_text("utf-8"))["provider"]
    return {name: Profile(name=name, **row) for name, row in table.items()}


def profile(name: str) -> Profile:
    """The provider of a name.

    Raises:
        StrategyError: there is none.
    """
    if name not in profiles():
        raise StrategyError(unknown("provider", name, profiles()))
    return profiles()[name]


def provider_of(model: str) -> str:
    """Who tunes a base model, by the model's name; the longest beginning wins.

    Raises:
        StrategyError: nobody that is known.
    """
    known = {prefix: name for name, one in profiles().items() for prefix in one.models}
    found = [p for p in known if (model.startswith(p) if p.endswith("/") else model == p)]
    if not found:
        listed = ", ".join(sorted(known))
        message = f"managed: who tunes {model!r} is not known (known: {listed}); say so with provider=NAME"
        raise StrategyError(message)
    return known[max(found, key=len)]


def estimate(provider: str, base: str, tokens: int) -> Estimate:
    """What training on so many tokens, all epochs together, costs there; from dated data, nobody is asked."""
    if profile(provider).free:
        return Estimate(tokens=tokens, usd=0.0, source="this machine's time")
    charged = rate(provider, base)
    return charged.estimate(tokens) if charged else Estimate(tokens=tokens, usd=None)


def tuned_price(name: str) -> Price | None:
    """What a tuned model's answers cost, by the name in tables (`Azure: ft:gpt-4.1-mini:…`); None when unknown."""
    title, colon, rest = name.partition(": ft:")
    found = next((one for one in profiles().values() if one.title == title), None)
    if not colon or found is None:
        return None
    charged = rate(found.name, rest.rpartition(":")[0])
    return charged.price() if charged else None

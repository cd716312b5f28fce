"""Providers of fine-tuning and their rates, from `profiles.toml` and the user's `tuning.toml`."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from thirdlever.catalog.model_names import undated
from thirdlever.catalog.prices import Price
from thirdlever.core.errors import ModelError, StrategyError, unknown
from thirdlever.core.validation import Amount, FileModel, read_toml

SHIPPED = Path(__file__).with_name("profiles.toml")
OVERLAY = "tuning.toml"

_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])", re.IGNORECASE)

Serves: TypeAlias = Literal["itself", "azure", "by hand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Estimated cost of a training.

    Attributes:
        tokens: trained tokens over all epochs; an upper estimate if the tokenizer is not available.
        usd: None when no source states the price.
        source: source and date of the price; "" when there is none.
    """

    tokens: int
    usd: float | None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate(FileModel):
    """Prices of training a base model and of using the tuned model, in USD per 1M tokens; None is unknown.

    Attributes:
        model: the base model, or any name for the models of a size bracket.
        up_to_b: the largest model of the bracket, in billions of parameters; None for a row of one model.
        train: trained tokens, counted once per epoch.
        minimum: the least that a job costs, in USD.
        input: prompt tokens of the tuned model.
        cached_input: prompt tokens read from the provider's cache.
        confidence: "list", "mirror" or "contract".
    """

    provider: str
    model: str
    train: Amount
    source: str
    as_of: dt.date
    up_to_b: Amount | None = None
    minimum: Amount = 0.0
    input: Amount | None = None
    cached_input: Amount | None = None
    output: Amount | None = None
    confidence: str = ""

    def estimate(self, tokens: int) -> Estimate:
        """Cost of training on `tokens` tokens."""
        usd = max(self.minimum, tokens * self.train / 1e6) if tokens else 0.0
        return Estimate(tokens=tokens, usd=usd, source=f"{self.source}, {self.as_of}")

    def price(self) -> Price | None:
        """Price of the tuned model's answers; None when not stated."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(FileModel):
    """A provider of fine-tuning.

    Attributes:
        name: the value of `provider=`.
        title: the name in messages and tables.
        models: prefixes (ending in "/") or full names of its base models.
        url: address of its OpenAI-style API; "" where each customer has a different one.
        url_variable: environment variable that overrides `url`.
        key_variable: environment variable that holds the key.
        inspect: inspect's provider name for its models.
        metadata: whether a job takes metadata; if not, a job is recognised by the name of its file.
        max_file_mb: the largest training file; None when unknown.
        job: further fields of a job's request body.
        serves: how a tuned model is deployed: by the provider, through Azure's management API, or by the user.
        idle_usd_per_hour: price of a deployed model, used or not; None when unknown.
        idle: what an unused deployment costs, in words.
        tested: how its code was tested.
        patience_s: longest wait between two polls.
        accepts: whose jobs it accepts, as the end of "accepts jobs from …".
        last_jobs: the last day on which the provider accepts jobs.
        instead: alternatives once it accepts no jobs.
    """

    name: str = ""
    title: str
    models: list[str] = field(default_factory=list)
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
    idle_usd_per_hour: Amount | None = None
    idle: str
    tested: str
    patience_s: float = 30.0
    accepts: str = "any account with a valid key"
    last_jobs: dt.date | None = None
    notice: str = ""
    instead: str = ""
    source: str = ""
    as_of: dt.date | None = None

    def base(self, model: str) -> str:
        """The provider's name of a base model, from the name that the user gave."""
        prefixes = sorted((prefix for prefix in self.models if prefix.endswith("/")), key=len, reverse=True)
        if self.free:
            return model
        return next((model.removeprefix(prefix) for prefix in prefixes if model.startswith(prefix)), model)

    def access(self) -> tuple[str, str]:
        """Address and key, from the environment.

        Raises:
            ModelError: names the variable to set.
        """
        url = os.environ.get(self.url_variable) or self.url
        for variable, value in ((self.url_variable, url), (self.key_variable, os.environ.get(self.key_variable))):
            if not value:
                message = f"{self.title}: the environment variable {variable} is not set; set it and run again"
                raise ModelError(message)
        return url, os.environ[self.key_variable]


@dataclass(frozen=True, slots=True)
class _Tuning(FileModel):
    rate: list[Rate] = field(default_factory=list)
    provider: Mapping[str, Profile] = field(default_factory=dict)

    def by_name(self) -> dict[tuple[str, str], Rate]:
        return {(row.provider, row.model): row for row in self.rate}


@cache
def profiles() -> Mapping[str, Profile]:
    """Every provider by name."""
    return {name: replace(row, name=name) for name, row in read_toml(SHIPPED, _Tuning).provider.items()}


def profile(name: str) -> Profile:
    """A provider by name.

    Raises:
        StrategyError: there is no such provider.
    """
    if name not in profiles():
        raise StrategyError(unknown("provider", name, profiles()))
    return profiles()[name]


def provider_of(model: str) -> str:
    """The provider that tunes a base model, by the longest prefix of the model's name.

    Raises:
        StrategyError: no known provider tunes it.
    """
    known = {prefix: name for name, terms in profiles().items() for prefix in terms.models}
    found = [p for p in known if (model.startswith(p) if p.endswith("/") else model == p)]
    if not found:
        message = f"managed: no known provider tunes {model!r} (known: {', '.join(sorted(known))}); add provider=NAME"
        raise StrategyError(message)
    return known[max(found, key=len)]


def rate(provider: str, base: str) -> Rate | None:
    """A provider's rates for a base model, for a dated snapshot's model or for models of its size; None if not stated.

    Raises:
        ThirdleverError: the user's tuning.toml is malformed.
    """
    size = billions(base)
    for path in (Path(OVERLAY), SHIPPED):
        rows = read_toml(path, _Tuning).by_name()
        for name in (base, undated(base)):
            if (provider, name) in rows:
                return rows[provider, name]
        brackets = ((row.up_to_b, row) for row in rows.values() if row.provider == provider and row.up_to_b is not None)
        fitting = [(most, row) for most, row in brackets if size is not None and size <= most]
        if fitting:
            return min(fitting, key=lambda pair: pair[0])[1]
    return None


def billions(model: str) -> float | None:
    """Parameters in billions, from a model's name; None if it does not state them.

    >>> billions("meta-llama/Llama-3.1-8B-Instruct"), billions("mixtral-8x7b"), billions("Qwen3-30B-A3B")
    (8.0, 56.0, 30.0)
    """
    found = _SIZE.search(model)
    return float(found[2]) * float(found[1] or 1) if found else None


def rates() -> list[Rate]:
    """Every rate; a row of the user's replaces the shipped one of the same model.

    Raises:
        ThirdleverError: the user's tuning.toml is malformed.
    """
    return list({**read_toml(SHIPPED, _Tuning).by_name(), **read_toml(Path(OVERLAY), _Tuning).by_name()}.values())


def estimate(provider: str, base: str, tokens: int) -> Estimate:
    """Cost of training on `tokens` tokens (all epochs), from dated rates; sends no request."""
    if profile(provider).free:
        return Estimate(tokens=tokens, usd=0.0, source="this machine's time")
    found = rate(provider, base)
    return found.estimate(tokens) if found else Estimate(tokens=tokens, usd=None)


def tuned_price(name: str) -> Price | None:
    """Price of a tuned model by its name in tables (`Azure: ft:gpt-4.1-mini:…`); None when unknown."""
    title, colon, rest = name.partition(": ft:")
    found = next((terms for terms in profiles().values() if terms.title == title), None)
    if not colon or found is None:
        return None
    charged = rate(found.name, rest.rpartition(":")[0])
    return charged.price() if charged else None

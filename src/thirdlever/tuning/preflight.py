"""What is checked before anything is uploaded or paid for."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING

from thirdlever.catalog.retirements import retirement
from thirdlever.core.errors import StrategyError
from thirdlever.core.progress import note, question
from thirdlever.tuning.chat_format import FormatError, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thirdlever.catalog.tuning import Estimate, Profile
    from thirdlever.models.base import Tokens
    from thirdlever.tuning.examples import Conversation

AUTO_EPOCHS = 10  # what an estimate assumes when the provider chooses: it is an upper bound for all but tiny files
_TURN = 4  # tokens that a chat template puts around a turn


def check_format(provider: Profile, training: str, validation: str) -> None:
    """Refuse what the provider would refuse hours later.

    Raises:
        StrategyError: fewer than ten examples, a last turn that is not the assistant's, no such format at all, or a
            file that is too large.
    """
    size = len(training.encode()) / 1e6
    if provider.max_file_mb is not None and size > provider.max_file_mb:
        message = f"managed: {provider.title} takes {provider.max_file_mb} MB, not {size:.0f}; give fewer examples"
        raise StrategyError(message)
    try:
        parse(training, param="training_file")
        if validation:
            parse(validation, param="validation_file", minimum=1)
    except FormatError as error:
        message = f"managed: the {error.param.replace('_', ' ')} would be refused: {error.message}"
        raise StrategyError(message) from error


def count(examples: Iterable[Conversation], tokens: Tokens, epochs: int | None) -> int:
    """Tokens that are trained on, all epochs together, by the base model's counter."""
    once = sum(tokens(turn["content"]) + _TURN for example in examples for turn in example)
    return once * (AUTO_EPOCHS if epochs is None else epochs)


def check_dates(provider: Profile, base: str, *, horizon_days: int, today: dt.date | None = None) -> None:
    """Refuse a provider that takes no more jobs, and a base that will not answer for as long as is planned.

    Args:
        provider: who would tune.
        base: what, as the provider names it.
        horizon_days: how long the tuned model has to answer; 0 for no matter how long.
        today: the date, for tests.

    Raises:
        StrategyError: with what to use instead.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    if provider.last_jobs and today > provider.last_jobs:
        message = f"{provider.title} takes no fine-tuning job since {provider.last_jobs}; {provider.instead}"
        raise StrategyError(message)
    known = retirement(provider.name, base)
    if known is None:
        return
    if today >= known.retires:
        message = f"{provider.title}: {base!r} and its tunes stopped answering on {known.retires}; choose another base"
        raise StrategyError(message)
    left = (known.retires - today).days
    if left < horizon_days:
        message = (
            f"{provider.title}: {base!r} and its tunes stop answering on {known.retires}, in {left} days; "
            f"choose a base that stays, or say with horizon_days={left} that so long is enough"
        )
        raise StrategyError(message)


def check_cost(provider: Profile, base: str, estimate: Estimate, max_usd: float | None) -> None:
    """Hold the estimate against what may be spent, or ask who sits at the terminal.

    Raises:
        StrategyError: it is too much, not known, or nobody said yes.
    """
    if provider.free:
        return
    what = f"tuning {base!r} at {provider.title} on about {estimate.tokens:,} tokens"
    if provider.notice:
        note(f"note: {provider.notice}")
    if max_usd is not None:
        if estimate.usd is None:
            message = (
                f"{what} costs nobody knows how much; state the rate in tuning.toml, or leave max_usd out and say yes"
            )
            raise StrategyError(message)
        if estimate.usd > max_usd:
            message = (
                f"{what} would cost about ${estimate.usd:.2f}, more than max_usd={max_usd:g}; "
                "raise it, or give fewer examples or epochs"
            )
            raise StrategyError(message)
        return
    cost = "an unknown amount" if estimate.usd is None else f"about ${estimate.usd:.2f} ({estimate.source})"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"{what} costs {cost}, and nobody is there to say yes; allow it with managed:max_usd=USD"
        raise StrategyError(message)
    if question(f"{what} costs {cost}. Submit it? Type yes:") not in {"y", "yes"}:
        message = f"{what} was not agreed to; nothing was submitted"
        raise StrategyError(message)

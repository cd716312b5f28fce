"""Runs of a fake model that loses answers: it fails, is cut off, or talks past the question."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from inspect_ai.model import ModelOutput, ModelUsage

import thirdlever
from thirdlever import Item, Split, Suite
from thirdlever.testing import FakeModel, example_suite, offline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inspect_ai.model import StopReason

    from thirdlever.analysis.run import Run

ITEMS = 40
_PLACES = (("SHELL service station", "fuel"), ("MARKET hall", "groceries"))
_NUMBER = re.compile(r"Card payment test (\d+)")

Way = Literal["wrong", "failed", "cut_off", "no_room", "too_long", "unparsed"]


def suite() -> Suite:
    """The example suite with `ITEMS` test items."""
    texts = [f"Card payment test {i} at {_PLACES[i % 2][0]}" for i in range(ITEMS)]
    items = tuple(Item(f"test-{i}", text, _PLACES[i % 2][1]) for i, text in enumerate(texts))
    return replace(example_suite(), test_split=Split("test", items))


def _each(first: Sequence[tuple[Way, int]]) -> list[Way]:
    return [way for way, number in first for _ in range(number)]


def model(
    name: str = "fake/model",
    *,
    first: Sequence[tuple[Way, int]] = (),
    bare_first: Sequence[tuple[Way, int]] | None = None,
) -> FakeModel:
    """A model that is right, except on its first items: so many answered in one way, then so many in the next.

    Args:
        name: of the model.
        first: the ways.
        bare_first: the ways for prompts without examples, such as a tuned model's; the same if not given.
    """
    ways, bare_ways = _each(first), _each(first if bare_first is None else bare_first)

    def answer(prompt: str) -> str | ModelOutput:
        number = int(_NUMBER.findall(prompt)[-1])
        found = ways if "train" in prompt else bare_ways
        match found[number] if number < len(found) else "right":
            case "wrong":
                return _PLACES[1 - number % 2][1]
            case "failed":
                message = "401 Incorrect API key provided"
                raise RuntimeError(message)
            case "cut_off":
                return _stopped("max_tokens", reasoning=12)
            case "no_room":
                return _stopped("max_tokens", reasoning=0)
            case "too_long":
                return _stopped("model_length", reasoning=0)
            case "unparsed":
                return "I would rather not choose."
            case _:
                return _PLACES[number % 2][1]

    return FakeModel(name, name, answer=answer)


def _stopped(reason: StopReason, *, reasoning: int) -> ModelOutput:
    output = ModelOutput.from_content("model", "", stop_reason=reason)
    output.usage = ModelUsage(input_tokens=90, output_tokens=12, total_tokens=102, reasoning_tokens=reasoning)
    return output


def run(folder: Path, strategies: Sequence[str], *models: FakeModel, **options: Any) -> Run:  # noqa: ANN401 - run's
    """A stored run, made offline."""
    with offline():
        return thirdlever.run(suite(), strategies, models=models, out=folder, **{"probe": 0, **options})

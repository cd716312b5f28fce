"""Shared by tests of the release gate: base models with known answers, and a baseline of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from conftest import make_suite

from thirdlever.lifecycle import baseline
from thirdlever.runner.runner import run
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from thirdlever import Suite
    from thirdlever.lifecycle.baseline import Baseline

ITEMS = 80


def model(
    name: str,
    wrong: Container[int] = (),
    *,
    say: Callable[[int], str] | None = None,
    **options: Any,  # noqa: ANN401 - FakeModel's
) -> FakeModel:
    """A model that is right except on the given items; `say` may override an answer, and raise for a failed request."""

    def answer(prompt: str) -> str:
        number = int(re.findall(r"number (\d+)", prompt)[-1])
        said = say(number) if say else ""
        if said:
            return said
        right = "fuel" if number % 3 else "food"
        return {"fuel": "food", "food": "fuel"}[right] if number in wrong else right

    return FakeModel(name=name, inspect_name=name, answer=answer, **options)


def pin(old: FakeModel, *strategies: str, suite: Suite | None = None, **options: Any) -> Baseline:  # noqa: ANN401 - run's
    """Run a model and save the run as baseline `payments`."""
    suite = suite or make_suite(ITEMS)
    done = run(suite, strategies or ["plain"], models=[old], **{"probe": 0, "out": "old", **options})
    pinned = baseline.pin(done, "payments")
    baseline.save(pinned)
    return pinned

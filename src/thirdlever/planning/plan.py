"""`thirdlever plan`: what a run would take and what it could show, before anything is spent on it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.analysis.usage import total
from thirdlever.catalog.prices import device_cost
from thirdlever.core import project
from thirdlever.core.errors import ModelError, RunError
from thirdlever.core.progress import progress
from thirdlever.core.store import Store
from thirdlever.models.base import BaseModel
from thirdlever.planning.estimate import Estimator, Options, Planned
from thirdlever.planning.sight import Sight, sight
from thirdlever.strategies.specs import once, parse_all
from thirdlever.suites.suite import Suite, check, find_suite

if TYPE_CHECKING:
    from collections.abc import Sequence


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

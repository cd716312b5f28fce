"""What this project measured before: speeds, answer lengths, and how often two candidates disagree."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, load
from thirdlever.analysis.stats.power import Design
from thirdlever.core import project
from thirdlever.core.errors import RunError
from thirdlever.core.store import Store
from thirdlever.core.text import counted
from thirdlever.models.base import START_CONNECTIONS
from thirdlever.retrieval import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.models.base import BaseModel
    from thirdlever.retrieval.embedding import Embedder
    from thirdlever.strategies.specs import StrategySpec
    from thirdlever.suites.suite import Suite

USUAL_DISCORDANCE = 0.2  # share of items that two good candidates answer differently, where no run has measured it


def past_runs() -> Iterator[Run]:
    """Finished runs under `results/`, the latest first."""
    found = project.RESULTS.glob(f"*/{INFO}")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        yield load(path.parent)


def _measured_here() -> Iterator[Run]:
    """Those whose times and tokens are of this project's own requests."""
    return (run for run in past_runs() if not run.info.get("imported"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What an earlier run measured of a candidate, or of its model. None is unknown.

    Attributes:
        source: the run's folder.
        same: whether it measured the same candidate on the same suite.
        request_s: median time of a request sent alone.
        device_s: mean device time of a request in the accuracy pass.
        tokens: mean tokens of a request that were computed: prompt and answer, less cached ones.
        output_tokens: mean tokens of an answer.
    """

    source: str
    same: bool
    request_s: float
    device_s: float | None
    tokens: float | None
    output_tokens: float | None

    def seconds(
        self,
        model: BaseModel | None,
        together: int,
        alone: int,
        tokens: float,
        *,
        calls: float = 1.0,
        connections: int | None = None,
    ) -> float | None:
        """Wall time of answering items; of a local model also its device time, in proportion to the tokens.

        Args:
            model: answers them; None if none is used.
            together: items of an accuracy pass.
            alone: items of a latency probe.
            tokens: mean tokens of an item that have to be computed, over all its model calls.
            calls: mean model calls of an item. Another candidate is assumed to have made one call per item.
            connections: requests in flight at once; None for the number with which a run starts.
        """
        calls = 1.0 if self.same else calls
        if model and not model.costs_device_time:
            return (together / (connections or START_CONNECTIONS) + alone) * self.request_s * calls
        if self.device_s is None:
            return None
        scale = calls if self.same or not self.tokens else tokens / self.tokens  # tokens are those of all calls
        return scale * (together * self.device_s + alone * self.request_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTokens:
    """What an earlier run of a suite measured of a model's tokens, over all of its strategies. None is unknown.

    Attributes:
        source: the run's folder.
        answers: how many were measured.
        output_tokens: mean of an answer, reasoning included.
        reasoning_tokens: mean of an answer, where the provider states them.
        chars_per_token: of the prompts.
    """

    source: str
    answers: int
    output_tokens: float
    reasoning_tokens: float | None
    chars_per_token: float | None

    @property
    def basis(self) -> str:
        """Where the figures come from, for display."""
        reasoning = f", {self.reasoning_tokens:,.0f} of them reasoning" if self.reasoning_tokens else ""
        measured = f"measured on {counted(self.answers, 'answer')} in {self.source}"
        return f"{self.output_tokens:,.0f} output tokens per answer{reasoning}, {measured}"


def measured_tokens(suite: Suite, model: BaseModel, *, think: bool = False) -> MeasuredTokens | None:
    """A model's tokens in the latest run that measured it on a suite; None if there is none.

    Args:
        suite: what was asked.
        model: whose answers.
        think: whether the prompt asked for reasoning.
    """
    for run in _measured_here():
        if run.info["suite"]["hash"] != suite.hash:
            continue
        about = [one for one in run.info["candidates"] if one["model"] == model.name]
        names = [one["name"] for one in about if bool((one.get("args") or {}).get("think")) == think]
        rows = run.records[run.records["candidate"].isin(names) & run.records["error"].isna()]
        if (rows := rows[rows["output_tokens"].notna()]).empty:
            continue
        chars, sent = (float(rows[name].sum()) if name in rows else 0.0 for name in ("prompt_chars", "input_tokens"))
        return MeasuredTokens(
            source=str(run.folder),
            answers=len(rows),
            output_tokens=float(rows["output_tokens"].mean()),
            reasoning_tokens=_mean(rows["reasoning_tokens"]) if "reasoning_tokens" in rows else None,
            chars_per_token=chars / sent if chars and sent and not model.local else None,
        )
    return None


def measured_speed(suite: Suite, model: BaseModel | None, base: BaseModel, spec: StrategySpec | None) -> Speed | None:
    """Speed in the latest run of the same candidate on the same suite, else in the latest run with the same model."""
    args = json.loads(json.dumps(dict(spec.args))) if spec else None
    other: Speed | None = None
    for run in _measured_here():
        about = run.info["candidates"]
        if spec and run.info["suite"]["hash"] == suite.hash:
            names = [
                one["name"]
                for one in about
                if (one["strategy"], one["args"]) == (spec.name, args)
                and (not one["model"] or one["base"] == base.name)
            ]
            if found := _speed(run, names, same=True):
                return found
        if other is None and model is not None:
            key = "base" if base.local else "model"
            wanted = base.name if base.local else model.name
            other = _speed(run, [one["name"] for one in about if one["model"] and one.get(key) == wanted], same=False)
    return other


def _speed(run: Run, names: Sequence[str], *, same: bool) -> Speed | None:
    if not names:
        return None
    rows = run.records[run.records["candidate"].isin(names) & run.records["error"].isna()]
    accuracy, probe = rows[rows["phase"] == "accuracy"], rows[(rows["phase"] == "latency") & ~rows["cold"]]
    if accuracy.empty:
        return None
    device_s = _mean(accuracy["device_s"])
    alone = probe["latency_s"].median() if len(probe) else device_s or accuracy["latency_s"].median()
    computed = accuracy["input_tokens"] - accuracy["cached_tokens"].fillna(0) + accuracy["output_tokens"]
    return Speed(
        source=str(run.folder),
        same=same,
        request_s=float(alone),
        device_s=device_s,
        tokens=_mean(computed),
        output_tokens=_mean(accuracy["output_tokens"]),
    )


def _mean(values: pd.Series[Any]) -> float | None:
    return float(values.mean()) if values.notna().any() else None


def training_seconds(base: str, method: str) -> float | None:
    """Seconds per token of this project's earlier trainings; None without any."""
    made = [one for one in _built("adapter") if (one["of"]["base"], one["of"]["settings"]["method"]) == (base, method)]
    tokens = sum(one["tokens"] for one in made)
    return sum(one["trained_seconds"] for one in made) / tokens if tokens else None


def embedding_seconds(by: Embedder) -> float | None:
    """Seconds per text of an embedder in this project's earlier embeddings; None without any."""
    known = vectors.measured(Store(project.STORE), by)
    return known.seconds / known.texts if known.texts else None


def _built(kind: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in (project.STORE / kind).glob("*/artefact.json")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableEffect:
    """Which difference in accuracy between two candidates the run could detect, with 80 % power at a two-sided 5 %.

    Attributes:
        items: test items asked.
        detectable: the smallest detectable difference; nan if there is none.
        wanted: the difference to detect.
        needed: items needed to detect it.
        available: items of the test split.
        discordant: share of items that two candidates answer differently.
        effect: design effect: number of items that are worth one independent item.
        basis: where the last two come from.
    """

    items: int
    detectable: float
    wanted: float
    needed: int
    available: int
    discordant: float
    effect: float
    basis: str

    @classmethod
    def of(cls, suite: Suite, items: int, wanted: float) -> DetectableEffect:
        """Use the disagreement that the latest run of the suite measured, else an assumed one."""
        assumed = f"assumed: two candidates answer {USUAL_DISCORDANCE:.0%} of the items differently"
        design, basis = _measured_design(suite) or (Design(USUAL_DISCORDANCE), f"{assumed}, and items are independent")
        return cls(
            items=items,
            detectable=design.detectable(items),
            wanted=wanted,
            needed=design.needed(wanted),
            available=len(suite.test),
            discordant=design.discordant,
            effect=design.effect,
            basis=basis,
        )


def _measured_design(suite: Suite) -> tuple[Design, str] | None:
    """How often the two best candidates of the latest run of a suite disagree, and where that was measured."""
    from thirdlever.analysis.compare import Differences
    from thirdlever.analysis.outcomes import load as outcomes

    for run in past_runs():
        if run.info["suite"]["hash"] != suite.hash:
            continue
        try:
            found = outcomes(run)
        except RunError:  # none is measured, or they did not all answer the same items
            continue
        if len(found.candidates) < 2:  # noqa: PLR2004 - a pair
            continue
        best = sorted(found.candidates, key=lambda name: -found.row(name).mean())[:2]
        differences = Differences(found, *best)
        if differences.won + differences.lost:
            source = f"measured: {best[0]} and {best[1]} in {run.folder}, on {counted(differences.n, 'item')}"
            return differences.design(), source
    return None

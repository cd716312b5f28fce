"""Baselines: the result of every item of a run, in a JSON file that is small enough to commit."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from thirdlever.analysis.grader import Grader
from thirdlever.analysis.outcomes import Corrections, Outcomes
from thirdlever.analysis.stats.intervals import clusters
from thirdlever.analysis.statuses import sentence_for
from thirdlever.core import files, project
from thirdlever.core.errors import PromptError, RunError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.text import counted
from thirdlever.evaluation.records import statuses
from thirdlever.suites.prompts import DEFAULT, find_prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.statuses import Tolerance
    from thirdlever.answers.reading import Status


FORMAT = 1
OPTIONS = (
    "limit", "epochs", "seed", "probe", "constrain", "device_usd_per_hour", "utilisation", "max_failed", "max_unparsed",
)  # fmt: skip
FACTS = ("prices", "prompts", "snapshots", "versions", "hardware", "finished")
FIGURES = (
    "n", "requests", "accuracy", "latency_p50_s", "latency_p95_s", "input_tokens", "cached_tokens", "output_tokens",
    "device_s_per_request", "cost_per_1k_usd", "setup_usd", "errors", "unparseable", "refused", "cut_off",
)  # fmt: skip
MAX_ANSWER = 48  # characters of an answer that are kept
_COLUMNS: dict[Status, str] = {
    "failed": "errors",
    "cut_off": "cut_off",
    "refused": "refused",
    "unparsed": "unparseable",
    "ungraded": "ungraded",
}
_IN_ROWS = {"results", "why_unmeasured"}  # fields that the file's heading leaves out
_HASH = 16  # characters of a hash that are kept; ten million items collide in one of 100,000 suites
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ROUNDING = 1e-5  # scores are stored to six digits


class BaselineItem(NamedTuple):
    """One item of a baseline; `hash` is the start of the sha256 of its input and target."""

    id: str
    hash: str
    slice: str
    group: str


class ItemResult(NamedTuple):
    """A candidate's result on one item.

    Attributes:
        score: mean over epochs; a failed or unparsed request counts 0.
        answer: the first answer that was not fully right, shortened. None if unparsed, or if all were right.
        failed: whether that request failed.
    """

    score: Annotated[float, Field(ge=0, le=1)]
    answer: str | None = None
    failed: bool = False


_WIDTH = len(BaselineItem._fields)


@dataclass(frozen=True, kw_only=True, eq=False)
class BaselineCandidate:
    """One candidate of a baseline.

    Attributes:
        args: all arguments of the strategy.
        base: name of the base model; None if the strategy calls no model.
        revision: revision of the model that answered.
        figures: the known figures of its scorecard.
        latencies_s: latencies of the probe's warm requests, seconds.
        prompts: hash of all prompts sent.
        results: one per item, in the baseline's order; the file has them in its rows.
        why_unmeasured: why the run says that it is not measured; None in a file, which holds measured ones only.
    """

    name: str
    strategy: str
    args: dict[str, Any]
    base: str | None
    revision: str | None
    figures: dict[str, int | float]
    latencies_s: list[float]
    prompts: str
    results: tuple[ItemResult, ...] = ()
    why_unmeasured: str | None = None

    def not_measured(self, tolerance: Tolerance) -> str | None:
        """Why its accuracy is no result; None if it is measured."""
        if self.why_unmeasured:
            return self.why_unmeasured
        counts = {status: int(self.figures.get(column, 0)) for status, column in _COLUMNS.items()}
        counts["answered"] = max(int(self.figures.get("requests", 0)) - sum(counts.values()), 0)
        return sentence_for(counts, tolerance)

    def figure(self, name: str) -> float:
        """A figure; nan if it is unknown."""
        return float(self.figures.get(name, math.nan))


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """A run reduced to what a later run is compared with.

    Attributes:
        name: name of its file.
        suite: the suite's name and hashes.
        options: the run's options, to repeat it with.
        facts: prices, model snapshots, versions, hardware and end of the run.
    """

    name: str
    suite: Mapping[str, Any]
    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    items: Sequence[BaselineItem]
    candidates: Sequence[BaselineCandidate]

    @property
    def date(self) -> str:
        """The day the run finished, ISO 8601."""
        return str(self.facts["finished"])[:10]

    @property
    def epochs(self) -> int:
        """How often each item was asked."""
        return int(self.options.get("epochs") or 1)

    def find(self, name: str) -> BaselineCandidate:
        """A candidate by name.

        Raises:
            RunError: no candidate has that name.
        """
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise RunError(unknown("candidate", name, [candidate.name for candidate in self.candidates]))


def outcomes(items: Sequence[BaselineItem], scores: Mapping[str, Sequence[float]], *, epochs: int) -> Outcomes:
    """Scores by candidate, in the order of the items and as means over epochs, ready for the paired tests."""
    table = np.array([*scores.values()], dtype=np.float64)
    whole = table * epochs
    return Outcomes(
        candidates=tuple(scores),
        items=tuple(item.id for item in items),
        scores=table,
        clusters=clusters(pd.Series([item.group for item in items], dtype=object)),
        slices=tuple(item.slice for item in items),
        epochs=epochs,
        graded=bool((np.abs(whole - np.rint(whole)) > _ROUNDING * epochs).any()),
    )


def corrected(o: Outcomes, side: Baseline, results: Sequence[Sequence[ItemResult]]) -> Outcomes:
    """Outcomes corrected for the errors of the grader, if a grader gave the scores.

    Args:
        o: its verdicts.
        side: a run that was graded by it.
        results: of each candidate, in the order of `o`.
    """
    judge = Grader.of({**side.facts, "suite": side.suite})
    if judge is None or judge.why_not:
        return o
    answered = [[float(one.score > 0 or one.answer is not None) for one in own] for own in results]
    return Corrections.of(o, judge.calibration, np.array(answered))


# From a run


def pin(run: Run, name: str, *, only: Sequence[str] = ()) -> Baseline:
    """Reduce a finished run to a baseline of `only` these candidates, by default all that are measured.

    Raises:
        ThirdleverError: as `from_run`; or one of these, or every candidate, is not measured or lacks its prompt.
    """
    lost = run.not_measured
    if wrong := next((one for one in only if one in lost), None):
        message = f"{wrong!r} cannot be pinned; {lost[wrong]}"
        raise RunError(message)
    kept = [one for one in run.figures if one not in lost]
    if not kept:
        one, why = next(iter(lost.items()))
        message = f"run {str(run.folder)!r} cannot be pinned: no candidate is measured; {one}: {why}"
        raise RunError(message)
    made = from_run(run, name, only=only or kept)
    for candidate in made.candidates:
        _check_prompt(candidate)
    return made


def _check_prompt(one: BaselineCandidate) -> None:
    """Refuse a candidate whose prompt `regress` would not find."""
    try:
        find_prompt(str(one.args.get("prompt", DEFAULT)))
    except PromptError:
        prompt = one.args["prompt"]
        message = f"{one.name}: prompts/ has no {prompt}, and regress looks for it there; copy the file, then repeat"
        raise RunError(message) from None


def from_run(run: Run, name: str, *, only: Sequence[str] = ()) -> Baseline:
    """Reduce a finished run to a baseline of `only` these candidates, by default all, measured or not.

    Raises:
        ThirdleverError: the run is unfinished, lacks a candidate, or its candidates were asked different items.
    """
    info, records = run.info, run.records
    run.require_complete()
    described = {row["name"]: row for row in info["candidates"]}
    for wanted in only:
        if wanted not in described:
            raise RunError(unknown("candidate", wanted, described))
    if info.get("grader"):  # an item on which the grader gave no verdict says nothing
        records = records[~records["item_id"].isin(records.loc[statuses(records) == "ungraded", "item_id"])]
    items = _items(records[records["phase"] == "accuracy"])
    cards = run.summary.set_index("candidate")
    return Baseline(
        name=name,
        suite={key: info["suite"][key] for key in ("name", "hash", "splits")},
        options={key: info.get(key) for key in OPTIONS},
        facts={key: info.get(key) for key in FACTS} | ({"grader": info["grader"]} if info.get("grader") else {}),
        items=items,
        candidates=[
            replace(
                _candidate(row, records[records["candidate"] == row["name"]], cards.loc[row["name"]], items),
                why_unmeasured=run.not_measured.get(row["name"]),
            )
            for row in described.values()
            if not only or row["name"] in only
        ],
    )


def _items(records: pd.DataFrame) -> list[BaselineItem]:
    """Each item once, sorted by id."""
    columns = ["item_id", "item_hash", "slice", "group"]
    rows = records[columns].fillna("").drop_duplicates().sort_values(columns).astype(str)
    items = [BaselineItem(id_, hash_[:_HASH], part, group) for id_, hash_, part, group in rows.to_numpy().tolist()]
    repeated = [item_id for item_id, times in Counter(item.id for item in items).items() if times > 1]
    if repeated:
        message = f"item {repeated[0]!r} differs between candidates; run all of them on one version of the suite"
        raise RunError(message)
    return items


def _candidate(
    row: Mapping[str, Any], records: pd.DataFrame, card: pd.Series[Any], items: Sequence[BaselineItem]
) -> BaselineCandidate:
    measured = records[records["phase"] == "accuracy"]
    probe = records[(records["phase"] == "latency") & records["error"].isna() & ~records["cold"]]
    figures = {name: float(card[name]) for name in FIGURES if not math.isnan(float(card[name]))}
    sent = measured[["item_id", "epoch", "prompt_hash"]].fillna("").sort_values(["item_id", "epoch"])
    return BaselineCandidate(
        name=row["name"],
        strategy=row["strategy"],
        args=row["args"],
        base=row["base"] if row["model"] else None,
        revision=row["revision"],
        figures={name: int(value) if value.is_integer() else round(value, 9) for name, value in figures.items()},
        latencies_s=[round(float(seconds), 6) for seconds in probe["latency_s"]],
        prompts=content_hash(sent.to_numpy().tolist())[:_HASH],
        results=_results(measured, [item.id for item in items], row["name"]),
    )


def _results(records: pd.DataFrame, order: Sequence[str], name: str) -> tuple[ItemResult, ...]:
    answers: dict[str, list[ItemResult]] = {}
    columns = records.sort_values("epoch")[["item_id", "score", "prediction", "error"]]
    for item_id, score, prediction, error in columns.itertuples(index=False):
        text = prediction[:MAX_ANSWER] if isinstance(prediction, str) else None
        result = ItemResult(0.0 if math.isnan(score) else float(score), text, isinstance(error, str))
        answers.setdefault(str(item_id), []).append(result)
    if set(answers) != set(order) or len({len(epochs) for epochs in answers.values()}) != 1:
        message = f"candidate {name!r} was asked other items than the rest; repeat the run's command to complete it"
        raise RunError(message)
    return tuple(_mean(answers[item_id]) for item_id in order)


def _mean(epochs: Sequence[ItemResult]) -> ItemResult:
    """All epochs of an item as one result, with the first answer that was not fully right."""
    score = round(math.fsum(result.score for result in epochs) / len(epochs), 6)
    wrong = next((result for result in epochs if result.score < 1), ItemResult(score))
    return wrong._replace(score=score)


# The file

# A result in the file: 1 is right, null unparsed, false a failed request, a text the wrong answer. A score between
# 0 and 1 is [score, answer].


def _to_cell(result: ItemResult) -> object:
    if result.score == 1:
        return 1
    answer = False if result.failed else result.answer
    return [result.score, answer] if result.score else answer


def _from_cell(cell: Any) -> ItemResult:  # noqa: ANN401 - JSON, whose types pydantic checks after this
    match cell:
        case bool():
            return ItemResult(0.0, failed=True)
        case [score, answer]:
            return _from_cell(answer)._replace(score=score)
        case 1:
            return ItemResult(1.0)
        case _:
            return ItemResult(0.0, cell)


def _split(row: Any) -> Any:  # noqa: ANN401 - JSON
    return (row[:_WIDTH], row[_WIDTH:]) if isinstance(row, list) else row


_Results = tuple[Annotated[ItemResult, BeforeValidator(_from_cell)], ...]


class _BaselineFile(BaseModel, extra="allow"):
    """The JSON file. Keys that are not listed here are facts about the run."""

    format: Literal[1]
    suite: dict[str, Any]
    options: dict[str, Any]
    finished: str
    candidates: list[BaselineCandidate]
    columns: list[str] = []
    items: list[Annotated[tuple[BaselineItem, _Results], BeforeValidator(_split)]]

    @model_validator(mode="after")
    def _complete(self) -> _BaselineFile:
        for item, results in self.items:
            if len(results) != len(self.candidates):
                wanted = counted(len(self.candidates), "candidate")
                message = f"item {item.id!r} has {counted(len(results), 'result')} for {wanted}"
                raise ValueError(message)
        return self


def folder() -> Path:
    """Where baselines are stored."""
    return project.RESULTS / "baselines"


def available() -> list[str]:
    """Names of the stored baselines."""
    return sorted(path.stem for path in folder().glob("*.json"))


def save(baseline: Baseline) -> Path:
    """Write a baseline atomically, replacing one of the same name.

    Raises:
        RunError: the name is not a valid file name.
    """
    if not _NAME.fullmatch(baseline.name):
        message = f"invalid baseline name {baseline.name!r}; use letters, digits, '-', '_' and '.'"
        raise RunError(message)
    path = folder() / f"{baseline.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, to_text(baseline).encode())
    return path


def load(name: str) -> Baseline:
    """Read a baseline.

    Raises:
        RunError: no baseline has that name, or its file is damaged.
    """
    path = folder() / f"{name}.json"
    if name not in available():
        raise RunError(unknown("baseline", name, available()) + "; create one with `thirdlever baseline set RUN`")
    try:
        file = _BaselineFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("format",) and first["type"] == "literal_error":
            message = f"{path} has format {first['input']!r}, but this version reads {FORMAT}; pin the run again"
        else:
            where = "".join(f"{key}: " for key in first["loc"][:2])
            message = f"{path} is damaged ({where}{first['msg']}); restore it from git or pin the run again"
        raise RunError(message) from error
    return Baseline(
        name=name,
        suite=file.suite,
        options=file.options,
        facts={**(file.model_extra or {}), "finished": file.finished},
        items=[item for item, _ in file.items],
        candidates=[
            replace(candidate, results=tuple(results[i] for _, results in file.items))
            for i, candidate in enumerate(file.candidates)
        ],
    )


def to_text(baseline: Baseline) -> str:
    """The file's content, one line per item, so that git shows which items changed."""
    head = {
        "format": FORMAT,
        "suite": baseline.suite,
        "options": baseline.options,
        **baseline.facts,
        "candidates": [{k: v for k, v in asdict(one).items() if k not in _IN_ROWS} for one in baseline.candidates],
        "columns": [*BaselineItem._fields, *(one.name for one in baseline.candidates)],
    }
    text = json.dumps(head, indent=2, ensure_ascii=False)
    # Put each list of plain values on one line. Its strings hold no line breaks, because JSON escapes them.
    text = re.sub(
        r"\[\n\s*[^\[\]{}]*?\n\s*\]",
        lambda found: re.sub(r"(?<=\[)\n\s*|\n\s*(?=\])|(?<=,)\n *(?= )|\n", "", found[0]),
        text,
    )
    rows = (
        json.dumps([*item, *(_to_cell(one.results[i]) for one in baseline.candidates)], ensure_ascii=False)
        for i, item in enumerate(baseline.items)
    )
    return text[: text.rindex("\n}")] + ',\n  "items": [\n' + ",\n".join(rows) + "\n  ]\n}\n"

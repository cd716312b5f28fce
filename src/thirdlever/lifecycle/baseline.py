"""A baseline: what a run came to, item by item, small enough to be committed beside the code that it guards."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.stats.proportions import clusters
from thirdlever.core import files, project
from thirdlever.core.errors import RunError, unknown
from thirdlever.core.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.analysis.run import Run


OPTIONS = ("limit", "epochs", "seed", "probe", "constrain", "device_usd_per_hour", "utilisation")
FACTS = ("prices", "snapshots", "versions", "hardware", "finished")
FIGURES = (
    "n",
    "requests",
    "accuracy",
    "latency_p50_s",
    "latency_p95_s",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "device_s_per_request",
    "cost_per_1k_usd",
    "setup_usd",
    "errors",
    "unparseable",
)
LONGEST = 48  # characters of an answer that are kept
_HASH = 16  # characters of an item's hash: ten million items collide once in a hundred thousand suites


class Kept(NamedTuple):
    """One item of a baseline.

    Attributes:
        id: the item's.
        hash: the beginning of the sha256 of input and target.
        slice: "" for none.
        group: "" for none.
    """

    id: str
    hash: str
    slice: str
    group: str


class Got(NamedTuple):
    """What a candidate answered to an item.

    Attributes:
        score: mean over the times it was asked; 0 where a request failed or could not be read.
        answer: the first that was not fully right, shortened; None where it could not be read, or where all were right.
        failed: whether that request failed.
    """

    score: float
    answer: str | None = None
    failed: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Pinned:
    """One candidate of a baseline.

    Attributes:
        name: as the run named it.
        strategy: its name.
        args: all of its arguments.
        base: the base model's name; None for a strategy that asks no model.
        revision: of the model that was asked.
        figures: of its scorecard, those known.
        latencies_s: of the warm requests of the probe.
        prompts: hash of all that it was sent, by item.
        got: by item, in the baseline's order.
    """

    name: str
    strategy: str
    args: Mapping[str, Any]
    base: str | None
    revision: str | None
    figures: Mapping[str, float]
    latencies_s: Sequence[float]
    prompts: str
    got: Sequence[Got]

    def figure(self, name: str) -> float:
        """A figure; nan where it is unknown."""
        return float(self.figures.get(name, math.nan))


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """A pinned run, or one to be held against it.

    Attributes:
        name: of its file.
        suite: name and hashes.
        options: how the run was made, so that it can be made again.
        facts: prices, model snapshots, versions, hardware and date of the run.
        items: those that were asked.
        candidates: what was measured on them.
    """

    name: str
    suite: Mapping[str, Any]
    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    items: Sequence[Kept]
    candidates: Sequence[Pinned]

    @property
    def date(self) -> str:
        """When the run was finished, ISO 8601."""
        return str(self.facts["finished"])[:10]

    def find(self, name: str) -> Pinned:
        """A candidate by name.

        Raises:
            RunError: there is none of that name.
        """
        for one in self.candidates:
            if one.name == name:
                return one
        raise RunError(unknown("candidate", name, [one.name for one in self.candidates]))


def of(run: Run, name: str, *, only: Sequence[str] = ()) -> Baseline:
    """A run as a baseline.

    Args:
        run: a finished one.
        name: of the baseline.
        only: the candidates wanted; none for all.

    Raises:
        RunError: the run is not finished, holds no such candidate, its candidates were asked different items, or one
            of them answered nothing.
    """
    info, records = run.info, run.records
    if info["status"] != "complete":
        message = (
            f"run {str(run.folder)!r} ended at its budget; repeat its command with a larger one and the same --out"
        )
        raise RunError(message)
    about = {one["name"]: one for one in info["candidates"]}
    for wanted in only:
        if wanted not in about:
            raise RunError(unknown("candidate", wanted, about))
    asked = records[records["phase"] == "accuracy"]
    items = _items(asked)
    order = [item.id for item in items]
    cards = run.summary.set_index("candidate")
    return Baseline(
        name=name,
        suite={key: info["suite"][key] for key in ("name", "hash", "splits")},
        options={key: info.get(key) for key in OPTIONS},
        facts={key: info.get(key) for key in FACTS},
        items=items,
        candidates=[
            _pinned(one, records[records["candidate"] == one["name"]], cards.loc[one["name"]], order)
            for one in about.values()
            if not only or one["name"] in only
        ],
    )


def _items(asked: pd.DataFrame) -> list[Kept]:
    """Every item once, by id, whatever the order of rows."""
    columns = ["item_id", "item_hash", "slice", "group"]
    rows = asked[columns].fillna("").drop_duplicates().sort_values(columns)
    items = [Kept(str(one[0]), str(one[1])[:_HASH], str(one[2]), str(one[3])) for one in rows.itertuples(index=False)]
    repeated = [item_id for item_id, times in Counter(item.id for item in items).items() if times > 1]
    if repeated:
        message = (
            f"item {repeated[0]!r} is not the same question for every candidate; run all on one version of the suite"
        )
        raise RunError(message)
    return items


def _pinned(about: Mapping[str, Any], own: pd.DataFrame, card: pd.Series[Any], order: Sequence[str]) -> Pinned:
    asked = own[own["phase"] == "accuracy"]
    if asked["error"].notna().all():
        message = f"every request of {about['name']!r} failed, which measures nothing; repeat the run's command"
        raise RunError(message)
    probe = own[(own["phase"] == "latency") & own["error"].isna() & ~own["cold"]]
    figures = {name: _short(float(card[name])) for name in FIGURES if not math.isnan(float(card[name]))}
    sent = asked[["item_id", "epoch", "prompt_hash"]].fillna("").sort_values(["item_id", "epoch"])
    return Pinned(
        name=about["name"],
        strategy=about["strategy"],
        args=about["args"],
        base=about["base"] if about["model"] else None,
        revision=about["revision"],
        figures=figures,
        latencies_s=[round(float(seconds), 6) for seconds in probe["latency_s"]],
        prompts=content_hash(sent.to_numpy().tolist())[:_HASH],
        got=_got(asked, order, about["name"]),
    )


def _short(figure: float) -> float:
    return int(figure) if figure.is_integer() else round(figure, 9)


def _got(asked: pd.DataFrame, order: Sequence[str], name: str) -> list[Got]:
    answers: dict[str, list[Got]] = {}
    columns = asked.sort_values("epoch")[["item_id", "score", "prediction", "error"]]
    for item_id, score, prediction, error in columns.itertuples(index=False):
        text = prediction[:LONGEST] if isinstance(prediction, str) else None
        answers.setdefault(str(item_id), []).append(
            Got(0.0 if math.isnan(score) else float(score), text, isinstance(error, str))
        )
    if set(answers) != set(order) or len({len(repeats) for repeats in answers.values()}) != 1:
        message = (
            f"candidate {name!r} was not asked the same items as the others; repeat the run's command to complete it"
        )
        raise RunError(message)
    return [_mean(answers[item_id]) for item_id in order]


def _mean(repeats: Sequence[Got]) -> Got:
    """Repeats of an item as one; what is told is the first answer that was not fully right."""
    score = round(math.fsum(one.score for one in repeats) / len(repeats), 6)
    first = next((one for one in repeats if one.score < 1), None)
    return Got(score) if first is None else Got(score, first.answer, first.failed)


# An answer as the file has it: 1 is right, null could not be read, false is a failed request, a text is the wrong
# answer; a score between is [score, answer].
Cell: TypeAlias = int | str | bool | list[Any] | None

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def folder() -> Path:
    """Where baselines are."""
    return project.RESULTS / "baselines"


def available() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in folder().glob("*.json"))


def save(baseline: Baseline) -> Path:
    """Write a baseline, whole or not at all; one of the same name is replaced.

    Raises:
        RunError: a name that is no file name.
    """
    if not _NAME.fullmatch(baseline.name):
        message = f"{baseline.name!r} is no name for a baseline; use letters, digits, '-', '_' and '.'"
        raise RunError(message)
    path = folder() / f"{baseline.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, to_text(baseline).encode())
    return path


def load(name: str) -> Baseline:
    """Read a baseline.

    Raises:
        RunError: there is none of that name, or its file is damaged.
    """
    path = folder() / f"{name}.json"
    if name not in available():
        raise RunError(unknown("baseline", name, available()) + "; `thirdlever baseline set RUN` makes one")
    try:
        table = json.loads(path.read_text("utf-8"))
        if table["format"] != FORMAT:
            message = f"{path} has format {table['format']!r}, this version reads {FORMAT}; pin the run again"
            raise RunError(message)
        return _read(name, table)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        message = f"{path} is damaged ({type(error).__name__}: {error}); restore it from git or pin the run again"
        raise RunError(message) from error


def to_text(baseline: Baseline) -> str:
    """The file: what describes the run is spread over lines, each item has one of its own."""
    head = {
        "format": FORMAT,
        "suite": baseline.suite,
        "options": baseline.options,
        **baseline.facts,
        "candidates": [{k: v for k, v in asdict(one).items() if k != "got"} for one in baseline.candidates],
        "columns": [*Kept._fields, *(one.name for one in baseline.candidates)],
    }
    text = json.dumps(head, indent=2, ensure_ascii=False)
    # A list of plain values on one line; its strings hold no line breaks, for JSON escapes them.
    text = re.sub(
        r"\[\n\s*[^\[\]{}]*?\n\s*\]",
        lambda found: re.sub(r"(?<=\[)\n\s*|\n\s*(?=\])|(?<=,)\n *(?= )|\n", "", found[0]),
        text,
    )
    rows = (
        json.dumps([*item, *(_cell(one.got[i]) for one in baseline.candidates)], ensure_ascii=False)
        for i, item in enumerate(baseline.items)
    )
    return text[: text.rindex("\n}")] + ',\n  "items": [\n' + ",\n".join(rows) + "\n  ]\n}\n"


def _read(name: str, table: dict[str, Any]) -> Baseline:
    wide = len(Kept._fields)
    rows = table.pop("items")
    about = table.pop("candidates")
    for row in rows:
        if len(row) != wide + len(about):
            message = f"item {row[0]!r} has {len(row)} values"
            raise ValueError(message)
    return Baseline(
        name=name,
        suite=table.pop("suite"),
        options=table.pop("options"),
        facts={key: value for key, value in table.items() if key not in {"format", "columns"}},
        items=[Kept(*row[:wide]) for row in rows],
        candidates=[
            Pinned(**one, got=[_parse_got(row[wide + place]) for row in rows]) for place, one in enumerate(about)
        ],
    )


def _cell(got: Got) -> Cell:
    if got.score == 1:
        return 1
    told = False if got.failed else got.answer
    return [got.score, told] if got.score else told


def _parse_got(cell: Cell) -> Got:
    match cell:
        case bool():
            return Got(0.0, failed=True)
        case [float() | int() as score, told] if math.isfinite(score) and 0 <= score <= 1:
            return _parse_got(told)._replace(score=float(score))
        case 1:
            return Got(1.0)
        case str() | None:
            return Got(0.0, cell)
    message = f"{cell!r} is no answer"
    raise ValueError(message)


_ROUNDED = 1e-5  # scores are kept to six digits


def outcomes(items: Sequence[Kept], scores: Mapping[str, Sequence[float]], *, epochs: int) -> Outcomes:
    """Scores of candidates on the same items.

    Args:
        items: that were asked.
        scores: of each candidate by name, in the order of the items; means over an item's repeats.
        epochs: how often each was asked.
    """
    table = np.array([*scores.values()], dtype=np.float64)
    whole = table * epochs
    return Outcomes(
        candidates=tuple(scores),
        items=tuple(item.id for item in items),
        scores=table,
        clusters=clusters(pd.Series([item.group for item in items], dtype=object)),
        slices=tuple(item.slice for item in items),
        epochs=epochs,
        graded=bool((np.abs(whole - np.rint(whole)) > _ROUNDED * epochs).any()),
    )

"""The learning curve: strategies measured with 100, 300, 1,000 … labels of a suite, several draws of each.

The labels of a suite are those of train and dev together, and a size counts both, in the suite's own proportion:
whoever has 300 labels has 300, whatever a strategy chooses its settings on. Test stays as it is. Draws are nested: the
300 labels of a seed contain its 100.

Every number of labels and seed is an ordinary run in a folder of its own, so a curve that was killed or ended at its
budget resumes with the same command.
"""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from thirdlever.analysis import learning
from thirdlever.analysis.run import INFO, Run
from thirdlever.answers.judge import Judge
from thirdlever.charts import learning_curve as chart
from thirdlever.charts import style
from thirdlever.core import files, project
from thirdlever.core.arguments import pairs
from thirdlever.core.errors import BudgetError, ProviderError, RunError, SuiteError, ThirdleverError
from thirdlever.core.progress import note
from thirdlever.core.table import Column, Table
from thirdlever.core.text import counted, listed, usd
from thirdlever.decision.assumptions import assume
from thirdlever.models.base import BaseModel
from thirdlever.runner.runner import near_leaks_of, opened, run
from thirdlever.strategies.specs import Candidate, arguments, find, in_prompts, parse, parse_all
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Split, Suite, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from thirdlever.analysis.learning import LearningCurve
    from thirdlever.strategies.specs import StrategySpec
    from thirdlever.suites.suite import Item


_Number = TypeVar("_Number")
SIZES = ("100", "300", "1000")
SEEDS = (0, 1)
PROBE = 10  # a median does without the requests that a p95 needs, and a curve has many runs
ALL = "all"
_NAMED = 3  # runs that a message names
_NAME = "curve"  # of the files
_OF_POINTS = {  # columns of curve.csv, by field
    "labels": "labels",
    "draws": "draws",
    "accuracy": "accuracy",
    "low": "accuracy_ci95_low",
    "high": "accuracy_ci95_high",
    "latency_s": "latency_p50_s",
    "usd_per_1000": "cost_per_1k_usd",
    "setup_usd": "setup_usd",
    "setup_s": "setup_s",
    "used": "setup_labels",
}


# Labels that become known one after the other


@dataclass(frozen=True)
class Draws:
    """The order in which the labels of a suite become known, for one seed.

    Attributes:
        suite: all of it.
        seed: of the order and of the wrong labels.
        noise: share of the labels that are replaced by another one.
    """

    suite: Suite
    seed: int
    noise: float = 0.0

    def first(self, labels: int) -> Suite:
        """The suite with this number of labels, in train and dev together.

        Inputs without their labels stay available to a teacher, unless the suite has `unlabelled.jsonl`.

        Raises:
            SuiteError: train would not have each label, rightly given at least once.
        """
        of_train, of_dev = _shares(self.suite, labels)
        train, dev = (order[:size] for order, size in ((self._train, of_train), (self._dev, of_dev)))
        self._check(train, labels)
        known = {item.id for item in (*train, *dev)}
        rest = (item for split in (self.suite.train, self.suite.dev) for item in split if item.id not in known)
        return replace(
            self.suite,
            train=_in_file_order(self.suite.train, train),
            dev=_in_file_order(self.suite.dev, dev),
            unlabelled=self.suite.unlabelled or tuple(replace(item, target="") for item in rest),
        )

    def _check(self, train: Sequence[Item], labels: int) -> None:
        choices = {item.target for item in self.suite.train} if self.suite.answer.choices else set()
        every, number = len(choices), total(self.suite)
        if len(train) < max(every, 1):
            least = next(n for n in range(labels + 1, number + 1) if _shares(self.suite, n)[0] >= max(every, 1))
            what = f"each of {counted(every, 'label')} must be in train" if every else "train would be empty"
            message = f"--sizes: {labels:,} labelled examples are too few: {what}; give {least:,} or more"
            raise SuiteError(message)
        right = {item.id: item.target for item in self.suite.train}
        wrong = sum(item.target != right[item.id] for item in train)
        if wrong < (wanted := math.floor(self.noise * len(train) + 1e-9)):
            message = (
                f"--label-noise {self.noise:g}: with {labels:,} labelled examples, {wanted:,} of train must be wrong, "
                f"and only {wrong:,} can be, because each of {counted(every, 'label')} must be right once; "
                "give larger sizes or less noise"
            )
            raise SuiteError(message)

    @cached_property
    def _train(self) -> list[Item]:
        rng = random.Random(f"train {self.seed}")  # noqa: S311 - not a secret
        first, rest = _order(self.suite.train, rng, choices=bool(self.suite.answer.choices), each=True)
        return [*first, *self._mislabelled(rest, len(first), rng)]

    @cached_property
    def _dev(self) -> list[Item]:
        rng = random.Random(f"dev {self.seed}")  # noqa: S311 - not a secret
        _, order = _order(self.suite.dev, rng, choices=bool(self.suite.answer.choices), each=False)
        return [*self._mislabelled(order, 0, rng)]

    def _mislabelled(self, items: Sequence[Item], before: int, rng: random.Random) -> Iterator[Item]:
        """The items, of which the share that is due has another label, however many are taken."""
        wrong = 0
        for place, item in enumerate(items, start=before + 1):
            if wrong < math.floor(self.noise * place + 1e-9):
                wrong += 1
                others = [label for label in self.suite.answer.choices if label != item.target]
                yield replace(item, target=rng.choice(others))
            else:
                yield item


def total(suite: Suite) -> int:
    """Labels of train and dev together."""
    return len(suite.train) + len(suite.dev)


def _shares(suite: Suite, labels: int) -> tuple[int, int]:
    """How many of the labels are in train and in dev."""
    of_dev = math.floor(labels * len(suite.dev) / total(suite) + 0.5)
    return labels - of_dev, of_dev


def _order(split: Split, rng: random.Random, *, choices: bool, each: bool) -> tuple[list[Item], list[Item]]:
    """The items in random order, in which every beginning has each label in about its share.

    An item's place is drawn from its stratum: the j-th of c items of a label is at (j + u) / c, with a random u.

    Returns:
        One item of every label, if `each`; and the others.
    """
    by_label: defaultdict[str, list[Item]] = defaultdict(list)
    for item in rng.sample(split.items, len(split)):
        by_label[item.target if choices else ""].append(item)
    placed = [
        ((number + rng.random()) / len(items), number, item)
        for items in by_label.values()
        for number, item in enumerate(items)
    ]
    placed.sort(key=lambda one: one[0])
    ahead = each and choices
    first = [item for _, number, item in placed if ahead and not number]
    return first, [item for _, number, item in placed if number or not ahead]


def _in_file_order(split: Split, items: Sequence[Item]) -> Split:
    by_id = {item.id: item for item in items}
    return replace(split, items=tuple(by_id[item.id] for item in split if item.id in by_id))


# The runs of a curve


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of labels, one draw, one share of wrong labels: an ordinary run.

    Attributes:
        labels: of train and dev together.
        seed: of the draw; strategies with an argument `seed` get it too.
        noise: share of wrong labels.
        suite: with these labels only.
        lines: the line of each strategy, by its spec with the seed.
    """

    labels: int
    seed: int
    noise: float
    suite: Suite
    lines: Mapping[str, str]

    @property
    def folder(self) -> str:
        """Name of its folder."""
        noise = f"-noise{self.noise:g}" if self.noise else ""
        return f"n{self.labels}-s{self.seed}{noise}"


def cells(
    suite: Suite, strategies: Sequence[str], sizes: Sequence[int], seeds: Sequence[int], noises: Sequence[float]
) -> Iterator[Cell]:
    """All runs of a curve, the smallest first.

    With all labels, every seed draws the same: strategies without a seed of their own are measured once then.

    Raises:
        SuiteError: as `Draws.first`.
    """
    seen: set[tuple[str, str, str]] = set()
    draws = {(noise, seed): Draws(suite, seed, noise) for noise in noises for seed in seeds}
    names = {str(spec): spec for spec in strategies}
    for labels in sizes:
        for (noise, seed), drawn in draws.items():
            smaller = drawn.first(labels)
            lines = {}
            for spec in names:
                given = seeded(spec, seed)
                key = (smaller.train.hash, smaller.dev.hash, given)
                if key not in seen:
                    seen.add(key)
                    lines[given] = str(parse(spec))
            if lines:
                yield Cell(labels=labels, seed=seed, noise=noise, suite=smaller, lines=lines)


def seeded(spec: str, seed: int) -> str:
    """A strategy with this seed, unless it has no such argument or the user set it: `lora:rank=8,seed=1`."""
    return " on ".join(_seeded(part, seed) for part in spec.split(" on "))


def _seeded(spec: str, seed: int) -> str:
    name, _, rest = spec.partition(":")
    own = arguments(find(name.strip())[0]).get("seed")
    if own is None or own.default == seed or "seed" in pairs(rest, name):
        return spec
    return f"{spec},seed={seed}" if rest else f"{spec}:seed={seed}"


@dataclass(frozen=True, kw_only=True)
class MeasuredCurve:
    """A curve, as far as it could be measured.

    Attributes:
        folder: with its runs, curve.json, curve.csv and the figure.
        found: what it says.
        ended: why it ended early; None if it is complete.
    """

    folder: Path
    found: LearningCurve
    ended: ThirdleverError | None


def curve(
    suite: str | Suite,
    strategies: Sequence[str],
    *,
    models: Sequence[str | BaseModel] = ("embedded",),
    sizes: Sequence[int | str] = SIZES,
    seeds: Sequence[int] = SEEDS,
    label_noise: Sequence[float] = (0.0,),
    limit: int | None = None,
    budget: float | None = None,
    out: str | Path | None = None,
    probe: int = PROBE,
    assumptions: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401 - of `run`
) -> MeasuredCurve:
    """Measure strategies with several numbers of labels, and write curve.json, curve.csv, curve.png and curve.svg.

    Args:
        suite: a suite, or the name of one under `evals/`.
        strategies: such as "lora:epochs=1". One that uses no labels is measured once.
        models: base models; each strategy runs on each of them.
        sizes: numbers of labels, of train and dev together; "all" for those that there are.
        seeds: of the draws.
        label_noise: shares of the labels that are wrong; 0 is the suite as it is.
        limit: number of test items, the same for every run; None for all.
        budget: in USD, for all runs together.
        out: the curve's folder, `results/curve-SUITE` by default. A folder that holds the same curve resumes it; more
            sizes, seeds, strategies and shares of wrong labels may be added.
        probe: number of items that each run times one by one.
        assumptions: such as `usd_per_label`, as `decide` takes them.
        options: as of `run`: constrain, max_unparsed, and the like.

    Raises:
        ThirdleverError: nothing was measured; with the cause and what to do about it.
    """
    from thirdlever.models import registry

    suite = find_suite(suite) if isinstance(suite, str) else check(suite)
    parse_all(strategies)
    near_leaks_of(suite, allowed=options.get("allow_near_leaks", False))  # before the small runs, which have fewer
    if isinstance(suite.answer, Judge):
        message = f"suite {suite.name!r}: its answers are judged by a model; curve takes suites that are graded without"
        raise RunError(message)
    numbers = _sizes(suite, sizes)
    _check_noise(suite, label_noise)
    asked = list(cells(suite, strategies, numbers, list(dict.fromkeys(seeds)), sorted(set(label_noise))))
    usd_per_label = _usd_per_label(suite, assumptions or {})
    folder = Path(out) if out else project.RESULTS / f"{_NAME}-{suite.name}"
    with opened(folder):
        bases = [model if isinstance(model, BaseModel) else registry.resolve(model) for model in models]
        of_run = {"limit": limit, "probe": probe, **options}
        info = {
            "status": "running",
            "suite": {"name": suite.name, "hash": suite.hash, "labels": total(suite), "test": len(suite.test)},
            "options": json.loads(json.dumps({**of_run, "models": [base.name for base in bases]}, default=str)),
            "strategies": list(dict.fromkeys(str(parse(spec)) for spec in strategies)),
            "runs": [cell.folder for cell in asked],
            "cells": _held(folder),
        }
        _check_folder(folder, info)
        work = _Work(folder, asked, bases, budget, of_run)
        ended = None
        try:
            for _ in work.measured():
                files.write(folder / learning.FILE, _json({**info, "cells": work.done}))
        except ThirdleverError as error:
            if not work.done:
                raise
            ended = error
        info |= {"cells": work.done, "status": "ended early" if ended else "complete"}
        files.write(folder / learning.FILE, _json(info))
        found = _written(folder, info, usd_per_label)
    return MeasuredCurve(folder=folder, found=found, ended=ended)


def numbers(text: str, kind: Callable[[str], _Number], example: str) -> list[_Number]:
    """Numbers between commas, as an option has them.

    Args:
        text: as typed.
        kind: int or float.
        example: the option, with a list that is one.

    Raises:
        RunError: one is no number.
    """
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a list of numbers; write it as in {example}"
        raise RunError(message) from None


def _sizes(suite: Suite, sizes: Sequence[int | str]) -> list[int]:
    most, found = total(suite), set()
    for size in sizes:
        text = str(size).strip().lower()
        if text != ALL and not (text.isdecimal() and int(text)):
            message = f"--sizes: {size!r} is not a number of labels; give numbers from 1 on, or {ALL}"
            raise RunError(message)
        number = most if text == ALL else int(text)
        if number > most:
            message = (
                f"--sizes: {number:,} is more than the {most:,} labels of train and dev; give at most that, or {ALL}"
            )
            raise RunError(message)
        found.add(number)
    if not found:
        message = f"--sizes: no number of labels is given; give several, such as {','.join(SIZES)}"
        raise RunError(message)
    return sorted(found)


def _check_noise(suite: Suite, shares: Sequence[float]) -> None:
    for share in shares:
        if not 0 <= share < 1:
            message = f"--label-noise {share:g} is not allowed; give a share from 0 to below 1, such as 0.2"
            raise RunError(message)
    if any(shares) and len(suite.answer.choices) < 2:  # noqa: PLR2004 - another label
        message = (
            f"--label-noise: the answers of suite {suite.name!r} are no labels that could be exchanged; leave it out"
        )
        raise RunError(message)


def _usd_per_label(suite: Suite, given: Mapping[str, str]) -> float | None:
    """The price of a label, if anyone states it: the default of 0 is for labels that exist already."""
    known = assume(suite.card, given)
    return known.usd_per_label if "usd_per_label" in known.sources else None


def _held(folder: Path) -> list[dict[str, Any]]:
    """What an earlier command measured."""
    if not (folder / learning.FILE).is_file():
        return []
    cells: list[dict[str, Any]] = learning.info(folder)["cells"]
    return cells


def _check_folder(folder: Path, info: Mapping[str, Any]) -> None:
    """Refuse a folder that holds another curve.

    Raises:
        RunError: with what differs.
    """
    if not (folder / learning.FILE).is_file():
        return
    held = learning.info(folder)
    differing = []
    if held["suite"] != info["suite"]:
        other = held["suite"]["name"] != info["suite"]["name"]
        differing.append(f"of suite {held['suite']['name']!r}" if other else "of other data")
    mine, theirs = info["options"], held["options"]
    changed = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    differing += [f"with {name}={theirs.get(name)}" for name in changed]
    left_out = [name for key in ("strategies", "runs") for name in held[key] if name not in info[key]]
    if left_out and not differing:
        more = [f"{len(left_out) - _NAMED} more"] if len(left_out) > _NAMED else []
        differing.append(f"with {listed([*left_out[:_NAMED], *more])}, which this command leaves out")
    if differing:
        message = f"{str(folder)!r} holds a curve {listed(differing)}; repeat its command, or give another --out"
        raise RunError(message)


class _Work:
    """Measures the runs of a curve one after the other.

    Attributes:
        done: for each run that is complete, its entry in curve.json.
    """

    def __init__(
        self,
        folder: Path,
        cells: Sequence[Cell],
        bases: Sequence[BaseModel],
        budget: float | None,
        options: Mapping[str, Any],
    ) -> None:
        self.done: list[dict[str, Any]] = []
        self._folder, self._bases, self._budget, self._options = folder, bases, budget, options
        # What was begun may have spent money, which is known once it is complete.
        self._cells = sorted(cells, key=lambda cell: not (folder / cell.folder).exists())
        self._without: set[str] = set()  # lines that use no labels, once that is known
        for cell in cells:
            self._look_at(cell)

    def measured(self) -> Iterator[None]:
        """Measure what is missing, and yield after each run.

        Raises:
            ThirdleverError: the budget is spent, a provider fails, or a strategy cannot be prepared.
        """
        for number, cell in enumerate(self._cells, start=1):
            specs = self._specs(cell)
            if not specs:
                continue
            wrong = f", {100 * cell.noise:g} % wrong" if cell.noise else ""
            note(f"{number} of {len(self._cells)}: {counted(cell.labels, 'label')}{wrong}, draw {cell.seed}")
            done = self._finished(cell, specs)
            if done is None:
                done = run(cell.suite, specs, models=self._bases, out=self._folder / cell.folder, **self._left(cell))
            self._require_complete(done)
            self._look_at(cell)
            about = {"run": cell.folder, "labels": cell.labels, "seed": cell.seed, "noise": cell.noise}
            self.done.append({**about, "lines": {name: line for name, line, _ in self._candidates(cell, done)}})
            yield

    def _left(self, cell: Cell) -> dict[str, Any]:
        """The options of a run, with what the others leave of the budget."""
        if self._budget is None:
            return {**self._options}
        spent = sum(self._spent(other) for other in self._cells if other.folder != cell.folder)
        if spent and spent >= self._budget:
            raise BudgetError(self._too_expensive())
        return {**self._options, "budget": self._budget - spent}

    def _spent(self, cell: Cell) -> float:
        found = self._run(cell)
        return (found.info.get("spent_usd") or 0.0) if found else 0.0

    def _run(self, cell: Cell) -> Run | None:
        """The run of a cell, if it ended."""
        folder = self._folder / cell.folder
        return Run(folder) if (folder / INFO).is_file() else None

    def _specs(self, cell: Cell) -> list[str]:
        """The strategies to measure: all that use labels; one that does not, where it was measured first."""
        found = self._run(cell)
        held = {line for _, line, _ in self._candidates(cell, found)} if found else set()
        named = {_line(line, None) for line in held}
        return [spec for spec, title in cell.lines.items() if title not in self._without or title in named]

    def _look_at(self, cell: Cell) -> None:
        """Learn from a run that ended which strategies use no labels."""
        if found := self._run(cell):
            self._without |= {
                _line(line, None) for _, line, about in self._candidates(cell, found) if not learning.uses_labels(about)
            }

    def _candidates(self, cell: Cell, found: Run) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Name, line and entry in run.json of every candidate of a run."""
        titles = {_key(one): title for spec, title in cell.lines.items() for one in _as_run(cell.suite, spec)}
        for about in found.info["candidates"]:
            title = titles.get(json.dumps([about["strategy"], about["args"]], sort_keys=True))
            if title is not None:
                several = len(self._bases) > 1 and about["model"]
                yield about["name"], _line(title, about["base"] if several else None), about

    def _finished(self, cell: Cell, specs: Sequence[str]) -> Run | None:
        """The run of a cell if it has every answer, and its cost if that matters."""
        found = self._run(cell)
        if found is None or found.info["status"] != "complete":
            return None
        if self._budget is not None and found.info["spent_usd"] is None:
            return None
        held = {about["identity"]: about for about in found.info["candidates"]}
        constrain = bool(self._options.get("constrain"))
        for spec in specs:
            for base in self._bases:
                asked = Candidate(_as_run(cell.suite, spec)[0], base, "")
                about = held.get(asked.identity(cell.suite, constrain=constrain))
                if about is None:
                    return None
                if about["model"] is None:  # measured once, not once per model
                    break
        return found

    def _require_complete(self, done: Run) -> None:
        """Raise what ended a run early, in words that fit the curve."""
        if done.info["status"] == "complete":
            return
        why = next((one["why"] for one in done.info["unfinished"] if one["why"]), None)
        if why is None:
            raise BudgetError(self._too_expensive())
        message = f"{why}; {self._so_far}; repeat the command with --out {self._folder}"
        raise ProviderError(message)

    @property
    def _so_far(self) -> str:
        return f"{len(self.done)} of {counted(len(self._cells), 'run')} measured"

    def _too_expensive(self) -> str:
        again = f"repeat the command with --out {self._folder} and a larger --budget"
        return f"the budget of {usd(self._budget)} is spent, with {self._so_far}; {again}"


def _line(title: str, model: str | None) -> str:
    """Name of a line; with None, that of its strategy alone."""
    return f"{title} @ {model}" if model else title.partition(" @ ")[0]


def _as_run(suite: Suite, spec: str) -> list[StrategySpec]:
    """A strategy as a run has it, in the suite's own prompt; and as one that calls no model."""
    [[found]] = in_prompts([parse(spec)], suite, None)
    return [found, *([found.plain] if found.plain else [])]


def _key(spec: StrategySpec) -> str:
    return json.dumps([spec.name, json.loads(json.dumps(dict(spec.args)))], sort_keys=True)


# What is written


def _written(folder: Path, info: Mapping[str, Any], usd_per_label: float | None) -> LearningCurve:
    """Analyse the curve and write its files, each whole or not at all."""
    found = learning.load(folder, usd_per_label=usd_per_label)
    files.write(folder / learning.FILE, _json({**info, "found": found.to_dict()}))
    files.write(folder / f"{_NAME}.csv", _csv(found).encode())
    style.save(chart.picture(found), folder)
    return found


def _json(info: Mapping[str, Any]) -> bytes:
    return (json.dumps(info, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _csv(found: LearningCurve) -> str:
    """One line for each strategy and number of labels, at full precision; unknown is an empty cell."""
    columns = [Column("strategy", "name"), Column("lever", "text"), *map(Column, ("label_noise", *_OF_POINTS.values()))]
    rows = [
        [
            line.name,
            line.lever,
            f"{line.noise:g}",
            *("" if (value := getattr(point, name)) is None else str(value) for name in _OF_POINTS),
        ]
        for line in found.lines
        for point in line.points
    ]
    return Table(columns, rows).csv()

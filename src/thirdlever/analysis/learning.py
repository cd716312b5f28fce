"""Learning curves: accuracy by number of labels, where one strategy overtakes another, and what more labels would buy.

A curve is measured with several draws of the labels. Its uncertainty has two sources: the test items, which all points
share, and the labels that happened to be drawn, with the seed of training. Both are in every interval.

- Bands: Wilson's interval at the effective number of items, of which the variance between draws is a part.
- Differences and fits: resampled items, the same for every point, plus a Student's t for the draws.
- Error against labels: the power law a·n^-b + c (Hestness et al., "Deep Learning Scaling is Predictable, Empirically",
  2017; Rosenfeld et al., ICLR 2020). That it does not hold for every curve: Viering and Loog, "The Shape of Learning
  Curves: A Review", IEEE TPAMI 45 (2023).
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from thirdlever.analysis import outcomes
from thirdlever.analysis.run import Run
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.usage import Bootstrap
from thirdlever.analysis.variance import components
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from thirdlever.strategies.contract import Lever

    Floats: TypeAlias = NDArray[np.float64]


FILE = "curve.json"
LEVERS: Sequence[Lever] = ("none", "prompt", "retrieval", "tuned")  # each takes more work than the one before it
MORE = 1_000  # labels whose gain is estimated
CONFIDENCE = 0.95
_STEPS = 16  # between two sizes, for the interpolation
_FITS = 200  # resamples to which the power law is fitted
_LEAST_SIZES = 3  # a law has three parameters
_MOST_B = 2.0  # exponents of real curves are below 1
_LEAST_VARIANCE = 1e-8
_DOUBT = 0.05  # a fit that is this unlikely does not describe the curve

Outcome: TypeAlias = Literal["within", "already", "not within"]


# What was measured


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelDraw:
    """A strategy measured with one draw of labels.

    Attributes:
        line: the curve it belongs to: the strategy as the user wrote it, and its model if there are several.
        strategy: name of the strategy's file.
        lever: what it pulls.
        noise: share of the labels that are wrong.
        labels: how many there are, of train and dev together; None if the strategy uses none.
        seed: of the draw.
        items: ids of the test items, sorted.
        scores: [items].
        clusters: [items]; items of one source share a number.
        latency_s: median of one request; None if unknown.
        usd_per_1000: cost of 1,000 requests; None if unknown.
        setup_usd: cost of preparing it, without labels; None if unknown.
        setup_s: wall time of preparing it.
        used: labels that it used.
    """

    line: str
    strategy: str
    lever: Lever
    noise: float
    labels: int | None
    seed: int
    items: Sequence[str]
    scores: Floats
    clusters: NDArray[np.int64]
    latency_s: float | None = None
    usd_per_1000: float | None = None
    setup_usd: float | None = None
    setup_s: float = 0.0
    used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A candidate of a curve that is not measured."""

    line: str
    labels: int
    seed: int
    noise: float
    why: str


def uses_labels(candidate: Mapping[str, Any]) -> bool:
    """Whether a candidate was given labels, by its entry in run.json."""
    return bool(candidate["setup"]["labels"] or candidate["given"] > candidate["documents"])


def info(folder: Path) -> dict[str, Any]:
    """curve.json: suite, options, runs, and what they say.

    Raises:
        RunError: the folder holds no curve.
    """
    path = folder / FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        message = f"{path} is missing; create it with `thirdlever curve SUITE --out {folder}`"
        raise RunError(message) from None
    except (OSError, ValueError) as error:
        message = f"{path} is damaged ({error}); remove it and repeat the curve's command with --out {folder}"
        raise RunError(message) from error
    return found


def load(folder: Path, *, usd_per_label: float | None = None) -> LearningCurve:
    """Analyse the runs of a curve's folder.

    Args:
        folder: of the curve.
        usd_per_label: price of a label; None if not stated.

    Raises:
        RunError: it holds no curve, or the runs have different test items.
    """
    about = info(folder)
    draws: list[LabelDraw] = []
    lost: list[Lost] = []
    for cell in about["cells"]:
        run = Run(folder / cell["run"])
        unmeasured = run.not_measured
        of = {"labels": cell["labels"], "noise": cell["noise"], "seed": cell["seed"]}
        lost += [
            Lost(line=line, why=unmeasured[name], **of) for name, line in cell["lines"].items() if name in unmeasured
        ]
        if len(unmeasured) < len(run.figures):
            draws += _of_run(run, cell)
    if len({tuple(draw.items) for draw in draws}) > 1:
        message = f"the runs in {str(folder)!r} have different test items; repeat the curve's command to complete them"
        raise RunError(message)
    suite = about["suite"]
    return analyse(draws, suite=suite["name"], available=suite["labels"], lost=lost, usd_per_label=usd_per_label)


def _of_run(run: Run, cell: Mapping[str, Any]) -> Iterator[LabelDraw]:
    found = outcomes.load(run)
    rate, share = run.info.get("device_usd_per_hour"), run.info.get("utilisation", 1.0)
    for name in found.candidates:
        if name not in cell["lines"]:
            continue
        figures = run.figures[name]
        usd = figures.usd(rate, share)
        yield LabelDraw(
            line=cell["lines"][name],
            strategy=figures.about["strategy"],
            lever=figures.lever,
            noise=cell["noise"],
            labels=cell["labels"] if uses_labels(figures.about) else None,
            seed=cell["seed"],
            items=found.items,
            scores=found.row(name),
            clusters=found.clusters,
            latency_s=figures.latency["latency_p50_s"],
            usd_per_1000=None if usd is None else 1000 * usd,
            setup_usd=figures.setup_usd(rate, share),
            setup_s=figures.about["setup"]["seconds"],
            used=figures.about["setup"]["labels"],
        )


# Results


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A strategy with one number of labels, over all draws.

    Attributes:
        labels: of train and dev together; 0 if the strategy uses none.
        draws: how many were measured.
        accuracy: mean score over draws and items.
        low: lower end of its interval, which includes items and draws.
        high: upper end.
        latency_s: median latency, averaged over draws; None if unknown.
        usd_per_1000: likewise, of 1,000 requests.
        setup_usd: likewise, of preparing it, without labels.
        setup_s: likewise, wall time.
        used: labels that it used, of those it had.
    """

    labels: int
    draws: int
    accuracy: float
    low: float
    high: float
    latency_s: float | None
    usd_per_1000: float | None
    setup_usd: float | None
    setup_s: float
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveLine:
    """A strategy's accuracy by number of labels.

    Attributes:
        name: of the line; without the noise.
        strategy: name of the strategy's file.
        lever: what it pulls.
        noise: share of the labels that are wrong.
        points: ascending by labels; one point with 0 labels if it uses none.
        draws_vary: whether the bands include the draw of labels: several draws were measured.
    """

    name: str
    strategy: str
    lever: Lever
    noise: float
    points: Sequence[CurvePoint]
    draws_vary: bool

    @property
    def flat(self) -> bool:
        """Whether it uses no labels."""
        return self.points[0].labels == 0

    @property
    def title(self) -> str:
        """The name for people, with the noise."""
        return f"{self.name}, {100 * self.noise:g} % wrong" if self.noise else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaking:
    """From how many labels on one line is ahead of another.

    Attributes:
        a: the line that overtakes.
        b: the other.
        first: the smallest number of labels at which both are measured.
        last: the largest.
        outcome: "already" ahead at the first, "within" the two, or "not within" them.
        labels: where a overtakes b for good; None unless within.
        low: lower end of its interval; None if a may be ahead at the first already.
        high: upper end; None if a may not overtake b at all.
        certain: whether the whole interval has the outcome "already" or "not within".
        share: of the resamples in which a is ahead at the last.
        difference: a's accuracy minus b's at the last.
        difference_low: lower end of its interval.
        difference_high: upper end.
    """

    a: str
    b: str
    first: int
    last: int
    outcome: Outcome
    labels: float | None
    low: float | None
    high: float | None
    certain: bool
    share: float
    difference: float
    difference_low: float
    difference_high: float

    @property
    def open(self) -> bool:
        """Whether the measurement cannot say if and where a overtakes b: the interval has no end."""
        return self.low is None and self.high is None and not self.certain


@dataclass(frozen=True, slots=True, kw_only=True)
class NextLabels:
    """What further labels would buy, by the power law.

    Attributes:
        line: the strategy.
        a: error(n) = a * n^-b + c, as are b and c; n in labels.
        b: exponent.
        c: error that no number of labels removes.
        sizes: numbers of labels it was fitted to.
        last: the largest of them.
        more: further labels.
        gain: accuracy that they would add.
        gain_low: lower end of its interval.
        gain_high: upper end.
        p: probability of residuals this large if the law held, None for three sizes, which it always fits.
        available: further labels that the suite has, so that the gain can be measured.
    """

    line: str
    a: float
    b: float
    c: float
    sizes: int
    last: int
    more: int
    gain: float
    gain_low: float
    gain_high: float
    p: float | None
    available: int

    @property
    def fits(self) -> bool:
        """Whether the law describes the curve, as far as can be said."""
        return self.p is None or self.p >= _DOUBT


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """How many right labels are as good as a number of labels of which some are wrong.

    Attributes:
        line: the strategy.
        noise: share of wrong labels.
        noisy: number of labels with this noise.
        clean: the line without noise, which overtakes that accuracy.
    """

    line: str
    noise: float
    noisy: int
    clean: Overtaking


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """Everything that a curve says.

    Attributes:
        suite: name.
        items: number of test items.
        lines: the curves, best last accuracy first.
        overtakings: of the most laborious lever against all others, of lines with the same noise.
        gains: what further labels would buy, of lines with three sizes or more.
        worths: of noisy labels.
        lost: what is not measured.
        available: labels that the suite has, of train and dev together.
        usd_per_label: price of a label; None if not stated.
    """

    suite: str
    items: int
    lines: Sequence[CurveLine]
    overtakings: Sequence[Overtaking]
    gains: Sequence[NextLabels]
    worths: Sequence[Worth]
    lost: Sequence[Lost]
    available: int
    usd_per_label: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


# Two points of uncertainty


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of one line, or differences of two, by number of labels.

    Attributes:
        sizes: numbers of labels, ascending.
        scores: for each size, [draws, items].
    """

    sizes: Sequence[int]
    scores: Sequence[Floats]

    @cached_property
    def means(self) -> Floats:
        """[sizes]."""
        return np.array([scores.mean() for scores in self.scores])

    @cached_property
    def freedom(self) -> int:
        """Degrees of freedom of the variance between draws; 0 if it is unknown, because each size has one draw."""
        counts = [len(scores) - 1 for scores in self.scores]
        if self.scores[0].shape[1] == 1:  # of one item, draws and items cannot be told apart
            return 0
        power = sum(count > 0 for count in counts) > 1  # is estimated too
        return max(sum(counts) - power, min(sum(counts), 1))

    @cached_property
    def between(self) -> Floats:
        """Variance between draws at each size [sizes].

        Two or three draws say little about their variance, so all sizes are fitted together: it falls as a power of the
        labels, between not at all and with their square. By maximum likelihood of the mean squares between draws, whose
        expectation is n * variance + residual for n items (Searle, Casella and McCulloch 1992, section 4.7).
        """
        from scipy.optimize import minimize

        if not self.freedom:
            return np.zeros(len(self.sizes))
        several = [i for i, scores in enumerate(self.scores) if len(scores) > 1]
        items = self.scores[0].shape[1]
        squares = np.array([items * self.scores[i].mean(axis=1).var(ddof=1) for i in several])
        rest = np.array([components(self.scores[i])[2] for i in several]) + _LEAST_VARIANCE
        counts = np.array([len(self.scores[i]) - 1 for i in several])
        logs = np.log(np.array(self.sizes) / self.sizes[0])

        def unlikely(law: Floats) -> float:
            expected = items * np.exp(law[0] + law[1] * logs[several]) + rest
            return float(counts @ (np.log(expected) + squares / expected)) / 2

        whole = max(float(counts @ (squares - rest)) / float(counts.sum()) / items, _LEAST_VARIANCE)
        bounds = [(math.log(_LEAST_VARIANCE), 0.0), (-2.0 if len(several) > 1 else 0.0, 0.0)]
        starts = [(math.log(whole), power) for power in sorted({0.0, bounds[1][0]})]
        best = min((minimize(unlikely, start, bounds=bounds) for start in starts), key=lambda found: float(found.fun))
        fall: Floats = np.exp(float(best.x[0]) + float(best.x[1]) * logs)
        return fall

    @cached_property
    def of_means(self) -> Floats:
        """Variance of the mean over a size's draws that comes from the draws [sizes]."""
        variance: Floats = self.between / np.array([len(scores) for scores in self.scores])
        return variance

    def resampled(self, bootstrap: Bootstrap, items: Sequence[str], seed: int) -> Floats:
        """Means of each resample [resamples, sizes], with the uncertainty of items and draws.

        Args:
            bootstrap: the same for all tables, so that what all points find hard cancels out.
            items: ids.
            seed: of the draws' part.
        """
        import pandas as pd

        ids = pd.Series(list(items))
        drawn = [bootstrap.means(ids, scores.mean(axis=0)) for scores in self.scores]
        if any(one is None for one in drawn):  # a single source
            return np.repeat(self.means[None, :], 2, axis=0)
        means: Floats = np.stack([one for one in drawn if one is not None], axis=1)
        if self.freedom:
            rng = np.random.default_rng(seed)
            scale = np.sqrt(self.freedom / rng.chisquare(self.freedom, (len(means), 1)))
            means = means + rng.standard_normal(means.shape) * scale * np.sqrt(self.of_means)
        return means


def band(
    scores: Floats, clusters: NDArray[np.int64], between: float, freedom: int, *, graded: bool
) -> tuple[float, float]:
    """Interval of a mean score over draws and items: Wilson's at the effective number of items.

    Args:
        scores: [draws, items].
        clusters: [items].
        between: variance of the mean that comes from the draws.
        freedom: degrees of freedom of that variance.
        graded: whether scores other than 0 and 1 occur.
    """
    from scipy.stats import t

    mean, by_item = float(scores.mean()), scores.mean(axis=0)
    size = intervals.effective_size(by_item, clusters, requests=scores.size, graded=graded)
    if between and 0 < mean < 1:
        of_items = mean * (1 - mean) / size
        whole = of_items + between
        # Satterthwaite's degrees of freedom of a sum of two estimated variances.
        freely = whole**2 / (of_items**2 / max(len(set(clusters.tolist())) - 1, 1) + between**2 / freedom)
        bound = 0.5 + CONFIDENCE / 2
        size = mean * (1 - mean) / whole * float(NormalDist().inv_cdf(bound) / t.ppf(bound, freely)) ** 2
    return intervals.wilson(mean * size, size, CONFIDENCE)


# The analysis


class _Lines:
    """Measurements by line and size."""

    def __init__(self, draws: Sequence[LabelDraw]) -> None:
        import pandas as pd

        self.items = list(draws[0].items)
        self.clusters = draws[0].clusters
        self.graded = any(((one.scores != 0) & (one.scores != 1)).any() for one in draws)
        groups = [str(number) for number in self.clusters]
        self.bootstrap = Bootstrap(pd.DataFrame({"item_id": self.items, "group": groups}))
        found: defaultdict[tuple[str, float], defaultdict[int, dict[int, LabelDraw]]]
        found = defaultdict(lambda: defaultdict(dict))
        for draw in draws:
            found[draw.line, draw.noise][draw.labels or 0][draw.seed] = draw
        self.by_line = {key: dict(sorted(sizes.items())) for key, sizes in found.items()}

    def table(self, key: tuple[str, float]) -> ScoreTable:
        sizes = self.by_line[key]
        return ScoreTable([*sizes], [np.stack([one.scores for one in by_seed.values()]) for by_seed in sizes.values()])

    def differences(self, a: tuple[str, float], b: tuple[str, float], *, at: int | None = None) -> ScoreTable:
        """The scores of a minus those of b, draw by draw, at every size that both have.

        A line without labels, or with `at` set, has the same scores at every size; a size that has one draw is compared
        with all draws of the other.
        """
        sizes, tables = [], []
        other = self.by_line[b]
        for size, mine in self.by_line[a].items():
            theirs = other.get(size if at is None else at) or other.get(0)
            if theirs is None:
                continue
            common = [seed for seed in mine if seed in theirs]
            if len(mine) > 1 and len(theirs) > 1 and not common:
                continue
            if len(theirs) == 1:
                constant = next(iter(theirs.values())).scores
                rows = [one.scores - constant for one in mine.values()]
            elif len(mine) == 1:
                rows = [next(iter(mine.values())).scores - one.scores for one in theirs.values()]
            else:
                rows = [mine[seed].scores - theirs[seed].scores for seed in common]
            sizes.append(size)
            tables.append(np.stack(rows))
        return ScoreTable(sizes, tables)


def analyse(
    draws: Sequence[LabelDraw],
    *,
    suite: str = "",
    available: int = 0,
    lost: Sequence[Lost] = (),
    usd_per_label: float | None = None,
) -> LearningCurve:
    """All that the measurements say, offline.

    Args:
        draws: on the same test items.
        suite: its name.
        available: labels that it has.
        lost: what is not measured.
        usd_per_label: price of a label.
    """
    if not draws:
        return LearningCurve(
            suite=suite, items=0, lines=(), overtakings=(), gains=(), worths=(), lost=lost, available=available
        )
    known = _Lines(draws)
    lines = sorted((_line(known, key) for key in known.by_line), key=lambda one: -one.points[-1].accuracy)
    return LearningCurve(
        suite=suite,
        items=len(known.items),
        lines=lines,
        overtakings=[_overtaking(known, a, b) for a, b in _pairs(lines) if _comparable(known, a, b)],
        gains=[_gain(known, line, available) for line in lines if len(line.points) >= _LEAST_SIZES],
        worths=[*_worths(known, lines)],
        lost=lost,
        available=available,
        usd_per_label=usd_per_label,
    )


def _line(known: _Lines, key: tuple[str, float]) -> CurveLine:
    table = known.table(key)
    points = []
    for i, (size, by_seed) in enumerate(known.by_line[key].items()):
        scores, measured = table.scores[i], [*by_seed.values()]
        low, high = band(scores, known.clusters, float(table.of_means[i]), table.freedom, graded=known.graded)
        points.append(
            CurvePoint(
                labels=size,
                draws=len(measured),
                accuracy=float(scores.mean()),
                low=low,
                high=high,
                latency_s=_mean([one.latency_s for one in measured]),
                usd_per_1000=_mean([one.usd_per_1000 for one in measured]),
                setup_usd=_mean([one.setup_usd for one in measured]),
                setup_s=fmean(one.setup_s for one in measured),
                used=round(fmean(one.used for one in measured)),
            )
        )
    return CurveLine(
        name=key[0],
        strategy=measured[0].strategy,
        lever=measured[0].lever,
        noise=key[1],
        points=points,
        draws_vary=table.freedom > 0,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known and len(known) == len(values) else None


# Where one overtakes another


def crossing(sizes: Sequence[int], differences: Floats) -> Floats:
    """Where differences become positive for good.

    Between two sizes, they are interpolated in the logarithm of the labels by a cubic that stays between its ends
    (Fritsch and Carlson, SIAM Journal on Numerical Analysis 17, 1980): a straight line would meet 0 too late, because
    learning curves flatten.

    Args:
        sizes: numbers of labels, ascending.
        differences: [rows, sizes].

    Returns:
        [rows]; -inf if positive from the first size on, inf if not positive at the last.

    >>> differences = np.array([[-0.1, 0.1], [0.1, 0.2], [0.1, -0.1]])
    >>> crossing([100, 10_000], differences).round().tolist()
    [1000.0, -inf, inf]
    """
    from scipy.interpolate import PchipInterpolator

    logs = np.log(sizes)
    if len(sizes) > 1:
        steps = [np.linspace(*ends, _STEPS, endpoint=False) for ends in itertools.pairwise(logs)]
        fine = np.concatenate([*steps, logs[-1:]])
        differences = PchipInterpolator(logs, differences, axis=1)(fine)
        logs = fine
    last = len(logs) - 1
    behind = differences <= 0
    place = np.where(behind.any(axis=1), last - behind[:, ::-1].argmax(axis=1), -1)  # the last at which it is
    found = np.where(place < 0, -np.inf, np.inf)
    within = np.flatnonzero((place >= 0) & (place < last))
    k = place[within]
    before, after = differences[within, k], differences[within, k + 1]
    found[within] = np.exp(logs[k] + (logs[k + 1] - logs[k]) * -before / (after - before))
    return found


def _pairs(lines: Sequence[CurveLine]) -> Iterator[tuple[CurveLine, CurveLine]]:
    """Lines of the most laborious lever, each with those of the others; of one noise."""
    highest = max(LEVERS.index(line.lever) for line in lines)
    for a in lines:
        if LEVERS.index(a.lever) == highest and not a.flat:
            yield from ((a, b) for b in lines if b.lever != a.lever and (b.flat or b.noise == a.noise))


def _comparable(known: _Lines, a: CurveLine, b: CurveLine) -> bool:
    return bool(known.differences((a.name, a.noise), (b.name, b.noise)).sizes)


def _overtaking(known: _Lines, a: CurveLine, b: CurveLine) -> Overtaking:
    table = known.differences((a.name, a.noise), (b.name, b.noise))
    return overtaking(table, a.title, b.title, known.bootstrap, known.items)


def overtaking(table: ScoreTable, a: str, b: str, bootstrap: Bootstrap, items: Sequence[str]) -> Overtaking:
    """Where a overtakes b.

    Args:
        table: a's scores minus b's.
        a: name.
        b: name.
        bootstrap: of the items.
        items: ids.
    """
    place = float(crossing(table.sizes, table.means[None, :])[0])
    resampled = table.resampled(bootstrap, items, seed=1)
    places = crossing(table.sizes, resampled)
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = map(float, np.quantile(places, ends, method="inverted_cdf"))
    last = resampled[:, -1]
    least, most = map(float, np.quantile(last, ends))
    return Overtaking(
        a=a,
        b=b,
        first=table.sizes[0],
        last=table.sizes[-1],
        outcome="already" if place == -math.inf else "not within" if place == math.inf else "within",
        labels=_finite(place),
        low=_finite(low),
        high=_finite(high),
        certain=low == high and not math.isfinite(low),
        share=float((last > 0).mean()),
        difference=float(table.means[-1]),
        difference_low=least,
        difference_high=most,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _worths(known: _Lines, lines: Sequence[CurveLine]) -> Iterator[Worth]:
    """For the most labels with noise, the number of right labels that are as good."""
    for noisy in lines:
        clean = (noisy.name, 0.0)
        if not noisy.noise or noisy.flat or clean not in known.by_line:
            continue
        most = noisy.points[-1].labels
        table = known.differences(clean, (noisy.name, noisy.noise), at=most)
        found = overtaking(table, noisy.name, noisy.title, known.bootstrap, known.items)
        yield Worth(line=noisy.name, noise=noisy.noise, noisy=most, clean=found)


# What more labels would buy


def fitted(
    sizes: Sequence[int], errors: Floats, spread: Floats, start: Sequence[float] | None = None
) -> tuple[float, float, float]:
    """Fit error(n) = a * n^-b + c, with a and c of at least 0 and b between 0 and 2.

    Args:
        sizes: numbers of labels.
        errors: [sizes].
        spread: [sizes]; standard errors, which weigh the points.
        start: where to begin, as returned before.

    Returns:
        a, b, c.
    """
    from scipy.optimize import curve_fit

    first = sizes[0]
    x = np.asarray(sizes, np.float64) / first  # of size 1 at the first, which keeps a and b apart

    def law(n: Floats, a: float, b: float, c: float) -> Floats:
        return a * n**-b + c

    def slope(n: Floats, a: float, b: float, _: float) -> Floats:
        power = n**-b
        return np.stack([power, -a * power * np.log(n), np.ones_like(n)], axis=1)

    begun = (max(float(errors[0]), 1e-3) * 0.8, 0.5, 0.2 * max(float(errors.min()), 1e-3))
    if start is not None:
        begun = (start[0] * first ** -start[1], start[1], start[2])
    most = ([0.0, 0.0, 0.0], [2.0, _MOST_B, 1.0])
    inside = np.clip(begun, np.array(most[0]) + 1e-9, np.array(most[1]) - 1e-9)
    tolerance = 1e-8 if start is None else 1e-4
    (a, b, c), _ = curve_fit(
        law,
        x,
        errors,
        p0=inside,
        sigma=spread,
        absolute_sigma=True,
        bounds=most,
        jac=slope,
        ftol=tolerance,
        xtol=tolerance,
        gtol=tolerance,
        maxfev=2000,
    )
    return float(a * first**b), float(b), float(c)


def _gain(known: _Lines, line: CurveLine, available: int) -> NextLabels:
    table = known.table((line.name, line.noise))
    return gain(table, line.title, known.bootstrap, known.items, available=available)


def gain(
    table: ScoreTable, name: str, bootstrap: Bootstrap, items: Sequence[str], *, available: int = 0, more: int = MORE
) -> NextLabels:
    """What further labels would buy a line, by the power law.

    Args:
        table: its scores, at three sizes or more.
        name: of the line.
        bootstrap: of the items.
        items: ids.
        available: labels that the suite has.
        more: further labels.
    """
    from scipy.stats import chi2

    errors, spread, last = 1 - table.means, _own_spread(table), table.sizes[-1]
    a, b, c = fitted(table.sizes, errors, spread)
    residuals = (errors - _error(a, b, c, np.asarray(table.sizes, np.float64))) / spread
    further = len(table.sizes) - _LEAST_SIZES
    drawn = table.resampled(bootstrap, items, seed=2)
    gains = []
    for row in drawn[:: max(1, len(drawn) // _FITS)]:
        law = fitted(table.sizes, np.clip(1 - row, 0, 1), spread, start=(a, b, c))
        gains.append(_gained(law, last, more))
    low, high = map(float, np.quantile(gains, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    return NextLabels(
        line=name,
        a=a,
        b=b,
        c=c,
        sizes=len(table.sizes),
        last=last,
        more=more,
        gain=_gained((a, b, c), last, more),
        gain_low=low,
        gain_high=high,
        p=float(chi2.sf(float(residuals @ residuals), further)) if further else None,
        available=max(available - last, 0),
    )


def _own_spread(table: ScoreTable) -> Floats:
    """Standard error of each size's mean without what all sizes share, the difficulty of the items [sizes]."""
    found = []
    for scores, between in zip(table.scores, table.of_means, strict=True):
        draws, items = scores.shape
        mean = float(scores.mean())
        rest = components(scores)[2] if min(scores.shape) > 1 else mean * (1 - mean)
        found.append(math.sqrt(between + max(rest, 0.25 / items) / (draws * items)))
    return np.array(found)


def _error(a: float, b: float, c: float, n: Floats) -> Floats:
    return a * n**-b + c


def _gained(law: tuple[float, float, float], last: int, more: int) -> float:
    before, after = _error(*law, np.array([last, last + more], np.float64))
    return float(before - after)

"""A run's figures: accuracy, latency and cost of every candidate, and the scorecards that show them as a table.

In a scorecard every column has its unit in its name. Unknown is a missing value in memory and in summary.csv, null in
JSON, and never 0. `accuracy_ci95` is a (low, high) tuple in memory, a pair in JSON, and two columns in CSV:
`accuracy_ci95_low` and `accuracy_ci95_high`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from thirdlever.analysis import retrieval
from thirdlever.analysis.parts import part_table
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.statuses import Tolerance, count, why_not
from thirdlever.analysis.usage import Bootstrap, numbers, preparing_usd, price_in, request_usd, retrieving_usd, total
from thirdlever.answers.answer import Label
from thirdlever.answers.kinds import restored
from thirdlever.catalog.prices import device_cost
from thirdlever.core.text import escape_csv
from thirdlever.evaluation.records import same_answer, statuses

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from thirdlever.analysis.grader import Grader
    from thirdlever.analysis.parts import PartTable
    from thirdlever.analysis.retrieval import RetrievalFigures
    from thirdlever.analysis.stats.intervals import Proportion
    from thirdlever.analysis.stats.judged import Powered
    from thirdlever.answers.answer import Answer
    from thirdlever.answers.reading import Status
    from thirdlever.catalog.prices import Price
    from thirdlever.strategies.contract import Lever


COLUMNS = (
    "candidate",
    "strategy",
    "model",
    "n",
    "accuracy",
    "accuracy_ci95",
    "macro_f1",
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_per_1k_usd",
    "setup_usd",
    "errors",
)
FURTHER = (
    "args",
    "requests",
    "accuracy_se",
    "sources",
    "unparseable",
    "refused",
    "cut_off",
    "accuracy_parsed",
    "measured",
    "not_measured",
    "reasoning_tokens",
    "timed",
    "latency_p50_low_s",
    "latency_p50_high_s",
    "latency_p95_low_s",
    "latency_p95_high_s",
    "cold_start_s",
    "ttft_p50_s",
    "retrieval_p50_s",
    "device_s_per_request",
    "price_source",
    "setup_labels",
    "setup_s",
    "setup_device_s",
    "setup_input_tokens",
    "setup_output_tokens",
    "tuned_examples",
    "tuned_epochs",
    "tuned_tokens",
    "tuned_bytes",
    "hosting_usd_per_hour",
    "prompt_tokens_saved",
    "lost_attempts",
    "base",
    "lever",
    "same_answer",
    "micro_f1",
    "accuracy_judged",
    "ungraded",
    "grading_usd",
    "measure",
    "imported",
    "cost_per_1k_uncached_usd",
    "embedding_p50_s",
    "search_p50_s",
    "ranking_p50_s",
    "model_p50_s",
    "retrieval_usd_per_1k",
    "setup_index_bytes",
    "retrieval_basis",
    "recall",
    "recall_low",
    "recall_high",
    "mrr",
    "ndcg",
    "context_precision",
    "answer_recall",
    "not_retrieved",
    "retrieved_wrong",
)
# Timed requests that a percentile needs: with fewer, its upper bound would be above the slowest one.
LEAST_TIMED = {95: 60, 99: 300}
TOKENS = ("input_tokens", "cached_tokens", "output_tokens")
TEXT = (
    "candidate",
    "strategy",
    "model",
    "args",
    "price_source",
    "not_measured",
    "base",
    "lever",
    "same_answer",
    "measure",
    "imported",
    "retrieval_basis",
)
COUNTS = (
    "n",
    "sources",
    "errors",
    "requests",
    "unparseable",
    "refused",
    "cut_off",
    "timed",
    "lost_attempts",
    "ungraded",
)
LOST = ("unparseable", "refused", "cut_off", "errors")  # counts of requests without an answer, which count as wrong
_PAIR = "accuracy_ci95"
# Figures need no texts but the answers: without the others, a million records are quickly divided by candidate.
_TEXTS = ("input", "completion", "reason")
_LEAST_YOUDEN = 0.05  # of a draw; one of a calibrated grader rarely is below


def figures(
    records: pd.DataFrame, info: Mapping[str, Any], *, part: str | None = None, confidence: float = 0.95
) -> dict[str, CandidateFigures]:
    """Accuracy, latency and cost of every candidate: the only place where they are computed.

    Accuracy, tokens and device time come from the accuracy pass; latencies from the serial probe, without its cold and
    failed requests.

    Args:
        records: of a run, one row per request.
        info: its run.json.
        part: a slice of the items; None for all.
        confidence: coverage of accuracy's interval.

    Returns:
        By name, in the order of run.json, then of the records.
    """
    records = records.drop(columns=[name for name in _TEXTS if name in records])
    from thirdlever.analysis.grader import Grader

    kind = restored((info.get("suite") or {}).get("answer"))
    judge = Grader.of(info)
    common = _Common(records[records["phase"] == "accuracy"], Tolerance.of(info), confidence, kind, judge)
    if part is not None:
        records = records[records["slice"] == part]
    rows = records.groupby("candidate", sort=False).indices
    known = {str(about["name"]): about for about in info.get("candidates", ())}
    found = {}
    for name in dict.fromkeys([*known, *map(str, rows)]):
        own = records.iloc[rows.get(name, [])]
        about = known.get(name) or {column: own[column].iloc[0] for column in ("strategy", "model")}
        price = price_in(info, about.get("model"))
        found[name] = CandidateFigures(
            name=name,
            about=about,
            asked=own[own["phase"] == "accuracy"],
            probe=own[own["phase"] == "latency"],
            price=price,
            base_price=price_in(info, about.get("base")) or price,
            grader_price=price_in(info, judge.model if judge else None),
            common=common,
        )
    return found


def lever(candidate: Mapping[str, Any], *, retrieves: bool) -> Lever:
    """The lever that a candidate pulls: as its deployment states it, or else by what it does.

    Args:
        candidate: its entry in run.json. Older releases wrote no `lever`.
        retrieves: whether its requests report retrieval time.
    """
    stated: Lever | None = candidate.get("lever")
    if stated is not None:
        return stated
    if candidate.get("tuning") is not None:
        return "tuned"
    if "model" in candidate and candidate["model"] is None:
        return "none"
    return "retrieval" if retrieves else "prompt"


@dataclass(frozen=True, eq=False)
class _Common:
    """What all candidates share: the answers of the accuracy pass, tolerated losses, the answer kind, the grader."""

    """What all candidates share: the answers of the accuracy pass and their kind, tolerated losses, the confidence."""

    answers: pd.DataFrame
    tolerance: Tolerance
    confidence: float
    kind: Answer | None
    grader: Grader | None

    @cached_property
    def not_measured(self) -> Mapping[str, str]:
        """Why candidates are not measured, by name; on all items, because a slice has few."""
        found = {str(name): why_not(own, self.tolerance) for name, own in self.answers.groupby("candidate")}
        judge = f"not measured: {self.grader.why_not}" if self.grader and self.grader.why_not else None
        return {name: known for name, why in found.items() if (known := why or judge)}

    @cached_property
    def graded(self) -> bool:
        """Whether the answer kind gives partial scores, or scores other than 0 and 1 occur."""
        score = self.answers["score"]
        return bool(getattr(self.kind, "partial", False)) or bool((score.notna() & ~score.isin([0.0, 1.0])).any())

    @cached_property
    def labels(self) -> bool:
        """Whether answers are labels: by their kind or, where it is unknown, because they are graded by equality."""
        return self.equality if self.kind is None else isinstance(self.kind, Label)

    @cached_property
    def equality(self) -> bool:
        """Whether answers are graded by equality."""
        equal = self.answers["prediction"] == self.answers["target"]
        return bool((equal == (self.answers["score"] == 1)).all())

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """The same resamples for every candidate."""
        return Bootstrap(self.answers)


class _Items(NamedTuple):
    """A candidate's items: ids, mean scores, shares of repeats with an answer, and sources [items]."""

    ids: pd.Series[Any]
    scores: NDArray[np.float64]
    judged: NDArray[np.float64]
    clusters: NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class CandidateFigures:
    """One candidate's figures, each computed when first read.

    Attributes:
        name: of the candidate.
        about: its entry in run.json.
        asked: its rows of the accuracy pass.
        probe: its rows of the latency probe.
        price: of its model's tokens; None if unknown.
        base_price: of the tokens of the model it was prepared from.
        grader_price: of the grader's tokens.
        common: what it shares with the others.
    """

    name: str
    about: Mapping[str, Any]
    asked: pd.DataFrame
    probe: pd.DataFrame
    price: Price | None
    base_price: Price | None
    grader_price: Price | None = None
    common: _Common

    @property
    def requests(self) -> int:
        """Requests in both phases."""
        return len(self.asked) + len(self.probe)

    @cached_property
    def statuses(self) -> Mapping[Status, int]:
        """How many requests of the accuracy pass have each status."""
        return count(self._statuses)

    @property
    def failed(self) -> int:
        """Requests of the accuracy pass that failed."""
        return self.statuses["failed"]

    @cached_property
    def not_measured(self) -> str | None:
        """Why its accuracy is no result, and the remedy; None if it is measured."""
        if self.asked.empty:
            return why_not(self.asked, self.common.tolerance)
        return self.common.not_measured.get(self.name)

    @property
    def broken(self) -> bool:
        """Whether the measurement failed, and not the model.

        Too many of its requests failed, were refused or were cut off. The engine on this machine gives room for every
        right answer: a model that is cut off there without having reasoned talked on.
        """
        counts = dict(self.statuses)
        talked = self.asked["device_s"].notna().any() and not (self.tokens.get("reasoning_tokens") or 0) > 0
        if talked:
            counts |= {"answered": counts["answered"] + counts["cut_off"], "cut_off": 0}
        return self.common.tolerance.broken(counts)

    @property
    def asks(self) -> bool:
        """Whether it asks a model."""
        return self.about.get("model") is not None

    @cached_property
    def retrieves(self) -> bool:
        """Whether its requests report retrieval time, or it is said to retrieve."""
        return bool(self.asked["retrieval_s"].notna().any()) or self.about.get("lever") == "retrieval"

    @cached_property
    def retrieval(self) -> RetrievalFigures | None:
        """What it found; None if it retrieves no documents, or the suite does not tell which are right."""
        return retrieval.figures(self.asked, confidence=self.common.confidence)

    @property
    def lever(self) -> Lever:
        """The lever it pulls."""
        return lever(self.about, retrieves=self.retrieves)

    @property
    def measure(self) -> Literal["accuracy", "score"]:
        """What its mean score is: the accuracy if every answer is right or wrong."""
        return "score" if self.common.graded else "accuracy"

    @property
    def accuracy(self) -> Proportion | None:
        """Its mean score, corrected for the errors of the grader if there is one; None if it is not measured."""
        if self.not_measured or self.common.grader is None or self.score is None:
            return None if self.not_measured else self.score
        import numpy as np

        from thirdlever.analysis import grader

        items = self._items
        if found := self._powered:
            labels = int((~np.isnan(self.common.grader.own(self._graded))).sum())
            return grader.powered_accuracy(found, items.clusters, labels=labels, confidence=self.common.confidence)
        return grader.accuracy(
            items.scores,
            items.judged,
            items.clusters,
            self.common.grader.calibration,
            requests=len(self._graded),
            graded=self.common.graded,
            confidence=self.common.confidence,
        )

    @cached_property
    def score(self) -> Proportion | None:
        """Mean score over items, requests without an answer 0, measured or not; None without records.

        A grader's verdicts are taken as they are; one that it did not give counts neither way.
        """
        if self._graded.empty:
            return None
        items = self._items
        return intervals.of_items(
            items.scores,
            items.clusters,
            requests=len(self._graded),
            graded=self.common.graded,
            confidence=self.common.confidence,
        )

    def grading_usd(self, usd_per_hour: float | None, utilisation: float) -> float | None:
        """Cost of the grader's requests about its answers: 0 without a grader, None if unknown."""
        grading = self.about.get("grading")
        return preparing_usd(grading, self.grader_price, usd_per_hour, utilisation) if grading else 0.0

    @cached_property
    def same_answer(self) -> str | None:
        """A clause if nearly all of its answers are the same, and few of the right ones are."""
        if "target" not in self.asked:  # of an early release
            return None
        answered = self.asked[self._statuses == "answered"]
        pairs = zip(answered["prediction"].tolist(), answered["target"].tolist(), strict=True)
        return same_answer(list(pairs)) if self.common.equality else None

    @cached_property
    def accuracy_parsed(self) -> float | None:
        """Mean score of the requests that were answered; None if none was."""
        answered = self._scores[self._statuses == "answered"]
        return float(answered.mean()) if len(answered) else None

    @cached_property
    def macro_f1(self) -> float | None:
        """Of labels and fields; None if it is not measured, and for answers without such parts."""
        if self.not_measured:
            return None
        if self.common.labels:
            return intervals.macro_f1(*self._answered) if self._predicted else None
        return self.parts.macro_f1 if self.parts else None

    @property
    def micro_f1(self) -> float | None:
        """Of sets of labels and of fields; None if it is not measured, and for others."""
        return self.parts.micro_f1 if self.parts and not self.not_measured and not self.common.labels else None

    @cached_property
    def parts(self) -> PartTable | None:
        """The figures of each label, field or rule; None for answers without such parts."""
        targets, predictions = self._answered
        pairs = list(zip(predictions, targets, strict=True)) if self._predicted else []
        return part_table(self.common.kind, pairs, labels=self.common.labels) if pairs else None

    @property
    def _predicted(self) -> bool:
        """Whether every answer is known: a file from elsewhere may have scores alone."""
        return not (self.asked["prediction"].isna() & (self._statuses == "answered")).any()

    @property
    def _answered(self) -> tuple[list[str], list[str | None]]:
        """The targets, and the predictions, None for a request without an answer."""
        predictions = [value if isinstance(value, str) else None for value in self.asked["prediction"].tolist()]
        return self.asked["target"].tolist(), predictions

    @cached_property
    def latency(self) -> Mapping[str, float | None]:
        """Columns of the scorecard, in seconds, from warm, answered requests of the probe.

        Results from elsewhere have no probe: of these, the times that the file gives. A percentile that has too few
        requests is unknown; the ends are those of 90 % intervals.
        """
        timed = self.asked if self.probe.empty and self.about.get("imported") else self.probe
        cold = timed["cold"].fillna(value=False).astype(bool)
        warm = timed[~cold & timed["error"].isna() & timed["latency_s"].notna()]
        measured = {"latency": (50, 95, 99), "ttft": (50,), "retrieval": (50,)}
        row: dict[str, float | None] = {
            f"{name}_p{q}_s": intervals.quantile(warm[f"{name}_s"].dropna().to_list(), q / 100)
            for name, percentiles in measured.items()
            for q in percentiles
        }
        row |= {f"latency_p{q}_s": None for q, least in LEAST_TIMED.items() if len(warm) < least}
        for q in (50, 95):
            ends = intervals.quantile_interval(warm["latency_s"].dropna().to_list(), q / 100)
            if ends is not None:
                row |= {f"latency_p{q}_low_s": ends[0], f"latency_p{q}_high_s": ends[1]}
        if self.asks and self.retrieves:
            row |= retrieval.parts_of_latency(warm)
        return row | {"timed": len(warm), "cold_start_s": timed.loc[cold, "latency_s"].max()}

    @cached_property
    def tokens(self) -> Mapping[str, float]:
        """Mean tokens and device seconds per answered request; NaN where unknown."""
        answered = self.asked[self.asked["error"].isna()]
        known = [name for name in (*TOKENS, "reasoning_tokens", "device_s") if name in answered]
        means = {name: answered[name].astype("float64").mean() for name in known}
        return means | {"device_s_per_request": means.pop("device_s")}

    @cached_property
    def amount(self) -> float | None:
        """Mean cost of the answered requests; None if nothing was answered or reported.

        In USD if the model's tokens have a price, request by request because long prompts can have a higher rate, with
        what providers charge for the retrieval; otherwise in seconds of the device.
        """
        import numpy as np

        known = self._amounts[~np.isnan(self._amounts)]
        return float(known.mean()) if len(known) else None

    def usd(self, usd_per_hour: float | None, utilisation: float) -> float | None:
        """Cost of one request; None if unknown."""
        if self.price or self.amount is None:
            return self.amount
        return total([device_cost(self.amount, usd_per_hour, utilisation), self.retrieval_usd])

    def uncached_usd(self) -> float | None:
        """What a request would cost if the provider's cache held nothing of it; None if no cache was used."""
        import numpy as np

        if not self.price or not self.tokens["cached_tokens"] > 0:
            return None
        priced = request_usd(self.asked, self.price, from_cache=False) + retrieving_usd(self.asked)
        usd = priced[~np.isnan(self._amounts)]
        return float(usd.mean()) if len(usd) else None

    def usd_draws(self, usd_per_hour: float | None, utilisation: float) -> NDArray[np.float64] | None:
        """Bootstrap means of the cost of one request [draws]; None if it is unknown, or with a single source."""
        if self.price or self.draws is None:
            return self.draws
        each = device_cost(1.0, usd_per_hour, utilisation)
        return None if each is None or self.retrieval_usd is None else self.draws * each + self.retrieval_usd

    def setup_usd(self, usd_per_hour: float | None, utilisation: float) -> float | None:
        """Cost of preparing it, without people's work and labels; None if unknown."""
        setup = self.about.get("setup")
        return setup and preparing_usd(setup, self.base_price, usd_per_hour, utilisation)

    @cached_property
    def draws(self) -> NDArray[np.float64] | None:
        """Bootstrap means of `amount` [draws]; None if it is None, or with a single source."""
        import numpy as np

        known = ~np.isnan(self._amounts)
        return self.common.bootstrap.means(self.asked["item_id"][known], self._amounts[known])

    @cached_property
    def accuracy_draws(self) -> NDArray[np.float64] | None:
        """Bootstrap means of the accuracy, from the same resamples, corrected as the accuracy is."""
        import numpy as np

        items, judge = self._items, self.common.grader

        def means(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
            return self.common.bootstrap.means(items.ids, values)

        if found := self._powered:
            return means(found.by_item)
        scores, judged = means(items.scores), means(items.judged)
        if judge is None or judge.why_not or scores is None or judged is None:
            return scores
        right, wrong = judge.calibration.draws(len(scores))
        with np.errstate(invalid="ignore"):
            return np.clip((scores - judged * wrong) / np.maximum(right - wrong, _LEAST_YOUDEN), 0, 1)

    @cached_property
    def _statuses(self) -> pd.Series[str]:
        return statuses(self.asked)

    @property
    def _scores(self) -> pd.Series[float]:
        return self.asked["score"].fillna(0.0).astype("float64")

    @cached_property
    def _graded(self) -> pd.DataFrame:
        """Its rows of the accuracy pass, without those on which the grader gave no verdict."""
        return self.asked[self._statuses != "ungraded"]

    @cached_property
    def _items(self) -> _Items:
        import numpy as np
        import pandas as pd

        rows = self._graded
        item, ids = pd.factorize(rows["item_id"])
        first = np.unique(item, return_index=True)[1]
        times = np.bincount(item)
        answered = (statuses(rows) == "answered").to_numpy(np.float64)
        return _Items(
            ids=pd.Series(ids),
            scores=np.bincount(item, weights=rows["score"].fillna(0.0).astype("float64")) / times,
            judged=np.bincount(item, weights=answered) / times,
            clusters=intervals.clusters(rows["group"].iloc[first]),
        )

    @cached_property
    def _powered(self) -> Powered | None:
        """Its prediction-powered accuracy; None if too few of its own answers are labelled."""
        judge = self.common.grader
        return judge.powered(self._graded, numbers(self._graded.fillna({"score": 0.0}), "score")) if judge else None

    @cached_property
    def _amounts(self) -> NDArray[np.float64]:
        """USD or device seconds of each request; NaN where it failed or did not report them."""
        import numpy as np

        if self.price:
            amounts = request_usd(self.asked, self.price) + retrieving_usd(self.asked)
        else:
            amounts = numbers(self.asked, "device_s")
        return np.where(self.asked["error"].notna(), np.nan, amounts)

    @property
    def retrieval_usd(self) -> float | None:
        """Mean of what providers charge for the retrieval of an answered request; None if unknown for one of them."""
        import numpy as np

        usd = retrieving_usd(self.asked)[self.asked["error"].isna()]
        return None if np.isnan(usd).any() else float(usd.mean()) if len(usd) else 0.0


def scorecards(known: Mapping[str, CandidateFigures], usd_per_hour: float | None, utilisation: float) -> pd.DataFrame:
    """One row per candidate, best accuracy first, not measured last; ties by cost (unknown last), then by latency.

    `cost_per_1k_usd` is the cost of the model: tokens at its price or, without one, device time at the given rate; and
    what providers charge for retrieval, such as the embedding of a query. It is unknown if one of them is.
    Device time is a request's share of its batch in the accuracy pass, as on a loaded server; that of the serial probe
    would be an idle server's. A candidate without a model costs its device time too. `setup_usd` is the cost of
    preparing at the same prices, without labels: `setup_labels` counts them, for the reader to price.
    `cost_per_1k_uncached_usd` is what the same requests cost at a provider whose cache holds nothing of them: too few
    requests an hour, or too many different prompts. `prompt_tokens_saved` is how many fewer tokens a tuned model is
    sent than the most accurate untuned model.

    Args:
        known: what `figures` returns.
        usd_per_hour: price of a device hour; None if unknown.
        utilisation: share of the device's hours in which it serves requests.

    Returns:
        `COLUMNS`, then `FURTHER`. Seconds, USD, tokens per request. Accuracy and macro-F1 of a candidate that is not
        measured are missing; without records it has n = 0.
    """
    import pandas as pd

    rows = _with_savings([_row(one, usd_per_hour, utilisation) for one in known.values()])
    return typed(pd.DataFrame(rows, columns=[*COLUMNS, *FURTHER])).sort_values(
        ["accuracy", "cost_per_1k_usd", "latency_p50_s", "candidate"],
        ascending=[False, True, True, True],
        na_position="last",
        ignore_index=True,
    )


def _row(one: CandidateFigures, usd_per_hour: float | None, utilisation: float) -> dict[str, Any]:
    accuracy, usd = one.accuracy, one.usd(usd_per_hour, utilisation)
    row: dict[str, Any] = {
        "candidate": one.name,
        "strategy": one.about["strategy"],
        "model": one.about.get("model") or None,
        "args": json.dumps(one.about.get("args") or {}, sort_keys=True),
        "n": one.score.n if one.score else 0,
        "sources": one.score.clusters if one.score else 0,
        "requests": len(one.asked),
        "errors": one.failed,
        "unparseable": one.statuses["unparsed"],
        "refused": one.statuses["refused"],
        "cut_off": one.statuses["cut_off"],
        "accuracy_parsed": one.accuracy_parsed,
        "measured": one.not_measured is None,
        "not_measured": one.not_measured,
        "lost_attempts": one.about.get("lost_attempts", 0),
        "same_answer": one.same_answer,
        "base": one.about.get("base") or one.about.get("model") if one.asks else None,
        "lever": one.lever,
        "ungraded": one.statuses["ungraded"],
        "accuracy_judged": one.score.value if one.common.grader and one.score else None,
        "grading_usd": one.grading_usd(usd_per_hour, utilisation),
        "accuracy_ci95": (accuracy.low, accuracy.high) if accuracy else None,
        "macro_f1": one.macro_f1,
        "micro_f1": one.micro_f1,
        "measure": one.measure,
        "imported": (one.about.get("imported") or {}).get("format"),
        "cost_per_1k_usd": None if usd is None else 1000 * usd,
        "cost_per_1k_uncached_usd": None if (uncached := one.uncached_usd()) is None else 1000 * uncached,
        "retrieval_usd_per_1k": one.retrieval_usd and 1000 * one.retrieval_usd,
        **one.latency,
        **one.tokens,
    }
    if accuracy:
        row |= {"accuracy": accuracy.value, "accuracy_se": accuracy.se}
    if one.price:
        row["price_source"] = one.price.origin
    elif usd is not None:
        row["price_source"] = f"device at ${usd_per_hour:g}/h, {utilisation:.0%} utilised"
    if setup := one.about.get("setup"):
        row |= {
            "setup_usd": one.setup_usd(usd_per_hour, utilisation),
            "setup_labels": setup["labels"],
            "setup_s": setup["seconds"],
            "setup_device_s": setup["device_seconds"],
            "setup_input_tokens": setup["input_tokens"],
            "setup_output_tokens": setup["output_tokens"],
        }
        row["setup_index_bytes"] = setup.get("index_bytes") or None  # earlier releases did not measure it
    if (found := one.retrieval) is not None:
        row |= _retrieval(found)
    if (tuning := one.about.get("tuning")) is not None:
        row |= {f"tuned_{name}": tuning[name] for name in ("examples", "epochs", "tokens", "bytes")}
        row["hosting_usd_per_hour"] = tuning["hosting_usd_per_hour"]
    return row


def _retrieval(found: RetrievalFigures) -> dict[str, Any]:
    row: dict[str, Any] = {
        "retrieval_basis": found.basis,
        "recall": found.found.value,
        "recall_low": found.found.low,
        "recall_high": found.found.high,
        "mrr": found.mrr.value,
        "ndcg": found.ndcg and found.ndcg.value,
        "context_precision": found.precision and found.precision.value,
        "answer_recall": found.answer_recall and found.answer_recall.value,
    }
    if (split := found.split) is not None:
        row |= {"not_retrieved": 1 - split.found, "retrieved_wrong": split.found_wrong}
    return row


def _with_savings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds the prompt tokens that tuned candidates save."""
    prompted = [row for row in rows if row["model"] and "tuned_examples" not in row and "accuracy" in row]
    if prompted:
        best = max(prompted, key=lambda row: row["accuracy"])
        for row in rows:
            if "tuned_examples" in row:
                row["prompt_tokens_saved"] = best["input_tokens"] - row["input_tokens"]
    return rows


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Figures as floats (missing where unknown), counts as integers, text as text."""
    floats = [name for name in frame.columns if name not in {*TEXT, *COUNTS, _PAIR, "measured"}]
    return frame.astype(dict.fromkeys(floats, "float64") | dict.fromkeys(COUNTS, "int64") | {"measured": "bool"})


def to_csv(summary: pd.DataFrame) -> str:
    """One line per candidate; the interval in two columns, unknown as an empty cell.

    To read it with pandas, pass `keep_default_na=False, na_values=[""]`, or a strategy named "null" reads as missing.
    """
    frame = summary.copy()
    place = list(frame.columns).index(_PAIR)
    pairs = [pair or (None, None) for pair in frame.pop(_PAIR)]
    for end, name in enumerate(("low", "high")):
        frame.insert(place + end, f"{_PAIR}_{name}", [pair[end] for pair in pairs])
    for name in TEXT:
        frame[name] = [escape_csv(cell) if isinstance(cell, str) else "" for cell in frame[name]]
    return frame.to_csv(index=False, lineterminator="\n")


def to_json(summary: pd.DataFrame) -> str:
    """A list of objects; unknown is null."""
    plain = [{name: _value(name, value) for name, value in row.items()} for row in rows(summary)]
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary per candidate."""
    return cast("list[dict[str, Any]]", summary.to_dict("records"))


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if name in COUNTS else value

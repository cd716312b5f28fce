"""A run's folder, read without a model, a key or a GPU, and what it would cost at other prices."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thirdlever.analysis.run_file import read_info, read_records
from thirdlever.analysis.usage import price_in
from thirdlever.catalog.price_lookup import price_of
from thirdlever.catalog.prices import Hour, Price, hour, in_batch, overlaid
from thirdlever.core import project
from thirdlever.core.errors import BudgetError, ProviderError, RunError, ThirdleverError, unknown
from thirdlever.core.progress import note
from thirdlever.core.text import usd
from thirdlever.models.base import BaseModel
from thirdlever.models.parameters import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.parts import By, PartTable
    from thirdlever.analysis.retrieval import RetrievalFigures
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.catalog.tuning import Profile, Rate


INFO = "run.json"
RECORDS = "records.parquet"
SUMMARY = "summary.csv"


@dataclass(frozen=True)
class Run:
    """A finished run. Every file is read once.

    Attributes:
        folder: contains its files.
    """

    folder: Path

    @cached_property
    def info(self) -> dict[str, Any]:
        """run.json: suite, candidates, prices, versions, hardware, options."""
        return read_info(self._file(INFO))

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per request."""
        from thirdlever.evaluation.records import COLUMNS

        return read_records(self._file(RECORDS), COLUMNS)

    @cached_property
    def figures(self) -> Mapping[str, CandidateFigures]:
        """Accuracy, latency and cost of every candidate, by name."""
        from thirdlever.analysis.scorecards import figures

        return figures(self.records, self.info)

    @cached_property
    def not_measured(self) -> Mapping[str, str]:
        """Why candidates are not measured, and the remedy, by name."""
        return {name: one.not_measured for name, one in self.figures.items() if one.not_measured}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The scorecards: the figures as a table, one row per candidate."""
        return self.summary_at()

    def summary_at(self, usd_per_hour: float | None = None, utilisation: float | None = None) -> pd.DataFrame:
        """The scorecards at another price of a device hour, or another utilisation; None keeps the run's."""
        from thirdlever.analysis.scorecards import scorecards

        rate = self.info.get("device_usd_per_hour") if usd_per_hour is None else usd_per_hour
        share = self.info.get("utilisation", 1.0) if utilisation is None else utilisation
        return scorecards(self.figures, rate, share)

    def parts(self, by: By) -> dict[str, PartTable]:
        """Figures of each label, field or rule of the answers, by measured candidate, the most accurate first.

        Raises:
            RunError: answers have no such parts, or no candidate is measured.
        """
        found = {name: table for name in self.summary["candidate"] if (table := self.figures[name].parts) is not None}
        if found and (known := next(iter(found.values())).by) != by:
            message = f"--by {by}: the answers of {str(self.folder)!r} are not counted by {by}; use --by {known}"
            raise RunError(message)
        measured = {name: table for name, table in found.items() if name not in self.not_measured}
        if not measured:
            why = "no candidate is measured" if found else "its answers are graded as a whole"
            message = f"--by {by}: {str(self.folder)!r} has no figures by {by}, because {why}; leave --by out"
            raise RunError(message)
        return measured

    def retrieval(self) -> dict[str, dict[str, RetrievalFigures]]:
        """Figures of what measured candidates retrieve, the most accurate first, by slice; "" is all items.

        Empty if none retrieves documents that are known to be right or wrong.
        """
        from thirdlever.analysis.scorecards import figures

        names = [
            name
            for name in self.summary["candidate"]
            if name not in self.not_measured and self.figures[name].retrieval is not None
        ]
        records = self.records
        slices = sorted(filter(None, records["slice"].dropna().unique())) if names else []
        by_slice = {"": self.figures} | {part: figures(records, self.info, part=part) for part in slices}
        return {
            name: {part: found for part, known in by_slice.items() if (found := known[name].retrieval) is not None}
            for name in names
        }

    def require_retrieval(self) -> dict[str, dict[str, RetrievalFigures]]:
        """The same.

        Raises:
            RunError: there are none.
        """
        if found := self.retrieval():
            return found
        message = (
            f"--by retrieval: no measured candidate of {str(self.folder)!r} retrieves documents that are known to hold "
            "the answer; give test items a column gold with the ids of such documents, then run rag:documents=N"
        )
        raise RunError(message)

    def require_complete(self) -> None:
        """Check that every candidate was measured.

        Raises:
            BudgetError: the budget was spent; what is missing.
            ProviderError: a provider failed every request.
        """
        unfinished = self.info.get("unfinished", ())
        if self.info.get("status", "complete") == "complete":
            return
        missing = ", ".join(f"{one['candidate']} has {one['answered']:,} of {one['requests']:,}" for one in unfinished)
        again = f"repeat the command with --out {self.folder}"
        if failed := next((one["why"] for one in unfinished if one["why"]), None):
            message = f"{failed}; answers so far: {missing}; {again}"
            raise ProviderError(message)
        spent, budget = self.info.get("spent_usd"), self.info.get("budget_usd")
        amount = "" if spent is None or budget is None else f" ({usd(spent)} of {usd(budget)}, with requests in flight)"
        message = f"the budget is spent{amount}; answers so far: {missing or 'not all'}; {again} and a larger --budget"
        raise BudgetError(message)

    def inputs(self, items: Collection[str] | None = None) -> dict[str, str]:
        """The text of each item, by item id.

        The records of older releases have no column `input`: then inspect's logs are read. An item is missing if
        neither has its text.

        Args:
            items: item ids; all by default.
        """
        records = self.records
        asked = records["item_id"].unique() if items is None else items
        found: dict[str, str] = {}
        if "input" in records:
            known = records[["item_id", "input"]].dropna().drop_duplicates("item_id")
            found = dict(known[known["item_id"].isin(list(asked))].itertuples(index=False, name=None))
        missing = {str(item) for item in asked} - found.keys()
        return found | self._logged(missing) if missing else found

    def _logged(self, items: set[str]) -> dict[str, str]:
        """The texts of items from the accuracy logs that can be read."""
        from thirdlever.evaluation import logs

        listed = [name for candidate in self.info.get("candidates", ()) for name in candidate.get("logs", ())]
        found: dict[str, str] = {}
        for path in (self.folder / "logs" / Path(name).name for name in listed if ".accuracy." in name):
            if missing := items - found.keys():
                with suppress(OSError, ValueError):
                    found |= {sample.item_id: sample.input for sample in logs.read(path, missing)}
        return found

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            message = f"{path} is missing: the run is not finished; repeat its command with --out {self.folder}"
            raise RunError(message)
        return path


def load(run: str | Path, *, max_failed: float | None = None, max_unparsed: float | None = None) -> Run:
    """Find a run.

    Args:
        run: its folder, its name under `results/`, or "latest".
        max_failed: tolerated share of failed, cut-off and refused requests; None for the run's own.
        max_unparsed: the same of unparsed answers.

    Raises:
        RunError: there is no such run.
    """
    found = _find(run)
    given = {"max_failed": max_failed, "max_unparsed": max_unparsed}
    if changed := {name: share for name, share in given.items() if share is not None}:
        vars(found)["info"] = found.info | changed
    return found


def _find(run: str | Path) -> Run:
    finished = {path.parent.name: path.parent for path in project.RESULTS.glob(f"*/{INFO}")}
    if run == "latest" and finished:
        newest = max(finished.values(), key=lambda folder: (folder / INFO).stat().st_mtime)
        note(f"latest: {newest}")  # a regression gate may have written a newer run than the one that was meant
        return Run(newest)
    shipped = project.roots()[-1] / project.RESULTS  # with the finished runs of the demo
    places = [Path(run), project.RESULTS / run, shipped / run]
    for folder in sorted(places, key=lambda place: not (place / INFO).is_file()):  # a run before any other folder
        if folder.is_dir():
            return Run(folder)
    raise RunError(unknown("run", str(run), finished) + "; create one with `thirdlever run SUITE`")


def without(run: Run, items: Collection[str]) -> Run:
    """The same run as if it had not asked these test items; its folder is unchanged."""
    records = run.records
    other = Run(run.folder)
    vars(other).update(info=run.info, records=records[~records["item_id"].isin(list(items))])
    return other


@dataclass(frozen=True, kw_only=True)
class Repriced:
    """A run at other prices.

    Attributes:
        run: the same records at the new prices; the folder is unchanged.
        prices: of tokens, by model; None if device time is paid instead, or the price is unknown.
        device: an hour of the device; None if no rate is stated.
        utilisation: share of the device's hours in which it serves requests.
    """

    run: Run
    prices: Mapping[str, Price | None]
    device: Hour | None
    utilisation: float


class _Terms(NamedTuple):
    """Who tunes a model, and at what price."""

    profile: Profile
    rate: Rate


def reprice(
    run: Run,
    *,
    model: str | None = None,
    device: str | None = None,
    utilisation: float | None = None,
    batch: bool = False,
) -> Repriced:
    """Apply other prices. What is not given comes from today's price lists, or else from the run.

    Args:
        run: a finished run, which is not changed.
        model: use this model's prices for every model in the run, and those of its tuned version for tuned candidates.
        device: USD per hour of the local models' device, or a GPU's name.
        utilisation: share of the device's hours in which it serves requests.
        batch: use the rates of batch APIs.

    Raises:
        ThirdleverError: the price of `model` is unknown, there is no such GPU, or the price overlay is malformed.
    """
    info: dict[str, Any] = dict(run.info)
    records = run.records
    if model:
        model = plain(model)
        terms = _tuning_terms(model)
        info["candidates"] = [_trained_as(terms, candidate) for candidate in info["candidates"]]
        records = _off_the_device(records, info["candidates"])
        prices = _prices_as(model, terms, info)
    else:
        prices = {name: _todays_price(name, info) for name in info["prices"]}
    if batch:
        prices = {name: price and in_batch(price) for name, price in prices.items()}
    stated = info.get("device_usd_per_hour")
    rate = Hour(usd=stated, source="as the run had it") if stated is not None else None
    if device is not None:
        rate = hour(device)
    info |= {
        "prices": {name: price and price.to_dict() for name, price in prices.items()},
        "device_usd_per_hour": rate.usd if rate else None,
        "utilisation": info.get("utilisation", 1.0) if utilisation is None else utilisation,
    }
    again = Run(run.folder)
    vars(again).update(info=info, records=records)
    return Repriced(run=again, prices=prices, device=rate, utilisation=info["utilisation"])


def _todays_price(model: str, info: Mapping[str, Any]) -> Price | None:
    """Today's price, or else the run's.

    A model without a price in the run is looked up in the user's overlay only: its name may be a private server's.
    """
    frozen = price_in(info, model)
    return overlaid(plain(model)) if frozen is None else price_of(BaseModel(model, plain(model))) or frozen


def _prices_as(model: str, terms: _Terms | None, info: Mapping[str, Any]) -> dict[str, Price | None]:
    """Another model's price for every model of the run; that of its tuned version for tuned ones.

    Raises:
        ThirdleverError: the model's price is unknown.
    """
    price = price_of(BaseModel(model, model))
    if price is None:
        message = f"--as {model}: its price is unknown; add it to prices.toml, with its source and date"
        raise ThirdleverError(message)
    tuned = terms.rate.price() if terms else None
    asked = {candidate.get("model"): candidate.get("tuning") is not None for candidate in info["candidates"]}
    prices: dict[str, Price | None] = dict.fromkeys(info["prices"], price)
    return prices | {name: tuned if was_tuned else price for name, was_tuned in asked.items() if name is not None}


def _tuning_terms(model: str) -> _Terms | None:
    """None if no known provider tunes the model, or its price for that is unknown."""
    from thirdlever.catalog.tuning import profiles, rate

    for profile in profiles().values():
        base = profile.base(model)
        if not profile.free and base != model and (found := rate(profile.name, base)):
            return _Terms(profile, found)
    return None


def _trained_as(terms: _Terms | None, candidate: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tuned candidate as if that provider had trained on its tokens; None is unknown."""
    tuning = candidate.get("tuning")
    if tuning is None:
        return candidate
    known = terms is not None and tuning["tokens"] is not None
    usd = terms.rate.estimate(tuning["tokens"]).usd if terms is not None and known else None
    hosting = {
        "where": terms.profile.title if terms else "",
        "hosting_usd_per_hour": terms.profile.idle_usd_per_hour if terms else None,
    }
    setup = {**candidate["setup"], "usd": usd, "device_seconds": 0.0}
    return {**candidate, "setup": setup, "tuning": {**tuning, **hosting}}


def _off_the_device(records: pd.DataFrame, candidates: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A hosted model uses no local device: without a price, its cost is unknown."""
    hosted = [candidate["name"] for candidate in candidates if candidate.get("model") is not None]
    return records.assign(device_s=records["device_s"].mask(records["candidate"].isin(hosted)))

"""A run's folder, read without a model, a key or a GPU."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import BudgetError, ProviderError, RunError, unknown
from thirdlever.core.progress import note
from thirdlever.core.text import usd

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd

    from thirdlever.analysis.scorecards import CandidateFigures


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
        path = self._file(INFO)
        try:
            info: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except ValueError as error:  # neither UTF-8 nor JSON
            message = f"{path} is damaged ({error}); repeat the run's command with --out {self.folder}"
            raise RunError(message) from error
        return info

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row per request."""
        import pandas as pd

        return pd.read_parquet(self._file(RECORDS))

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
    for folder in (Path(run), project.RESULTS / run):
        if folder.is_dir():
            return Run(folder)
    raise RunError(unknown("run", str(run), finished) + "; create one with `thirdlever run SUITE`")

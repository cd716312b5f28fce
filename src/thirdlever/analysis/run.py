"""A run on disk: a folder that explains itself, read without model, key or GPU."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import RunError, unknown
from thirdlever.core.progress import note

if TYPE_CHECKING:
    import pandas as pd

    from thirdlever.analysis.usage import Usage


INFO = "run.json"
RECORDS = "records.parquet"
SUMMARY = "summary.csv"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where its files are.
    """

    folder: Path

    @cached_property
    def info(self) -> dict[str, Any]:
        """run.json: suite, candidates, prices, versions, hardware, options."""
        path = self._file(INFO)
        try:
            info: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except ValueError as error:  # no UTF-8, or no JSON
            message = f"{path} is damaged ({error}); repeat the run's command with --out {self.folder}"
            raise RunError(message) from error
        return info

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row a request."""
        import pandas as pd

        return pd.read_parquet(self._file(RECORDS))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The scorecards: one row a candidate, made anew from the records."""
        from thirdlever.analysis.scorecards import scorecards

        return scorecards(self.records, self.info)

    @cached_property
    def usage(self) -> dict[str, Usage]:
        """What each candidate's requests used, made anew from the records."""
        from thirdlever.analysis.usage import usage

        return usage(self.records, self.info)

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            message = f"{path} is not there: the run is not finished; repeat its command with --out {self.folder}"
            raise RunError(message)
        return path


def load(run: str | Path) -> Run:
    """Find a run.

    Args:
        run: its folder, its name under `results/`, or "latest".

    Raises:
        RunError: there is no such run.
    """
    begun = {path.parent.name: path.parent for path in project.RESULTS.glob(f"*/{INFO}")}
    if run == "latest" and begun:
        newest = max(begun.values(), key=lambda folder: (folder / INFO).stat().st_mtime)
        note(f"latest: {newest}")  # a regression's run may have come after the one that was meant
        return Run(newest)
    for folder in (Path(run), project.RESULTS / run):
        if folder.is_dir():
            return Run(folder)
    raise RunError(unknown("run", str(run), begun) + "; `thirdlever run SUITE` makes one")

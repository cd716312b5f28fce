"""A run on disk: a folder that explains itself, read without model, key or GPU."""

from __future__ import annotations

import errno
import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from thirdlever.core import files, project
from thirdlever.core.errors import RunError, unknown
from thirdlever.core.progress import note
from thirdlever.evaluation.records import to_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.usage import Usage


INFO = "run.json"
RECORDS = "records.parquet"
SUMMARY = "summary.csv"

_LOCK = ".lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


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


def save(folder: Path, records: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> Run:
    """Write a run's files, each whole or not at all; run.json comes last and says that the others are there.

    Raises:
        OSError: the folder cannot be written.
    """
    from thirdlever.analysis import scorecards as export
    from thirdlever.report.charts import accuracy

    files.write(folder / RECORDS, to_parquet(records))
    written = Run(folder)
    vars(written)["info"] = dict(info)  # not on disk yet
    files.write(folder / SUMMARY, export.to_csv(written.summary).encode())
    accuracy.draw(written.summary, folder, suite=info["suite"]["name"], date=info["finished"][:10])
    files.write(folder / INFO, json.dumps(info, indent=2, ensure_ascii=False).encode())
    return written


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process alone; one that is made here and comes to nothing is not left behind.

    Raises:
        RunError: another process holds it, or it cannot be written (now, or at any time in the block).
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, blocking=False):
            yield
    except Timeout:
        message = f"{str(folder)!r} is in use by another run; wait for it to end or choose another --out"
        raise RunError(message) from None
    except OSError as error:
        if error.errno not in _FULL | _FORBIDDEN:
            raise
        what = f"cannot write {str(error.filename or folder)!r}: {(error.strerror or str(error)).lower()}"
        if error.errno in _FULL:
            message = f"{what}; free some space, then the same command with --out {folder} goes on"
        else:
            message = f"{what}; choose another --out"
        raise RunError(message) from error
    finally:
        for path in made:
            if path.is_dir() and {entry.name for entry in path.iterdir()} <= {_LOCK}:
                (path / _LOCK).unlink(missing_ok=True)
                path.rmdir()

"""A run's schema number: older runs are read as they are, later ones are refused in one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from helpers.pages import make_run

from thirdlever.analysis.run import INFO, Run
from thirdlever.analysis.run_file import SCHEMA
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path


def numbered(folder: Path, **about: object) -> Run:
    """A run whose run.json says this too."""
    make_run(folder, items=3, candidates=2, logs=False)
    info = json.loads((folder / INFO).read_text("utf-8"))
    info.pop("schema", None)
    (folder / INFO).write_text(json.dumps(info | about))
    return Run(folder)


def test_an_older_run_and_one_of_this_release_are_read(tmp_path: Path) -> None:
    assert "schema" not in numbered(tmp_path / "older").info
    assert numbered(tmp_path / "now", schema=SCHEMA).info["schema"] == SCHEMA


@pytest.mark.parametrize("schema", [SCHEMA + 1, "2", True, None])
def test_a_later_or_unknown_schema_is_refused(tmp_path: Path, schema: object) -> None:
    run = numbered(tmp_path, schema=schema, versions={"thirdlever": "9.1"})
    with pytest.raises(RunError, match=r"of thirdlever 9\.1; this release reads up to 1: upgrade"):
        _ = run.info

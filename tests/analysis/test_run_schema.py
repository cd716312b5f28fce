"""A run's schema number: older runs are read as they are, later ones are refused in one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from thirdlever.analysis.run import INFO, SCHEMA, Run
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("about", [{}, {"schema": SCHEMA}])
def test_an_older_run_and_one_of_this_release_are_read(tmp_path: Path, about: dict[str, Any]) -> None:
    (tmp_path / INFO).write_text(json.dumps({"status": "complete", **about}))
    assert Run(tmp_path).info["status"] == "complete"


@pytest.mark.parametrize("schema", [SCHEMA + 1, "2", True, None])
def test_a_later_or_unknown_schema_is_refused(tmp_path: Path, schema: object) -> None:
    (tmp_path / INFO).write_text(json.dumps({"schema": schema, "versions": {"thirdlever": "9.1"}}))
    with pytest.raises(RunError, match=r"of thirdlever 9\.1; this release reads up to 1: upgrade"):
        _ = Run(tmp_path).info


def test_a_run_json_without_an_object_is_damaged(tmp_path: Path) -> None:
    (tmp_path / INFO).write_text("[1]")
    with pytest.raises(RunError, match="it contains no JSON object"):
        _ = Run(tmp_path).info

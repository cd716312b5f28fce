"""Damaged files of a run: one sentence with the cause and the remedy, whichever value is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thirdlever.analysis.run import Run
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).parents[2] / "results/reference"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REFERENCE / "run.json").read_text("utf-8"))
    return found


def with_info(folder: Path, content: object) -> Run:
    (folder / "run.json").write_text(json.dumps(content), "utf-8")
    return Run(folder)


def test_the_files_of_a_release_are_read() -> None:
    run = Run(REFERENCE)
    assert run.info["suite"]["name"] == "tickets"
    assert len(run.records)


def test_keys_of_a_newer_release_are_kept(tmp_path: Path, info: dict[str, Any]) -> None:
    assert with_info(tmp_path, info | {"new": {"of": 1}}).info["new"] == {"of": 1}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("candidates", None, "invalid candidates None; expected a list"),
        ("candidates", [{"strategy": "s"}], "name"),
        ("suite", {"hash": "h"}, "name"),
        ("finished", "2026-13-45", "invalid finished '2026-13-45'; expected a time"),
        ("max_failed", 7, "invalid max_failed 7; expected a number of at most 1"),
        ("utilisation", float("nan"), "expected a finite number"),
        ("command", ["\ud800"], "surrogates"),
        ("prices", {"m": {"model": "m"}}, "input_per_m"),
    ],
)
def test_a_wrong_value_is_named_with_the_remedy(
    tmp_path: Path, info: dict[str, Any], key: str, value: object, said: str
) -> None:
    with pytest.raises(RunError) as caught:
        _ = with_info(tmp_path, info | {key: value}).info
    assert said in str(caught.value)
    assert f"--out {tmp_path}" in str(caught.value)


def test_a_file_of_a_newer_release_asks_for_an_upgrade(tmp_path: Path, info: dict[str, Any]) -> None:
    newer = info | {"candidates": {"by": "name"}, "versions": {"thirdlever": "99.0"}}
    with pytest.raises(RunError, match=r"thirdlever 99\.0 wrote it, and this is .*: upgrade with pip install -U"):
        _ = with_info(tmp_path, newer).info


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused(tmp_path: Path, info: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([*info]))
    run = with_info(tmp_path, info | {key: data.draw(JSON)})
    with suppress(RunError):
        assert run.info


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="group"), "column 'group' is missing"),
        (lambda frame: frame.assign(score="x"), "column 'score' does not hold numbers"),
        (lambda frame: frame.assign(item_id=1), "column 'item_id' does not hold text"),
        (lambda frame: frame.assign(score=2.0), "column 'score' has values out of range"),
        (lambda frame: frame.assign(latency_s=float("inf")), "column 'latency_s' has values out of range"),
        (lambda frame: frame.assign(phase="x"), "column 'phase' has the value 'x'"),
        (lambda frame: frame.assign(candidate=None), "column 'candidate' has missing values"),
        (lambda frame: pd.concat([frame, frame.head(1)]), "a request is there twice"),
    ],
)
def test_records_of_another_form_are_damaged(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    change(pd.read_parquet(REFERENCE / "records.parquet")).to_parquet(tmp_path / "records.parquet")
    with pytest.raises(RunError) as caught:
        _ = Run(tmp_path).records
    assert said in str(caught.value)
    assert f"--out {tmp_path}" in str(caught.value)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_records_with_a_flipped_bit_or_an_end_that_is_lost_are_read_or_refused(
    tmp_path: Path, at: float, bit: int, *, cut: bool
) -> None:
    content = bytearray((REFERENCE / "records.parquet").read_bytes())
    place = int(at * len(content))
    content[place] ^= 1 << bit
    (tmp_path / "records.parquet").write_bytes(content[:place] if cut else content)
    with suppress(RunError):
        assert len(Run(tmp_path).records)

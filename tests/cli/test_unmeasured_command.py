"""What the commands say, and exit with, when a candidate is not measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.lost import ITEMS, model, run, suite

from thirdlever.cli import main
from thirdlever.runner import runner

if TYPE_CHECKING:
    from helpers.lost import Way

    from thirdlever.testing import FakeModel

pytestmark = pytest.mark.usefixtures("fast_runs")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["thirdlever", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def answered_by(monkeypatch: pytest.MonkeyPatch, fake: FakeModel) -> None:
    """`thirdlever run example --model fake/model` asks this model."""
    from thirdlever.models import registry

    monkeypatch.setattr(runner, "find_suite", lambda *_: suite())
    monkeypatch.setattr(registry, "resolve", lambda _: fake)


@pytest.mark.parametrize(
    ("lost", "code", "said"),
    [
        (("failed", 3), 2, "error: zero_shot: not measured: 3 of 40 requests failed (maximum 5 %, --max-failed)"),
        (("no_room", 3), 2, "error: zero_shot: not measured: 3 of 40 answers were cut off (maximum 5 %, --max-failed)"),
        (("unparsed", 9), 0, "warning: zero_shot: not measured: 9 of 40 answers could not be parsed"),
        (("wrong", ITEMS), 0, ""),
    ],
)
def test_a_run_exits_with_2_if_its_measurement_is_broken(
    lost: tuple[Way, int],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answered_by(monkeypatch, model(first=[lost]))
    command = ("run", "example", "--strategy", "zero_shot", "--model", "fake/model", "--probe", "0", "--out", "out")
    assert call(monkeypatch, *command) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert ("not measured" in shown.err) == bool(said)
    assert {"run.json", "records.parquet", "summary.csv"} <= {path.name for path in Path("out").iterdir()}
    assert shown.out.rstrip().endswith("out")
    assert call(monkeypatch, *command, "--max-failed", "0.1", "--max-unparsed", "0.5") == 0


def test_later_commands_read_the_shares_and_can_change_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Path("out"), ["null", "few_shot:k=2", "zero_shot"], model(bare_first=[("no_room", 4)]))
    for command in ("show", "compare", "decide", "memo", "reprice"):
        assert call(monkeypatch, command, "out") == 0
        shown = capsys.readouterr().out
        assert command == "memo" or "zero_shot" in shown
        assert command == "memo" or "not measured: 4 of 40 answers were cut off" in " ".join(shown.split())
        assert call(monkeypatch, command, "out", "--max-failed", "0.1") == 0
        assert "not measured: 4 of 40" not in " ".join(capsys.readouterr().out.split())


def test_a_run_without_a_measured_candidate_is_no_basis_for_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Path("out"), ["zero_shot", "few_shot:k=2"], model(first=[("failed", ITEMS)]))
    capsys.readouterr()
    for command in (["compare", "out"], ["decide", "out"], ["memo", "out"], ["baseline", "set", "out"]):
        assert call(monkeypatch, *command) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert "not measured: 40 of 40 requests failed" in line
    assert not Path("results", "baselines").exists()


def test_baseline_set_names_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Path("out"), ["zero_shot", "few_shot:k=2"], model(bare_first=[("unparsed", 20)]))
    assert call(monkeypatch, "baseline", "set", "out") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("pinned few_shot(k=2) on 40 items")
    assert "left out: zero_shot: not measured: 20 of 40 answers could not be parsed" in shown
    stored = json.loads(Path("results/baselines/example.json").read_text("utf-8"))
    assert [one["name"] for one in stored["candidates"]] == ["few_shot(k=2)"]


def test_a_diff_with_an_unmeasured_run_has_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Path("old"), ["zero_shot"], model())
    run(Path("new"), ["zero_shot"], model(first=[("failed", 3)]))
    call(monkeypatch, "baseline", "set", "old")
    capsys.readouterr()
    call(monkeypatch, "baseline", "diff", "example", "new")
    assert capsys.readouterr().out.startswith("NOT-MEASURED: ")

"""The finished run of the demo that comes along: a new project has it, and README shows what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from thirdlever import load
from thirdlever.decision.verdict import decide_from
from thirdlever.suites.create import copy_starter

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(("name", "verdict"), [("reference", "GO"), ("reference-handbook", "NO-GO")])
def test_the_finished_demo_says_what_the_readme_shows(
    name: str, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy_starter()
    readme = README.read_text("utf-8")
    best = load(name).summary.iloc[0]
    low, high = best["accuracy_ci95"]
    assert f"**{100 * best['accuracy']:.1f}** [{100 * low:.1f}, {100 * high:.1f}]" in readme
    assert decide_from(name, ()).verdict == verdict
    assert f"**{verdict}**" in readme

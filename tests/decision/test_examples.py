"""Every file in docs/examples has the verdict and the sentence that docs/decision.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thirdlever.core.text import escape_markdown
from thirdlever.decision.verdict import read
from thirdlever.report.decision import headline, one_sentence

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.toml"))
ROW = re.compile(r"^\| \[([\w-]+)\]\(examples/\1\.toml\) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def row(path: Path) -> str:
    """The line of the table for a file."""
    figures = read(path)
    found = figures.decide({})
    said = escape_markdown(one_sentence(found).removeprefix("On given figures: "))
    return f"| [{path.stem}](examples/{path.name}) | {escape_markdown(figures.title)} | {found.verdict} | {said} |"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_decided_as_the_page_says(path: Path) -> None:
    lines = [line for line in (DOCS / "decision.md").read_text("utf-8").splitlines() if ROW.match(line)]
    assert row(path) in lines


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_headline_is_short_and_names_no_candidate(path: Path) -> None:
    found = read(path).decide({})
    said = headline(found)
    assert len(said.split()) <= 20, said
    assert not [name for name in found.standings if len(name) > 10 and name in said]


def test_the_page_lists_every_example() -> None:
    listed = [found[0] for found in ROW.findall((DOCS / "decision.md").read_text("utf-8"))]
    assert listed == [path.stem for path in EXAMPLES]
    assert len(listed) >= 20

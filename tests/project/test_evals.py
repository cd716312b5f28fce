"""Every file in evals/: its suite is fit to measure with, and its first lines say truly where it comes from."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from thirdlever.cli import main
from thirdlever.core.project import files
from thirdlever.runner import runner
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Leakage

if TYPE_CHECKING:
    from thirdlever import Suite

ROOT = Path(__file__).parents[2]
EVERY = sorted(path.stem for path in (ROOT / "evals").glob("[!_]*.py"))

pytestmark = pytest.mark.parametrize("name", EVERY)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project whose evals these are, wherever the tests are started."""
    monkeypatch.chdir(ROOT)


@cache  # tens of thousands of items, and nothing changes them
def load(name: str) -> Suite:
    return find_suite(name)


def docstring(name: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / "evals" / f"{name}.py").read_text("utf-8"))) or ""


def said(name: str, what: str) -> str:
    """What follows `what:` in the docstring, to the end of its line; "" when nothing does."""
    found = re.search(rf"^[ ]*{what}:[ ]*(.+)$", docstring(name), re.MULTILINE)
    return found[1].strip() if found else ""


def example(name: str) -> tuple[str, str]:
    """Input and target, on two lines, or in one as `thirdlever init` writes it: literals, cut short with "…"."""
    if line := said(name, "Example"):
        shown, target = (ast.literal_eval(part) for part in line.rsplit(" -> ", 1))
        return shown, target
    return said(name, "input"), said(name, "target")


# The suite


def test_it_loads_and_is_checked(name: str) -> None:
    assert load(name).name == name
    assert files("evals")[name] == ROOT / "evals" / f"{name}.py"


def test_nothing_of_its_test_split_is_anywhere_else(name: str) -> None:
    Leakage(load(name)).check_suite()


def test_it_holds_data_only_where_data_is_meant_to_be(name: str) -> None:
    """A Python file in datasets/ would hide the Hugging Face library of that name."""
    assert {path.suffix for path in (ROOT / "datasets" / load(name).card["name"]).iterdir()} <= {".jsonl", ".yaml"}


def test_its_instruction_is_one_paragraph_of_sentences(name: str) -> None:
    instruction = load(name).instruction
    assert re.fullmatch(r"[^\n]{20,}[.!?]", instruction)


# The docstring


def test_its_first_line_fits_a_list(name: str) -> None:
    assert 20 <= len(docstring(name).partition("\n")[0]) <= 105


def test_it_names_its_source(name: str) -> None:
    source = said(name, "Source")
    assert source
    paths = re.findall(r"\b(?:datasets|scripts)/[\w./-]*\w", source)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_its_licence_is_the_cards(name: str) -> None:
    assert said(name, "Licence").rstrip(".") == load(name).card["licence"]


def test_its_example_is_in_train_or_dev(name: str) -> None:
    suite, (shown, target) = load(name), example(name)
    begun = shown.removesuffix("…")
    found = [item for item in (*suite.train, *suite.dev) if item.input.startswith(begun) and item.target == target]
    assert any(item.input == shown or begun != shown for item in found)


def test_its_command_runs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(runner, "run", lambda suite, *_, **__: asked.append(suite))
    [command] = re.findall(r"^(?:Run:)? +thirdlever (run .+)$", docstring(name), re.MULTILINE)
    CliRunner().invoke(main.app, command.split())
    assert asked == [name]


# The card


def test_its_card_counts_truly(name: str) -> None:
    suite = load(name)
    counts = {split.name: len(split) for split in (suite.train, suite.dev, suite.test)}
    assert {name: suite.card["counts"][name] for name in counts} == counts


@pytest.mark.parametrize("key", ["name", "source", "licence", "monthly_volume"])
def test_its_card_says_what_a_decision_needs(name: str, key: str) -> None:
    assert load(name).card.get(key) not in (None, "", "unknown")  # a source may be a list: no set


def test_its_card_states_what_an_error_costs_or_that_it_is_unknown(name: str) -> None:
    cost = load(name).card["error_cost_usd"]
    assert cost is None or cost >= 0

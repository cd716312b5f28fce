"""The contract's example runs, and what is shipped keeps to the contract."""

from __future__ import annotations

import ast
import doctest
from pathlib import Path

import pytest

import thirdlever
from thirdlever.strategies import contract

STRATEGIES = sorted(Path(__file__).parents[2].glob("strategies/[!_]*.py"))


def test_the_example_in_the_contract_runs() -> None:
    assert doctest.testmod(contract, optionflags=doctest.ELLIPSIS) == doctest.TestResults(failed=0, attempted=6)


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_a_built_in_strategy_imports_from_the_root_only(path: Path) -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert [name for name in imported if str(name).startswith("thirdlever.")] == []


def test_every_public_name_exists_and_each_group_is_sorted() -> None:
    source = Path(thirdlever.__file__).read_text("utf-8").partition("__all__ = [")[2]
    groups = [
        [line.strip(' ",') for line in group.splitlines() if line.strip().startswith('"')]
        for group in source.split("    # ")[1:]
    ]
    assert [name for group in groups for name in group] == thirdlever.__all__
    assert groups == [sorted(group) for group in groups]
    assert len(groups) == 4
    assert all(hasattr(thirdlever, name) for name in thirdlever.__all__)

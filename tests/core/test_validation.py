"""Data from outside is accepted as it is typed, or refused in one sentence with the remedy."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.core.validation import Amount, FileModel, Share, read_toml, validated

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(FileModel):
    model: str
    usd: Amount
    share: Share | None = None
    as_of: dt.date | str = ""
    kind: Literal["list", "mirror"] = "list"
    sizes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(FileModel):
    row: list[Row] = field(default_factory=list)
    one: Row | None = None

    def __post_init__(self) -> None:
        if len({row.model for row in self.row}) < len(self.row):
            message = "a model is priced twice; keep one row"
            raise ValueError(message)


GOOD = {"model": "m", "usd": 1}


def refusal(data: object, model: Any = Table) -> str:  # noqa: ANN401 - any type that pydantic validates
    with pytest.raises(ThirdleverError) as caught:
        validated(model, data, "prices.toml")
    return str(caught.value)


def test_valid_data_become_the_dataclass() -> None:
    table = validated(Table, {"row": [{**GOOD, "as_of": dt.date(2026, 11, 1)}]}, "prices.toml")
    assert table.row == [Row(model="m", usd=1.0, as_of=dt.date(2026, 11, 1))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"usd": -1}, "invalid usd -1; expected a number of at least 0"),
        ({"usd": True}, "invalid usd True; expected a number"),
        ({"usd": "1"}, "invalid usd '1'; expected a number"),
        ({"usd": float("inf")}, "invalid usd inf; expected a finite number"),
        ({"share": 92}, "invalid share 92; expected a number of at most 1 (0.92 for 92 %)"),
        ({"as_of": 3}, "invalid as_of 3; expected a date without quotes, such as 2026-11-01"),
        ({"model": 3}, "invalid model 3; expected text in quotes"),
        ({"kind": "miror"}, "kind 'miror' not found; did you mean 'mirror'? Available: list, mirror"),
        ({"sizes": [1, "2"]}, "invalid sizes 2 '2'; expected a whole number"),
        ({"sizes": [1.5]}, "invalid sizes 1 1.5; expected a whole number"),
        ({"sise": 1}, "key 'sise' not found; did you mean 'sizes'? Available: as_of, kind, model, share, sizes, usd"),
    ],
)
@pytest.mark.parametrize("place", ["row", "one"])
def test_a_refusal_names_the_place_the_key_and_the_remedy(change: dict[str, Any], said: str, place: str) -> None:
    row = {**GOOD, **change}
    found = refusal({"row": [GOOD, row]} if place == "row" else {"one": row})
    start, _, rest = found.partition(": ")
    assert rest == said
    assert start == ("prices.toml, row 2" if place == "row" else "prices.toml, one")


def test_a_misspelt_key_is_reported_before_the_missing_one() -> None:
    assert "did you mean 'model'" in refusal({"row": [{"modle": "m", "usd": -1}]})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"row": [{"usd": 1}]}, "prices.toml, row 1: 'model' is missing; add it"),
        ({"row": GOOD}, "prices.toml: row is one table; expected a list: begin each table with a line [[row]]"),
        ({"row": [1]}, "prices.toml: invalid row 1 1; expected a table of keys and values"),
        ({"row": 1}, "prices.toml: invalid row 1; expected a list"),
        ({"rwo": 1}, "prices.toml: key 'rwo' not found; did you mean 'row'? Available: one, row"),
        ([1], "prices.toml: invalid content [1]; expected a table of keys and values"),
        ({"row": [GOOD, GOOD]}, "prices.toml: a model is priced twice; keep one row"),
    ],
)
def test_a_refusal_of_the_whole_file_says_what_to_write(data: object, said: str) -> None:
    assert refusal(data) == said


def test_a_pydantic_model_is_refused_in_the_same_words() -> None:
    class Body(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        seed: int

    assert "did you mean 'seed'" in refusal({"sead": 1}, Body)
    assert refusal({}, Body) == "prices.toml: 'seed' is missing; add it"


def test_what_is_expected_is_said_in_plain_words() -> None:
    expected = {int: "a whole number", float: "a number", bool: "true or false", dt.date: "a date such as 2026-11-01"}
    assert [refusal("x", kind).partition("expected ")[2] for kind in expected] == [*expected.values()]


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_toml(tmp_path / "none.toml", Table) == Table()


@pytest.mark.parametrize("content", [b"[[", b"# \xff"])
def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(RunError, match=r"x\.toml: .*; correct the file or remove it"):
        read_toml(tmp_path / "x.toml", Table, error=RunError)

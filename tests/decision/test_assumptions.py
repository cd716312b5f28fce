from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from thirdlever.core.errors import ThirdleverError
from thirdlever.decision.assumptions import Assumptions, about, assume


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Sources


def test_a_value_that_no_source_states_is_unknown() -> None:
    assumed = assume({}, {})
    unknown = {one.name for one in assumed.listed() if one.value is None}
    assert {"monthly_volume", "target_accuracy", "error_cost_usd", "maintainer", "stable"} <= unknown
    assert all(one.source == "" for one in assumed.listed() if one.value is None)


def test_every_default_states_its_source() -> None:
    defaults = [one for one in assume({}, {}).listed() if one.value is not None]
    assert {one.name for one in defaults} >= {"margin", "horizon_months", "engineering_usd"}
    assert all(one.source.startswith("default: ") and len(one.source) > 20 for one in defaults)


def test_given_values_override_the_card_and_the_card_overrides_the_run() -> None:
    card = {"monthly_volume": 3_000_000, "error_cost_usd": 0.01, "utilisation": 0.5}
    assumed = assume(card, {"monthly_volume": "50000"}, {"utilisation": 0.9, "device_usd_per_hour": 2})
    sources = {one.name: (one.value, one.source) for one in assumed.listed()}
    assert sources["monthly_volume"] == (50_000, "given")
    assert sources["error_cost_usd"] == (0.01, "card")
    assert sources["utilisation"] == (0.5, "card")
    assert sources["device_usd_per_hour"] == (2, "run")


def test_other_keys_of_the_card_are_ignored() -> None:
    assert assume({"title": "Bank transactions", "seed": 1}, {}) == Assumptions()


def test_an_empty_key_of_the_card_leaves_the_default() -> None:
    assert assume({"margin": None}, {}).margin == Assumptions().margin


def test_every_field_is_described() -> None:
    listed = Assumptions().listed()
    assert [one.name for one in listed] == [one.name for one in fields(Assumptions) if one.name != "sources"]
    assert all(one.meaning for one in listed)


# Input


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("monthly_volume", "3,000,000", 3_000_000),
        ("monthly_volume", "3e6", 3_000_000),
        ("error_cost_usd", "$0.02", 0.02),
        ("target_accuracy", "92%", 0.92),
        ("target_accuracy", " 0.92 ", 0.92),
        ("stable", "yes", True),
        ("behaviour", "False", False),
        ("maintainer", "the payments team", "the payments team"),
        ("usd_per_label", "unknown", None),
        ("device_usd_per_hour", "h200@nebius", 5.40),
    ],
)
def test_values_are_accepted_as_people_type_them(name: str, text: str, value: object) -> None:
    assert getattr(assume({}, {name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("monthly_volume", "lots"),
        ("monthly_volume", "-1"),
        ("monthly_volume", "nan"),
        ("monthly_volume", "inf"),
        ("target_accuracy", "92"),
        ("margin", "unknown"),
        ("horizon_months", "0"),
        ("utilisation", "0"),
        ("stable", "perhaps"),
        ("device_usd_per_hour", "h300"),
    ],
)
def test_an_invalid_value_is_refused_with_the_accepted_ones(name: str, text: str) -> None:
    with pytest.raises(ThirdleverError, match=r"expected|did you mean"):
        assume({}, {name: text})


def test_a_misspelt_name_gets_the_nearest_name_suggested() -> None:
    with pytest.raises(ThirdleverError, match="did you mean 'monthly_volume'"):
        assume({}, {"montly_volume": "1"})


@pytest.mark.parametrize("value", ["lots", True, [1], -3])
def test_an_invalid_value_in_the_card_names_the_card(value: Any) -> None:  # noqa: ANN401 - whatever YAML holds
    with pytest.raises(ThirdleverError, match="card: invalid monthly_volume "):
        assume({"monthly_volume": value}, {})


# Sensitivity


@pytest.mark.parametrize("name", [one.name for one in Assumptions().listed() if about(one.name).span])
def test_a_span_holds_only_values_that_are_accepted(name: str) -> None:
    for end in about(name).span:
        assert getattr(assume({}, {name: str(end)}), name) == end


# Documentation


def test_every_default_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "economics.md").read_text("utf-8")
    for one in Assumptions().listed():
        assert f"`{one.name}`" in text
        if isinstance(one.value, float):
            row = next(line for line in text.splitlines() if line.startswith(f"| `{one.name}`"))
            assert float(row.split("|")[2].replace(",", "")) == one.value

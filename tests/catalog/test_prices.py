from __future__ import annotations

import os
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from thirdlever.catalog.price_lookup import price_of
from thirdlever.catalog.prices import Price, Tier, device_cost
from thirdlever.core.errors import ThirdleverError
from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from pathlib import Path

ROW = """
[[price]]
model = "{model}"
input = 1.5
output = 6
source = "our contract"
as_of = 2026-11-01
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.endswith("_BASE_URL"):
            monkeypatch.delenv(name)

    def refuse(*_: object) -> None:
        pytest.fail("prices must not touch the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def hosted(name: str, **args: str) -> BaseModel:
    return BaseModel(name, name, args=args)


def rates(name: str, **args: str) -> tuple[float, float, float] | None:
    price = price_of(hosted(name, **args))
    return (price.input_per_m, price.cached_input_per_m, price.output_per_m) if price else None


# Prices in genai-prices, by inspect's names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-4o-mini", (0.15, 0.075, 0.6)),
        ("openai/gpt-4o-mini-2024-07-18", (0.15, 0.075, 0.6)),
        ("openai/azure/gpt-4o", (2.5, 1.25, 10)),
        ("azureai/gpt-4o", (2.5, 1.25, 10)),
        ("anthropic/claude-3-5-haiku-latest", (0.8, 0.08, 4)),
        ("bedrock/anthropic.claude-3-haiku-20240307-v1:0", (0.25, 0.25, 1.25)),
        ("google/gemini-2.5-flash", (0.3, 0.03, 2.5)),
        ("grok/grok-4", (3, 0.75, 15)),
        ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", (0.88, 0.88, 0.88)),
        ("openai-api/deepinfra/x", None),
        ("openai-api/groq/llama-3.1-8b-instant", (0.05, 0.05, 0.08)),
        ("openrouter/openai/gpt-4o-mini", (0.15, 0.075, 0.6)),
    ],
)
def test_a_hosted_model_has_the_price_in_genai_prices(name: str, expected: tuple[float, float, float] | None) -> None:
    assert rates(name) == expected


def test_a_price_from_genai_prices_states_its_source() -> None:
    price = price_of(hosted("openai/gpt-4o-mini"))
    assert price is not None
    assert price.model == "openai/gpt-4o-mini"
    assert price.source == f"genai-prices {version('genai-prices')}"
    assert price.as_of is None  # the list does not date its prices


# Never guessed


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-4o-mini-of-ours",
        "openai-api/my-openai-proxy/gpt-4o",  # contains "openai", is not it
        "ollama/llama3.1",
        "vllm/openai/gpt-oss-120b",
        "mockllm/model",
        "openai/whisper-1",  # priced, but not by tokens of text
        "none",
    ],
)
def test_a_model_without_a_stated_price_is_unknown(name: str) -> None:
    assert price_of(hosted(name)) is None


def test_a_local_model_is_not_priced_by_its_name() -> None:
    assert price_of(BaseModel("hf/gpt-4o-mini", "openai/gpt-4o-mini", local=True)) is None


def test_the_price_is_that_of_the_server_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates("openai/gpt-4o-mini", base_url="http://127.0.0.1:8000/v1") is None
    assert rates("openai-api/mine/llama-3.1-8b-instant", base_url="https://api.groq.com/openai/v1") == (
        0.05,
        0.05,
        0.08,
    )
    monkeypatch.setenv("MY_LAB_BASE_URL", "https://api.groq.com/openai/v1")
    assert rates("openai-api/my-lab/llama-3.1-8b-instant") == (0.05, 0.05, 0.08)


def test_list_prices_hold_behind_a_gateway_and_its_host_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = rates("openai/gpt-4o-mini")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret@gateway.example:8443/v1?key=hidden")
    assert rates("openai/gpt-4o-mini") == rates("openai/gpt-4o-mini") == listed
    assert rates("openai/llama-of-ours") is None
    assert capsys.readouterr().err == "prices are OpenAI's list prices; requests go to gateway.example\n"


# The user's own prices


def test_the_users_prices_come_first(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(ROW.format(model="openai/gpt-4o-mini"), "utf-8")
    price = price_of(hosted("openai/gpt-4o-mini"))
    assert price == Price("openai/gpt-4o-mini", 1.5, 1.5, 6.0, "our contract", "2026-11-01")


def test_a_local_model_can_be_given_a_rate(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(ROW.format(model="embedded"), "utf-8")
    price = price_of(BaseModel("embedded", "thirdlever/embedded", local=True))
    assert price is not None
    assert price.source == "our contract"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[price]]\nmodel = ", "prices.toml: "),
        (ROW.format(model="a").replace("source", "sauce"), "did you mean 'source'"),
        (ROW.format(model="a").replace("output = 6\n", ""), "'output' is missing"),
        (ROW.format(model="a").replace("1.5", "-1.5"), "expected a number of at least 0"),
        (ROW.format(model="a").replace("1.5", "true"), "invalid input True; expected a number"),
        (ROW.format(model="a").replace("1.5", "inf"), "expected a finite number"),
        (ROW.format(model="a") * 2, "priced twice"),
        ("[price]\nmodel = 'a'", r"begin each table with a line \[\[price\]\]"),
        ("price = [1]", "invalid price 1 1; expected a table"),
    ],
)
def test_a_malformed_file_is_refused_with_the_remedy(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "prices.toml").write_text(text, "utf-8")
    with pytest.raises(ThirdleverError, match=problem):
        price_of(hosted("a"))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_bytes(b"# \xff")
    with pytest.raises(ThirdleverError, match=r"prices\.toml"):
        price_of(hosted("a"))


# The cost of a request


def test_cached_tokens_are_part_of_the_input() -> None:
    price = Price("m", 2.0, 0.5, 8.0, "here", None)
    assert price.cost(1_000_000, 400_000, 100_000) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.1 * 8)
    assert price.cost(0, 0, 0) == 0.0


def test_a_long_prompt_costs_the_higher_rate_for_all_its_tokens() -> None:
    price = price_of(hosted("google/gemini-2.5-pro"))
    assert price is not None
    assert price.tiers == (Tier(200_000, 2.5, 0.25, 15.0),)
    assert price.cost(200_000, 0, 0) == pytest.approx(0.2 * 1.25)
    assert price.cost(200_001, 0, 1000) == pytest.approx(0.200001 * 2.5 + 0.001 * 15)


def test_a_price_survives_run_json() -> None:
    price = price_of(hosted("google/gemini-2.5-pro"))
    assert price is not None
    assert Price.from_dict(price.to_dict()) == price


def test_device_time_is_divided_by_the_utilisation() -> None:
    assert device_cost(36.0, 2.0, 0.5) == pytest.approx(0.04)
    assert device_cost(36.0, None, 0.5) is None
    assert device_cost(36.0, 0.0, 1.0) == 0.0


@pytest.mark.parametrize("utilisation", [0.0, -0.1, 1.1, float("nan")])
def test_a_utilisation_outside_its_range_is_refused(utilisation: float) -> None:
    with pytest.raises(ThirdleverError, match="utilisation"):
        device_cost(1.0, 1.0, utilisation)


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(ThirdleverError, match="USD per hour"):
        device_cost(1.0, -1.0, 1.0)

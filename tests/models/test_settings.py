"""Generation settings in a model's name, and what reaches the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from inspect_ai.model import ModelUsage

from thirdlever import Json, Label, Labels, Text
from thirdlever.catalog import price_lookup
from thirdlever.catalog.model_names import located
from thirdlever.catalog.price_lookup import price_of
from thirdlever.core.errors import ModelError, RunError
from thirdlever.models import registry
from thirdlever.models.base import HOSTED_CONNECTIONS, THINKING_ROOM, BaseModel, check_constrains, generate_config
from thirdlever.models.parameters import billed, canonical, plain, split
from thirdlever.runner.runner import run
from thirdlever.testing.loopback import Behaviour, LoopbackProvider, TokenPrices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever import Run

LABELS = Label(("food", "fuel"))
ITEMS = 6
OK = 200


# Names


@pytest.mark.parametrize(
    ("name", "model", "settings"),
    [
        ("openai/gpt-5.1", "openai/gpt-5.1", {}),
        ("openai/gpt-5.1:effort=low", "openai/gpt-5.1", {"effort": "low"}),
        ("openai/gpt-5.1: effort = low , max_tokens=300", "openai/gpt-5.1", {"effort": "low", "max_tokens": 300}),
        ("anthropic/claude-sonnet-4-6:thinking=2000", "anthropic/claude-sonnet-4-6", {"thinking": 2000}),
        ("ollama/llama3:8b", "ollama/llama3:8b", {}),
        ("ollama/llama3:8b:temperature=1", "ollama/llama3:8b", {"temperature": 1.0}),
        ("openai/ft:gpt-4.1-mini:acme::id:top_p=0.5", "openai/ft:gpt-4.1-mini:acme::id", {"top_p": 0.5}),
        ("bedrock/anthropic.claude-x-v1:0:verbosity=low", "bedrock/anthropic.claude-x-v1:0", {"verbosity": "low"}),
    ],
)
def test_only_the_last_part_of_a_name_holds_settings(name: str, model: str, settings: dict[str, Any]) -> None:
    found, read = split(name)
    assert (found, dict(read)) == (model, settings)
    assert plain(name) == model
    assert split(canonical(name)) == (found, read)


def test_settings_have_one_order_and_one_form() -> None:
    assert canonical("openai/x:temperature=1.0,effort=low") == "openai/x:effort=low,temperature=1"
    assert canonical("openai/x:effort=low,temperature=1") == "openai/x:effort=low,temperature=1"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("efort=low", "setting 'efort' not found; did you mean 'effort'?"),
        ("effort=lots", 'invalid effort=\'lots\'; expected "none", "minimal"'),
        ("max_tokens=many", "invalid max_tokens='many'; expected a whole number"),
        ("max_tokens=8", "max_tokens=8 is not allowed; give at least 16"),
        ("temperature=3", "temperature=3 is not allowed; give 0 to 2"),
        ("top_p=nan", "top_p=nan is not allowed; give 0 to 1"),
        ("thinking=2000,max_tokens=300", "max_tokens is the room for thinking and answer together"),
        ("effort=low,effort=high", "'effort=high' is given twice; write openai/x:key=value,key=value"),
        ("effort=low,high", "'high' is not an argument; write openai/x:key=value,key=value"),
        ("effort=low:top_p=1", "separate settings with commas"),
    ],
)
def test_a_wrong_setting_fails_with_one_sentence(settings: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        split(f"openai/x:{settings}")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("model 'openai/x:")
    assert "\n" not in str(caught.value)


def test_the_local_engine_takes_only_sampling_and_room() -> None:
    model = registry.resolve("embedded:temperature=1,max_tokens=40")
    assert (model.name, model.plain_name) == ("embedded:max_tokens=40,temperature=1", "embedded")
    assert model.revision == registry.resolve("embedded").revision
    with pytest.raises(ModelError, match="setting 'effort' not found; available: max_tokens, temperature, top_p"):
        registry.resolve("embedded:effort=low")


def test_prices_and_providers_are_those_of_the_plain_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    low, default = registry.resolve("openai/gpt-5.1:effort=low"), registry.resolve("openai/gpt-5.1")
    assert price_of(low) == price_of(default) is not None
    assert low.inspect_name == default.inspect_name
    assert located(low.name) == located(default.name) == ("openai", "gpt-5.1")


# Room


def hosted(name: str = "openai/x", **facts: Any) -> BaseModel:  # noqa: ANN401 - fields of a model
    found, settings = split(name)
    return BaseModel(name, found, settings=settings, reasons=True, **facts)


@pytest.mark.parametrize(
    ("model", "room"),
    [
        (hosted(), 15 + THINKING_ROOM),
        (hosted("openai/x:max_tokens=300"), 300),
        (hosted("anthropic/x:thinking=10000"), 15 + 10_000),
        (hosted(context_window=8192), 16),  # older than reasoning; the Responses API refuses less than 16
        (hosted(context_window=200_000, max_output=4000), 4000),
        (BaseModel("embedded", "thirdlever/embedded", local=True), 15),
        (BaseModel("hf/r1", "thirdlever/hf/r1", local=True, reasons=True), 15 + THINKING_ROOM),
    ],
)
def test_a_model_that_may_reason_has_room_for_it(model: BaseModel, room: int) -> None:
    assert model.completion_tokens(15) == room


def test_settings_reach_the_request() -> None:
    model = hosted("openai/x:effort=low,thinking=100,verbosity=high,max_tokens=300,temperature=1,top_p=0.5")
    config = generate_config(model, LABELS, seed=3)
    sent = (config.reasoning_effort, config.reasoning_tokens, config.verbosity, config.max_tokens)
    assert sent == ("low", 100, "high", 300)
    assert (config.temperature, config.top_p, config.seed) == (1.0, 0.5, 3)
    assert generate_config(model, LABELS, seed=3, temperature=0.7).temperature == 0.7
    assert generate_config(hosted(), LABELS, seed=3).reasoning_effort is None


def test_connections_are_stated_or_adapt() -> None:
    assert generate_config(hosted(), LABELS, seed=0).max_connections == HOSTED_CONNECTIONS
    assert generate_config(hosted(), LABELS, seed=0, max_connections=7).max_connections == 7
    assert generate_config(BaseModel("a", "thirdlever/a", local=True), LABELS, seed=0).max_connections == 512


# Structured output


def test_a_label_is_the_only_property_of_an_object() -> None:
    config = generate_config(hosted(), LABELS, seed=0, constrain=True)
    assert config.response_schema is not None
    schema = config.response_schema.json_schema.model_dump(exclude_none=True)
    assert schema["properties"] == {"category": {"type": "string", "enum": ["food", "fuel"]}}
    assert (schema["required"], schema["additionalProperties"]) == (["category"], False)


def test_an_object_has_the_keys_of_the_suite() -> None:
    config = generate_config(hosted(), Json(("intent", "id")), seed=0, constrain=True)
    assert config.response_schema is not None
    assert config.response_schema.json_schema.required == ["intent", "id"]


def test_a_nested_schema_reaches_a_provider_closed_and_without_references() -> None:
    line = {"type": "object", "properties": {"sku": {"const": "A"}, "note": {"type": "string"}}, "required": ["sku"]}
    stated = {"type": "object", "properties": {"lines": {"type": "array", "items": {"$ref": "#/$defs/L"}}}}
    answer = Json(schema=stated | {"required": ["lines"], "$defs": {"L": line}})
    config = generate_config(hosted(), answer, seed=0, constrain=True)
    assert config.response_schema is not None
    schema = config.response_schema.json_schema.model_dump(exclude_none=True)
    assert schema["properties"]["lines"]["items"] == {
        "type": "object",
        "properties": {"sku": {"enum": ["A"]}, "note": {"type": "string"}},
        "required": ["sku", "note"],
        "additionalProperties": False,
    }


def test_a_set_of_labels_is_the_only_list_of_an_object() -> None:
    config = generate_config(hosted(), Labels(("food", "fuel")), seed=0, constrain=True)
    assert config.response_schema is not None
    schema = config.response_schema.json_schema.model_dump(exclude_none=True)
    assert schema["properties"] == {
        "categories": {"type": "array", "items": {"type": "string", "enum": ["food", "fuel"]}}
    }


def test_servers_that_take_a_list_of_choices_get_one() -> None:
    model = BaseModel("vllm/m", "vllm/m")
    config = generate_config(model, LABELS, seed=0, constrain=True)
    assert config.extra_body == {"structured_outputs": {"choice": ["food", "fuel"]}}
    assert config.response_schema is None


@pytest.mark.parametrize(
    ("model", "answer", "sentence"),
    [
        ("openai/x", Text(), "the answers of kind Text are free text; leave --constrain out"),
        ("perplexity/x", LABELS, "'perplexity' takes no JSON schema, and every candidate must be restricted alike"),
        ("local-endpoint/x", Json(("a",)), "'local-endpoint' takes no JSON schema"),
    ],
)
def test_what_cannot_be_constrained_is_refused_before_anything_is_sent(
    model: str, answer: Label | Json | Text, sentence: str
) -> None:
    with pytest.raises(RunError, match=sentence):
        check_constrains(BaseModel(model, model), answer)


# Against a provider


def fuel(_: str) -> str:
    return "fuel"


GPT_5 = TokenPrices(input=1.25, output=10.0, cached=0.125)  # gpt-5's in genai-prices
MODELS = {
    "gpt-5": Behaviour(answer=fuel, reasoning_tokens=300, refuses_temperature=True, prices=GPT_5),
    "gpt-5.1": Behaviour(answer=fuel, reasoning_tokens=300, refuses_temperature=True, prices=GPT_5),
    "prod": Behaviour(answer=fuel, reasoning_tokens=50, refuses_temperature=True),
    "r1": Behaviour(answer=fuel, reasoning_tokens=100, think=True),
    "gpt-4o": Behaviour(answer=fuel),
    "claude-sonnet-4-6": Behaviour(answer=fuel, reasoning_tokens=1200, prices=TokenPrices(input=3.0, output=15.0)),
}


@pytest.fixture
def provider(project: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProvider]:  # noqa: ANN401, ARG001
    price_lookup._announce.cache_clear()  # noqa: SLF001 - it says a thing once a process
    with LoopbackProvider(MODELS) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def measure(*models: str, probe: int = 0, **options: Any) -> Run:  # noqa: ANN401 - options of `run`
    return run(make_suite(ITEMS), ["plain"], models=models, probe=probe, out="out", **options)


@pytest.mark.parametrize("model", ["openai/gpt-5", "openai/gpt-5.1:effort=low", "openai/gpt-5.1"])
def test_a_reasoning_model_answers_and_the_bill_is_the_providers(
    provider: LoopbackProvider, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    done = measure(model, budget=5.0)
    assert done.records["error"].isna().all()
    assert set(done.records["completion"]) == {"fuel"}
    assert (done.records["output_tokens"] > 300).all()  # the reasoning is part of it
    sent = [one.body for one in provider.requests.last if one.path == "/v1/responses" and one.status == OK]
    assert len(sent) == ITEMS  # and no request of inspect's own
    assert done.info["spent_usd"] == pytest.approx(provider.bill_usd, abs=1e-9)
    assert sent[-1]["max_output_tokens"] >= THINKING_ROOM
    assert sent[-1].get("reasoning") == ({"effort": "low"} if "effort" in model else None)
    assert done.records["model"].unique().tolist() == [model]
    shown = capsys.readouterr().err
    assert f"{model} takes no temperature: its answers vary, so repeats (--epochs) matter" in shown
    assert "prices are OpenAI's list prices; requests go to 127.0.0.1" in shown


def test_a_model_behind_an_alias_is_asked_again_without_temperature(
    provider: LoopbackProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    done = measure("openai-api/loopback/prod", max_connections=1)
    assert done.records["error"].isna().all()
    assert provider.requests.by_status == {400: 1, 200: ITEMS}
    assert capsys.readouterr().err.count("openai-api/loopback/prod takes no temperature") == 1


def test_a_temperature_that_the_user_set_is_never_left_out_silently(provider: LoopbackProvider) -> None:
    with pytest.raises(ModelError, match="does not take temperature; leave it out of the model's name"):
        measure("openai/gpt-5:temperature=0.5")
    assert provider.requests.by_status[200] <= ITEMS


def test_a_setting_that_the_provider_ignores_is_never_measured(provider: LoopbackProvider) -> None:  # noqa: ARG001
    with pytest.raises(ModelError, match="model 'openai/gpt-4o:effort=high' does not take effort"):
        measure("openai/gpt-4o:effort=high")


def test_a_model_that_thinks_aloud_has_room_to_end(provider: LoopbackProvider) -> None:  # noqa: ARG001
    records = measure("openai-api/loopback/r1").records
    assert records["completion"].str.endswith("fuel").all()
    assert (records["output_tokens"] > 100).all()
    assert set(records["stop_reason"]) == {"stop"}


def test_anthropics_thinking_is_counted_and_priced(provider: LoopbackProvider) -> None:
    pytest.importorskip("anthropic")
    done = measure("anthropic/claude-sonnet-4-6:thinking=2000", budget=5.0)
    assert done.records["error"].isna().all()
    assert (done.records["output_tokens"] > 1200).all()
    budgets = [one.body["thinking"]["budget_tokens"] for one in provider.requests.last if one.path == "/v1/messages"]
    assert budgets == [2000] * ITEMS
    assert done.info["spent_usd"] == pytest.approx(provider.bill_usd, abs=1e-9)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/gpt-5", "openai-api/loopback/gpt-4o"])
def test_a_constrained_answer_follows_the_schema(provider: LoopbackProvider, model: str) -> None:  # noqa: ARG001
    records = measure(model, constrain=True).records
    assert records["error"].isna().all()
    assert set(records["completion"].str.replace(" ", "")) == {'{"category":"fuel"}'}


@pytest.mark.parametrize(("output", "total", "counted"), [(30, 130, 30), (1, 130, 30)])
def test_reasoning_is_part_of_the_output_whatever_the_provider_reports(output: int, total: int, counted: int) -> None:
    used = ModelUsage(
        input_tokens=60, input_tokens_cache_read=40, output_tokens=output, reasoning_tokens=29, total_tokens=total
    )
    assert billed(used).output_tokens == counted


def test_two_settings_of_a_model_are_two_candidates(provider: LoopbackProvider) -> None:  # noqa: ARG001
    done = measure("openai/gpt-5.1:effort=low", "openai/gpt-5.1")
    assert set(done.summary["candidate"]) == {"plain @ openai/gpt-5.1:effort=low", "plain @ openai/gpt-5.1"}
    first, second = done.info["candidates"]
    assert first["identity"] != second["identity"]

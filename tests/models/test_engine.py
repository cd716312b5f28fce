"""The engine gives the answers of plain transformers, with every kind of sharing, caching and batching."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest
import torch
from helpers import tiny

from thirdlever.core.errors import ModelError
from thirdlever.models.engine import generate
from thirdlever.models.engine.engine import Engine
from thirdlever.models.engine.generate import Choices, Grammar, Request
from thirdlever.models.engine.weights import load

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.models.engine.engine import Completion
    from thirdlever.models.engine.weights import Weights

NEW = 8


def prompts(*lengths: int, shared: int = 0, seed: int = 0) -> list[tuple[int, ...]]:
    draw = random.Random(seed)
    prefix = [draw.randrange(3, tiny.VOCABULARY) for _ in range(shared)]
    return [(*prefix, *(draw.randrange(3, tiny.VOCABULARY) for _ in range(n))) for n in lengths]


def answers(engine: Engine, asked: list[tuple[int, ...]], new: int = NEW) -> list[Completion]:
    futures = [engine.submit(Request(tokens, new)) for tokens in asked]
    return [future.result(timeout=60) for future in futures]


def texts(folder: Path, asked: list[tuple[int, ...]], new: int = NEW) -> list[str]:
    made = (tiny.generate(folder, tokens, new) for tokens in asked)
    return [" ".join(f"w{token}" for token in tokens if token > 2) for tokens in made]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    weights = tiny.weights(tmp_path)
    return Engine(lambda: weights)


# Same answers as plain transformers


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_every_architecture_answers_as_transformers_does(tmp_path: Path, name: str) -> None:
    weights = tiny.weights(tmp_path, tiny.CONFIGS[name])
    asked = [*prompts(5, 9, 30, shared=60), *prompts(3, 50, seed=1)]
    got = answers(Engine(lambda: weights), asked)
    # Some tokenizer classes join words, some do not.
    assert [done.text.replace(" ", "") for done in got] == [text.replace(" ", "") for text in texts(tmp_path, asked)]


def test_a_prefix_is_cached_between_requests(engine: Engine, tmp_path: Path) -> None:
    asked = prompts(5, 9, 70, 4, shared=60)
    got = [answers(engine, [tokens])[0] for tokens in asked]
    assert [done.text for done in got] == texts(tmp_path, asked)
    assert [done.cached_tokens for done in got] == [0, 60, 60, 60]


def test_many_chunks_and_waves_change_no_answer(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "CHUNK", 64)
    monkeypatch.setattr("thirdlever.models.engine.engine._KV_BYTES", 40_000)
    asked = prompts(*range(3, 40), shared=35)
    assert [done.text for done in answers(engine, asked)] == texts(tmp_path, asked)


def test_several_prefixes_in_one_batch_change_no_answer(engine: Engine, tmp_path: Path) -> None:
    asked = [*prompts(4, 8, 12, shared=50, seed=1), *prompts(4, 8, shared=60, seed=2), *prompts(20, seed=3)]
    random.Random(0).shuffle(asked)
    assert [done.text for done in answers(engine, asked)] == texts(tmp_path, asked)


def test_a_repeated_prompt_in_a_batch_changes_no_answer(engine: Engine, tmp_path: Path) -> None:
    asked = prompts(50) * 3
    assert [done.text for done in answers(engine, asked)] == texts(tmp_path, asked)


def test_elementary_attention_agrees(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attention used on devices other than a CPU."""
    from thirdlever.models.engine import weights as engine_weights

    monkeypatch.setattr(engine_weights, "attend", engine_weights.attend_plainly)
    asked = [*prompts(5, 9, 30, shared=60), *prompts(3, 50, seed=1)]
    assert [done.text for done in answers(engine, asked)] == texts(tmp_path, asked)


@pytest.mark.parametrize("name", tiny.UNSUPPORTED)
def test_an_unsupported_attention_is_refused(tmp_path: Path, name: str) -> None:
    tiny.save(tmp_path, tiny.UNSUPPORTED[name])
    with pytest.raises(ModelError, match="serve it with vLLM"):
        load(str(tmp_path), dtype=torch.float32)


# Counts, times, reasons


def test_tokens_are_counted_exactly(tmp_path: Path) -> None:
    asked, weights, loading = prompts(5, 9, 30, shared=60), tiny.weights(tmp_path), threading.Event()

    def load_when_told() -> Weights:
        loading.wait(60)
        return weights

    engine = Engine(load_when_told)
    engine.submit(Request((3,), 1))  # keeps the worker busy so that the others form one batch
    futures = [engine.submit(Request(tokens, NEW)) for tokens in asked]
    loading.set()
    got = [future.result(timeout=60) for future in futures]
    assert [done.input_tokens for done in got] == [65, 69, 90]
    assert sorted(done.cached_tokens for done in got) == [0, 60, 60]
    assert all(1 <= done.output_tokens <= NEW for done in got)


def test_device_time_is_divided_among_requests(engine: Engine) -> None:
    import time

    answers(engine, prompts(5))
    start = time.perf_counter()
    got = answers(engine, prompts(5, 9, 30, shared=60, seed=5))
    assert 0 < sum(done.device_s for done in got) <= time.perf_counter() - start
    assert all(0 < done.ttft_s < 60 for done in got)


def test_an_answer_has_a_stop_reason(engine: Engine, tmp_path: Path) -> None:
    asked = prompts(*range(3, 60), seed=3)
    for tokens, done in zip(asked, answers(engine, asked, 40), strict=True):
        plain = tiny.generate(tmp_path, tokens, 40)
        assert done.stop_reason == ("stop" if plain[-1] == 2 else "max_tokens")
        assert done.output_tokens == len(plain)


def test_stop_texts_end_an_answer_and_are_not_part_of_it(engine: Engine, tmp_path: Path) -> None:
    (tokens,) = prompts(20)
    words = texts(tmp_path, [tokens])[0].split()
    done = engine.submit(Request(tokens, NEW, stop=(words[3],))).result(timeout=60)
    first = words.index(words[3])
    assert done.text.split() == words[:first]
    assert (done.stop_reason, done.output_tokens) == ("stop", first + 1)


def test_a_prompt_that_is_too_long_fails_alone(engine: Engine) -> None:
    long, short = prompts(510, 5)
    futures = [engine.submit(Request(tokens, NEW)) for tokens in (long, short)]
    with pytest.raises(
        ModelError, match="510 tokens and an answer of 8 exceed the model's context window of 512; use fewer"
    ):
        futures[0].result(timeout=60)
    assert futures[1].result(timeout=60).output_tokens


# Constrained and sampled answers


def test_constrained_answers_are_among_the_choices(engine: Engine) -> None:
    choices = Choices.of([[5, 6], [5, 7, 8], [9]], end=2)
    futures = [engine.submit(Request(tokens, NEW, choices=choices)) for tokens in prompts(*range(5, 40))]
    got = [future.result(timeout=60) for future in futures]
    assert {done.text for done in got} <= {"w5 w6", "w5 w7 w8", "w9"}
    assert {done.stop_reason for done in got} == {"stop"}


class Forcing:
    """A matcher of llguidance's form: after `free` tokens of the model's choice, `forced` must follow."""

    def __init__(self, free: int, forced: tuple[int, ...], seen: int = 0) -> None:
        self.free, self.forced, self.seen = free, forced, seen

    def deep_copy(self) -> Forcing:
        return Forcing(self.free, self.forced, self.seen)

    def compute_bitmask(self) -> bytes:
        return b"\xff" * tiny.VOCABULARY

    def compute_ff_tokens(self) -> list[int]:
        return list(self.forced) if self.seen == self.free else []

    def consume_token(self, _: int) -> None:
        self.seen += 1

    def consume_tokens(self, tokens: list[int]) -> None:
        self.seen += len(tokens)

    def is_stopped(self) -> bool:
        return False


def test_forced_tokens_are_read_as_if_the_model_had_chosen_them(engine: Engine) -> None:
    forced = (7, 5, 9, 11, 5)
    frees = (0, 1, 2, 4)
    asked = prompts(5, 30, 9, 40)
    requests = [
        Request(tokens, 14, grammar=Grammar(Forcing(free, forced), end=2))
        for tokens, free in zip(asked, frees, strict=True)
    ]
    got = [future.result(timeout=60).text for future in [engine.submit(request) for request in requests]]
    for tokens, free, text in zip(asked, frees, got, strict=True):
        begun = tuple(int(word[1:]) for word in text.split()[: free + len(forced)])
        assert begun[free:] == forced
        plain = answers(engine, [tokens], free)[0].text.split() if free else []
        rest = answers(engine, [(*tokens, *begun)], 14 - len(begun))[0].text.split()
        assert text.split() == [*plain, *(f"w{token}" for token in forced), *rest]


def test_forced_tokens_end_at_the_limit(engine: Engine) -> None:
    request = Request(prompts(9)[0], 4, grammar=Grammar(Forcing(1, (7,) * 20), end=2))
    done = engine.submit(request).result(timeout=60)
    assert (done.stop_reason, done.output_tokens) == ("max_tokens", 4)


def test_a_seeded_sample_is_independent_of_its_batch(engine: Engine) -> None:
    asked = prompts(5, 9, 30, shared=60)
    requests = [Request(tokens, NEW, temperature=1.0, seed=7) for tokens in asked]
    together = [future.result(timeout=60).text for future in [engine.submit(r) for r in requests]]
    alone = [engine.submit(r).result(timeout=60).text for r in requests]
    assert together == alone
    assert together != [done.text for done in answers(engine, asked)]


# Loading


def test_weights_load_at_the_first_request(tmp_path: Path) -> None:
    loaded = []

    def once() -> object:
        loaded.append(1)
        return tiny.weights(tmp_path)

    engine = Engine(once)  # type: ignore[arg-type]
    assert not loaded
    answers(engine, prompts(5, 6))
    answers(engine, prompts(5))
    assert loaded == [1]


def test_a_failure_to_load_reaches_the_caller() -> None:
    def fails() -> None:
        message = "no weights"
        raise ModelError(message)

    future = Engine(fails).submit(Request((5, 6), 2))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no weights"):
        future.result(timeout=60)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    tiny.save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load(str(tmp_path))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_engine_answers_on_a_gpu(tmp_path: Path) -> None:
    weights = tiny.weights(tmp_path)
    assert weights.model.device.type == "cuda"
    asked = [*prompts(5, 9, 30, shared=60), *prompts(3, 50, seed=1)]
    assert [done.text for done in answers(Engine(lambda: weights), asked)] == texts(tmp_path, asked)

"""Several adapters on one base: each request is answered as its adapter would answer it alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import peft
import pytest
import torch
import transformers
from helpers import tiny

from thirdlever.core.errors import ModelError
from thirdlever.models.engine import weights as engine_weights
from thirdlever.models.engine.engine import Engine
from thirdlever.models.engine.generate import Request

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.models.engine.weights import Weights

NEW = 8
PROMPT = tuple(5 + i % 50 for i in range(70))
ASKED = [(*PROMPT, last) for last in (7, 9, 11)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.save(tmp_path / "base")


def adapter(base: Path, folder: Path, seed: int, **options: Any) -> Path:  # noqa: ANN401 - peft's
    """A LoRA adapter that changes answers: both matrices random."""
    torch.manual_seed(seed)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(r=4, lora_alpha=16, target_modules="all-linear", init_lora_weights=False, **options)
    peft.get_peft_model(model, config).save_pretrained(str(folder))
    return folder


def alone(base: Path, folder: Path | None, tokens: tuple[int, ...]) -> str:
    """What peft's own model answers."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if folder is not None:
        model = peft.PeftModel.from_pretrained(model, str(folder))
    output = model.generate(
        input_ids=torch.tensor([tokens]),
        attention_mask=torch.ones(1, len(tokens)),
        max_new_tokens=NEW,
        do_sample=False,
    )
    return " ".join(f"w{int(token)}" for token in output[0, len(tokens) :] if token > 2)


def together(weights: Weights, asked: list[tuple[Path | None, tuple[int, ...]]]) -> list[str]:
    """All in one batch: the worker waits until every one has been asked."""
    ready = threading.Event()

    def load() -> Weights:
        ready.wait(60)
        return weights

    engine = Engine(load)
    futures = [engine.submit(Request(tokens, NEW, adapter=folder)) for folder, tokens in asked]
    ready.set()
    return [future.result(timeout=60).text for future in futures]


def test_two_adapters_and_the_base_share_one_batch(tmp_path: Path, base: Path) -> None:
    """A long common prefix, too: its keys and values differ by adapter."""
    one, two = (adapter(base, tmp_path / name, seed) for name, seed in (("one", 1), ("two", 2)))
    asked: list[tuple[Path | None, tuple[int, ...]]] = [
        (folder, tokens) for tokens in ASKED for folder in (None, one, two)
    ]
    expected = [alone(base, folder, tokens) for folder, tokens in asked]
    assert len(set(expected)) > len(ASKED)  # they do answer differently
    assert together(tiny.loaded(base), asked) == expected


def test_a_prefix_is_not_reused_under_another_adapter(tmp_path: Path, base: Path) -> None:
    one, two = (adapter(base, tmp_path / name, seed) for name, seed in (("one", 1), ("two", 2)))
    engine = Engine(lambda: tiny.loaded(base))
    for folder in (one, None, two, one):
        done = engine.submit(Request(ASKED[0], NEW, adapter=folder)).result(timeout=60)
        assert done.text == alone(base, folder, ASKED[0])
    assert done.cached_tokens == len(PROMPT)  # only the last came with an adapter that was there before


def test_memory_grows_by_the_adapters_only(tmp_path: Path, base: Path) -> None:
    weights = tiny.loaded(base)
    before = sum(p.numel() for p in weights.model.parameters())
    folders = [adapter(base, tmp_path / str(seed), seed) for seed in range(3)]
    together(weights, [(folder, ASKED[0]) for folder in folders])
    after = sum(p.numel() for p in weights.model.parameters())
    each = sum(t.numel() for t in peft.load_peft_weights(str(folders[0])).values())
    assert after - before == 3 * each


def test_the_least_recently_used_adapter_is_unloaded(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_weights, "_KEPT", 1)
    folders = [adapter(base, tmp_path / str(seed), seed) for seed in range(2)]
    weights = tiny.loaded(base)
    asked: list[tuple[Path | None, tuple[int, ...]]] = [(folder, ASKED[0]) for folder in folders]
    expected = [alone(base, *one) for one in asked]
    engine = Engine(lambda: weights)
    for _ in range(2):  # the second time each has to be read again
        got = [engine.submit(Request(t, NEW, adapter=folder)).result(timeout=60).text for folder, t in asked]
        assert got == expected
    names = {name for m in weights.model.modules() for name in getattr(m, "lora_A", {})}
    assert len(names) == 1


def test_a_missing_adapter_fails_only_its_own_request(tmp_path: Path, base: Path) -> None:
    good = adapter(base, tmp_path / "good", 1)
    engine = Engine(lambda: tiny.loaded(base))
    futures = [engine.submit(Request(ASKED[0], NEW, adapter=folder)) for folder in (good, tmp_path / "none", None)]
    assert futures[0].result(timeout=60).text
    assert futures[2].result(timeout=60).text
    with pytest.raises(ModelError, match=r"it has no adapter_model\.safetensors"):
        futures[1].result(timeout=60)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, base: Path) -> None:
    torch.manual_seed(0)
    wider: dict[str, Any] = {**tiny.SIZE, "hidden_size": 64}
    factory: Any = transformers.AutoModelForCausalLM
    other = factory.from_config(transformers.LlamaConfig(**wider))
    config = peft.LoraConfig(r=4, target_modules="all-linear")
    peft.get_peft_model(other, config).save_pretrained(str(tmp_path / "other"))
    weights = tiny.loaded(base)
    engine = Engine(lambda: weights)
    with pytest.raises(ModelError, match="another model"):
        engine.submit(Request(ASKED[0], NEW, adapter=tmp_path / "other")).result(timeout=60)
    # and it left nothing behind
    assert engine.submit(Request(ASKED[0], NEW)).result(timeout=60).text == alone(base, None, ASKED[0])


def test_an_adapter_that_is_not_plain_lora_is_refused(tmp_path: Path, base: Path) -> None:
    folder = adapter(base, tmp_path / "dora", 1, use_dora=True)
    engine = Engine(lambda: tiny.loaded(base))
    with pytest.raises(ModelError, match="not a plain LoRA"):
        engine.submit(Request(ASKED[0], NEW, adapter=folder)).result(timeout=60)


def test_a_listener_hears_the_answer_as_it_comes(base: Path) -> None:
    heard: list[str] = []
    done = Engine(lambda: tiny.loaded(base)).submit(Request(ASKED[0], NEW), heard.append).result(timeout=60)
    assert len(heard) > 1
    assert "".join(heard) == done.text


def test_a_listener_hears_nothing_of_a_stop_text(base: Path) -> None:
    engine = Engine(lambda: tiny.loaded(base))
    words = engine.submit(Request(ASKED[0], NEW)).result(timeout=60).text.split()
    heard: list[str] = []
    stop = f"{words[3]} {words[4]}"
    done = engine.submit(Request(ASKED[0], NEW, stop=(stop,)), heard.append).result(timeout=60)
    assert "".join(heard) == done.text == " ".join(words[:3]) + " "

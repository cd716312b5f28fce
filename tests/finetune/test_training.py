"""Training: the layout of the tensors, what is learned, and resuming after a stop."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from helpers import tiny
from safetensors.torch import load_file

from thirdlever.core.errors import StrategyError
from thirdlever.finetune.distributed import train_distributed
from thirdlever.finetune.settings import Settings, Stopped, TrainingStep
from thirdlever.finetune.trainer import IGNORED, collate, encode, kept_logits, train
from thirdlever.models.engine import chat, local
from thirdlever.models.engine.engine import Engine
from thirdlever.models.engine.generate import Request

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.settings import Trained
    from thirdlever.finetune.trainer import Encoded

FAST = Settings(epochs=2, batch_size=4, learning_rate=0.02, rank=4)  # 6 steps, each with a checkpoint


def example(asked: str, answer: str) -> Conversation:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


EXAMPLES = [example(f"w{10 + i} w5 {'w6 ' * (i % 3)}w7", f"w{40 + i % 4} w9") for i in range(12)]
DEV = EXAMPLES[:4]
# Contradicts the examples, so that the loss rises sooner or later.
CONTRARY = [example(EXAMPLES[i][0]["content"], EXAMPLES[i + 1][1]["content"]) for i in range(4)]
QUICK = replace(FAST, learning_rate=0.1)


@pytest.fixture
def base(tmp_path: Path) -> str:
    local.folder.cache_clear()
    return f"hf/{tiny.save(tmp_path / 'base')}"


def tuned(base: str, into: Path, settings: Settings = FAST, **options: Any) -> Trained:  # noqa: ANN401
    return train(base, EXAMPLES, into=into, settings=settings, **options)


def weights(done: Trained) -> dict[str, torch.Tensor]:
    return load_file(done.folder / "adapter_model.safetensors")


# Tensors


def test_each_kept_position_must_predict_the_next_token(base: str) -> None:
    batch = collate(encode(local.tokenizer(base), EXAMPLES))
    ids, labels, kept = batch["input_ids"], batch["labels"], batch["logits_to_keep"]
    for row in range(len(ids)):
        learnt = labels[row] != IGNORED
        assert int(learnt.sum()) == 3  # two words and the end
        assert torch.equal(ids[row, kept[learnt] + 1], labels[row, learnt])
        assert ids[row, -1] == 2  # the end-of-sequence token
    assert (labels[:, 0] == IGNORED).all()


def test_the_loss_equals_that_of_the_whole_sequence(base: str) -> None:
    """Padding on the left and logits at the answers alone change nothing."""
    encoded = encode(local.tokenizer(base), EXAMPLES)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(local.folder(base))
    batch = collate(encoded)
    labels = batch.pop("labels")
    learnt = labels != IGNORED
    ours = torch.nn.functional.cross_entropy(kept_logits(model, batch).logits[learnt], labels[learnt])
    losses = []
    for row in encoded:
        ids = torch.tensor([row["input_ids"]])
        start = ids.shape[1] - row["answer"]
        predicted = model(input_ids=ids).logits[0, start - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(predicted, ids[0, start:]))
    assert ours.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_a_shared_prefix_changes_neither_loss_nor_gradients(base: str) -> None:
    beginning = "w3 w4 " * 10
    alike = encode(local.tokenizer(base), [example(beginning + t[0]["content"], t[1]["content"]) for t in EXAMPLES])
    batch = collate(alike)
    assert batch["prefix"].shape == (1, 20)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(local.folder(base))
    learnt = batch["labels"] != IGNORED
    loss: Any = torch.nn.functional.cross_entropy(kept_logits(model, batch).logits[learnt], batch["labels"][learnt])
    loss.backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    tokens = sum(row["answer"] for row in alike)
    for row in alike:
        one = collate([row])
        kept = one["labels"] != IGNORED
        logits = kept_logits(model, {**one, **_whole(row)}).logits
        part: Any = torch.nn.functional.cross_entropy(logits[kept], one["labels"][kept], reduction="sum") / tokens
        part.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, rtol=1e-3, atol=1e-6)


def _whole(row: Encoded) -> dict[str, torch.Tensor]:
    """One example without a prefix apart."""
    ids = torch.tensor([row["input_ids"]])
    kept = torch.arange(ids.shape[1] - row["answer"] - 2, ids.shape[1])
    return {
        "prefix": ids[:, :0],
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(ids.shape[1])[None],
        "logits_to_keep": kept,
    }


def test_an_example_longer_than_the_window_is_refused(base: str, tmp_path: Path) -> None:
    long = example("w5 " * 600, "w6")
    with pytest.raises(StrategyError, match="training example 2 has 602 tokens, the model accepts 512"):
        train(base, [EXAMPLES[0], long], into=tmp_path / "out", settings=FAST)


# Learning


def test_an_adapter_learns_the_answers(base: str, tmp_path: Path) -> None:
    done = tuned(base, tmp_path / "out", Settings(epochs=40, batch_size=12, learning_rate=0.03, rank=8))
    assert done.curve[-1]["loss"] < 0.1 < done.curve[0]["loss"]
    engine = Engine(lambda: tiny.loaded(local.folder(base)))
    for turns in EXAMPLES:
        request = Request(chat.encode(base, turns[:-1]), 5, adapter=done.folder)
        assert engine.submit(request).result(timeout=60).text == turns[-1]["content"]
    assert json.loads((done.folder / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"] == base


def test_every_weight_can_be_trained(base: str, tmp_path: Path) -> None:
    done = tuned(base, tmp_path / "out", Settings(method="full", epochs=2, batch_size=4))
    assert done.folder.name == "model"
    assert local.engine(f"hf/{done.folder}").submit(Request((5, 6), 3)).result(timeout=60).output_tokens


def test_the_epoch_with_the_lowest_loss_on_dev_is_kept(base: str, tmp_path: Path) -> None:
    done = tuned(base, tmp_path / "out", replace(QUICK, epochs="auto"), dev=CONTRARY)
    losses = [row["dev_loss"] for row in done.curve if "dev_loss" in row]
    assert min(losses) < losses[-1]
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(local.folder(base))
    import peft

    kept: Any = peft.PeftModel.from_pretrained(model, str(done.folder))
    batch = collate(encode(local.tokenizer(base), CONTRARY))
    labels = batch.pop("labels")
    learnt = labels != IGNORED
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(kept_logits(kept, batch).logits[learnt].float(), labels[learnt])
    assert loss.item() == pytest.approx(min(losses), abs=0.05)


def test_auto_ends_when_the_loss_on_dev_no_longer_falls(base: str, tmp_path: Path) -> None:
    done = tuned(base, tmp_path / "out", replace(QUICK, epochs="auto"), dev=CONTRARY)
    losses = [row["dev_loss"] for row in done.curve if "dev_loss" in row]
    assert done.epochs == len(losses) < 10
    assert losses[-1] >= min(losses[:-1])


# Resuming


def test_a_stopped_run_resumes_to_the_same_weights(base: str, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch."""
    whole = tuned(base, tmp_path / "whole", dev=DEV)
    with pytest.raises(Stopped):
        tuned(base, tmp_path / "parts", dev=DEV, on_step=lambda step: step.step < 2)
    steps: list[TrainingStep] = []

    def told(step: TrainingStep) -> bool:
        steps.append(step)
        return True

    parts = tuned(base, tmp_path / "parts", dev=DEV, on_step=told)
    assert steps[0].step == 3
    assert parts.steps == whole.steps == 6
    losses = [[row["loss"] for row in done.curve if "loss" in row] for done in (parts, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_completed_run_is_not_repeated(base: str, tmp_path: Path) -> None:
    done = tuned(base, tmp_path / "out")
    again = tuned(base, tmp_path / "out", on_step=lambda _: pytest.fail("trained again"))
    assert again == done
    assert done.tokens == 2 * sum(len(row["input_ids"]) for row in encode(local.tokenizer(base), EXAMPLES))


def test_the_same_seed_gives_the_same_weights(base: str, tmp_path: Path) -> None:
    one, two = (weights(tuned(base, tmp_path / name, replace(FAST, epochs=1))) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


# Refusals


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_qlora_without_a_gpu_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="method=qlora needs an NVIDIA GPU, and there is none here"):
        tuned(base, tmp_path / "out", Settings(method="qlora"))


@pytest.mark.parametrize(
    ("examples", "epochs", "size"), [(60, 3, 4), (260, 3, 4), (270, 3, 8), (540, 3, 16), (400, 1, 4), (1600, 1, 16)]
)
def test_few_examples_are_trained_on_in_small_batches(examples: int, epochs: int, size: int) -> None:
    assert Settings(epochs=epochs).batch(examples) == size
    assert Settings(epochs=epochs, batch_size=2).batch(examples) == 2
    assert Settings(epochs=epochs).batch(examples, processes=3) % 3 == 0


@pytest.mark.parametrize("given", [{"rank": 0}, {"epochs": 0}, {"batch_size": 0}, {"learning_rate": 2.0}])
def test_settings_out_of_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(StrategyError, match="is not allowed"):
        Settings(**given)


# Several devices


def test_two_processes_train_as_one_would(base: str, tmp_path: Path) -> None:
    steps: list[TrainingStep] = []

    def told(step: TrainingStep) -> bool:
        steps.append(step)
        return True

    alone = tuned(base, tmp_path / "alone", dev=DEV)
    both = train_distributed(base, EXAMPLES, into=tmp_path / "both", settings=FAST, dev=DEV, on_step=told, processes=2)
    assert both.steps == alone.steps == len([step for step in steps if step.loss is not None])
    assert both.device_seconds == pytest.approx(2 * both.seconds)
    losses = [[row["dev_loss"] for row in done.curve if "dev_loss" in row] for done in (both, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)  # the batches differ


def test_a_batch_that_cannot_be_divided_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="batch_size=4 cannot be divided among 3 devices"):
        train_distributed(base, EXAMPLES, into=tmp_path, settings=FAST, on_step=lambda _: True, processes=3)

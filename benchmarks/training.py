"""Training an adapter by `thirdlever.finetune` against a bare peft loop, on the same Banking77 examples.

    nox -s bench -- training

The bare loop is what one would write by hand: batches in random order padded on the right, transformers' default
attention, hidden states gathered at the answers so that logits are computed for those alone, AdamW. Both train
r=16 on every linear layer of the embedded model in bfloat16, one pass over the same examples, in turn. What they have
learnt is the loss on other examples, a token of the answer, computed alike for both.

Banking77's `train.csv` is looked for in $BANKING77, else in ../shared/data/banking77.
"""

from __future__ import annotations

import csv
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peft
import torch
import transformers

from thirdlever.finetune.settings import Settings
from thirdlever.finetune.trainer import Encoded, encode, train
from thirdlever.models.engine import local
from thirdlever.models.engine.weights import best_dtype, device

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever.finetune.conversations import Conversation

EXAMPLES = int(os.environ.get("EXAMPLES", "480"))
REPEATS = int(os.environ.get("REPEATS", "3"))
MODEL = "embedded"
SETTINGS = Settings(epochs=1, batch_size=16)
HELD_OUT = 200  # examples, of the same file


def main() -> None:
    """Measure and print."""
    warnings.filterwarnings("ignore")
    data = Path(os.environ.get("BANKING77", "../shared/data/banking77"))
    if not (data / "train.csv").is_file():
        sys.exit(f"no Banking77 under {str(data)!r}; set BANKING77 to the folder with its train.csv")
    with (data / "train.csv").open() as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), EXAMPLES + HELD_OUT)  # noqa: S311 - not a secret
    conversations = [_conversation(row) for row in rows]
    examples, held_out = conversations[HELD_OUT:], conversations[:HELD_OUT]
    tokenizer = local.tokenizer(MODEL)
    encoded, unseen = encode(tokenizer, examples), encode(tokenizer, held_out)
    tokens = sum(len(row["input_ids"]) for row in encoded)
    print(f"{EXAMPLES} examples, {tokens} tokens, batches of {SETTINGS.batch_size}, {best_dtype(device())}")
    contenders: dict[str, Callable[[], tuple[Any, float]]] = {
        "thirdlever": lambda: _ours(examples),
        "bare loop": lambda: _bare(encoded),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        for name, trained in contenders.items():
            model, seconds = trained()
            speeds[name].append(tokens / seconds)
            loss = _held_out(model, unseen)
            print(f"  {name:11} {tokens / seconds:6.0f} tokens/s, loss on {HELD_OUT} others {loss:.3f}", flush=True)
    ours, bare = (statistics.median(speeds[name]) for name in speeds)
    print(f"median {ours:.0f} against {bare:.0f} tokens/s: {ours / bare:.2f} x the bare loop")


def _conversation(row: dict[str, str]) -> Conversation:
    return [
        {"role": "system", "content": "Classify the customer query of a bank."},
        {"role": "user", "content": f"Text: {row['text'].strip()}\nCategory:"},
        {"role": "assistant", "content": row["category"]},
    ]


def _ours(examples: list[Conversation]) -> tuple[Any, float]:
    with tempfile.TemporaryDirectory() as folder:
        done = train(MODEL, examples, into=Path(folder), settings=SETTINGS)
        return peft.PeftModel.from_pretrained(_base(), done.folder), done.seconds


def _bare(encoded: list[Encoded]) -> tuple[Any, float]:
    torch.manual_seed(SETTINGS.seed)
    base = _base()
    config = peft.LoraConfig(r=SETTINGS.rank, lora_alpha=2 * SETTINGS.rank, target_modules="all-linear")
    model: Any = peft.get_peft_model(base, config)
    model.train()
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=SETTINGS.peak_learning_rate(base.config.hidden_size)
    )
    batches = _batches(encoded)
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, round(0.03 * len(batches)), len(batches))
    start = time.perf_counter()
    for batch in batches:
        loss = _loss(base, batch)
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return model, time.perf_counter() - start


@torch.inference_mode()
def _held_out(model: Any, encoded: list[Encoded]) -> float:  # noqa: ANN401 - a peft model
    model.eval()
    losses = [_loss(model.base_model.model, batch, reduction="sum").item() for batch in _batches(encoded)]
    total: float = sum(losses)
    return total / sum(row["answer"] for row in encoded)


def _base() -> Any:  # noqa: ANN401 - each architecture has its own class
    base: Any = transformers.AutoModelForCausalLM.from_pretrained(local.folder(MODEL), dtype=best_dtype(device()))
    return base.to(device())


def _batches(encoded: list[Encoded]) -> list[list[Encoded]]:
    size = SETTINGS.batch(len(encoded))
    return [encoded[i : i + size] for i in range(0, len(encoded), size)]


def _loss(base: Any, batch: list[Encoded], reduction: str = "mean") -> Any:  # noqa: ANN401 - torch's
    """Cross-entropy of the answers, logits computed for these alone."""
    longest = max(len(row["input_ids"]) for row in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask, learnt = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for i, row in enumerate(batch):
        length = len(row["input_ids"])
        ids[i, :length], mask[i, :length] = torch.tensor(row["input_ids"]), 1
        learnt[i, length - row["answer"] : length] = True
    ids, mask, learnt = (tensor.to(device()) for tensor in (ids, mask, learnt))
    hidden = base.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    logits = base.lm_head(hidden[:, :-1][learnt[:, 1:]])
    return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][learnt[:, 1:]], reduction=reduction)


if __name__ == "__main__":
    main()

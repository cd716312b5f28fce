"""Training an adapter by `thirdlever.tuning` against a bare peft loop, on the same Banking77 examples.

    nox -s bench -- training

The bare loop is what one would write by hand: batches in random order padded on the right, transformers' default
attention, hidden states gathered at the answers so that logits are computed for those alone, AdamW. Both train
r=16 on every linear layer of the embedded model in bfloat16, one pass over the same examples, in turn.

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

from thirdlever.models import local
from thirdlever.models.weights import best_dtype, device
from thirdlever.tuning.encoding import Encoded, encode
from thirdlever.tuning.settings import Settings
from thirdlever.tuning.training import train

if TYPE_CHECKING:
    from thirdlever.tuning.examples import Conversation
    from thirdlever.tuning.settings import Step

EXAMPLES = int(os.environ.get("EXAMPLES", "480"))
REPEATS = int(os.environ.get("REPEATS", "3"))
MODEL = "embedded"
SETTINGS = Settings(epochs=1)
LAST = 10  # steps whose losses are averaged


def main() -> None:
    """Measure and print."""
    warnings.filterwarnings("ignore")
    data = Path(os.environ.get("BANKING77", "../shared/data/banking77"))
    if not (data / "train.csv").is_file():
        sys.exit(f"no Banking77 under {str(data)!r}; set BANKING77 to the folder with its train.csv")
    with (data / "train.csv").open() as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), EXAMPLES)  # noqa: S311 - not a secret
    examples = [_conversation(row) for row in rows]
    encoded = encode(local.tokenizer(MODEL), examples)
    tokens = sum(len(row["input_ids"]) for row in encoded)
    print(f"{EXAMPLES} examples, {tokens} tokens, batches of {SETTINGS.batch_size}, {best_dtype(device())}")
    speeds: dict[str, list[float]] = {"thirdlever": [], "bare loop": []}
    for _ in range(REPEATS):
        for name, losses, seconds in (("thirdlever", *_ours(examples)), ("bare loop", *_bare(encoded))):
            speeds[name].append(tokens / seconds)
            last = statistics.mean(losses[-LAST:])
            print(f"  {name:11} {tokens / seconds:6.0f} tokens/s, loss of the last {LAST} steps {last:.3f}", flush=True)
    ours, bare = (statistics.median(speeds[name]) for name in speeds)
    print(f"median {ours:.0f} against {bare:.0f} tokens/s: {ours / bare:.2f} x the bare loop")


def _conversation(row: dict[str, str]) -> Conversation:
    return [
        {"role": "system", "content": "Classify the customer query of a bank."},
        {"role": "user", "content": f"Text: {row['text'].strip()}\nCategory:"},
        {"role": "assistant", "content": row["category"]},
    ]


def _ours(examples: list[Conversation]) -> tuple[list[float], float]:
    losses: list[float] = []

    def told(step: Step) -> bool:
        losses.extend([step.loss] if step.loss is not None else [])
        return True

    with tempfile.TemporaryDirectory() as folder:
        done = train(
            MODEL,
            examples,
            into=Path(folder),
            settings=SETTINGS,
            on_step=told,
        )
    return losses, done.seconds


def _bare(encoded: list[Encoded]) -> tuple[list[float], float]:
    torch.manual_seed(SETTINGS.seed)
    base: Any = transformers.AutoModelForCausalLM.from_pretrained(local.folder(MODEL), dtype=best_dtype(device()))
    config = peft.LoraConfig(r=SETTINGS.rank, lora_alpha=2 * SETTINGS.rank, target_modules="all-linear")
    model: Any = peft.get_peft_model(base.to(device()), config)
    model.train()
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=SETTINGS.peak_learning_rate(base.config.hidden_size)
    )
    size = SETTINGS.batch_size
    batches = [encoded[i : i + size] for i in range(0, len(encoded), size)]
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, round(0.03 * len(batches)), len(batches))
    losses = []
    start = time.perf_counter()
    for batch in batches:
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
        loss: Any = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][learnt[:, 1:]])
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses, time.perf_counter() - start


if __name__ == "__main__":
    main()

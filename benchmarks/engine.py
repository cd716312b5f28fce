"""The local engine against plain transformers `generate` and inspect's stock `hf/` provider, on the same prompts.

    nox -s bench -- engine

Two workloads of 200 Banking77 prompts: one shared prefix of 40 random demonstrations, and 20 retrieved ones each. Every
contender answers all prompts in every repeat, in turn; weights are loaded before the clock starts. Outputs are compared
item by item: in bfloat16, where a different order of the same additions flips near ties (plain `generate` at another
batch size shows by how many), and in float32. It takes an hour on two cores.

Banking77's `train.csv` and `test.csv` are looked for in $BANKING77, else in ../shared/data/banking77.
"""

from __future__ import annotations

import asyncio
import csv
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"  # without it the stock provider spends most of a minute asking the hub

import torch
import transformers
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model

from thirdlever import embed
from thirdlever.models.engine import local
from thirdlever.models.engine.engine import Engine
from thirdlever.models.engine.generate import Request
from thirdlever.models.engine.weights import best_dtype, device, load

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS = int(os.environ.get("ITEMS", "200"))
SHOTS, NEAREST, NEW_TOKENS, BATCH = 40, 20, 16, 10
REPEATS = int(os.environ.get("REPEATS", "3"))
INSTRUCTION = "Classify the customer query of a bank."
MODEL = "embedded"

Prompts = list[list[dict[str, str]]]


def main() -> None:
    """Measure and print."""
    data = Path(os.environ.get("BANKING77", "../shared/data/banking77"))
    if not (data / "test.csv").is_file():
        sys.exit(f"no Banking77 under {str(data)!r}; set BANKING77 to the folder with its train.csv and test.csv")
    for name, prompts in workloads(data).items():
        compare(name, prompts)


def workloads(data: Path) -> dict[str, Prompts]:
    """The prompts of both workloads."""
    train, test = (list(csv.DictReader((data / f"{split}.csv").open())) for split in ("train", "test"))
    draw = random.Random(0)  # noqa: S311 - not a secret
    items = draw.sample(test, ITEMS)
    shared = draw.sample(train, SHOTS)
    pool, wanted = (embed([row["text"] for row in rows]) for rows in (train, items))
    nearest = (-(wanted @ pool.T)).argsort(axis=1)[:, :NEAREST][:, ::-1]
    return {
        f"one prefix of {SHOTS} shots": [_prompt(shared, item) for item in items],
        f"{NEAREST} retrieved shots each": [
            _prompt([train[i] for i in near], item) for near, item in zip(nearest, items, strict=True)
        ],
    }


def compare(name: str, prompts: Prompts) -> None:
    """Time every contender on one workload and hold their outputs against each other."""
    tokens = _tokens(prompts)
    path = str(local.folder(MODEL))
    dtype = best_dtype(device())
    plain = _plain_model(path, dtype)
    weights = load(path, dtype=dtype)
    contenders: dict[str, Callable[[], list[str]]] = {
        "engine": lambda: _engine(Engine(lambda: weights), tokens),  # a new one each time: nothing cached from before
        "generate": lambda: _generate(plain, tokens, BATCH),
        "hf/": _stock(path, prompts, dtype),
    }
    _engine(Engine(lambda: weights), tokens[:BATCH])  # warm up
    _generate(plain, tokens[:BATCH], BATCH)
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    outputs: dict[str, list[str]] = {}
    for _ in range(REPEATS):
        for contender, answer in contenders.items():
            start = time.perf_counter()
            outputs[contender] = answer()
            seconds[contender].append(time.perf_counter() - start)
    average = sum(map(len, tokens)) / len(tokens)
    print(f"\n{name}: {len(prompts)} prompts of {average:.0f} tokens, up to {NEW_TOKENS} new, {dtype}")
    for contender, times in seconds.items():
        ratio = statistics.median(times) / statistics.median(seconds["engine"])
        each = ", ".join(f"{t:.1f}" for t in times)
        print(f"  {contender:9} median {statistics.median(times):6.1f} s   {ratio:5.2f} x the engine's   ({each})")
    outputs["generate, batch 25"] = _generate(plain, tokens, 25)
    for one, other in (("engine", "generate"), ("hf/", "generate"), ("generate, batch 25", "generate")):
        same = sum(a == b for a, b in zip(outputs[one], outputs[other], strict=True))
        print(f"  outputs of {one} and {other}: {same} of {len(prompts)} equal")
    exact = load(path, dtype=torch.float32)
    ours = _engine(Engine(lambda: exact), tokens)
    theirs = _generate(_plain_model(path, torch.float32), tokens, BATCH)
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    print(f"  outputs of engine and generate in float32: {same} of {len(prompts)} equal")


def _engine(engine: Engine, prompts: list[tuple[int, ...]]) -> list[str]:
    futures = [engine.submit(Request(tokens, NEW_TOKENS)) for tokens in prompts]
    return [future.result().text for future in futures]


@torch.inference_mode()
def _generate(model: Any, prompts: list[tuple[int, ...]], batch: int) -> list[str]:  # noqa: ANN401
    tokenizer = local.tokenizer(MODEL)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        padded = tokenizer.pad(
            {"input_ids": [list(prompts[i]) for i in rows]}, padding_side="left", return_tensors="pt"
        )
        padded = padded.to(model.device)
        output = model.generate(**padded, max_new_tokens=NEW_TOKENS, do_sample=False)
        answers = tokenizer.batch_decode(output[:, padded["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(rows, answers, strict=True):
            texts[i] = text
    return texts


def _stock(path: str, prompts: Prompts, dtype: torch.dtype) -> Callable[[], list[str]]:
    config = GenerateConfig(max_tokens=NEW_TOKENS, max_connections=BATCH)
    model = get_model("hf/local", model_path=path, dtype=dtype, do_sample=False, config=config, memoize=False)
    roles = {"system": ChatMessageSystem, "user": ChatMessageUser}

    async def one(chat: list[dict[str, str]]) -> str:
        return (await model.generate([roles[turn["role"]](content=turn["content"]) for turn in chat])).completion

    async def every() -> list[str]:
        return list(await asyncio.gather(*map(one, prompts)))

    return lambda: asyncio.run(every())


def _plain_model(path: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype, use_safetensors=True)
    return model.to(device()).eval()


def _tokens(prompts: Prompts) -> list[tuple[int, ...]]:
    tokenizer = local.tokenizer(MODEL)
    encode: Any = tokenizer.apply_chat_template
    return [tuple(encode(chat, add_generation_prompt=True, return_dict=True)["input_ids"]) for chat in prompts]


def _prompt(shots: list[dict[str, str]], item: dict[str, str]) -> list[dict[str, str]]:
    lines = [f"{shot['text'].strip()} => {shot['category']}" for shot in shots]
    text = "\n".join([*lines, f"{item['text'].strip()} =>"])
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}]


if __name__ == "__main__":
    main()

"""The local trainer: transformers' `Trainer` with peft's adapters, a loss on the answers alone, and resumption.

Only the last turn, the answer, is learned, and logits are computed for it alone. Rows are padded on the left, so that
all answers end in the last column and `logits_to_keep`, which all causal models in transformers accept, covers them.
The prefix that all prompts of a batch share, mainly the instruction, passes through the model once: its keys and values
are repeated for the rows and their gradients added up, which gives the same result as computing them for each row.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from thirdlever.core.errors import MissingExtraError, ModelError, StrategyError, need
from thirdlever.core.files import write
from thirdlever.core.text import common, counted
from thirdlever.finetune.settings import Settings, Stopped, Trained, TrainingStep, set_base_name
from thirdlever.models import threads
from thirdlever.models.bundled import quiet
from thirdlever.models.engine import chat, local
from thirdlever.models.engine.weights import best_dtype, device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import EvalPrediction, PreTrainedTokenizerBase, TrainerControl, TrainerState

    from thirdlever.finetune.conversations import Conversation


IGNORED = -100  # transformers' and torch's label for "no loss here"
_SHORTEST_PREFIX = 8  # tokens; a shorter prefix is not worth a separate pass


class Encoded(TypedDict):
    """An example's tokens, of which the last `answer` are learned."""

    input_ids: list[int]
    answer: int


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Conversation], window: int | None = None
) -> list[Encoded]:
    """Tokens of prompt and answer; the answer ends with the end-of-sequence token.

    Raises:
        StrategyError: an example has more tokens than the model's `window`.
    """
    encoded: list[Encoded] = []
    end: Any = tokenizer.eos_token_id
    for number, turns in enumerate(examples, start=1):
        prompt = chat.prompt(tokenizer, turns[:-1])
        text = chat.lead(tokenizer) + turns[-1]["content"]
        answer = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
        if window is not None and len(prompt) + len(answer) > window:
            size = counted(len(prompt) + len(answer), "token")
            message = f"training example {number} has {size}, the model accepts {window:,}; shorten it or omit it"
            raise StrategyError(message)
        encoded.append({"input_ids": [*prompt, *answer], "answer": len(answer)})
    return encoded


def collate(batch: Sequence[Encoded]) -> dict[str, Any]:
    """A batch of B examples: P tokens of shared prefix, at most L further tokens, at most A tokens of answer.

    Returns:
        `prefix` [1, P]; `input_ids` and `position_ids` [B, L]; `attention_mask` [B, P + L]; `logits_to_keep` [A + 2],
        the positions with a loss, and `labels` [B, A + 2], the token that each of these must predict. The labels' first
        column never has a loss, so that their number is the same whether or not the trainer shifts them.
    """
    shared = _shared(batch)
    longest = max(len(row["input_ids"]) for row in batch) - shared
    keep = max(row["answer"] for row in batch) + 2
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full((len(batch), keep), IGNORED)
    for i, row in enumerate(batch):
        tokens = torch.tensor(row["input_ids"][shared:])
        ids[i, longest - len(tokens) :] = tokens
        mask[i, longest - len(tokens) :] = 1
        labels[i, keep - 1 - row["answer"] : keep - 1] = tokens[-row["answer"] :]
    return {
        "prefix": torch.tensor([batch[0]["input_ids"][:shared]], dtype=torch.long),
        "input_ids": ids,
        "attention_mask": torch.cat([torch.ones(len(batch), shared, dtype=torch.long), mask], 1),
        "position_ids": shared + (mask.cumsum(1) - 1).clamp(min=0),
        # Not a number, which would give a slice: to multiply it, torch first copies the vocabulary for every row.
        "logits_to_keep": torch.arange(longest - keep, longest),
        "labels": labels,
    }


def _shared(batch: Sequence[Encoded]) -> int:
    """Length of the shared prefix, at least two tokens shorter than any prompt, for the labels' first columns."""
    first, *rest = (row["input_ids"] for row in batch)
    least = min(len(row["input_ids"]) - row["answer"] for row in batch) - 2
    longest_answer = max(row["answer"] for row in batch)
    room = min(len(row["input_ids"]) for row in batch) - longest_answer - 2  # every row includes the first label
    shared = min([max(0, min(least, room)), *(common(first, ids) for ids in rest)])
    return shared if shared >= _SHORTEST_PREFIX else 0


def kept_logits(model: Any, batch: dict[str, Any]) -> Any:  # noqa: ANN401 - a causal model and its output
    """The model's output for a batch from `collate`; its `logits` are [B, A + 2, vocabulary]."""
    rest = {name: value for name, value in batch.items() if name not in {"prefix", "labels"}}
    prefix = batch["prefix"]
    if not prefix.shape[1]:
        return model(**rest, use_cache=False)
    known = model(input_ids=prefix, use_cache=True, logits_to_keep=1).past_key_values
    known.batch_repeat_interleave(len(rest["input_ids"]))
    return model(**rest, past_key_values=known, use_cache=True)


_BEST, _PROGRESS, _DONE, _CHECKPOINTS = "best", "progress.json", "trained.json", "checkpoints"
_PER_EPOCH = 4  # checkpoints: a kill loses at most a quarter of an epoch
_SHORT = 512  # tokens; up to this length matrix products train faster on a CPU than its fused attention


def _config(model: str) -> Any:  # noqa: ANN401 - each architecture has its own
    return AutoConfig.from_pretrained(local.folder(model)).get_text_config()


def width(model: str) -> int:
    """Size of a local model's hidden states."""
    return int(_config(model).hidden_size)


def _load(model: str, settings: Settings, *, longest: int) -> Any:  # noqa: ANN401 - a peft or a plain model
    """Load a local model for training; `longest` is the number of tokens of the longest example."""
    on = device()
    full = settings.method == "full"
    options: dict[str, Any] = {
        "dtype": torch.float32 if full else best_dtype(on),  # bfloat16 is too coarse for an optimiser's small changes
        "attn_implementation": "eager" if on.type == "cpu" and longest <= _SHORT else "sdpa",
        "use_safetensors": True,
    }
    if settings.method == "qlora":
        options["quantization_config"] = _four_bits(on)
    if on.type == "cuda":
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        with quiet():
            base = AutoModelForCausalLM.from_pretrained(local.folder(model), **options)
    except (OSError, ValueError) as error:
        message = f"cannot load model {model!r} for training: {error}; give a folder with safetensors weights"
        raise ModelError(message) from error
    if full:
        return base
    peft = need("peft", extra="local")
    if settings.method == "qlora":
        base = peft.prepare_model_for_kbit_training(base)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with quiet():
        tuned = peft.get_peft_model(base, config)
    for layer in tuned.modules():
        # Adapters are float32. peft would convert their inputs to float32 too; autocast instead converts the adapter, a
        # hundredth of the size, to the weights' dtype, which makes a step a third faster.
        if hasattr(layer, "cast_input_dtype_enabled"):
            layer.cast_input_dtype_enabled = False
    return tuned


def _four_bits(on: torch.device) -> Any:  # noqa: ANN401 - a quantisation configuration
    if on.type != "cuda":
        message = "method=qlora needs an NVIDIA GPU, and there is none here; use method=lora"
        raise StrategyError(message)
    try:
        need("bitsandbytes", extra="qlora")
    except MissingExtraError:
        raise
    except (ImportError, RuntimeError, OSError) as error:
        message = f"method=qlora: bitsandbytes does not run on this GPU ({error}); use method=lora"
        raise StrategyError(message) from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


@dataclass
class _Callback(TrainerCallback):
    """Reports progress, keeps the best epoch and stops training.

    Attributes:
        into: the training run's folder.
        patience: epochs without a lower loss on dev after which training ends; None for no limit.
        on_step: called with each step; False stops the run once a checkpoint is written.
    """

    into: Path
    patience: int | None
    on_step: Callable[[TrainingStep], bool]
    _stopping: bool = False
    _best_loss: float | None = None
    _epochs_since: int = 0
    _seconds_before: float = 0.0
    _start: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        """Continue from an earlier attempt's state."""
        if progress := _progress(self.into):
            self._best_loss = progress["best_loss"]
            self._epochs_since = progress["epochs_since"]
            self._seconds_before = progress["seconds"]

    @property
    def seconds(self) -> float:
        """Wall time of training, including earlier attempts up to their last checkpoint."""
        return self._seconds_before + time.perf_counter() - self._start

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:  # noqa: ANN401, ARG002 - transformers' signature
        """Report a step's figures."""
        logs = given.get("logs")
        if logs and "loss" in logs:
            self._report(state, control, loss=logs["loss"], accuracy=logs["accuracy"])

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:  # noqa: ANN401, ARG002 - likewise
        """Save the weights if the loss on dev is the lowest so far."""
        metrics = given["metrics"]
        loss = metrics["eval_loss"]
        self._epochs_since += 1
        if self._best_loss is None or loss < self._best_loss:
            self._best_loss, self._epochs_since = loss, 0
            if state.is_world_process_zero:
                given["model"].save_pretrained(self.into / _BEST)
        if self.patience is not None and self._epochs_since >= self.patience:
            control.should_training_stop = True
        self._report(state, control, dev_loss=loss, dev_accuracy=metrics["eval_accuracy"])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save what the checkpoint does not contain, and stop if `on_step` returned False before."""
        progress = {
            "step": state.global_step,  # whose checkpoint is complete
            "best_loss": self._best_loss,
            "epochs_since": self._epochs_since,
            "seconds": self.seconds,
        }
        if state.is_world_process_zero:
            write(self.into / _PROGRESS, json.dumps(progress).encode())
        self._report(state, control, checkpoint=Path(str(args.output_dir), f"checkpoint-{state.global_step}"))
        if self._stopping:
            raise Stopped

    def _report(self, state: TrainerState, control: TrainerControl, **figures: Any) -> None:  # noqa: ANN401
        step = TrainingStep(step=state.global_step, total=state.max_steps, epoch=state.epoch or 0.0, **figures)
        if not self.on_step(step):
            self._stopping = control.should_save = True


def _progress(into: Path) -> dict[str, Any] | None:
    path = into / _PROGRESS
    progress: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.is_file() else None
    return progress


def train(
    model: str,
    examples: Sequence[Conversation],
    *,
    into: Path,
    settings: Settings,
    dev: Sequence[Conversation] = (),
    on_step: Callable[[TrainingStep], bool] | None = None,
) -> Trained:
    """Tune a local model; the same call resumes an interrupted run, and returns the result of a completed one.

    Args:
        model: "embedded" or "hf/<folder or hub id>".
        examples: conversations; the last turn of each is learned.
        into: the run's own folder, for `checkpoints/checkpoint-<step>` and `adapter` or `model`.
        settings: how to train.
        dev: examples by which the best epoch is chosen; without any, the last epoch is kept.
        on_step: called with each step; False stops the run after a checkpoint.

    Raises:
        Stopped: `on_step` returned False.
        StrategyError: an example is too long, or the method cannot run on this machine.
        MissingExtraError: a library that the method needs is not installed.
        ModelError: the weights cannot be loaded.
    """
    result = into / ("model" if settings.method == "full" else "adapter")
    if (into / _DONE).is_file():
        return Trained(folder=result, **json.loads((into / _DONE).read_text("utf-8")))
    into.mkdir(parents=True, exist_ok=True)
    tokenizer = local.tokenizer(model)
    window = getattr(_config(model), "max_position_embeddings", None)
    encoded = encode(tokenizer, examples, window)
    encoded_dev = sorted(encode(tokenizer, dev, window), key=lambda row: len(row["input_ids"]))  # for little padding
    set_seed(settings.seed)
    weights = _load(model, settings, longest=max(len(row["input_ids"]) for row in encoded))
    callback = _Callback(into, 1 if settings.epochs == "auto" and dev else None, on_step or (lambda _: True))
    with quiet(errors_only=True):  # `on_step` reports progress
        trainer = _Trainer(
            model=weights,
            args=_arguments(into, settings, len(encoded), width=width(model), evaluate=bool(dev)),
            train_dataset=encoded,
            eval_dataset=encoded_dev or None,
            data_collator=collate,
            callbacks=[callback],
        )
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train(resume_from_checkpoint=_last_checkpoint(into))
        finally:
            threads.release()
    seconds = callback.seconds
    if trainer.is_world_process_zero():
        _finish(into, result, weights, tokenizer, base=model)
    epochs = float(trainer.state.epoch or 0.0)
    done = {
        "tokens": round(epochs * sum(len(row["input_ids"]) for row in encoded)),
        "steps": trainer.state.global_step,
        "epochs": epochs,
        "curve": _curve(trainer.state.log_history),
        "seconds": seconds,
        "device_seconds": seconds * trainer.args.world_size,
    }
    if trainer.is_world_process_zero():
        write(into / _DONE, json.dumps(done, indent=1).encode())
    return Trained(folder=result, **done)


class _Trainer(Trainer):
    """transformers' trainer with our loss and accuracy, over the logits that `collate` keeps."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - transformers' own
        super().__init__(
            **options,
            compute_loss_func=self._loss,
            compute_metrics=_accuracy,
            preprocess_logits_for_metrics=lambda logits, _: logits.argmax(-1),
        )
        self._right: list[Tensor] = []

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401 - as it is wrapped for this device
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 - transformers' signature
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - likewise
        """Run the model, with the shared prefix separate."""
        outputs = kept_logits(model, inputs)
        loss = self._loss(outputs, inputs["labels"], num_items_in_batch) * self.args.world_size
        return (loss, {"logits": outputs.logits}) if return_outputs else loss

    def _loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:  # noqa: ANN401
        """Cross-entropy, summed and divided by the number of answer tokens in the step on all devices."""
        learnt = labels != IGNORED
        logits, wanted = outputs.logits[learnt].float(), labels[learnt]
        if torch.is_grad_enabled():
            self._right.append((logits.argmax(-1) == wanted).float().mean())
        total = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)

    def log(self, logs: dict[str, float], *rest: Any) -> None:  # noqa: ANN401 - passed on
        """Add the accuracy since the last call."""
        if self._right and "loss" in logs:
            logs["accuracy"] = torch.stack(self._right).mean().item()
            self._right.clear()
        super().log(logs, *rest)


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    chosen, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    learnt = labels != IGNORED
    return {"accuracy": float((chosen == labels)[learnt].mean())}


def _arguments(into: Path, settings: Settings, examples: int, *, width: int, evaluate: bool) -> TrainingArguments:
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # one per device
    batch = settings.batch(examples, processes=processes)
    per_device = max(1, batch // processes)
    steps = math.ceil(examples / batch)
    on = device()
    return TrainingArguments(
        output_dir=str(into / _CHECKPOINTS),
        num_train_epochs=settings.most_epochs,
        per_device_train_batch_size=per_device,
        per_device_eval_batch_size=4 * per_device,
        learning_rate=settings.peak_learning_rate(width),
        # "auto" may end at any epoch: with a schedule that falls over all of them, the rate would still be too high.
        lr_scheduler_type="constant_with_warmup" if settings.epochs == "auto" else "cosine",
        warmup_steps=0.03,
        train_sampling_strategy="group_by_length",
        use_cpu=on.type == "cpu",
        # The trained weights are float32, as bfloat16 is too coarse for small changes; this is the dtype of products.
        bf16=best_dtype(on) == torch.bfloat16,
        fp16=best_dtype(on) == torch.float16,
        seed=settings.seed,
        eval_strategy="epoch" if evaluate else "no",
        save_strategy="steps",
        save_steps=max(1, steps // _PER_EPOCH),
        save_total_limit=3,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=on.type == "cuda",
    )


def _last_checkpoint(into: Path) -> str | None:
    """The last complete checkpoint; a kill may have left a newer, incomplete one."""
    progress = _progress(into)
    return str(into / _CHECKPOINTS / f"checkpoint-{progress['step']}") if progress else None


def _finish(into: Path, result: Path, weights: Any, tokenizer: Any, *, base: str) -> None:  # noqa: ANN401 - transformers'
    """Save the trained weights and the tokenizer to one folder."""
    partial = result.with_name(f".{result.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if (into / _BEST).is_dir():
        shutil.copytree(into / _BEST, partial)
    else:
        weights.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    set_base_name(partial, base)  # which is the path of a cache otherwise
    shutil.rmtree(result, ignore_errors=True)
    partial.rename(result)


def _curve(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The figures of each step, named as in `TrainingStep`."""
    names = {"step": "step", "epoch": "epoch", "loss": "loss", "accuracy": "accuracy"}
    names |= {"eval_loss": "dev_loss", "eval_accuracy": "dev_accuracy"}
    kept = ({new: row[old] for old, new in names.items() if old in row} for row in history)
    return [row for row in kept if "loss" in row or "dev_loss" in row]

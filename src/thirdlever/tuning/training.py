"""Training on this machine, by transformers' trainer and peft: loss on the answers only, resumable after any kill."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from thirdlever.core.files import write
from thirdlever.models.engine import local
from thirdlever.models.engine.weights import best_dtype, device, quiet
from thirdlever.tuning import trainable
from thirdlever.tuning.encoding import IGNORED, collate, encode, kept_logits
from thirdlever.tuning.settings import Settings, Step, Trained
from thirdlever.tuning.watching import BEST, MEMORY, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import EvalPrediction

    from thirdlever.tuning.examples import Conversation

_DONE = "trained.json"
_CHECKPOINTS = "checkpoints"
_PER_EPOCH = 4  # checkpoints: what a kill can cost at most is a quarter of an epoch


def train(
    model: str,
    examples: Sequence[Conversation],
    *,
    into: Path,
    settings: Settings,
    dev: Sequence[Conversation] = (),
    on_step: Callable[[Step], bool] | None = None,
) -> Trained:
    """Tune a local model; the same call goes on where an earlier one was cut off, and does nothing once it is done.

    Args:
        model: "embedded" or "hf/<folder or hub id>".
        examples: what to learn: of each conversation the last turn.
        into: a folder of its own; `checkpoints/checkpoint-<step>` come there, and `adapter` or `model`.
        settings: how to train.
        dev: examples to choose the best epoch by; none keeps the last one.
        on_step: told of each step; False stops after a checkpoint.

    Raises:
        Stopped: `on_step` said so.
        StrategyError: an example is too long, or the method cannot run on this machine.
        ModelError: the weights cannot be loaded.
    """
    result = into / ("model" if settings.method == "full" else "adapter")
    if (into / _DONE).is_file():
        return Trained(folder=result, **json.loads((into / _DONE).read_text("utf-8")))
    into.mkdir(parents=True, exist_ok=True)
    tokenizer = local.tokenizer(model)
    window = trainable.window(model)
    encoded = encode(tokenizer, examples, window)
    encoded_dev = sorted(encode(tokenizer, dev, window), key=lambda row: len(row["input_ids"]))  # little to pad
    set_seed(settings.seed)
    weights = trainable.load(model, settings, longest=max(len(row["input_ids"]) for row in encoded))
    watch = Watch(into, 1 if settings.epochs == "auto" and dev else None, on_step or (lambda _: True))
    with quiet(errors_only=True):  # `on_step` is told
        trainer = _Trainer(
            model=weights,
            args=_arguments(into, settings, len(encoded), width=trainable.width(model), evaluate=bool(dev)),
            train_dataset=encoded,
            eval_dataset=encoded_dev or None,
            data_collator=collate,
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=_last_checkpoint(into))
    seconds = watch.seconds
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
    """transformers' trainer with a loss, and the share of right tokens, over the logits that were kept."""

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
        """Ask the model with the prefix apart."""
        outputs = kept_logits(model, inputs)
        loss = self._loss(outputs, inputs["labels"], num_items_in_batch) * self.args.world_size
        return (loss, {"logits": outputs.logits}) if return_outputs else loss

    def _loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:  # noqa: ANN401
        """Cross-entropy, summed and divided by the answer tokens of the whole step on all devices."""
        learnt = labels != IGNORED
        logits, wanted = outputs.logits[learnt].float(), labels[learnt]
        if torch.is_grad_enabled():
            self._right.append((logits.argmax(-1) == wanted).float().mean())
        total = torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
        return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)

    def log(self, logs: dict[str, float], *rest: Any) -> None:  # noqa: ANN401 - passed on
        """Add the accuracy of the steps since the last time."""
        if self._right and "loss" in logs:
            logs["accuracy"] = torch.stack(self._right).mean().item()
            self._right.clear()
        super().log(logs, *rest)


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    chosen, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    learnt = labels != IGNORED
    return {"accuracy": float((chosen == labels)[learnt].mean())}


def _arguments(into: Path, settings: Settings, examples: int, *, width: int, evaluate: bool) -> TrainingArguments:
    per_device = max(1, settings.batch_size // trainable.devices())
    steps = math.ceil(examples / settings.batch_size)
    on = device()
    return TrainingArguments(
        output_dir=str(into / _CHECKPOINTS),
        num_train_epochs=settings.most_epochs,
        per_device_train_batch_size=per_device,
        per_device_eval_batch_size=4 * per_device,
        learning_rate=settings.peak_learning_rate(width),
        # "auto" does not know its end: a rate that falls towards it would be too high at every earlier one.
        lr_scheduler_type="constant_with_warmup" if settings.epochs == "auto" else "cosine",
        warmup_steps=0.03,
        train_sampling_strategy="group_by_length",
        use_cpu=on.type == "cpu",
        # What is trained is float32, for bfloat16 cannot hold an optimiser's small changes; this is what multiplies it.
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
    """The last one that is whole: a kill may have left half of one that is newer."""
    if not (into / MEMORY).is_file():
        return None
    step = json.loads((into / MEMORY).read_text("utf-8"))["step"]
    return str(into / _CHECKPOINTS / f"checkpoint-{step}")


def _finish(into: Path, result: Path, weights: Any, tokenizer: Any, *, base: str) -> None:  # noqa: ANN401 - transformers'
    """Put what was trained, and the tokenizer that it was trained with, into one folder."""
    partial = result.with_name(f".{result.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if (into / BEST).is_dir():
        shutil.copytree(into / BEST, partial)
    else:
        weights.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    described = partial / "adapter_config.json"
    if described.is_file():  # the base goes by its name there, not by the path of somebody's cache
        about = json.loads(described.read_text("utf-8")) | {"base_model_name_or_path": base}
        described.write_text(json.dumps(about, indent=2), "utf-8")
    shutil.rmtree(result, ignore_errors=True)
    partial.rename(result)


def _curve(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The figures of each step, under the names of `Step`."""
    names = {"step": "step", "epoch": "epoch", "loss": "loss", "accuracy": "accuracy"}
    names |= {"eval_loss": "dev_loss", "eval_accuracy": "dev_accuracy"}
    kept = ({new: row[old] for old, new in names.items() if old in row} for row in history)
    return [row for row in kept if "loss" in row or "dev_loss" in row]

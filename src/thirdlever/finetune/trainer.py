"""A model made ready for training: adapters beside frozen weights, or every weight."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from thirdlever.finetune.collate import IGNORED, collate, encode, kept_logits
from thirdlever.finetune.settings import Settings, Step, Stopped, Trained
from thirdlever.models.engine import local
from thirdlever.models.engine.weights import best_dtype, device, quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import EvalPrediction, TrainerControl, TrainerState

    from thirdlever.finetune.conversations import Conversation


_SHORT = 512  # tokens; up to here plain matrix products train faster on a CPU than its fused attention


def devices() -> int:
    """How many processes train together, one a device: as many as the launcher has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def context_window(model: str) -> int | None:
    """Tokens that a local model can take; None when its configuration does not say."""
    return getattr(_config(model), "max_position_embeddings", None)


def width(model: str) -> int:
    """Size of a local model's hidden states."""
    return int(_config(model).hidden_size)


def _config(model: str) -> Any:  # noqa: ANN401 - each architecture has its own
    return AutoConfig.from_pretrained(local.folder(model)).get_text_config()


def load(model: str, settings: Settings, *, longest: int) -> Any:  # noqa: ANN401 - a peft or a plain model
    """Load a local model for training.

    Args:
        model: its name.
        settings: how it is to be trained.
        longest: tokens of the longest example.

    Raises:
        StrategyError: the method cannot run on this machine.
        MissingExtraError: a library that the method needs is not installed.
        ModelError: the weights cannot be loaded.
    """
    on = device()
    full = settings.method == "full"
    options: dict[str, Any] = {
        "dtype": torch.float32 if full else best_dtype(on),  # bfloat16 cannot hold an optimiser's small changes
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
        # Adapters are float32. peft would turn all that comes in into float32 too; autocast turns the adapter, a
        # hundredth as large, into the weights' dtype, and a step takes two thirds of the time.
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


BEST = "best"
MEMORY = "progress.json"


@dataclass
class Watch(TrainerCallback):
    """Hangs in a trainer; transformers calls the `on_…` methods.

    Attributes:
        into: the training run's folder.
        patience: epochs without a lower loss on dev before training ends; None for never.
        on_step: told of each step; False stops the run, as soon as a checkpoint is written.
    """

    into: Path
    patience: int | None
    on_step: Callable[[Step], bool]
    _stopping: bool = False
    _best_loss: float | None = None
    _epochs_since: int = 0
    _seconds_before: float = 0.0
    _start: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        """Remember what an earlier attempt wrote down."""
        path = self.into / MEMORY
        if path.is_file():
            memory = json.loads(path.read_text("utf-8"))
            self._best_loss = memory["best_loss"]
            self._epochs_since = memory["epochs_since"]
            self._seconds_before = memory["seconds"]

    @property
    def seconds(self) -> float:
        """Wall time spent on training, earlier attempts up to their last checkpoint included."""
        return self._seconds_before + time.perf_counter() - self._start

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - transformers' signature, here and below
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: object,
    ) -> None:
        """Pass on the figures of a step."""
        if logs and "loss" in logs:
            self._tell(state, control, loss=logs["loss"], accuracy=logs["accuracy"])

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        model: Any = None,  # noqa: ANN401 - a peft or a plain model
        **_: object,
    ) -> None:
        """Keep the weights when no epoch before had a lower loss on dev."""
        if metrics is None:
            return
        loss = metrics["eval_loss"]
        self._epochs_since += 1
        if self._best_loss is None or loss < self._best_loss:
            self._best_loss, self._epochs_since = loss, 0
            if state.is_world_process_zero:
                model.save_pretrained(self.into / BEST)
        if self.patience is not None and self._epochs_since >= self.patience:
            control.should_training_stop = True
        self._tell(state, control, dev_loss=loss, dev_accuracy=metrics["eval_accuracy"])

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """Write down what the checkpoint does not hold.

        Raises:
            Stopped: when the run was told to stop.
        """
        memory = {
            "step": state.global_step,  # whose checkpoint is whole
            "best_loss": self._best_loss,
            "epochs_since": self._epochs_since,
            "seconds": self.seconds,
        }
        if state.is_world_process_zero:
            write(self.into / MEMORY, json.dumps(memory).encode())
        self._tell(state, control, checkpoint=Path(str(args.output_dir), f"checkpoint-{state.global_step}"))
        if self._stopping:
            raise Stopped

    def _tell(self, state: TrainerState, control: TrainerControl, **figures: Any) -> None:  # noqa: ANN401
        step = Step(step=state.global_step, total=state.max_steps, epoch=state.epoch or 0.0, **figures)
        if not self.on_step(step):
            self._stopping = control.should_save = True


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
    window = context_window(model)
    encoded = encode(tokenizer, examples, window)
    encoded_dev = sorted(encode(tokenizer, dev, window), key=lambda row: len(row["input_ids"]))  # little to pad
    set_seed(settings.seed)
    weights = load(model, settings, longest=max(len(row["input_ids"]) for row in encoded))
    watch = Watch(into, 1 if settings.epochs == "auto" and dev else None, on_step or (lambda _: True))
    with quiet(errors_only=True):  # `on_step` is told
        trainer = _Trainer(
            model=weights,
            args=_arguments(into, settings, len(encoded), width=width(model), evaluate=bool(dev)),
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
    per_device = max(1, settings.batch_size // devices())
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

"""Watching a training run: telling how far it is, keeping the best epoch, and what a resumed run must remember."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from thirdlever.core.files import write
from thirdlever.tuning.settings import Step, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import TrainerControl, TrainerState, TrainingArguments

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

"""A training run's settings, its progress and its result; this module imports no torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.core.errors import StrategyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Method: TypeAlias = Literal["lora", "qlora", "full"]
_STEPS = 100  # of the optimiser, at least; with fewer, a small model has barely left its starting point
MOST_EPOCHS = 10  # for epochs="auto", which stops once the loss on dev no longer falls


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Attributes:
        method: "lora" trains low-rank adapters beside frozen weights (Hu et al., 2021), "qlora" the same with the
            weights in 4 bits (Dettmers et al., 2023), "full" all weights.
        rank: of the adapters' matrices.
        epochs: passes over the examples; "auto" trains until the loss on dev no longer falls, at most 10.
        batch_size: examples per optimiser step; None for one that suits the number of examples, see `batch`.
        learning_rate: the highest; None for one that suits the method and the model's width.
        seed: for initial weights and the order of examples.
    """

    method: Method = "lora"
    rank: int = 16
    epochs: int | Literal["auto"] = 3
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            StrategyError: naming the setting.
        """
        for name in ("rank", "epochs", "batch_size"):
            value = getattr(self, name)
            if value not in {"auto", None} and value < 1:
                message = f"{name}={value} is not allowed; give 1 or more"
                raise StrategyError(message)
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            message = f"learning_rate={self.learning_rate} is not allowed; give one between 0 and 1, such as 0.001"
            raise StrategyError(message)

    def peak_learning_rate(self, hidden_size: int) -> float:
        """The highest learning rate; if not given, one that suits the method and the model's width.

        Ten times higher for adapters than for all weights (Schulman et al., "LoRA Without Regret", 2025), and lower for
        wider models: 5e-5 x 10 x (2000 / width) ^ 0.781, a rule of thumb that gives 1.3e-3 at a width of 576 and 2.9e-4
        at 4096.
        """
        suited = 5e-5 * (1 if self.method == "full" else 10) * (2000 / hidden_size) ** 0.781
        return self.learning_rate or suited

    def batch(self, examples: int, *, processes: int = 1) -> int:
        """Examples per optimiser step: `batch_size`, or the largest of 4, 8 and 16 that leaves a hundred steps.

        Few examples need many small steps to be learned from; many examples train faster in large batches.

        Args:
            examples: number of training examples.
            processes: number of devices that share each batch; a size that is not given is a multiple of it.
        """
        if self.batch_size is not None:
            return self.batch_size
        passes = 3 if self.epochs == "auto" else self.epochs
        size = next((size for size in (16, 8) if examples * passes >= _STEPS * size), 4)
        return math.ceil(size / processes) * processes

    @property
    def most_epochs(self) -> int:
        """The largest number of passes over the examples."""
        return MOST_EPOCHS if self.epochs == "auto" else self.epochs


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """Progress of a training run; each of the figures from `loss` on is None unless this report is about it.

    Attributes:
        step: of the optimiser, from 1.
        total: the largest number of steps.
        epoch: passes over the examples, as a fraction.
        loss: mean cross-entropy of the step's answer tokens, in nats.
        accuracy: share of these tokens that the model ranks first.
        dev_loss: the same on dev, at the end of an epoch.
        dev_accuracy: the same on dev.
        checkpoint: one that was just written.
    """

    step: int
    total: int
    epoch: float
    loss: float | None = None
    accuracy: float | None = None
    dev_loss: float | None = None
    dev_accuracy: float | None = None
    checkpoint: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of a training run.

    Attributes:
        folder: a peft adapter, or a whole model for "full"; with dev, from the epoch with the lowest loss on it.
        tokens: trained on, prompts and answers, over all epochs.
        steps: of the optimiser.
        epochs: passes over the examples.
        curve: a mapping per report: `step, epoch, loss, accuracy` or `step, epoch, dev_loss, dev_accuracy`.
        seconds: wall time of all attempts.
        device_seconds: `seconds` times the number of devices.
    """

    folder: Path
    tokens: int
    steps: int
    epochs: float
    curve: Sequence[Mapping[str, Any]]
    seconds: float
    device_seconds: float


class Stopped(Exception):  # noqa: N818 - not an error: `on_step` asked for it
    """Training stopped as requested; the same call resumes from the checkpoint on disk."""


def set_base_name(folder: Path, base: str) -> None:
    """Replace the base's path in an adapter's configuration by a name; does nothing for a whole model."""
    path = folder / "adapter_config.json"
    if path.is_file():
        config = json.loads(path.read_text("utf-8")) | {"base_model_name_or_path": base}
        path.write_text(json.dumps(config, indent=2), "utf-8")

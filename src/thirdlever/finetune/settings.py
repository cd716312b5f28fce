"""What a training run is told, what it tells while it runs, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.core.errors import StrategyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


Method: TypeAlias = Literal["lora", "qlora", "full"]

MOST_EPOCHS = 10  # of epochs="auto", which stops when dev's loss no longer falls


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Attributes:
        method: "lora" trains low-rank adapters beside frozen weights (Hu et al., 2021), "qlora" the same over weights
            in 4 bits (Dettmers et al., 2023), "full" every weight.
        rank: of the adapters' matrices.
        epochs: passes over the examples; "auto" goes on, 10 at most, until dev's loss no longer falls.
        batch_size: examples in one step of the optimiser.
        learning_rate: at its highest; None for what suits the method.
        seed: of initial weights and order.
    """

    method: Method = "lora"
    rank: int = 16
    epochs: int | Literal["auto"] = 3
    batch_size: int = 16
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with.

        Raises:
            StrategyError: naming the setting.
        """
        for name in ("rank", "epochs", "batch_size"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                message = f"{name}={value} is not allowed; give 1 or more"
                raise StrategyError(message)
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            message = f"learning_rate={self.learning_rate} is not allowed; give one between 0 and 1, such as 0.001"
            raise StrategyError(message)

    def peak_learning_rate(self, hidden_size: int) -> float:
        """The learning rate at its highest; when none was given, what suits method and width.

        Ten times higher for adapters than for all weights (Schulman et al., "LoRA Without Regret", 2025), and the wider
        a model the lower: 5e-5 x 10 x (2000 / width) ^ 0.781, a rule of thumb that gives 1.3e-3 at a width of 576 and
        2.9e-4 at 4096.

        Args:
            hidden_size: the model's width.
        """
        suited = 5e-5 * (1 if self.method == "full" else 10) * (2000 / hidden_size) ** 0.781
        return self.learning_rate or suited

    @property
    def most_epochs(self) -> int:
        """Passes over the examples at most."""
        return MOST_EPOCHS if self.epochs == "auto" else self.epochs


@dataclass(frozen=True, kw_only=True)
class Step:
    """How far a training run has come.

    Attributes:
        step: of the optimiser, from 1.
        total: steps at most.
        epoch: passes over the examples, in fractions.
        loss: mean cross-entropy of this step's answer tokens, in nats; None where the run reports on dev.
        accuracy: share of them that the model would have chosen.
        dev_loss: the same over dev, at the end of an epoch.
        dev_accuracy: the same over dev.
        checkpoint: what was just written; None otherwise.
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
    """What a training run left.

    Attributes:
        folder: a peft adapter, or a whole model for "full"; that of the epoch with the lowest loss on dev, when there
            was a dev.
        tokens: trained on, prompts and answers, all epochs together.
        steps: of the optimiser.
        epochs: passes over the examples.
        curve: a mapping a step: `step, epoch, loss, accuracy` or `step, epoch, dev_loss, dev_accuracy`.
        seconds: wall time, all attempts together.
        device_seconds: the same times the number of devices.
    """

    folder: Path
    tokens: int
    steps: int
    epochs: float
    curve: Sequence[Mapping[str, Any]]
    seconds: float
    device_seconds: float


class Stopped(Exception):  # noqa: N818 - not an error: whoever watches asked for it
    """Training was told to stop; a checkpoint is on disk, and the same call goes on from there."""

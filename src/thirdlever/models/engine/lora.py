"""LoRA adapters on one set of weights: each token of a forward pass uses its request's adapter.

A low-rank adapter adds `B(A(x)) * scaling` to the output of a linear layer (Hu et al., 2021). All requests are
packed into one sequence, so those of an adapter are slices of it, and several adapters share one pass over the base.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import ModelError, need
from thirdlever.models.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel


_KEPT = 16  # adapters in memory; the least recently used is dropped first
Routes = list[tuple[slice, str]]


@dataclass
class Adapters:
    """The adapters loaded on a model.

    Attributes:
        model: transformers' model, into which peft inserts its layers.
        routes: the adapter of each slice of tokens in the next forward pass.
    """

    model: PreTrainedModel
    routes: Routes = field(default_factory=list)
    _names: dict[Path, str] = field(default_factory=dict)
    _count: int = 0

    def route(self, tokens: Sequence[tuple[slice, Path | None]]) -> None:
        """Set the adapter of each slice of tokens for the next forward pass."""
        self.routes[:] = [(where, self._names[adapter]) for where, adapter in tokens if adapter is not None]

    def load(self, folder: Path) -> None:
        """Load an adapter, if it is not loaded yet.

        Raises:
            ModelError: the folder has no LoRA adapter for this model.
        """
        name = self._names.pop(folder, None)
        self._names[folder] = name or self._load(folder)  # the last is the most recently used

    def trim(self) -> None:
        """Unload the least recently used adapters."""
        for folder in list(self._names)[:-_KEPT]:
            self._layers_of(self._names.pop(folder), delete=True)

    def _load(self, folder: Path) -> str:
        peft = need("peft", extra="local")
        if not (folder / "adapter_model.safetensors").is_file():  # peft would try the hub, and pickle
            raise ModelError(_unusable(folder, "it has no adapter_model.safetensors"))
        try:
            config = peft.PeftConfig.from_pretrained(str(folder))
            state = peft.load_peft_weights(str(folder), device=str(self.model.device))
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(_unusable(folder, f"its files cannot be read ({type(error).__name__})")) from error
        if config.peft_type != "LORA" or config.use_dora or config.bias != "none" or config.modules_to_save:
            raise ModelError(_unusable(folder, "it is not a plain LoRA adapter"))
        self._count += 1
        name = f"adapter{self._count}"
        try:
            with quiet():
                peft.inject_adapter_in_model(config, self.model, name)
            result = peft.set_peft_model_state_dict(self.model, state, name)
        except (RuntimeError, ValueError, KeyError) as error:
            self._layers_of(name, delete=True)
            raise ModelError(_unusable(folder, "it was trained on another model")) from error
        if result.unexpected_keys or not state:
            self._layers_of(name, delete=True)
            raise ModelError(_unusable(folder, "it was trained on another model"))
        self._layers_of(name)
        return name

    def _layers_of(self, name: str, *, delete: bool = False) -> None:
        """Route the layers with this adapter through `_routed`, in the weights' dtype; or delete it from them."""
        from peft.tuners.lora import LoraLayer

        for layer in self.model.modules():
            if not isinstance(layer, LoraLayer) or name not in layer.lora_A:
                continue
            if delete:
                layer.delete_adapter(name)
                continue
            base: Any = layer.get_base_layer()
            layer.lora_A[name].to(base.weight.dtype)
            layer.lora_B[name].to(base.weight.dtype)
            if not hasattr(layer, "routes"):
                layer.__dict__["routes"] = self.routes  # one list for all layers, not a part of the module
                layer.__dict__["forward"] = types.MethodType(_routed, layer)


def _routed(layer: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - peft's layer
    """The base layer on all tokens `[1, N, in]`, and each adapter on its own."""
    result: Tensor = layer.base_layer(x)
    for where, name in layer.routes:
        if name in layer.lora_A:
            low = layer.lora_A[name](x[:, where])
            result[:, where] += layer.lora_B[name](low) * layer.scaling[name]
    return result


def _unusable(folder: Path, why: str) -> str:
    return f"adapter {str(folder)!r} cannot be used: {why}; give the folder of a LoRA adapter of this base model"

"""LoRA adapters beside one set of weights: each token of a forward pass goes through the adapter of its request.

Low-rank adapters add `B(A(x)) * scaling` to what a linear layer gives (Hu et al., 2021). The tokens of all requests lie
packed in one sequence, so an adapter's requests are slices of it, and several adapters share one pass over the base.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import ModelError, need
from thirdlever.models.engine.weights import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel


_KEPT = 16  # adapters in memory; the one not used for longest goes first
Routes = list[tuple[slice, str]]


@dataclass
class Adapters:
    """The adapters that are loaded on a model.

    Attributes:
        model: transformers' model; peft puts its layers into it.
        routes: which tokens of the next forward pass go through which adapter.
    """

    model: PreTrainedModel
    routes: Routes = field(default_factory=list)
    _names: dict[Path, str] = field(default_factory=dict)
    _count: int = 0

    def route(self, tokens: Sequence[tuple[slice, Path | None]]) -> None:
        """Say whose tokens come in the next forward pass."""
        self.routes[:] = [(where, self._names[adapter]) for where, adapter in tokens if adapter is not None]

    def load(self, folder: Path) -> None:
        """Have an adapter at hand.

        Raises:
            ModelError: the folder holds no LoRA adapter that fits the model.
        """
        name = self._names.pop(folder, None)
        self._names[folder] = name or self._load(folder)  # the last is the one used last

    def trim(self) -> None:
        """Forget those not used for longest."""
        for folder in list(self._names)[:-_KEPT]:
            self._layers_of(self._names.pop(folder), delete=True)

    def _load(self, folder: Path) -> str:
        peft = need("peft", extra="local")
        if not (folder / "adapter_model.safetensors").is_file():  # peft would go on to the hub, and to pickle
            raise ModelError(_unusable(folder, "there is no adapter_model.safetensors in it"))
        try:
            config = peft.PeftConfig.from_pretrained(str(folder))
            state = peft.load_peft_weights(str(folder), device=str(self.model.device))
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(_unusable(folder, f"no adapter can be read ({type(error).__name__})")) from error
        if config.peft_type != "LORA" or config.use_dora or config.bias != "none" or config.modules_to_save:
            raise ModelError(_unusable(folder, "it is no plain LoRA adapter"))
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
        """Send the layers that carry an adapter through our routing, in the weights' own dtype; or take it off them."""
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
                layer.__dict__["routes"] = self.routes  # a list that all layers share, and no part of the module
                layer.__dict__["forward"] = types.MethodType(_routed, layer)


def _routed(layer: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - peft's layer
    """The base layer for all tokens `[1, N, in]`, and each adapter for its own."""
    result: Tensor = layer.base_layer(x)
    for where, name in layer.routes:
        if name in layer.lora_A:
            low = layer.lora_A[name](x[:, where])
            result[:, where] += layer.lora_B[name](low) * layer.scaling[name]
    return result


def _unusable(folder: Path, why: str) -> str:
    return f"adapter {str(folder)!r} cannot be used: {why}; give the folder of a LoRA adapter of this base model"

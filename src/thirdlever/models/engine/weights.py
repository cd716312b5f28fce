"""Load weights, tokenizers and LoRA adapters, and compute attention over a shared prefix.

A forward pass takes the new tokens of all rows packed into one sequence `[1, N]`: no padding reaches the linear layers.
Each query attends to the prefix, once for all rows, and to its own row's keys, without copying the prefix; the two
partial results are merged by their log-sum-exp, which equals attention over both (Juravsky et al., "Hydragen", 2024,
section 3.1). Shapes: H query heads, K key/value heads (grouped-query attention), D head size, B rows, P prefix tokens.
Loading checks that the engine computes the model's own attention.

A low-rank adapter adds `B(A(x)) * scaling` to the output of a linear layer (Hu et al., 2021). All requests are
packed into one sequence, so those of an adapter are slices of it, and several adapters share one pass over the base.

Import this module at the point of use, because it imports transformers.
"""

from __future__ import annotations

import threading
import types
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer
from transformers.masking_utils import AttentionMaskInterface

from thirdlever.core.errors import ModelError, need
from thirdlever.models.bundled import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_one_at_a_time = threading.Lock()  # while transformers loads weights, it changes the default dtype of all threads
_TOLERANCE = 0.05  # as a share of the logits' range; bfloat16 rounding stays under 0.02


@dataclass(frozen=True)
class Weights:
    """A loaded model.

    Attributes:
        model: in evaluation mode, with the engine's attention.
        tokenizer: its tokenizer.
        end: tokens that end an answer.
        window: maximum tokens of prompt and answer together.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end: frozenset[int]
    window: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values over all layers."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * heads * size * self.model.dtype.itemsize)


def device() -> torch.device:
    """CUDA if available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def best_dtype(on: torch.device) -> torch.dtype:
    """bfloat16 if the hardware multiplies it natively (AMX prefill: 3.4 times float32), else the next best."""
    if on.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001
    return torch.bfloat16 if native else torch.float32


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a local folder or a hub id.

    Raises:
        ModelError: it cannot be loaded.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(_not_loaded(path, error)) from error
    return tokenizer


def load(path: str, *, dtype: torch.dtype | None = None) -> Weights:
    """Load safetensors weights from a local folder or the hub, never pickle or remote code.

    Raises:
        ModelError: they cannot be loaded, or the engine's attention does not cover the architecture.
    """
    with _one_at_a_time:
        return _load(path, dtype)


def _load(path: str, dtype: torch.dtype | None) -> Weights:
    install()
    on = device()
    tokenizer = load_tokenizer(path)
    try:
        with quiet():
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype or best_dtype(on),
                device_map=on if on.type != "cpu" else None,
                use_safetensors=True,
                attn_implementation="sdpa",
            )
    except (OSError, ValueError) as error:
        raise ModelError(_not_loaded(path, error)) from error
    model.train(mode=False)
    config = model.config.get_text_config()
    _check(model, path)
    end = {tokenizer.eos_token_id, *_listed(model.generation_config.eos_token_id)} - {None}
    return Weights(model, tokenizer, frozenset(end), int(config.max_position_embeddings))


def _check(model: PreTrainedModel, path: str) -> None:
    config = model.config.get_text_config()
    slides = getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
    if slides or not _agrees(model):
        message = (
            f"{path!r} ({type(model).__name__}) uses an attention that the local engine does not support; "
            f"serve it with vLLM and pass --model vllm/{path}"
        )
        raise ModelError(message)


@torch.inference_mode()
def _agrees(model: Any) -> bool:  # noqa: ANN401 - set_attn_implementation is on every model and not in its type
    """Switch to the engine's attention and compare its logits with those of transformers' own.

    This finds soft caps, latent and linear attention.
    """
    shared = 24
    ids = torch.arange(5, 5 + 2 * shared, device=model.device)[None] % model.config.get_text_config().vocab_size
    expected = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
    where = torch.arange(shared, device=model.device)
    first, second = (Rows(torch.tensor([shared]), shared) for _ in range(2))
    try:
        model.set_attn_implementation(NAME)
        for rows, start, prefix in ((first, 0, None), (second, shared, first.kv)):
            part = Part(rows, slice(0, shared), torch.zeros_like(where), where, prefix)
            got = model(
                input_ids=ids[:, start : start + shared],
                position_ids=(where + start)[None],
                use_cache=False,
                logits_to_keep=1,
                parts=[part],
            ).logits[0, -1]
    except (TypeError, AttributeError, ValueError, KeyError, RuntimeError, IndexError):
        return False
    return bool((got.float() - expected).abs().max() <= _TOLERANCE * (expected.max() - expected.min()))


def _listed(value: int | list[int] | None) -> list[int | None]:
    return list(value) if isinstance(value, list) else [value]


def _not_loaded(path: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"cannot load model {path!r}: {reason.rstrip('.')}; give a folder with safetensors weights or a hub id"


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


NAME = "thirdlever_shared_prefix"
KV = list[tuple["Tensor", "Tensor"]]  # per layer: keys and values, [1, K, P, D]


@dataclass
class Rows:
    """Each row's own keys and values, padded to the longest: per layer `[B, K, capacity, D]`.

    Attributes:
        lengths: tokens stored so far, [B].
        capacity: maximum number of tokens.
        kv: keys and values, filled in by the forward passes.
    """

    lengths: Tensor
    capacity: int
    kv: KV = field(default_factory=list)


class Following(NamedTuple):
    """Where next tokens stand among those of their row, of which there are at most Q.

    Attributes:
        column: of each, from 0, [n].
        mask: added to the scores, [B, 1, Q, longest].
    """

    column: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Part:
    """The tokens of some rows in one forward pass.

    Attributes:
        rows: the rows.
        where: position of the tokens in the packed sequence.
        row: the row of each token, [n].
        position: its position in its row without the prefix, [n].
        prefix: keys and values that every row also attends to; None if there are none.
        following: of tokens that follow others in their rows; None for the first tokens, which attend causally.
    """

    rows: Rows
    where: slice
    row: Tensor
    position: Tensor
    prefix: KV | None = None
    following: Following | None = None


def shared_prefix_attention(
    module: Any,  # noqa: ANN401 - any architecture's attention module
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    scaling: float | None = None,
    parts: Sequence[Part],
    **_: object,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls.

    Args:
        module: the attention layer, with its `layer_idx`.
        query: `[1, H, N, D]`, after the position encoding.
        key: `[1, K, N, D]`.
        value: `[1, K, N, D]`.
        scaling: factor of the scores; 1/sqrt(D) if None.
        parts: the rows that the tokens belong to.

    Returns:
        `[1, N, H, D]` and no weights.
    """
    layer: int = module.layer_idx
    q, k, v = query[0], key[0], value[0]
    heads, size = q.shape[0], q.shape[2]
    own = torch.empty_like(q)
    own_lse = torch.empty(q.shape[:2], dtype=torch.float32, device=q.device)
    for part in parts:
        new = (q[:, part.where], k[:, part.where], v[:, part.where])
        if part.following is None:
            out, lse = _attend_filling(*new, part=part, layer=layer, scaling=scaling)
        else:
            out, lse = _attend_next(*new, part=part, following=part.following, layer=layer, scaling=scaling)
        own[:, part.where], own_lse[:, part.where] = out, lse
    for prefix, where in _spans(parts):
        keys, values = prefix[layer]
        # Query heads of a group share their keys, which see them as more queries.
        grouped = q[:, where].reshape(1, keys.shape[1], -1, size)
        out, lse = attend(grouped, keys, values, scaling)
        mine = own[:, where]
        own[:, where] = merge(mine, own_lse[:, where], out.reshape(mine.shape), lse.reshape(heads, -1))
    return own.transpose(0, 1)[None], None


def _spans(parts: Sequence[Part]) -> Iterator[tuple[KV, slice]]:
    """Each prefix with the tokens that attend to it; neighbouring parts with the same prefix attend together."""
    for _, same in groupby(parts, key=lambda part: id(part.prefix)):
        several = list(same)
        if several[0].prefix is not None:
            yield several[0].prefix, slice(several[0].where.start, several[-1].where.stop)


def _attend_filling(
    q: Tensor, k: Tensor, v: Tensor, *, part: Part, layer: int, scaling: float | None
) -> tuple[Tensor, Tensor]:
    """The first tokens of the rows; each attends causally within its row.

    Rows are padded on the right, which causal attention never reads, so the fast kernels need no mask.
    """
    rows, row, position = part.rows, part.row, part.position
    count, longest = len(rows.lengths), int(position.max()) + 1
    shape = (count, k.shape[0], rows.capacity, k.shape[2])
    rows.kv.append((k.new_zeros(shape), v.new_zeros(shape)))
    keys, values = _write(k, v, part, layer)
    padded = q.new_zeros(count, q.shape[0], longest, q.shape[2])
    padded[row, :, position] = q.transpose(0, 1)
    out, lse = attend(padded, keys[:, :, :longest], values[:, :, :longest], scaling, causal=True)
    return out[row, :, position].transpose(0, 1), lse[row, :, position].transpose(0, 1)


def _attend_next(
    q: Tensor, k: Tensor, v: Tensor, *, part: Part, following: Following, layer: int, scaling: float | None
) -> tuple[Tensor, Tensor]:
    """The next tokens of each row, over all tokens of its row up to themselves."""
    keys, values = _write(k, v, part, layer)
    row, (column, mask) = part.row, following
    count, _, most, longest = mask.shape
    heads, _, size = q.shape
    # Query heads of a group share their keys, which see them as more queries.
    shared = heads // keys.shape[1]
    padded = q.new_zeros(count, heads, most, size)
    padded[row, :, column] = q.transpose(0, 1)
    grouped = padded.reshape(count, -1, shared * most, size)
    seen = mask.expand(-1, shared, -1, -1).reshape(count, 1, shared * most, longest)
    out, lse = attend(grouped, keys[:, :, :longest], values[:, :, :longest], scaling, mask=seen)
    out, lse = out.reshape(count, heads, most, size), lse.reshape(count, heads, most)
    return out[row, :, column].transpose(0, 1), lse[row, :, column].transpose(0, 1)


def _write(k: Tensor, v: Tensor, part: Part, layer: int) -> tuple[Tensor, Tensor]:
    keys, values = part.rows.kv[layer]
    keys[part.row, :, part.position] = k.transpose(0, 1)
    values[part.row, :, part.position] = v.transpose(0, 1)
    return keys, values


def attend(
    q: Tensor, k: Tensor, v: Tensor, scaling: float | None, *, causal: bool = False, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention that also returns the log-sum-exp of its scores.

    Args:
        q: `[B, H, Q, D]`.
        k: `[B, K, T, D]` where K divides H.
        v: `[B, K, T, D]`.
        scaling: factor of the scores; 1/sqrt(D) if None.
        causal: query i sees keys up to i.
        mask: added to the scores, broadcastable to `[B, H, Q, T]`.

    Returns:
        `[B, H, Q, D]` in q's dtype and `[B, H, Q]` in float32.
    """
    if q.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001 - the only function that returns its lse
        out, lse = flash(q, k, v, 0.0, causal, attn_mask=mask, scale=scaling)
        return out, lse
    return attend_plainly(q, k, v, scaling, causal=causal, mask=mask)


def attend_plainly(
    q: Tensor, k: Tensor, v: Tensor, scaling: float | None, *, causal: bool = False, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`attend` in elementary operations, for devices whose fused kernels do not return the log-sum-exp."""
    batch, heads, queries, size = q.shape
    grouped = q.reshape(batch, k.shape[1], -1, queries, size)
    scores = (grouped @ k[:, :, None].mT).float() * (size**-0.5 if scaling is None else scaling)
    if causal:
        later = torch.ones(queries, k.shape[2], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    if mask is not None:
        scores = scores + mask[:, :, None]
    lse = scores.logsumexp(-1)
    out = (scores - lse[..., None]).exp().to(v.dtype) @ v[:, :, None]
    return out.reshape(q.shape), lse.reshape(batch, heads, queries)


def merge(a: Tensor, a_lse: Tensor, b: Tensor, b_lse: Tensor) -> Tensor:
    """Attention over two disjoint sets of keys from the attention over each (`[..., D]` and `[...]`)."""
    weight = torch.sigmoid(a_lse - b_lse)[..., None]
    return torch.lerp(b.float(), a.float(), weight).to(a.dtype)


def install() -> None:
    """Register the attention with transformers, without a mask because it handles causality itself."""
    AttentionInterface.register(NAME, shared_prefix_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)

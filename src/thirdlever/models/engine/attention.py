"""Attention of many rows over one shared prefix and over each row's own tokens, without copying the prefix.

A forward pass takes the new tokens of all rows packed into one sequence `[1, N]`: no padding reaches the linear layers.
Each query attends to the prefix, once for all rows, and to its own row's keys; the two partial results are merged
by their log-sum-exp, which equals attention over both (Juravsky et al., "Hydragen", 2024, section 3.1).

Shapes: H query heads, K key/value heads (grouped-query attention), D head size, B rows, P prefix tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


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


@dataclass(frozen=True)
class Part:
    """The tokens of some rows in one forward pass.

    Attributes:
        rows: the rows.
        where: position of the tokens in the packed sequence.
        row: the row of each token, [n].
        position: its position in its row without the prefix, [n].
        prefix: keys and values that every row also attends to; None if there are none.
        mask: added to the scores, [B, 1, 1, longest]; None for the first tokens of the rows, which attend causally.
    """

    rows: Rows
    where: slice
    row: Tensor
    position: Tensor
    prefix: KV | None = None
    mask: Tensor | None = None


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
        attend_own = _attend_filling if part.mask is None else _attend_next
        new = (q[:, part.where], k[:, part.where], v[:, part.where])
        out, lse = attend_own(*new, part=part, layer=layer, scaling=scaling)
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
    q: Tensor, k: Tensor, v: Tensor, *, part: Part, layer: int, scaling: float | None
) -> tuple[Tensor, Tensor]:
    """One next token of each row, over all tokens of its row."""
    keys, values = _write(k, v, part, layer)
    longest = part.mask.shape[-1] if part.mask is not None else keys.shape[2]
    heads, _, size = q.shape
    grouped = q.transpose(0, 1).reshape(-1, keys.shape[1], heads // keys.shape[1], size)
    out, lse = attend(grouped, keys[:, :, :longest], values[:, :, :longest], scaling, mask=part.mask)
    return out.reshape(-1, heads, size).transpose(0, 1), lse.reshape(-1, heads).transpose(0, 1)


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

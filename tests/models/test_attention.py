"""Partial attentions merge to the whole."""

from __future__ import annotations

import torch

from thirdlever.models.engine.weights import attend, attend_plainly, merge


def tensors(queries: int = 5, keys: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 4, queries, 8), torch.randn(2, 2, keys, 8), torch.randn(2, 2, keys, 8)


def test_merging_two_parts_equals_attention_over_both() -> None:
    q, k, v = tensors()
    whole, _ = attend(q, k, v, None)
    merged = merge(*attend(q, k[:, :, :3], v[:, :, :3], None), *attend(q, k[:, :, 3:], v[:, :, 3:], None))
    torch.testing.assert_close(merged, whole)


def test_elementary_operations_agree_with_the_fused_kernel() -> None:
    q, k, v = tensors(queries=9)
    mask = torch.zeros(2, 1, 1, 9)
    mask[:, :, :, 6:] = float("-inf")
    for causal, hidden in ((True, None), (False, None), (False, mask)):
        fused = attend(q, k, v, 0.3, causal=causal, mask=hidden)
        plain = attend_plainly(q, k, v, 0.3, causal=causal, mask=hidden)
        torch.testing.assert_close(fused, plain)


def test_grouped_queries_attend_to_their_own_keys() -> None:
    q, k, v = tensors()
    expected, _ = attend(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), None)
    torch.testing.assert_close(attend(q, k, v, None)[0], expected)

"""Generating answers for many prompts: shared prefixes once, prefill in chunks, then one joint decode."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from thirdlever.models.adapters import Adapters
from thirdlever.models.attention import KV, Part, Rows
from thirdlever.models.prefixes import WORTHWHILE, PrefixCache, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from thirdlever.models.request import Answering
    from thirdlever.models.weights import Weights

CHUNK = 4096  # prompt tokens in one forward pass: enough to keep the matrix units busy, small enough for the caches


@dataclass(frozen=True)
class Batch:
    """Requests under one adapter whose prompts begin with the same `shared` tokens, fewer than the shortest has."""

    members: Sequence[Answering]
    shared: int

    @property
    def adapter(self) -> Path | None:
        """Which one."""
        return self.members[0].request.adapter


@dataclass
class _Chunk:
    """Rows that are computed side by side.

    Attributes:
        members: their requests.
        shared: how many tokens of each prompt are in `prefix`.
        prefix: keys and values of these.
        rows: their own keys and values.
    """

    members: list[Answering]
    shared: int
    prefix: KV | None
    rows: Rows

    def part(self, start: int, row: Tensor, position: Tensor, mask: Tensor | None = None) -> Part:
        """These tokens of the rows, from `start` in the packed sequence."""
        return Part(self.rows, slice(start, start + len(row)), row, position, self.prefix, mask)


@dataclass
class Generation:
    """Generates with one set of weights.

    Attributes:
        weights: the model.
        cache: prefixes seen before.
        kv_capacity: bytes that the own keys and values of concurrently decoded rows may take.
    """

    weights: Weights
    cache: PrefixCache
    kv_capacity: int
    adapters: Adapters = field(init=False)

    def __post_init__(self) -> None:
        """Be ready for adapters."""
        self.adapters = Adapters(self.weights.model)

    @torch.inference_mode()
    def run(self, batches: Sequence[Batch]) -> None:
        """Answer requests: each batch's prefix once, then all rows of all batches together, as memory allows.

        Args:
            batches: their adapters are loaded.
        """
        for wave in self._waves(batches):
            chunks = []
            for batch in wave:
                shared, prefix = self._prefix(batch)
                chunks += [self._fill(members, shared, prefix) for members in _chunked(batch.members, shared)]
            self._decode(chunks)

    def _prefix(self, batch: Batch) -> tuple[int, KV | None]:
        """Length, keys and values of the batch's common prefix, computed once for all."""
        if len(batch.members) == 1:
            (only,) = batch.members
            only.cached, prefix = self.cache.longest(only.request.tokens[:-1], batch.adapter)
            return only.cached, prefix
        if not batch.shared:
            return 0, None
        start = time.perf_counter()
        tokens = batch.members[0].request.tokens[: batch.shared]
        found, kv = self.cache.longest(tokens, batch.adapter)
        if found < batch.shared:
            chunk = _Chunk([batch.members[0]], found, kv, self._rows([batch.shared - found], 0))
            self._forward(chunk, [tokens[found:]])
            kv = self._remember(tokens, chunk)
        for row in batch.members:
            row.cached = batch.shared
            row.device_s += (time.perf_counter() - start) / len(batch.members)
        batch.members[0].cached = found
        return batch.shared, kv

    def _remember(self, tokens: Tokens, chunk: _Chunk) -> KV:
        """Join a prefix and the first row's own keys and values, and keep them for later requests."""
        own = len(tokens) - chunk.shared
        kv = [(k[:1, :, :own], v[:1, :, :own]) for k, v in chunk.rows.kv]
        if chunk.prefix:
            pairs = zip(chunk.prefix, kv, strict=True)
            kv = [(torch.cat([pk, k], 2), torch.cat([pv, v], 2)) for (pk, pv), (k, v) in pairs]
        self.cache.remember(tokens, kv, chunk.members[0].request.adapter)
        return kv

    def _waves(self, batches: Sequence[Batch]) -> Iterator[list[Batch]]:
        """Parts of the batches whose own keys and values fit in memory together, shortest prompts first."""
        wave: list[Batch] = []
        used = 0
        for batch in batches:
            taken: list[Answering] = []
            for row in sorted(batch.members, key=lambda row: len(row.request.tokens)):
                own = len(row.request.tokens) - batch.shared + row.request.max_tokens
                need = own * self.weights.kv_bytes_per_token
                if (wave or taken) and used + need > self.kv_capacity:
                    yield [*wave, Batch(taken, batch.shared)] if taken else wave
                    wave, taken, used = [], [], 0
                taken.append(row)
                used += need
            wave.append(Batch(taken, batch.shared))
        yield wave

    def _rows(self, lengths: list[int], room: int) -> Rows:
        return Rows(torch.tensor(lengths, device=self.weights.model.device), max(lengths) + room)

    def _fill(self, members: list[Answering], shared: int, prefix: KV | None) -> _Chunk:
        """Prefill what is each prompt's own; the first answer token comes with it."""
        start = time.perf_counter()
        own = [row.request.tokens[shared:] for row in members]
        room = max(row.request.max_tokens for row in members)
        chunk = _Chunk(members, shared, prefix, self._rows([len(tokens) for tokens in own], room))
        self._choose(self._forward(chunk, own), members)
        now = time.perf_counter()
        total = sum(map(len, own))
        for row, tokens in zip(members, own, strict=True):
            row.device_s += (now - start) * len(tokens) / total
            row.first_token_s = now
        if len(members) == 1 and len(own[0]) >= 2 * WORTHWHILE:  # the next request may begin alike
            self._remember(members[0].request.tokens[:-1], chunk)
        return chunk

    def _forward(self, chunk: _Chunk, sequences: Sequence[Tokens]) -> Tensor:
        """Fill a chunk's rows with sequences packed end to end; logits of each one's last token, [B, vocabulary]."""
        on = self.weights.model.device
        lengths = chunk.rows.lengths
        tokens = torch.tensor([t for sequence in sequences for t in sequence], device=on)
        row = torch.repeat_interleave(torch.arange(len(sequences), device=on), lengths)
        position = torch.cat([torch.arange(len(sequence), device=on) for sequence in sequences])
        return self._logits(
            tokens, position + chunk.shared, [(chunk, chunk.part(0, row, position))], lengths.cumsum(0) - 1
        )

    def _logits(self, tokens: Tensor, positions: Tensor, parts: Sequence[tuple[_Chunk, Part]], keep: Tensor) -> Tensor:
        self.adapters.route([(part.where, chunk.members[0].request.adapter) for chunk, part in parts])
        output = self.weights.model(
            input_ids=tokens[None],
            position_ids=positions[None],
            use_cache=False,
            logits_to_keep=keep,
            parts=[part for _, part in parts],
        )
        logits: Tensor = output.logits[0]
        return logits

    def _decode(self, chunks: list[_Chunk]) -> None:
        """One token a step for every row of every chunk, until all have ended."""
        while chunks := [_without_ended(chunk) for chunk in chunks if _goes_on(chunk)]:
            start = time.perf_counter()
            parts, positions, at = [], [], 0
            for chunk in chunks:
                position = chunk.rows.lengths
                reach = torch.arange(int(position.max()) + 1, device=position.device)
                mask = torch.zeros(len(position), len(reach), dtype=self.weights.model.dtype, device=position.device)
                mask.masked_fill_(reach > position[:, None], float("-inf"))
                index = torch.arange(len(position), device=position.device)
                parts.append((chunk, chunk.part(at, index, position, mask[:, None, None])))
                positions.append(position + chunk.shared)
                at += len(position)
            members = [row for chunk in chunks for row in chunk.members]
            tokens = torch.tensor([row.output[-1] for row in members], device=self.weights.model.device)
            logits = self._logits(tokens, torch.cat(positions), parts, torch.arange(at, device=tokens.device))
            for chunk in chunks:
                chunk.rows.lengths = chunk.rows.lengths + 1
            self._choose(logits, members)
            for row in members:
                row.device_s += (time.perf_counter() - start) / len(members)

    def _choose(self, logits: Tensor, rows: Sequence[Answering]) -> None:
        """Append the next token to each row that goes on."""
        greedy: list[int] = logits.argmax(-1).tolist()
        for row, scores, best in zip(rows, logits, greedy, strict=True):
            if row.stop_reason is None:
                row.append(row.choose(scores, best), self.weights.tokenizer, self.weights.end)


def _chunked(members: Sequence[Answering], shared: int) -> Iterator[list[Answering]]:
    """Rows of like length (they are sorted) whose padded size is at most `CHUNK` tokens."""
    chunk: list[Answering] = []
    for row in members:
        if chunk and (len(chunk) + 1) * (len(row.request.tokens) - shared) > CHUNK:
            yield chunk
            chunk = []
        chunk.append(row)
    yield chunk


def _goes_on(chunk: _Chunk) -> bool:
    return any(row.stop_reason is None for row in chunk.members)


def _without_ended(chunk: _Chunk) -> _Chunk:
    """Drop ended rows once they are half of a chunk: copying what stays costs less than carrying them on."""
    going = [i for i, row in enumerate(chunk.members) if row.stop_reason is None]
    if 2 * len(going) > len(chunk.members):
        return chunk
    index = torch.tensor(going, device=chunk.rows.lengths.device)
    kv = [(k[index], v[index]) for k, v in chunk.rows.kv]
    rows = Rows(chunk.rows.lengths[index], chunk.rows.capacity, kv)
    return _Chunk([chunk.members[i] for i in going], chunk.shared, chunk.prefix, rows)

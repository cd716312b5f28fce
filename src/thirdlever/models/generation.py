"""Generating answers for a group of prompts that share a prefix: prefill in chunks, then one joint decode."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from thirdlever.models.attention import KV, Part, Rows, Step
from thirdlever.models.prefixes import WORTHWHILE, PrefixCache, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from thirdlever.models.choices import Choices
    from thirdlever.models.weights import Weights

CHUNK = 4096  # prompt tokens in one forward pass: enough to keep the matrix units busy, small enough for the caches


@dataclass(frozen=True)
class Request:
    """One prompt and how to answer it.

    Attributes:
        tokens: the prompt.
        max_tokens: tokens to generate at most.
        choices: the closed set of answers, when decoding is constrained.
        stop: texts that end the answer; they are not part of it.
        temperature: 0 is greedy.
        top_p: nucleus of the sampling.
        seed: of the sampling; None draws anew.
    """

    tokens: Tokens
    max_tokens: int
    choices: Choices | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass
class Answering:
    """A request while it is answered, and its bill.

    Attributes:
        request: what was asked.
        output: tokens generated, the end-of-sequence token included.
        text: the answer so far, set when it has ended.
        stop_reason: None while it goes on.
        cached: prompt tokens whose keys and values were there already.
        device_s: its share of the device's time.
        first_token_s: clock time (`time.perf_counter`) of the first token.
    """

    request: Request
    output: list[int] = field(default_factory=list)
    text: str = ""
    stop_reason: Literal["stop", "max_tokens"] | None = None
    cached: int = 0
    device_s: float = 0.0
    first_token_s: float = 0.0
    _sampler: torch.Generator | None = None

    def sampler(self) -> torch.Generator:
        """The request's own random numbers, so that an answer does not depend on its neighbours in the batch."""
        if self._sampler is None:
            self._sampler = torch.Generator()
            if self.request.seed is None:
                self._sampler.seed()
            else:
                self._sampler.manual_seed(self.request.seed)
        return self._sampler


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

    @torch.inference_mode()
    def run(self, group: Sequence[Answering], shared: int) -> None:
        """Answer a group.

        Args:
            group: requests whose prompts begin with the same `shared` tokens.
            shared: their common prefix; less than each prompt's length.
        """
        if len(group) == 1:
            shared, prefix = self.cache.longest(group[0].request.tokens[:-1])
            group[0].cached = shared
        else:
            prefix = self._prefix(group, shared)
        for wave in self._waves(group, shared):
            chunks = [(self._fill(chunk, shared, prefix), chunk) for chunk in _chunks(wave, shared)]
            if len(group) == 1 and len(group[0].request.tokens) - shared >= 2 * WORTHWHILE:
                self._remember(group[0].request.tokens[:-1], prefix, chunks[0][0])
            self._decode(chunks, shared, prefix)

    def _prefix(self, group: Sequence[Answering], shared: int) -> KV | None:
        """Keys and values of the group's common prefix, computed once for all."""
        if not shared:
            return None
        start = time.perf_counter()
        tokens = group[0].request.tokens[:shared]
        found, kv = self.cache.longest(tokens)
        if found < shared:
            rows = self._rows([shared - found], 0)
            self._forward([tokens[found:]], rows, found, kv)
            kv = self._remember(tokens, kv, rows)
        for row in group:
            row.cached = shared
            row.device_s += (time.perf_counter() - start) / len(group)
        group[0].cached = found
        return kv

    def _remember(self, tokens: Tokens, prefix: KV | None, rows: Rows) -> KV:
        """Join a prefix and the first row's own keys and values, and keep them for later requests."""
        own = len(tokens) - (prefix[0][0].shape[2] if prefix else 0)
        kv = [(k[:1, :, :own], v[:1, :, :own]) for k, v in rows.kv]
        if prefix:
            kv = [(torch.cat([pk, k], 2), torch.cat([pv, v], 2)) for (pk, pv), (k, v) in zip(prefix, kv, strict=True)]
        self.cache.remember(tokens, kv)
        return kv

    def _waves(self, group: Sequence[Answering], shared: int) -> Iterator[list[Answering]]:
        """Parts of the group whose own keys and values fit in memory together, shortest prompts first."""
        wave: list[Answering] = []
        used = 0
        for row in sorted(group, key=lambda row: len(row.request.tokens)):
            need = (len(row.request.tokens) - shared + row.request.max_tokens) * self.weights.kv_bytes_per_token
            if wave and used + need > self.kv_capacity:
                yield wave
                wave, used = [], 0
            wave.append(row)
            used += need
        yield wave

    def _rows(self, lengths: list[int], room: int) -> Rows:
        return Rows(torch.tensor(lengths, device=self.weights.model.device), max(lengths) + room)

    def _fill(self, chunk: Sequence[Answering], shared: int, prefix: KV | None) -> Rows:
        """Prefill what is each prompt's own; the first answer token comes with it."""
        start = time.perf_counter()
        own = [row.request.tokens[shared:] for row in chunk]
        rows = self._rows([len(tokens) for tokens in own], max(row.request.max_tokens for row in chunk))
        logits = self._forward(own, rows, shared, prefix)
        self._choose(logits, chunk)
        now = time.perf_counter()
        total = sum(map(len, own))
        for row, tokens in zip(chunk, own, strict=True):
            row.device_s += (now - start) * len(tokens) / total
            row.first_token_s = now
        return rows

    def _forward(self, sequences: Sequence[Tokens], rows: Rows, shared: int, prefix: KV | None) -> Tensor:
        """Fill `rows` with sequences packed end to end; logits of each one's last token, [B, vocabulary]."""
        on = self.weights.model.device
        lengths = rows.lengths
        tokens = torch.tensor([t for sequence in sequences for t in sequence], device=on)
        row = torch.repeat_interleave(torch.arange(len(sequences), device=on), lengths)
        position = torch.cat([torch.arange(len(sequence), device=on) for sequence in sequences])
        part = Part(rows, slice(0, len(tokens)), row, position)
        return self._logits(tokens, position + shared, Step(prefix, [part]), lengths.cumsum(0) - 1)

    def _logits(self, tokens: Tensor, positions: Tensor, step: Step, keep: Tensor) -> Tensor:
        model = self.weights.model
        output = model(
            input_ids=tokens[None], position_ids=positions[None], use_cache=False, logits_to_keep=keep, step=step
        )
        logits: Tensor = output.logits[0]
        return logits

    def _decode(self, chunks: list[tuple[Rows, list[Answering]]], shared: int, prefix: KV | None) -> None:
        """One token a step for every row of every chunk, until all have ended."""
        while chunks := [_without_ended(rows, chunk) for rows, chunk in chunks if _going_on(chunk)]:
            start = time.perf_counter()
            members = [row for _, chunk in chunks for row in chunk]
            parts, positions, at = [], [], 0
            for rows, chunk in chunks:
                position = rows.lengths
                reach = torch.arange(int(position.max()) + 1, device=position.device)
                mask = torch.zeros(len(chunk), len(reach), dtype=self.weights.model.dtype, device=position.device)
                mask.masked_fill_(reach > position[:, None], float("-inf"))
                index = torch.arange(len(chunk), device=position.device)
                parts.append(Part(rows, slice(at, at + len(chunk)), index, position, mask[:, None, None]))
                positions.append(position + shared)
                at += len(chunk)
            tokens = torch.tensor([row.output[-1] for row in members], device=positions[0].device)
            keep = torch.arange(len(members), device=tokens.device)
            logits = self._logits(tokens, torch.cat(positions), Step(prefix, parts), keep)
            for rows, _ in chunks:
                rows.lengths = rows.lengths + 1
            self._choose(logits, members)
            for row in members:
                row.device_s += (time.perf_counter() - start) / len(members)

    def _choose(self, logits: Tensor, rows: Sequence[Answering]) -> None:
        """Append the next token to each row that goes on, and end those that are complete."""
        greedy: list[int] = logits.argmax(-1).tolist()
        for row, scores, best in zip(rows, logits, greedy, strict=True):
            if row.stop_reason is not None:
                continue
            request, token = row.request, best
            if request.choices is not None:
                allowed = request.choices.following(row.output)
                token = allowed[int(scores[allowed].argmax())]
            elif request.temperature > 0:
                token = _sample(scores, row)
            row.output.append(token)
            self._end(row)

    def _end(self, row: Answering) -> None:
        request, tokenizer = row.request, self.weights.tokenizer
        if request.choices is not None:
            row.output += request.choices.forced(row.output)
        ended = row.output[-1] in self.weights.end
        if request.stop or ended or len(row.output) >= request.max_tokens:
            row.text = str(tokenizer.decode(row.output, skip_special_tokens=True))
        found = [at for stop in request.stop if (at := row.text.find(stop)) >= 0]
        if found:
            row.text = row.text[: min(found)]
        if found or ended:
            row.stop_reason = "stop"
        elif len(row.output) >= request.max_tokens:
            row.stop_reason = "max_tokens"


def _sample(scores: Tensor, row: Answering) -> int:
    """Draw from the nucleus (Holtzman et al., 2020)."""
    probabilities, order = (scores.float() / row.request.temperature).softmax(-1).cpu().sort(descending=True)
    before = probabilities.cumsum(-1) - probabilities
    probabilities[before >= row.request.top_p] = 0.0
    drawn = torch.multinomial(probabilities, 1, generator=row.sampler())
    return int(order[drawn])


def _chunks(wave: Sequence[Answering], shared: int) -> Iterator[list[Answering]]:
    """Rows of like length (the wave is sorted) whose padded size is at most `CHUNK` tokens."""
    chunk: list[Answering] = []
    for row in wave:
        if chunk and (len(chunk) + 1) * (len(row.request.tokens) - shared) > CHUNK:
            yield chunk
            chunk = []
        chunk.append(row)
    yield chunk


def _going_on(chunk: Sequence[Answering]) -> bool:
    return any(row.stop_reason is None for row in chunk)


def _without_ended(rows: Rows, chunk: list[Answering]) -> tuple[Rows, list[Answering]]:
    """Drop ended rows once they are half of a chunk: copying what stays costs less than carrying them on."""
    going = [i for i, row in enumerate(chunk) if row.stop_reason is None]
    if 2 * len(going) > len(chunk):
        return rows, chunk
    index = torch.tensor(going, device=rows.lengths.device)
    kv = [(k[index], v[index]) for k, v in rows.kv]
    return Rows(rows.lengths[index], rows.capacity, kv), [chunk[i] for i in going]

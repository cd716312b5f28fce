"""Common prefixes of token sequences: found among requests that wait together, and remembered between requests."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch

from thirdlever.models.engine.attention import KV, Part, Rows
from thirdlever.models.engine.lora import Adapters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.engine.weights import Weights


Tokens = tuple[int, ...]
WORTHWHILE = 32  # tokens; a shorter prefix costs more in bookkeeping than its reuse saves
_WORTH_A_GROUP = 96  # tokens saved in all; for less, a group of its own costs more in every decoding step


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences (by index) that share their first `shared` tokens; 0 when they share too little."""

    members: tuple[int, ...]
    shared: int


def common(a: Sequence[object], b: Sequence[object]) -> int:
    """Length of the common prefix of tokens or of a text, by halving: slices compare at the speed of C."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def group(sequences: Sequence[Tokens]) -> list[Group]:
    """Part sequences into groups so that few tokens are computed twice.

    Sorted sequences with a common prefix are neighbours. A run of neighbours is split where it agrees least, whenever
    the longer prefixes of the halves save more than computing what they have in common once more.
    A prefix never covers a whole sequence: its last token is needed to predict the next. Sequences that would save
    little make one group with nothing shared.
    """
    order = sorted(range(len(sequences)), key=lambda i: sequences[i])
    agree = [common(sequences[a], sequences[b]) for a, b in pairwise(order)]
    groups: list[Group] = []
    stack = [(0, len(order))] if order else []
    while stack:
        start, end = stack.pop()
        members = order[start:end]
        within = agree[start : end - 1]
        if not within:
            groups.append(Group(tuple(members), 0))
            continue
        least = min(within)
        cut = start + within.index(least) + 1
        apart = _saved(sequences, order[start:cut], agree[start : cut - 1])
        apart += _saved(sequences, order[cut:end], agree[cut : end - 1])
        if least < WORTHWHILE <= max(within) or apart > _saved(sequences, members, within):
            stack += [(cut, end), (start, cut)]
            continue
        groups.append(Group(tuple(members), min(least, min(len(sequences[i]) for i in members) - 1)))
    worth = [g for g in groups if g.shared >= WORTHWHILE and g.shared * (len(g.members) - 1) >= _WORTH_A_GROUP]
    grouped = {i for g in worth for i in g.members}
    rest = tuple(i for i in order if i not in grouped)
    return [*worth, Group(rest, 0)] if rest else worth


def _saved(sequences: Sequence[Tokens], members: Sequence[int], within: Sequence[int]) -> int:
    """Tokens that need not be computed when `members` share one prefix."""
    if not within:
        return 0
    shared = min(*within, min(len(sequences[i]) for i in members) - 1)
    return shared * (len(members) - 1)


@dataclass
class PrefixCache:
    """Keys and values of sequences seen lately; any prefix of one can be had as a view.

    Attributes:
        capacity: bytes; the least recently used go first.
    """

    capacity: int
    _entries: OrderedDict[tuple[Path | None, Tokens], KV] = field(default_factory=OrderedDict)

    def longest(self, tokens: Tokens, adapter: Path | None = None) -> tuple[int, KV | None]:
        """The longest prefix of `tokens` that is known under this adapter: its length and its keys and values.

        Less than `WORTHWHILE` counts as nothing.
        """
        best, length = None, 0
        for key in self._entries:
            if key[0] == adapter and (shared := common(key[1], tokens)) > length:
                best, length = key, shared
        if best is None or length < WORTHWHILE:
            return 0, None
        self._entries.move_to_end(best)
        return length, [(k[:, :, :length], v[:, :, :length]) for k, v in self._entries[best]]

    def remember(self, tokens: Tokens, kv: KV, adapter: Path | None = None) -> None:
        """Keep `kv`, computed for exactly `tokens`; what it extends is dropped."""
        for key in [k for k in self._entries if k[0] == adapter and k[1] == tokens[: len(k[1])]]:
            del self._entries[key]
        self._entries[adapter, tokens] = kv
        while len(self._entries) > 1 and sum(map(size, self._entries.values())) > self.capacity:
            self._entries.popitem(last=False)


def size(kv: KV) -> int:
    """Bytes that keys and values take."""
    return sum(t.numel() * t.element_size() for pair in kv for t in pair)


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


@dataclass
class Choices:
    """A trie over the token sequences of the allowed answers, each closed by the end-of-sequence token.

    Attributes:
        children: what may come next, by token.

    >>> trie = Choices.of([[5, 6], [5, 7, 8]], end=2)
    >>> sorted(trie.following([5]))
    [6, 7]
    >>> trie.forced([5, 7])
    [8, 2]
    """

    children: dict[int, Choices] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Iterable[Sequence[int]], *, end: int) -> Choices:
        """Build the trie."""
        root = cls()
        for answer in answers:
            node = root
            for token in (*answer, end):
                node = node.children.setdefault(token, cls())
        return root

    def following(self, tokens: Sequence[int]) -> list[int]:
        """Tokens that may come next; empty when `tokens` is complete."""
        return list(self._at(tokens).children)

    def forced(self, tokens: Sequence[int]) -> list[int]:
        """What must follow to the very end when only one answer is left; else empty.

        The model need not be asked for it: it has no choice.
        """
        node, rest = self._at(tokens), []
        while node.children:
            if len(node.children) > 1:
                return []
            token, node = next(iter(node.children.items()))
            rest.append(token)
        return rest

    def _at(self, tokens: Sequence[int]) -> Choices:
        node = self
        for token in tokens:
            node = node.children[token]
        return node


_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer shows for the first bytes of a character


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
        adapter: folder of the adapter to answer with; None for the base model.
    """

    tokens: Tokens
    max_tokens: int
    choices: Choices | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    adapter: Path | None = None


@dataclass
class Answering:
    """A request while it is answered, and its bill.

    Attributes:
        request: what was asked.
        listener: told of each new piece of the answer's text.
        output: tokens generated, the end-of-sequence token included.
        text: the answer so far; kept up with only where a stop text or a listener asks for it, and at the end.
        stop_reason: None while it goes on.
        cached: prompt tokens whose keys and values were there already.
        device_s: its share of the device's time.
        first_token_s: clock time (`time.perf_counter`) of the first token.
    """

    request: Request
    listener: Callable[[str], None] | None = None
    output: list[int] = field(default_factory=list)
    text: str = ""
    stop_reason: Literal["stop", "max_tokens"] | None = None
    cached: int = 0
    device_s: float = 0.0
    first_token_s: float = 0.0
    _told: int = 0
    _sampler: torch.Generator | None = None

    def choose(self, scores: torch.Tensor, best: int) -> int:
        """The next token.

        Args:
            scores: logits, [vocabulary].
            best: their argmax, which greedy decoding takes.
        """
        if self.request.choices is not None:
            allowed = self.request.choices.following(self.output)
            return allowed[int(scores[allowed].argmax())]
        return self._sample(scores) if self.request.temperature > 0 else best

    def append(self, token: int, tokenizer: PreTrainedTokenizerBase, end: frozenset[int]) -> None:
        """Take the next token, and end when the answer is complete."""
        request = self.request
        self.output.append(token)
        if request.choices is not None:
            self.output += request.choices.forced(self.output)
        ended = self.output[-1] in end
        full = len(self.output) >= request.max_tokens
        if request.stop or self.listener or ended or full:
            self.text = str(tokenizer.decode(self.output, skip_special_tokens=True))
        found = [at for stop in request.stop if (at := self.text.find(stop)) >= 0]
        if found:
            self.text = self.text[: min(found)]
        if found or ended:
            self.stop_reason = "stop"
        elif full:
            self.stop_reason = "max_tokens"
        if self.listener is not None:
            self._tell(self.listener)

    def _tell(self, listener: Callable[[str], None]) -> None:
        """Pass on what is certain: neither half a character nor what may turn out to be the start of a stop text."""
        certain = len(self.text)
        if self.stop_reason is None:
            certain = len(self.text.rstrip(_UNFINISHED)) - max(map(len, self.request.stop), default=1) + 1
        if certain > self._told:
            listener(self.text[self._told : certain])
            self._told = certain

    def _sample(self, scores: torch.Tensor) -> int:
        """Draw from the nucleus (Holtzman et al., 2020), by random numbers of its own: neighbours change nothing."""
        if self._sampler is None:
            self._sampler = torch.Generator()
            if self.request.seed is None:
                self._sampler.seed()
            else:
                self._sampler.manual_seed(self.request.seed)
        probabilities, order = (scores.float() / self.request.temperature).softmax(-1).cpu().sort(descending=True)
        before = probabilities.cumsum(-1) - probabilities
        probabilities[before >= self.request.top_p] = 0.0
        return int(order[torch.multinomial(probabilities, 1, generator=self._sampler)])

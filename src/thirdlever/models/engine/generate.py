"""Generation with one set of weights: requests with a common prefix are prefilled once and decoded together.

Answers that must follow a JSON schema: llguidance says after each token which ones may come next. Where only one text
may, such as the next key, its tokens are taken at once and read in one step ("jump-forward decoding"; Zheng et al.,
SGLang, 2024).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from thirdlever.core.errors import ModelError, need
from thirdlever.core.text import common
from thirdlever.models.engine.weights import KV, Adapters, Following, Part, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.engine.weights import Weights


Tokens = tuple[int, ...]
CHUNK = 4096  # prompt tokens in one forward pass: enough to keep the matrix units busy, small enough for the caches
WORTHWHILE = 32  # tokens; reusing a shorter prefix saves less than its bookkeeping costs
_WORTH_A_GROUP = 96  # tokens saved in total; below this, a separate group costs more in every decoding step
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what a tokenizer shows for the first bytes of a character


# Requests


@dataclass
class Choices:
    """A trie of the allowed answers' tokens, each answer closed by the end-of-sequence token.

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
        """Tokens that may come next; empty if `tokens` is complete."""
        return list(self._at(tokens).children)

    def forced(self, tokens: Sequence[int]) -> list[int]:
        """The rest of the answer if only one is possible, so that the model is not needed for it; else empty."""
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


@dataclass(frozen=True)
class Request:
    """A prompt and its decoding options.

    Attributes:
        tokens: the prompt.
        max_tokens: maximum number of tokens to generate.
        choices: the allowed answers, if decoding is restricted to a list.
        grammar: the form of the answer, if decoding is restricted to a schema.
        stop: texts that end the answer and are not part of it.
        temperature: 0 is greedy.
        top_p: nucleus of the sampling.
        seed: seed of the sampling; None for a random one.
        adapter: folder of a LoRA adapter; None for the base model.
    """

    tokens: Tokens
    max_tokens: int
    choices: Choices | None = None
    grammar: Grammar | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    adapter: Path | None = None


@dataclass
class ActiveRequest:
    """A request while it is decoded, and what it has used.

    Attributes:
        request: the request.
        listener: called with each new piece of the answer's text.
        output: generated tokens, including the end-of-sequence token.
        text: the answer so far; updated at the end, or at each token if there is a stop text or a listener.
        stop_reason: None while decoding.
        cached: prompt tokens whose keys and values were in the cache.
        device_s: its share of the device's time, seconds.
        first_token_s: `time.perf_counter` at the first token.
        computed: how many tokens of `output` the model has read.
    """

    request: Request
    listener: Callable[[str], None] | None = None
    output: list[int] = field(default_factory=list)
    text: str = ""
    stop_reason: Literal["stop", "max_tokens"] | None = None
    cached: int = 0
    device_s: float = 0.0
    first_token_s: float = 0.0
    computed: int = 0
    _sent: int = 0
    _sampler: torch.Generator | None = None
    _matching: Matching | None = None

    def __post_init__(self) -> None:
        """Begin to follow the grammar, with the tokens that every answer begins with."""
        if self.request.grammar is not None:
            self._matching = self.request.grammar.start()
            self.output = self._matching.begin(self.request.max_tokens - 1)

    @property
    def unread(self) -> list[int]:
        """The output that the model has not read: the last token, and those before it that the grammar forced.

        The last token again if the answer has ended.
        """
        return self.output[self.computed :] if self.stop_reason is None else self.output[-1:]

    def choose(self, scores: Tensor, best: int) -> int:
        """The next token.

        Args:
            scores: logits, [vocabulary].
            best: their argmax, for greedy decoding.
        """
        if self.request.choices is not None:
            allowed = self.request.choices.following(self.output)
            return allowed[int(scores[allowed].argmax())]
        if self._matching is not None:
            scores = self._matching.allowed(scores)
            best = int(scores.argmax())
        return self._sample(scores) if self.request.temperature > 0 else best

    def append(self, token: int, tokenizer: PreTrainedTokenizerBase, end: frozenset[int]) -> None:
        """Add a token, and stop if the answer is complete."""
        request = self.request
        self.output.append(token)
        if request.choices is not None:
            self.output += request.choices.forced(self.output)
        if self._matching is not None:
            self.output += self._matching.follow(token)
            del self.output[request.max_tokens :]
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
            self._send(self.listener)

    def _send(self, listener: Callable[[str], None]) -> None:
        """Send the text that is final: no partial character, and nothing that may be the start of a stop text."""
        final = len(self.text)
        if self.stop_reason is None:
            final = len(self.text.rstrip(_UNFINISHED)) - max(map(len, self.request.stop), default=1) + 1
        if final > self._sent:
            listener(self.text[self._sent : final])
            self._sent = final

    def _sample(self, scores: Tensor) -> int:
        """Sample from the nucleus (Holtzman et al., 2020). Its own random numbers make it independent of the batch."""
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


# Common prefixes


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences (by index) that share their first `shared` tokens; 0 if they share too few."""

    members: tuple[int, ...]
    shared: int


def group(sequences: Sequence[Tokens]) -> list[Group]:
    """Group sequences so that few tokens are computed twice.

    Sorting puts sequences with a common prefix next to each other. A run of neighbours is split at its shortest common
    prefix if the longer prefixes of the two parts save more than computing the shared part once more.
    A prefix never covers a whole sequence, because its last token is needed to predict the next. Sequences that would
    save little form one group that shares nothing.
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
    """Tokens that need not be computed if `members` share one prefix."""
    if not within:
        return 0
    shared = min(*within, min(len(sequences[i]) for i in members) - 1)
    return shared * (len(members) - 1)


@dataclass
class PrefixCache:
    """Keys and values of recent sequences, from which any prefix can be read as a view.

    Attributes:
        capacity: bytes; the least recently used entries are dropped first.
    """

    capacity: int
    _entries: OrderedDict[tuple[Path | None, Tokens], KV] = field(default_factory=OrderedDict)

    def longest(self, tokens: Tokens, adapter: Path | None = None) -> tuple[int, KV | None]:
        """Length, keys and values of the longest cached prefix of `tokens` under this adapter.

        A prefix shorter than `WORTHWHILE` counts as none.
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
        """Store `kv`, computed for exactly `tokens`, and drop the entries that it extends."""
        for key in [k for k in self._entries if k[0] == adapter and k[1] == tokens[: len(k[1])]]:
            del self._entries[key]
        self._entries[adapter, tokens] = kv
        while len(self._entries) > 1 and sum(map(size, self._entries.values())) > self.capacity:
            self._entries.popitem(last=False)


def size(kv: KV) -> int:
    """Bytes of keys and values."""
    return sum(t.numel() * t.element_size() for pair in kv for t in pair)


# Generation


@dataclass(frozen=True)
class Batch:
    """Requests under one adapter whose prompts share their first `shared` tokens, fewer than the shortest has."""

    members: Sequence[ActiveRequest]
    shared: int

    @property
    def adapter(self) -> Path | None:
        """Folder of the adapter."""
        return self.members[0].request.adapter


@dataclass
class _Chunk:
    """Rows that are computed together.

    Attributes:
        members: their requests.
        shared: number of tokens of each prompt that are in `prefix`.
        prefix: keys and values of these tokens.
        rows: each row's own keys and values.
    """

    members: list[ActiveRequest]
    shared: int
    prefix: KV | None
    rows: Rows

    @property
    def running(self) -> list[int]:
        """Indices of the rows that have not ended."""
        return [i for i, row in enumerate(self.members) if row.stop_reason is None]

    def part(self, start: int, row: Tensor, position: Tensor, following: Following | None = None) -> Part:
        """Tokens of the rows that lie at `start` in the packed sequence."""
        return Part(self.rows, slice(start, start + len(row)), row, position, self.prefix, following)

    def compacted(self) -> _Chunk:
        """Drop ended rows when they are half of the chunk: then copying the others costs less than carrying them."""
        running = self.running
        if 2 * len(running) > len(self.members):
            return self
        index = torch.tensor(running, device=self.rows.lengths.device)
        kv = [(k[index], v[index]) for k, v in self.rows.kv]
        rows = Rows(self.rows.lengths[index], self.rows.capacity, kv)
        return _Chunk([self.members[i] for i in running], self.shared, self.prefix, rows)


@dataclass
class Generation:
    """Generates answers with one set of weights.

    Attributes:
        weights: the model.
        cache: prefixes of earlier requests.
        kv_capacity: maximum bytes of the own keys and values of rows that are decoded together.
    """

    weights: Weights
    cache: PrefixCache
    kv_capacity: int
    adapters: Adapters = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the model for adapters."""
        self.adapters = Adapters(self.weights.model)

    @torch.inference_mode()
    def run(self, batches: Sequence[Batch]) -> None:
        """Answer requests: prefill each batch's prefix once, then decode all rows together as far as memory allows.

        Args:
            batches: batches whose adapters are loaded.
        """
        for wave in self._waves(batches):
            chunks = []
            for batch in wave:
                shared, prefix = self._prefix(batch)
                chunks += [self._fill(members, shared, prefix) for members in _chunked(batch.members, shared)]
            self._decode(chunks)

    def _waves(self, batches: Sequence[Batch]) -> Iterator[list[Batch]]:
        """Split batches into parts whose own keys and values fit in memory together, shortest prompts first."""
        wave: list[Batch] = []
        used = 0
        for batch in batches:
            taken: list[ActiveRequest] = []
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
        """Join a prefix with the first row's own keys and values, and cache them for later requests."""
        own = len(tokens) - chunk.shared
        kv = [(k[:1, :, :own], v[:1, :, :own]) for k, v in chunk.rows.kv]
        if chunk.prefix:
            pairs = zip(chunk.prefix, kv, strict=True)
            kv = [(torch.cat([pk, k], 2), torch.cat([pv, v], 2)) for (pk, pv), (k, v) in pairs]
        self.cache.remember(tokens, kv, chunk.members[0].request.adapter)
        return kv

    def _rows(self, lengths: list[int], room: int) -> Rows:
        return Rows(torch.tensor(lengths, device=self.weights.model.device), max(lengths) + room)

    def _fill(self, members: list[ActiveRequest], shared: int, prefix: KV | None) -> _Chunk:
        """Prefill each prompt's own tokens, which also gives the first token of each answer."""
        start = time.perf_counter()
        own = [(*row.request.tokens[shared:], *row.output) for row in members]
        room = max(row.request.max_tokens for row in members)
        chunk = _Chunk(members, shared, prefix, self._rows([len(tokens) for tokens in own], room))
        for row in members:
            row.computed = len(row.output)
        self._choose(self._forward(chunk, own), members)
        now = time.perf_counter()
        total = sum(map(len, own))
        for row, tokens in zip(members, own, strict=True):
            row.device_s += (now - start) * len(tokens) / total
            row.first_token_s = now
        if len(members) == 1 and len(own[0]) >= 2 * WORTHWHILE:  # the next request may have the same prefix
            self._remember(members[0].request.tokens[:-1], chunk)
        return chunk

    def _forward(self, chunk: _Chunk, sequences: Sequence[Tokens]) -> Tensor:
        """Fill a chunk's rows with sequences packed end to end; logits of each one's last token, [B, vocabulary]."""
        on = self.weights.model.device
        lengths = chunk.rows.lengths
        tokens = torch.tensor([t for sequence in sequences for t in sequence], device=on)
        row = torch.repeat_interleave(torch.arange(len(sequences), device=on), lengths)
        position = torch.cat([torch.arange(len(sequence), device=on) for sequence in sequences])
        parts = [(chunk, chunk.part(0, row, position))]
        return self._logits(tokens, position + chunk.shared, parts, lengths.cumsum(0) - 1)

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
        """Generate one token per step for every row of every chunk, and what the grammar forces after it."""
        while chunks := [chunk.compacted() for chunk in chunks if chunk.running]:
            start = time.perf_counter()
            parts, at = [], 0
            for chunk in chunks:
                parts.append((chunk, self._next(chunk, at)))
                at = parts[-1][1].where.stop
            members = [row for chunk in chunks for row in chunk.members]
            unread = [row.unread for row in members]
            tokens = torch.tensor([token for own in unread for token in own], device=self.weights.model.device)
            last = torch.tensor([len(own) for own in unread], device=tokens.device).cumsum(0) - 1
            positions = torch.cat([part.position + chunk.shared for chunk, part in parts])
            logits = self._logits(tokens, positions, parts, last)
            for row in members:
                row.computed = len(row.output)
            self._choose(logits, members)
            for row in members:
                row.device_s += (time.perf_counter() - start) / len(members)

    def _next(self, chunk: _Chunk, start: int) -> Part:
        """The unread tokens of a chunk's rows, which lie at `start` in the packed sequence; counts them as stored.

        A row that has ended reads its last token again, in the same place.
        """
        on, dtype = chunk.rows.lengths.device, self.weights.model.dtype
        counts = torch.tensor([len(row.unread) for row in chunk.members], device=on)
        ended = torch.tensor([row.stop_reason is not None for row in chunk.members], device=on)
        first = chunk.rows.lengths - ended.long()
        chunk.rows.lengths = first + counts
        row = torch.repeat_interleave(torch.arange(len(counts), device=on), counts)
        column = torch.arange(len(row), device=on) - (counts.cumsum(0) - counts)[row]
        reach = torch.arange(int(chunk.rows.lengths.max()), device=on)
        seen = first[:, None] + torch.arange(int(counts.max()), device=on)  # by each column, the last key
        mask = torch.zeros(*seen.shape, len(reach), dtype=dtype, device=on)
        mask.masked_fill_(reach > seen[:, :, None], float("-inf"))
        return chunk.part(start, row, first[row] + column, Following(column, mask[:, None]))

    def _choose(self, logits: Tensor, rows: Sequence[ActiveRequest]) -> None:
        """Append the next token to each row that has not ended."""
        greedy: list[int] = logits.argmax(-1).tolist()
        for row, scores, best in zip(rows, logits, greedy, strict=True):
            if row.stop_reason is None:
                row.append(row.choose(scores, best), self.weights.tokenizer, self.weights.end)


def _chunked(members: Sequence[ActiveRequest], shared: int) -> Iterator[list[ActiveRequest]]:
    """Split rows, which are sorted by length, into lists whose padded size is at most `CHUNK` tokens."""
    chunk: list[ActiveRequest] = []
    for row in members:
        if chunk and (len(chunk) + 1) * (len(row.request.tokens) - shared) > CHUNK:
            yield chunk
            chunk = []
        chunk.append(row)
    yield chunk


@dataclass(frozen=True, eq=False)
class Grammar:
    """A schema in a model's tokens.

    Attributes:
        matcher: one that has seen no token.
        end: the end-of-sequence token.
    """

    matcher: Any
    end: int

    def start(self) -> Matching:
        """Begin an answer."""
        return Matching(self.matcher.deep_copy(), self.end)


@dataclass(eq=False)
class Matching:
    """How far an answer has followed a grammar."""

    matcher: Any
    end: int

    def allowed(self, scores: Tensor) -> Tensor:
        """Scores [vocabulary] with -inf for every token that may not come next."""
        bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        may = np.unpackbits(bits, count=len(scores), bitorder="little").astype(bool)
        return scores.masked_fill(~torch.from_numpy(may).to(scores.device), float("-inf"))

    def begin(self, most: int) -> list[int]:
        """The tokens that every answer begins with, at most `most`; never all of an answer."""
        forced = list(self.matcher.compute_ff_tokens())[:most]
        while forced:
            self.matcher.consume_tokens(forced)
            if not self.matcher.is_stopped():
                break
            self.matcher.rollback(len(forced))
            forced.pop()
        return forced

    def follow(self, token: int) -> list[int]:
        """Take a token; the tokens that must follow it, up to the end-of-sequence token."""
        self.matcher.consume_token(token)
        if token == self.end:
            return []
        forced = [] if self.matcher.is_stopped() else list(self.matcher.compute_ff_tokens())
        if forced:
            self.matcher.consume_tokens(forced)
        return [*forced, self.end] if self.matcher.is_stopped() and forced[-1:] != [self.end] else forced


def vocabulary(tokenizer: PreTrainedTokenizerBase) -> Any:  # noqa: ANN401 - the library is optional
    """A tokenizer as llguidance needs it; takes a second or two.

    Raises:
        ModelError: the tokenizer is not supported.
        MissingExtraError: the `local` extra is not installed.
    """
    try:
        return need("llguidance.hf", extra="local").from_tokenizer(tokenizer)
    except ValueError as error:
        message = f"the model cannot be restricted to a schema: {error}; leave --constrain out"
        raise ModelError(message) from error


def compiled(schema: str, tokens: Any, *, end: int) -> Grammar:  # noqa: ANN401 - likewise
    """A grammar from a JSON schema.

    Args:
        schema: as JSON text.
        tokens: the model's `vocabulary`.
        end: the end-of-sequence token.

    Raises:
        ModelError: the schema is not supported.
    """
    matchers = need("llguidance", extra="local").LLMatcher
    # Allowed to, a small model may fill its room with white space.
    matcher = matchers(tokens, matchers.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False}))
    if matcher.is_error():
        message = f"the schema of the answers cannot be used: {matcher.get_error()}; leave --constrain out"
        raise ModelError(message)
    return Grammar(matcher, end)

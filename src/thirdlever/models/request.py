"""A request to the local engine, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.choices import Choices
    from thirdlever.models.prefixes import Tokens

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

"""Answers that must follow a JSON schema: llguidance says after each token which ones may come next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thirdlever.core.errors import ModelError, need

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


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

    def follow(self, token: int) -> list[int]:
        """Take a token; the end-of-sequence token if nothing else may follow."""
        self.matcher.consume_token(token)
        return [self.end] if token != self.end and self.matcher.is_stopped() else []


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

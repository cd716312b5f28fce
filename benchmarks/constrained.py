"""CPU time per token of restricting answers: the engine's prefix tree against llguidance, labels and JSON.

    nox -s bench -- constrained

Random scores stand for the model's, so that only the choice of the next token is timed. Each figure is the least of
several repeats.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import torch

from thirdlever import Json, Label
from thirdlever.models.base import answer_schema
from thirdlever.models.engine import chat, local
from thirdlever.models.engine.generate import ActiveRequest, Request
from thirdlever.suites.find import find_suite

if TYPE_CHECKING:
    from thirdlever.answers.answer import Answer

ANSWERS, REPEATS, ROOM = 20, 5, 64
NAME = local.EMBEDDED


def restricted(answer: Answer, *, tree: bool) -> Request:
    """A request for an answer, restricted by the prefix tree or by the schema."""
    if tree:
        return Request(tokens=(1,), max_tokens=ROOM, choices=chat.choices(NAME, answer.choices))
    return Request(tokens=(1,), max_tokens=ROOM, grammar=chat.grammar(NAME, json.dumps(answer_schema(answer))))


def milliseconds(request: Request | None) -> float:
    """CPU time per chosen token; None for an unrestricted answer."""
    tokenizer = local.tokenizer(NAME)
    scores = torch.randn(ROOM, len(tokenizer), generator=torch.Generator().manual_seed(0))
    best: list[float] = []
    for _ in range(REPEATS):
        chosen, start = 0, time.process_time()
        for _ in range(ANSWERS):
            row = ActiveRequest(request or Request(tokens=(1,), max_tokens=ROOM))
            while row.stop_reason is None:
                at = scores[chosen % ROOM]
                row.append(row.choose(at, int(at.argmax())), tokenizer, frozenset({tokenizer.eos_token_id}))
                chosen += 1
        best.append((time.process_time() - start) / chosen * 1000)
    return min(best)


def main() -> None:
    """Measure each way once."""
    torch.set_num_threads(1)
    labels = find_suite("transactions").answer
    assert isinstance(labels, Label)
    for title, request in (
        ("unrestricted", None),
        (f"{len(labels.labels)} labels, prefix tree", restricted(labels, tree=True)),
        (f"{len(labels.labels)} labels, llguidance", restricted(labels, tree=False)),
        ("JSON of three keys, llguidance", restricted(Json(("merchant", "amount", "date")), tree=False)),
    ):
        print(f"{title:<32} {milliseconds(request):6.3f} ms per token")


if __name__ == "__main__":
    main()

"""Show what a candidate sends for one item, with its tokens and what of it a provider's cache can reuse."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import RunError
from thirdlever.core.readonly import NotBuilt, ReadOnlyStore
from thirdlever.core.text import counted, escape_terminal
from thirdlever.models.recorder import Recorder, cacheable, resolve_offline
from thirdlever.strategies.specs import parse
from thirdlever.suites.suite import Split, check, find_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.models.engine.chat import Turn
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Item, Suite


_OTHERS = 20  # items whose prompts tell what all prompts begin with


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request.

    Attributes:
        role: "system", "user" or "assistant".
        text: its content.
        tokens: of the text.
        shared: whether other items' requests begin with the same messages up to here.
    """

    role: str
    text: str
    tokens: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a candidate sends for an item.

    Attributes:
        item: the item's id.
        target: its right answer.
        strategy: as written.
        model: its name.
        calls: the messages of each request; most strategies make one.
        tokens: of all requests together, with the chat template where it is known.
        shared_tokens: with which every request begins.
        cached_tokens: those of them that a provider finds in its prompt cache, by OpenAI's rules.
        counted: how the tokens were counted.
    """

    item: str
    target: str
    strategy: str
    model: str
    calls: Sequence[Sequence[Message]]
    tokens: int
    shared_tokens: int
    cached_tokens: int
    counted: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def show(suite: str | Suite, strategy: str, *, model: str = "embedded", item: str | None = None) -> Prompt:
    """Render a candidate's prompt as a run would. No request is sent and nothing is built.

    Args:
        suite: as for `run`.
        strategy: such as `few_shot:k=8`.
        model: the base model.
        item: id of a test item; the first by default.

    Raises:
        RunError: there is no such item, the strategy needs an artefact that no run has built, or it calls no model.
        ThirdleverError: another argument is invalid.
    """
    found = find_suite(suite) if isinstance(suite, str) else check(suite)
    wanted = _item(found, item)
    answer = found.train.items[0].target if len(found.train) else ""
    base = Recorder.of(resolve_offline(model), answer)
    try:
        deployment = parse(strategy).prepare(found.without_test(), base, ReadOnlyStore(project.STORE))
    except NotBuilt as missing:
        message = (
            f"{strategy} needs an artefact that does not exist yet ({missing.kind}); "
            f"build it first: thirdlever run {found.name} --strategy '{strategy}' --model '{model}' --limit 1"
        )
        raise RunError(message) from missing
    if deployment.model is None:
        message = f"{strategy} calls no model, so it has no prompt"
        raise RunError(message)
    recorder = Recorder.of(deployment.model, answer)
    own = _sent(found, deployment, recorder, [wanted])
    others = [one for one in found.test.first(_OTHERS + 1).items if one.id != wanted.id]
    every = [*own, *_sent(found, deployment, recorder, others)]
    columns = zip(*every, strict=False)
    alike = sum(1 for _ in takewhile(lambda turns: all(turn == turns[0] for turn in turns), columns)) if others else 0
    shared = recorder.count(own[0][:alike]) if alike else 0
    return Prompt(
        item=wanted.id,
        target=wanted.target,
        strategy=strategy,
        model=deployment.model.name,
        calls=[
            [
                Message(turn["role"], turn["content"], recorder.tokens(turn["content"]), at < alike)
                for at, turn in enumerate(turns)
            ]
            for turns in own
        ],
        tokens=sum(recorder.count(turns) for turns in own),
        shared_tokens=shared,
        cached_tokens=cacheable(shared),
        counted=recorder.how,
    )


def _item(suite: Suite, item: str | None) -> Item:
    if item is None:
        return suite.test.items[0]
    by_id = {each.id: each for each in suite.test}
    if item not in by_id:
        near = difflib.get_close_matches(item, by_id, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the first is {suite.test.items[0].id!r}"
        message = f"item {item!r} is not in the test split of {suite.name!r}; {hint}"
        raise RunError(message)
    return by_id[item]


def _sent(suite: Suite, deployment: Deployment, recorder: Recorder, items: Sequence[Item]) -> list[Sequence[Turn]]:
    """The requests for these items, in order."""
    from thirdlever.evaluation.passes import Pass, evaluate

    recorder.sent.clear()
    errors: list[str] = []

    def keep(reply: Any) -> bool:  # noqa: ANN401 - a Reply
        errors.extend([reply.error] if reply.error else [])
        return True

    for one in items:
        work = Pass(
            name="prompt", phase="accuracy", suite=suite, items=Split("test", (one,)), epochs=1, seed=0,
            constrain=False, about={},
        )  # fmt: skip
        evaluate(work, replace(deployment, model=recorder), answered=lambda _: None, keep=keep)
    if errors:
        message = f"the prompt cannot be rendered: {errors[0]}; a run would fail as well"
        raise RunError(message)
    if not recorder.sent and items:
        message = f"item {items[0].id!r} is answered without asking the model"
        raise RunError(message)
    return list(recorder.sent)


def render(prompt: Prompt) -> str:
    """For a terminal."""
    lines = [f"{prompt.strategy} on {prompt.model}, item {prompt.item} (right answer: {prompt.target})"]
    for number, messages in enumerate(prompt.calls, start=1):
        if len(prompt.calls) > 1:
            lines += ["", f"request {number} of {len(prompt.calls)}"]
        for message in messages:
            same = ", the same for every item" if message.shared else ""
            lines += ["", f"── {message.role}: {counted(message.tokens, 'token')}{same}", message.text]
    lines += ["", f"{counted(prompt.tokens, 'token')} in all ({prompt.counted}). {_reused(prompt)}"]
    return "\n".join(escape_terminal(line) for text in lines for line in text.split("\n"))


def _reused(prompt: Prompt) -> str:
    if not prompt.shared_tokens:
        return "No message is the same for every item."
    begins = f"The first {prompt.shared_tokens:,} are the same for every item"
    if not prompt.cached_tokens:
        return f"{begins}, too few for a provider's prompt cache, which starts at 1,024."
    return f"{begins}; a provider's prompt cache reuses {prompt.cached_tokens:,} of them."

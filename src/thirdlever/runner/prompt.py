"""Show what a candidate sends for one item, with its tokens and what of it a provider's cache can reuse."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.core import project
from thirdlever.core.errors import RunError
from thirdlever.core.store import NotBuilt, ReadOnlyStore
from thirdlever.models.recorder import Recorder, cacheable, resolve_offline
from thirdlever.prompting.frame import remarks
from thirdlever.runner.plan import recorded
from thirdlever.strategies.specs import in_prompts, parse
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Split, check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever.suites.suite import Item, Suite


_BUILT = frozenset({"embeddings", "index", "lexical", "recall"})
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
class Rendered:
    """What a candidate sends for an item.

    Attributes:
        item: the item's id.
        target: its right answer.
        strategy: with its prompt.
        model: its name.
        calls: the messages of each request; most strategies make one.
        tokens: of all requests together, with the chat template where it is known.
        shared_tokens: with which every request begins.
        cached_tokens: those of them that a provider finds in its prompt cache, by OpenAI's rules.
        counted: how the tokens were counted.
        remarks: what the author of its prompt file may have overlooked, in sentences.
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
    remarks: Sequence[str] = ()


def show(
    suite: str | Suite,
    strategy: str,
    *,
    model: str = "embedded",
    prompt: str | Path | None = None,
    item: str | None = None,
) -> Rendered:
    """Render a candidate's prompt as a run would. No request is sent, and nothing but a search index is built.

    Args:
        suite: as for `run`.
        strategy: such as `few_shot:k=8`.
        model: the base model.
        prompt: a prompt's name or file; None for the suite's own.
        item: id of a test item; the first by default.

    Raises:
        RunError: there is no such item, the strategy needs an artefact that no run has built, or it calls no model.
        ThirdleverError: another argument is invalid.
    """
    found = find_suite(suite) if isinstance(suite, str) else check(suite)
    wanted = _item(found, item)
    answer = found.train.items[0].target if len(found.train) else ""
    base = Recorder.of(resolve_offline(model), answer)
    ((spec,),) = in_prompts([parse(strategy)], found, None if prompt is None else [prompt])
    try:
        deployment = spec.prepare(found.without_test(), base, ReadOnlyStore(project.STORE, _BUILT))
    except NotBuilt as missing:
        if missing.kind == "classifier":
            raise RunError(_no_model(strategy)) from missing
        message = (
            f"{strategy} needs an artefact that does not exist yet ({missing.kind}); "
            f"build it first: thirdlever run {found.name} --strategy '{strategy}' --model '{model}' "
            f"{f'--prompt {prompt} ' if prompt else ''}--limit 1"
        )
        raise RunError(message) from missing
    if deployment.model is None:
        raise RunError(_no_model(strategy))
    recorder = Recorder.of(deployment.model, answer)
    recorded(found, deployment, recorder, Split("test", (wanted,)))
    if not recorder.sent:
        message = f"item {wanted.id!r} is answered without asking the model"
        raise RunError(message)
    own = list(recorder.sent)
    others = tuple(one for one in found.test.first(_OTHERS + 1) if one.id != wanted.id)
    recorded(found, deployment, recorder, Split("test", others))
    alike = len(recorder.shared) if others else 0
    shared = recorder.prefix() if others else 0
    return Rendered(
        item=wanted.id,
        target=wanted.target,
        strategy=str(spec),
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
        remarks=[f"{own.path or own.name} {remark}" for own in spec.prompts[:1] for remark in remarks(own, found)],
    )


def _no_model(strategy: str) -> str:
    return f"{strategy} calls no model, so it has no prompt"


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

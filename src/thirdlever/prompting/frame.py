"""How an item is put to a model: one prompt for all strategies, the frame below or a team's own file."""

from __future__ import annotations

import asyncio
import copy
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import StrategyError, unknown
from thirdlever.core.mistakes import accepts, defined, misuse, named
from thirdlever.core.text import clipped
from thirdlever.suites.prompts import VARIABLES
from thirdlever.suites.suite import Document, Inputs, Item, Suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.solver import Generate, Solver, TaskState

    from thirdlever.suites.prompts import Chat, Prompt


# Keys of `state.metadata`.
RETRIEVAL = "retrieval_s"  # seconds that `ask` spent on finding the context
RETRIEVED = "retrieved"  # a `Retrieved`, if the context says how it was found
FREE = "free"  # set for a request whose answer is not one to the item, and so is not restricted to its choices
CONFIDENCE = "confidence"  # of the answer, 0 to 1, from a solver that knows it

REASONING = 300  # tokens for reasoning that is asked for; hosted models have more room anyway
VOTING = 0.7  # temperature
QUERY = 64  # tokens for a search query that the model writes, and words that it may have
REWRITING = (
    "You write queries for a search engine over a knowledge base. Write the words that a document with the answer "
    "would contain: names, terms, numbers. Reply with the query alone, on one line."
)


@dataclass(frozen=True, slots=True)
class Worked:
    """A demonstration with the documents that its answer is taken from."""

    item: Item
    documents: Sequence[Document]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """How the documents of a context were found.

    Attributes:
        documents: best first, whatever the order in which they are shown; None if examples alone are retrieved.
        embedding_s: seconds that embedding the query took; None if that was not done, as for the other parts.
        search_s: seconds in the indexes.
        ranking_s: seconds that ranking the found again took.
        usd: what providers charge for it; None if unknown.
    """

    documents: Sequence[Document] | None
    embedding_s: float | None = None
    search_s: float | None = None
    ranking_s: float | None = None
    usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a model is shown beside the instruction and the input.

    Attributes:
        shots: demonstrations as chat turns, the most relevant last.
        packed: demonstrations as one block of text in the first message: for a thousand of them, a fifteenth of the
            harness's work for as many chat turns.
        documents: knowledge, just before the input.
        retrieved: how the documents were found, for the records.
    """

    shots: Sequence[Item | Worked] = ()
    packed: Sequence[Item] = ()
    documents: Sequence[Document] = ()
    retrieved: Retrieved | None = None

    def __post_init__(self) -> None:
        """Refuse anything but items and documents.

        Raises:
            StrategyError: with what to write instead.
        """
        _check_pieces("shots", self.shots, Item, Worked)
        _check_pieces("packed", self.packed, Item)
        _check_pieces("documents", self.documents, Document)


_PIECES = {Item: 'Item("ID", "INPUT", "TARGET")', Document: 'Document("ID", "TITLE", "TEXT")'}


def _check_pieces(name: str, values: object, kind: type[Item | Document], *other_kinds: type[Worked]) -> None:
    if isinstance(values, str) or not isinstance(values, Iterable):
        message = f"Context({name}={clipped(values)}) takes a list; write [{_PIECES[kind]}]"
        raise misuse(message)
    if isinstance(values, Iterator):  # it would be used up by the first request
        message = f"Context({name}=…) is a {type(values).__name__}, which can be read only once; write a list"
        raise misuse(message)
    for value in values:
        if not isinstance(value, (kind, *other_kinds)):
            other = "; pass documents as Context(documents=…)" if isinstance(value, Document) else ""
            message = f"Context({name}=…) contains {clipped(value)}; write {_PIECES[kind]}{other}"
            raise misuse(message)


def _check_call(name: str, suite: object, context: object) -> None:
    """Refuse what `ask` and `messages` cannot use: most often, `suite` is forgotten."""
    if not isinstance(suite, Suite):
        what = named(suite) if callable(suite) else clipped(suite)
        first = f"{named(suite)}" if callable(suite) and named(suite) != "the lambda" else "…"
        message = f"the first argument of {name} is {what}, not the suite; write {name}(suite, {first})"
        raise misuse(message)
    if isinstance(context, type) or not (context is None or isinstance(context, Context) or callable(context)):
        message = f"the context of {name} is {clipped(context)}; write {name}(suite, Context(…))"
        raise misuse(message)
    if not isinstance(context, Context) and callable(context) and not (accepts(context, 1) or accepts(context, 2)):
        takes = "a context function receives the input's text, or the text and the item"
        message = f"{named(context)} takes neither one argument nor two; {takes}"
        raise StrategyError(defined(context) + message)


def messages(
    suite: Suite, item: str | Item, context: Context | None = None, *, brief: bool = False, think: bool = False
) -> list[ChatMessage]:
    """The conversation that asks for the answer to one input, in the suite's prompt if it has one.

    What all items share comes first, so that prompt caches (a provider's, the local engine's) can reuse it.

    Args:
        suite: provides the prompt, or the instruction and the answer kind.
        item: what to ask, or only its input. A prompt may show columns of the item.
        context: what to show beside it.
        brief: leave out the answer specification, which a model tuned on the suite knows; a prompt file stays whole.
        think: ask for reasoning, and for the answer on a last line that begins with its name.

    Raises:
        PromptError: the prompt cannot be rendered.
    """
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    _check_call("messages", suite, context)
    context = context or Context()
    asked = item if isinstance(item, Item) else Item("", item, "")
    if suite.prompt is not None:
        return _thinking(suite, _in_prompt(suite, suite.prompt, asked, context), think=think)
    text = asked.input
    instruction = suite.instruction.strip()
    system = instruction if brief else f"{instruction}\n{suite.answer.describe()}"
    turns: list[ChatMessage] = [ChatMessageSystem(content=system)]
    blocks = [demonstration(suite, shot) for shot in context.packed]
    for shot, documents in map(_worked, context.shots):
        turns.append(ChatMessageUser(content="\n\n".join([*blocks, *_shown(documents), question(suite, shot.input)])))
        turns.append(ChatMessageAssistant(content=suite.right_answer(shot)))
        blocks = []
    turns.append(ChatMessageUser(content="\n\n".join([*blocks, *_shown(context.documents), question(suite, text)])))
    return _thinking(suite, turns, think=think)


def _worked(shot: Item | Worked) -> tuple[Item, Sequence[Document]]:
    return (shot.item, shot.documents) if isinstance(shot, Worked) else (shot, ())


def _shown(documents: Sequence[Document]) -> list[str]:
    return [f"{document.title}\n{document.text}" for document in documents]


def _thinking(suite: Suite, turns: list[ChatMessage], *, think: bool) -> list[ChatMessage]:
    """The same, with reasoning asked for and demonstrations in the form that is asked for."""
    if not think:
        return turns
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser

    name = suite.answer.name
    shown = [
        ChatMessageAssistant(content=f"{name}: {turn.text}") if turn.role == "assistant" else turn
        for turn in turns[:-1]
    ]
    text = turns[-1].text.removesuffix(f"\n{name}:")
    wanted = f"Think step by step. Then give the answer on a last line of its own, which begins with {name}:"
    return [*shown, ChatMessageUser(content=f"{text}\n\n{wanted}")]


def _in_prompt(suite: Suite, prompt: Prompt, item: Item, context: Context) -> list[ChatMessage]:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    shots, packed = [*context.packed, *context.shots], ""
    if "examples" not in prompt.uses:
        shots, packed = [*context.shots], "\n\n".join(demonstration(suite, shot) for shot in context.packed)
    turns = chat(suite, prompt, item, shots=shots, packed=packed, documents=context.documents)
    return [kinds[role](content=text) for role, text in turns]


def question(suite: Suite, text: str) -> str:
    """An input as every message shows it."""
    return f"{suite.input_name}: {text}\n{suite.answer.name}:"


def demonstration(suite: Suite, shot: Item) -> str:
    """A labelled example as a block of text."""
    return f"{question(suite, shot.input)} {suite.right_answer(shot)}"


def ask(
    suite: Suite,
    context: Context | Callable[[str], Context] | Callable[[str, Item], Context] | None = None,
    *,
    brief: bool = False,
    think: bool = False,
    votes: int = 1,
    rewrite: bool = False,
) -> Solver:
    """A solver that puts each item to the model.

    Args:
        suite: provides the instruction and the answer kind.
        context: the same for every item, or a function that finds it for an input's text, or for the text and the item,
            whose `fields` are the other columns of its row; its time is recorded separately.
        brief: ask as a tuned model is asked, see `messages`.
        think: ask for reasoning before the answer, see `messages`.
        votes: ask so many times at a temperature of 0.7, and take the answer that most completions give, the earlier
            one of equals (self-consistency; Wang et al., arXiv:2203.11171). The share of those votes is the
            confidence.
        rewrite: ask the model for a search query first, which the context function receives in place of the input. Its
            time is part of the retrieval. An empty or overlong query is replaced by the input.

    Raises:
        StrategyError: an argument, or what the function returns, is of another type; with what to write instead.
    """
    _check_call("ask", suite, context)
    if votes < 1:
        message = f"ask(votes={votes}) asks nothing; give 1 or more"
        raise misuse(message)
    from inspect_ai.solver import solver

    alone = callable(context) and accepts(context, 1)

    @solver
    def asking() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            shown = context
            if callable(shown):
                start = time.perf_counter()
                text = await _rewritten(suite, state, generate) if rewrite else state.input_text
                find: Callable[..., object] = shown
                found = find(text) if alone else find(text, _item(state))
                state.metadata[RETRIEVAL] = time.perf_counter() - start
                if not isinstance(found, Context):
                    message = f"{named(shown)} returned {clipped(found)}; a context function must return a Context(…)"
                    raise StrategyError(defined(shown) + message)
                shown = found
            if shown is not None and shown.retrieved is not None:
                state.metadata[RETRIEVED] = shown.retrieved
            state.messages = messages(suite, _item(state), shown, brief=brief, think=think)
            room: dict[str, Any] = {"max_tokens": REASONING + suite.answer.max_tokens} if think else {}
            return await (_voted(suite, state, generate, votes, room) if votes > 1 else generate(state, **room))

        return solve

    return asking()


async def _rewritten(suite: Suite, state: TaskState, generate: Generate) -> str:
    """The search query that the model writes for an input; the input if it writes none that can be used."""
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser

    twin = copy.copy(state)
    twin.metadata = {**state.metadata, FREE: True}
    twin.messages = [
        ChatMessageSystem(content=REWRITING),
        ChatMessageUser(content=f"{suite.input_name}: {state.input_text}\nSearch query:"),
    ]
    given = await generate(twin, max_tokens=QUERY)
    written = given.output.completion.strip().partition("\n")[0].strip().strip('"').strip()
    usable = written and given.output.stop_reason != "max_tokens" and len(written.split()) <= QUERY
    return written if usable else state.input_text


async def _voted(suite: Suite, state: TaskState, generate: Generate, votes: int, room: Mapping[str, Any]) -> TaskState:
    """Ask several times at once, and keep the first completion with the answer that most of them give."""
    asked = []
    for seed in range(votes):
        twin = copy.copy(state)
        twin.messages = list(state.messages)
        asked.append(generate(twin, temperature=VOTING, seed=seed, **room))
    given = await asyncio.gather(*asked)
    values = [suite.answer.read(one.output.completion).value for one in given]
    counts = Counter(value for value in values if value is not None)
    best, times = counts.most_common(1)[0] if counts else (None, 0)
    chosen = given[values.index(best)]
    state.messages, state.output = chosen.messages, chosen.output
    state.metadata[CONFIDENCE] = times / votes
    return state


def _item(state: TaskState) -> Item:
    """The item that is asked, without what only grading may see."""
    fields, turns = state.metadata.get("fields") or {}, state.metadata.get("turns") or ()
    return Item(str(state.sample_id), state.input_text, "", fields=fields, turns=turns)


def reply(predict: Callable[[str], str | tuple[str, float]]) -> Solver:
    """A solver that answers each item with a function of its input, without a model.

    The function returns the answer, or the answer and how sure it is, from 0 to 1.

    Raises:
        StrategyError: `predict` is not such a function; with what to write instead.
    """
    function: object = predict
    if not callable(function) or not accepts(function, 1):
        message = (
            f"reply({clipped(predict)}) takes a function from an input's text to the answer; write reply(FUNCTION)"
        )
        raise misuse(message)
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import solver

    @solver
    def replying() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - inspect's signature
            answer: object = predict(state.input_text)
            if isinstance(answer, tuple) and len(answer) == 2:  # noqa: PLR2004 - answer and confidence
                answer, sure = answer
                state.metadata[CONFIDENCE] = float(sure)
            if not isinstance(answer, str):
                message = f"{named(predict)} returned {clipped(answer)}; it must return the answer as text"
                raise StrategyError(defined(predict) + message)
            state.output = ModelOutput.from_content("none", answer)
            return state

        return solve

    return replying()


UNSEEN = "does not show the input"
_WHOLE = {"input", "messages", "row"}  # variables of the item itself, beside its columns
_ANSWERS = {"target", "answer", "label"}


def chat(
    suite: Suite,
    prompt: Prompt,
    item: Item,
    *,
    shots: Sequence[Item | Worked] = (),
    packed: str = "",
    documents: Sequence[Document] = (),
) -> Chat:
    """The conversation that asks for the answer to an item.

    Args:
        suite: provides labels and answer format.
        prompt: the file.
        item: what to ask. Its target is not used.
        shots: labelled items to show. Without `examples` in the template, each is a user's turn, rendered as the item's
            is, and its answer.
        packed: demonstrations as a text; the first of these turns begins with it. With `examples` in the template, give
            all of them as shots.
        documents: knowledge to show. Without `documents` in the template, the turn that asks for the item begins with
            them.

    Raises:
        PromptError: the template fails.
    """
    placed = "examples" in prompt.uses
    pairs = [*map(_worked, shots)]
    turns, own = _rendered(suite, prompt, item, [shot for shot, _ in pairs] if placed else (), documents)
    asking: Chat = []
    for shot, known in () if placed else pairs:
        asked, start = _rendered(suite, prompt, shot, (), known)
        asking += [*_after(prompt, known, asked[start:]), ("assistant", suite.right_answer(shot))]
    asking += _after(prompt, documents, turns[own:])
    if packed:
        (role, text), *rest = asking
        asking = [(role, f"{packed}\n\n{text}"), *rest]
    return [*turns[:own], *asking]


def _after(prompt: Prompt, documents: Sequence[Document], turns: Chat) -> Chat:
    """The turns of an item, after its documents unless the template has placed them."""
    if "documents" in prompt.uses or not documents:
        return turns
    (role, text), *rest = turns
    return [(role, "\n\n".join([*_shown(documents), text])), *rest]


def _rendered(
    suite: Suite, prompt: Prompt, item: Item, examples: Sequence[Item], documents: Sequence[Document]
) -> tuple[Chat, int]:
    values = {
        **_columns(item),
        "row": dict(item.fields),
        "input": item.input,
        "messages": [{"role": role, "content": text} for role, text in item.turns],
        "labels": list(suite.answer.choices),
        "answer_format": suite.answer.describe(),
        "instruction": suite.instruction.strip(),
        "input_name": suite.input_name,
        "answer_name": suite.answer.name,
        "examples": [{**_columns(each), "input": each.input, "target": suite.right_answer(each)} for each in examples],
        "documents": [{"id": each.id, "title": each.title, "text": each.text} for each in documents],
    }
    return prompt.render(values, [*item.turns] or [("user", item.input)])


def check_prompt(prompt: Prompt, suite: Suite) -> None:
    """Refuse a prompt that cannot be rendered for a suite, that never shows the input, or that shows the answer.

    Raises:
        PromptError: with file, line, cause and remedy.
    """
    items = [item for part in (suite.train, suite.dev, suite.test_split) if part for item in part]
    columns = {_word(name) for item in items for name in item.fields}
    _refuse_unknown(prompt, suite, columns)
    shown = prompt.uses & (columns | _WHOLE)
    if not shown and not prompt.shows_turns:
        prompt.refuse("never shows the input; add {{ input }}")
    _refuse_answers(prompt, items, shown - _WHOLE)
    _refuse_test_items(prompt, suite)
    for item in items:
        if missing := sorted((shown & columns) - _columns(item).keys()):
            what = f"item {item.id!r} has no column {missing[0]!r}; fill it in there"
            prompt.refuse(what, prompt.lines(missing[0]))
    if len(suite.train):
        example = suite.train.items[0]
        chat(suite, prompt, example)
        chat(suite, prompt, example, shots=[example], documents=suite.documents[:1])


def remarks(prompt: Prompt, suite: Suite) -> list[str]:
    """What its author may have overlooked, in sentences: unused columns, labels that it does not name."""
    found = []
    own = {_word(name) for item in suite.train.items[:1] for name, value in item.fields.items() if value is item.input}
    if not prompt.shows_turns and not prompt.uses & ({"input", "messages", "row"} | own):
        found.append(UNSEEN)
    columns = [name for item in suite.train.items[:1] for name, value in item.fields.items() if value is not item.input]
    if "row" in prompt.uses or prompt.path is None:
        columns = []
    if unused := [name for name in columns if _word(name) not in prompt.uses]:
        found.append(f"does not show the column{'s' * (len(unused) > 1)} {', '.join(unused)}")
    if hidden := [name for name in columns if _word(name) in VARIABLES.keys() & prompt.uses]:
        name = hidden[0]
        found.append(f'shows the suite in {{{{ {_word(name)} }}}}, not the column; for the column write row["{name}"]')
    labels = suite.answer.choices
    if prompt.path and labels and len(suite.train):
        text = "\n".join(text for _, text in chat(suite, prompt, suite.train.items[0])).casefold()
        named = sum(label.casefold() in text for label in labels)
        if named < len(labels):
            found.append(f"names {named} of {len(labels)} labels; {{{{ answer_format }}}} lists them")
    return found


def _refuse_unknown(prompt: Prompt, suite: Suite, columns: set[str]) -> None:
    known = columns | set(VARIABLES)
    answers = _ANSWERS | {_word(suite.answer.name), _word(suite.answer.name.casefold())}
    for name in sorted(prompt.uses - known, key=lambda name: prompt.lines(name) or 0):
        what = unknown("variable", name, known)
        if name in answers:
            what = f"{{{{ {name} }}}} would show the right answer; remove it"
        prompt.refuse(what, prompt.lines(name))


def _refuse_test_items(prompt: Prompt, suite: Suite) -> None:
    """Refuse a test item's input in the prompt's own text."""
    if prompt.path is None or suite.test_split is None:
        return
    test = Inputs(suite.test_split)
    for number, line in enumerate(prompt.source.splitlines(), start=1):
        if found := next(test.quoted(line), None):
            prompt.refuse(f"contains test item {found!r}; remove it from the prompt", number)
    if found := next(test.quoted(prompt.source), None):  # over several lines
        prompt.refuse(f"contains test item {found!r}; remove it from the prompt")


def _refuse_answers(prompt: Prompt, items: Sequence[Item], columns: Iterable[str]) -> None:
    for name in sorted(columns):
        values = [(str(_columns(item).get(name, "")).strip(), item.target) for item in items]
        same = len(values) > 1 and all(value == target for value, target in values)
        codes, targets = ({pair[i] for pair in values} for i in (0, 1))
        renamed = len(codes) == len(targets) == len(set(values)) and 1 < 2 * len(codes) <= len(values)
        if same or renamed:
            prompt.refuse(f"column {name!r} is the right answer; remove it", prompt.lines(name))


def _word(column: str) -> str:
    """A column as a variable: "Merchant name" is Merchant_name."""
    return re.sub(r"\W", "_", column.strip())


def _columns(item: Item) -> dict[str, Any]:
    return {_word(name): value for name, value in item.fields.items()}

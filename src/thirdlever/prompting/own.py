"""Put an item to a model in a team's own prompt, and refuse a prompt that does not fit the suite."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import unknown
from thirdlever.suites.leakage import Inputs
from thirdlever.suites.prompts import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thirdlever.suites.prompts import Chat, Prompt
    from thirdlever.suites.suite import Document, Item, Suite

UNSEEN = "does not show the input"
_WHOLE = {"input", "messages", "row"}  # variables of the item itself, beside its columns
_ANSWERS = {"target", "answer", "label"}


def chat(
    suite: Suite,
    prompt: Prompt,
    item: Item,
    *,
    shots: Sequence[Item] = (),
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
        documents: knowledge to show. Without `documents` in the template, the first of these turns begins with them.

    Raises:
        PromptError: the template fails.
    """
    placed = "examples" in prompt.uses
    turns, own = _rendered(suite, prompt, item, shots if placed else (), documents)
    blocks = [] if "documents" in prompt.uses else [f"{each.title}\n{each.text}" for each in documents]
    blocks += [packed] * bool(packed)
    asking: Chat = []
    for shot in () if placed else shots:
        asked, start = _rendered(suite, prompt, shot, (), ())
        asking += [*asked[start:], ("assistant", shot.target)]
    asking += turns[own:]
    if blocks:
        role, text = asking[0]
        asking[0] = role, "\n\n".join([*blocks, text])
    return [*turns[:own], *asking]


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
        "examples": [{**_columns(each), "input": each.input, "target": each.target} for each in examples],
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
        if len(values) > 1 and all(value == target for value, target in values):
            prompt.refuse(f"column {name!r} is the right answer; remove it", prompt.lines(name))


def _word(column: str) -> str:
    """A column as a variable: "Merchant name" is Merchant_name."""
    return re.sub(r"\W", "_", column.strip())


def _columns(item: Item) -> dict[str, Any]:
    return {_word(name): value for name, value in item.fields.items()}

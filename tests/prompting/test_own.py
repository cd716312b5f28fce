"""What a strategy shows, in a team's own prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from thirdlever import Context, Item, Text, conversations, messages
from thirdlever.suites.prompts import read_prompt
from thirdlever.testing import example_suite

pytestmark = pytest.mark.usefixtures("project")

PLAIN = example_suite()
SHOTS = PLAIN.train.items[:2]


def shown(template: str, context: Context, item: Item | str = "PARKING 5") -> list[tuple[str, str]]:
    path = Path("p.jinja")
    path.write_text(template, "utf-8")
    return [(turn.role, turn.text) for turn in messages(replace(PLAIN, prompt=read_prompt(path)), item, context)]


def test_examples_are_turns_in_the_form_of_the_item() -> None:
    template = "system:\nSort.\nuser:\nIs {{ input }} fuel?"
    assert shown(template, Context(shots=SHOTS)) == [
        ("system", "Sort."),
        ("user", f"Is {SHOTS[0].input} fuel?"),
        ("assistant", SHOTS[0].target),
        ("user", f"Is {SHOTS[1].input} fuel?"),
        ("assistant", SHOTS[1].target),
        ("user", "Is PARKING 5 fuel?"),
    ]


def test_examples_come_after_those_that_the_prompt_itself_has() -> None:
    template = "system:\nSort.\nuser:\nAIR 1\nassistant:\nother\nuser:\n{{ input }}"
    assert [role for role, _ in shown(template, Context(shots=SHOTS[:1]))] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert shown(template, Context(shots=SHOTS[:1]))[3] == ("user", SHOTS[0].input)


def test_a_prompt_places_examples_and_documents_itself() -> None:
    template = (
        "system:\n{% for d in documents %}{{ d.title }}. {% endfor %}\n"
        "{% for e in examples %}\nuser:\n{{ e.input }}\nassistant:\n{{ e.target }}{% endfor %}\n"
        "user:\n{{ input }}"
    )
    context = Context(shots=SHOTS[1:], packed=SHOTS[:1], documents=PLAIN.documents)
    assert shown(template, context) == [
        ("system", "Fuel. Groceries."),
        ("user", SHOTS[0].input),
        ("assistant", "fuel"),
        ("user", SHOTS[1].input),
        ("assistant", "groceries"),
        ("user", "PARKING 5"),
    ]
    assert shown(template, Context()) == [("user", "PARKING 5")]


def test_documents_and_packed_examples_precede_what_is_asked() -> None:
    context = Context(shots=SHOTS[1:], packed=SHOTS[:1], documents=PLAIN.documents[:1])
    _, first, _, last = shown("system:\nSort.\nuser:\n{{ input }}", context)
    document = PLAIN.documents[0]
    packed = f"Payment: {SHOTS[0].input}\nCategory: fuel"
    assert first[1] == f"{packed}\n\n{SHOTS[1].input}"
    assert last == ("user", f"{document.title}\n{document.text}\n\nPARKING 5")


def test_of_several_right_answers_models_are_shown_the_first() -> None:
    suite = replace(PLAIN, answer=Text(separator="|"))
    shot = Item("1", "Capital?", "Berlin|Berlin, Germany")
    assert [turn.text for turn in messages(suite, "Capital?", Context(shots=[shot]))][2] == "Berlin"
    assert conversations(suite, [shot])[0][-1]["content"] == "Berlin"


def test_a_conversation_is_sent_as_its_turns() -> None:
    turns = (("user", "Hello"), ("assistant", "Hi!"), ("user", "I paid at SHELL"))
    item = Item("1", "a transcript", "fuel", turns=turns)
    template = "system:\nSort.\nmessages:\n"
    assert shown(template, Context(), item) == [("system", "Sort."), *turns]
    assert shown(template, Context(shots=[item]), item) == [
        ("system", "Sort."), *turns, ("assistant", "fuel"), *turns,
    ]  # fmt: skip
    assert shown(template, Context(), "PARKING 5") == [("system", "Sort."), ("user", "PARKING 5")]
    text = "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}{{ input }}"
    assert shown(text, Context(), item) == [("user", "user=Hello;assistant=Hi!;user=I paid at SHELL;a transcript")]


def test_a_tuned_model_learns_the_prompt_in_which_it_is_asked() -> None:
    path = Path("p.jinja")
    path.write_text("system:\nSort, {{ channel }}.\nuser:\n{{ input }}", "utf-8")
    suite = replace(PLAIN, prompt=read_prompt(path))
    item = Item("1", "SHELL 1", "fuel", fields={"channel": "by mail"})
    [learned] = conversations(suite, [item])
    asked = [{"role": turn.role, "content": turn.text} for turn in messages(suite, item, brief=True)]
    assert learned == [*asked, {"role": "assistant", "content": "fuel"}]
    assert learned[0]["content"] == "Sort, by mail."

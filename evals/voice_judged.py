"""Replies in the house style, which a grader model judges beside the rules of form; needs `--grader MODEL`.

Source: synthetic, written by scripts/voice/generate.py; see datasets/voice/card.yaml.
Licence: Apache-2.0.

Example item:

    input:  Unbelievable!! I need the invoice for the clock. Elif
    target: Hi Elif, you shall have the bill for the clock. Next, we will mail you a copy today. – The Alder team

Run it:

    thirdlever run voice_judged --model openai/gpt-5.4-mini --grader openai/gpt-5.4 --strategy few_shot --limit 60
"""

from __future__ import annotations

from thirdlever import Checks, Judge, Suite, at_most, ends_with, load_suite, matches, must, must_not, same, suite

RUBRIC = """\
The reply takes up what the customer wrote, promises nothing that the firm does not do, and says what happens now.
It is calm and friendly, in plain words, and neither begs pardon nor talks down to the customer.
"""
STYLE = Checks(
    (
        matches(r"^Hi [A-Z]\w+,"),
        same("name of the customer", r"^Hi (\w+),"),
        must("Next,"),
        must_not("!"),
        must_not("sorry"),
        at_most(sentences=3),
        ends_with("– The Alder team"),
    ),
    name="Reply",
    max_tokens=80,
)


@suite
def voice_judged() -> Suite:
    """The suite voice with a judge; `human.jsonl` beside its data calibrates the grader."""
    return load_suite(
        "voice",
        instruction=(
            "You reply to customers of an appliance maker. "
            "Greet them by first name, take up what they wrote, "
            'and say what happens now in a sentence that begins with "Next,".'
        ),
        answer=Judge(RUBRIC, name="Reply", max_tokens=80, checks=STYLE),
        input_name="Message",
    )

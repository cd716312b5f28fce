"""Replies to customers in a house style: greeting by name, three sentences, a next step, a sign-off.

Source: synthetic, written by scripts/voice/generate.py; see datasets/voice/card.yaml.
Licence: Apache-2.0.

Example item:

    input:  Unbelievable!! I need the invoice for the clock. Elif
    target: Hi Elif, you shall have the bill for the clock. Next, we will mail you a copy today. – The Alder team

Run it:

    thirdlever run voice --limit 60
"""

from __future__ import annotations

from thirdlever import Checks, Suite, at_most, ends_with, load_suite, matches, must, must_not, same, suite

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
def voice() -> Suite:
    """The suite; its slices are calm, angry and chatty customers."""
    return load_suite(
        "voice",
        instruction=(
            "You reply to customers of an appliance maker. "
            "Greet them by first name, take up what they wrote, "
            'and say what happens now in a sentence that begins with "Next,".'
        ),
        answer=STYLE,
        input_name="Message",
    )

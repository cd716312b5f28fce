"""Questions on a product handbook revised after train was labelled.

Source: synthetic, written by scripts/handbook/generate.py; see datasets/handbook/card.yaml.
Licence: Apache-2.0.

Example item:

    input:  Under which number do I order the spare part of the Pebble scale?
    target: KP-618

Run it:

    thirdlever run handbook --strategy null --strategy rag:k=0,documents=1 --limit 100
"""

from __future__ import annotations

from thirdlever import Suite, Text, load_suite, suite


@suite
def handbook() -> Suite:
    """The suite; its slices are stable, changed, never and unanswerable."""
    return load_suite(
        "handbook",
        instruction=(
            "You answer questions on the product handbook of an appliance maker, in a few words. "
            'If the handbook does not say, the answer is "not in the handbook".'
        ),
        answer=Text(score="contains", max_tokens=32),
        input_name="Question",
    )

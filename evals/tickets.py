"""Support tickets as JSON: intent, product, priority and order number, by one firm's house rules.

Source: synthetic, written by scripts/tickets/generate.py; see datasets/tickets/card.yaml.
Licence: Apache-2.0.

Example item:

    input:  My wife chose it. I paid B-8295, then A-7921 was taken too for the same lamp.
    target: {"intent":"billing","product":"lamp","priority":"normal","order_id":"A-7921"}

Run it:

    thirdlever run tickets --limit 100
"""

from __future__ import annotations

from thirdlever import Json, Suite, load_suite, suite


@suite
def tickets() -> Suite:
    """The suite; its slices are plain words, nicknames, house rules and tickets that name two orders."""
    return load_suite(
        "tickets",
        instruction=(
            "You sort the support tickets of an appliance maker. "
            "intent is shipping, cancel, return, refund, billing, repair, setup or account. "
            "product is kettle, toaster, lamp, heater, vacuum or other. "
            "priority is low, normal or high. order_id is the order, or null."
        ),
        answer=Json(("intent", "product", "priority", "order_id"), max_tokens=48),
        input_name="Ticket",
    )

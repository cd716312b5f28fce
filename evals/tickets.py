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

FIELDS = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["shipping", "cancel", "return", "refund", "billing", "repair", "setup", "account"]},
        "product": {"enum": ["kettle", "toaster", "lamp", "heater", "vacuum", "other"]},
        "priority": {"enum": ["low", "normal", "high"]},
        "order_id": {"anyOf": [{"type": "string", "pattern": "^[A-F]-[0-9]{4}$"}, {"type": "null"}]},
    },
    "required": ["intent", "product", "priority", "order_id"],
    "additionalProperties": False,
}


@suite
def tickets() -> Suite:
    """The suite; its slices are plain words, nicknames, house rules and tickets that name two orders."""
    return load_suite(
        "tickets",
        instruction="You sort the support tickets of an appliance maker by its house rules.",
        answer=Json(schema=FIELDS, max_tokens=48),
        input_name="Ticket",
    )

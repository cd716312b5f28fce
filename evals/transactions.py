"""Bank-transaction categorisation: 27 categories, house rules, and merchants that no one has seen before.

Source: synthetic, written by scripts/transactions/generate.py; see datasets/transactions/card.yaml.
Licence: Apache-2.0.

Example item:

    input:  NON-NETWORK ATM 0928 6991 CHURCH ST LUBBOCK | -80.00 USD
    target: cash

Run it:

    thirdlever run transactions --limit 200
"""

from __future__ import annotations

from thirdlever import Suite, load_suite, suite


@suite
def transactions() -> Suite:
    """The suite; its slices are seen merchants, unseen merchants and house rules."""
    return load_suite(
        "transactions",
        instruction="You categorise the bank transactions of a personal finance app.",
        input_name="Transaction",
        answer_name="Category",
    )

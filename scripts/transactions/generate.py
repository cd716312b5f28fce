"""Write the `transactions` suite: bank lines and the categories that one bank gives them.

    python scripts/transactions/generate.py --out datasets/transactions

The same seed gives the same bytes on every run.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what all generators share

from assembly import SEED, Dealer, Suite
from card import card
from catalogue import SPLITS, read
from rules import THRESHOLDS


def write(suite: Suite, out: Path) -> None:
    """Write the splits, the documents and, last, the card that vouches for them."""
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        rows = [
            {
                "id": name,
                "input": row.input,
                "target": row.target,
                "slice": row.slice,
                "group": row.group,
            }
            for name, row in zip(suite.ids[split], suite.rows[split], strict=True)
        ]
        _write_lines(out / f"{split}.jsonl", rows)
    _write_lines(out / "documents.jsonl", documents())
    (out / "card.yaml").write_bytes(card(suite, out).encode())


def documents() -> list[dict[str, str]]:
    """Return the house rules with the thresholds filled in from the code that applies them."""
    return [{key: text.format(**THRESHOLDS) for key, text in document.items()} for document in read("documents.yaml")]


def _write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    # Bytes, so that no platform turns line ends into its own.
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def main() -> None:
    """Read the command line and write the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, made if need be")
    parser.add_argument(
        "--seed",
        type=int,
        default=SEED,
        help="another seed gives another ledger (default: %(default)s)",
    )
    arguments = parser.parse_args()
    suite = Dealer(arguments.seed).suite()
    write(suite, arguments.out)
    count = sum(len(rows) for rows in suite.rows.values())
    sys.stdout.write(f"wrote {count} rows, {suite.merchants} merchants, to {arguments.out}\n")


if __name__ == "__main__":
    main()

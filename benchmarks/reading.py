"""How completions are read: again for a stored run, and how fast.

    python benchmarks/reading.py RUN    # every stored answer again: unparsed before and after, and what changed
    python benchmarks/reading.py        # 10,000 completions of 2,000 characters with 151 labels

RUN is the folder of a finished run. Its suite must be in the working directory, as for `thirdlever run`.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever import Label, load
from thirdlever.evaluation.records import LIMITS
from thirdlever.suites.find import find_suite

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER, LENGTH, LABELS = 10_000, 2_000, 151
WORDS = ("the", "customer", "wants", "to", "know", "a", "of", "in", "account", "money", "was", "not", "sent", "then")
PARTS = ("card", "pay", "loan", "refund", "limit", "atm", "fee", "transfer", "pin", "top", "cash")


def again(folder: str) -> None:
    """Print, for each strategy, how many answers were and are unparsed or cut off, and every reading that changed."""
    run = load(folder)
    answer = find_suite(run.info["suite"]["name"]).answer
    records = run.records[run.records["error"].isna()].copy()
    readings = [
        answer.read(text, cut_off=stopped in LIMITS)
        for text, stopped in zip(records["completion"], records["stop_reason"], strict=True)
    ]
    records["now"] = [reading.value for reading in readings]
    records["status"] = [reading.status for reading in readings]
    records["how"] = [reading.reason for reading in readings]
    print("| strategy | requests | not read before | not read now | of these cut off | right before | right now |")
    print("|---|---|---|---|---|---|---|")
    for strategy, own in records.groupby("strategy", sort=True):
        figures = (
            len(own),
            own["prediction"].isna().sum(),
            own["now"].isna().sum(),
            (own["status"] == "cut_off").sum(),
            (own["prediction"] == own["target"]).sum(),
            (own["now"] == own["target"]).sum(),
        )
        print(f"| {strategy} | {' | '.join(map(str, figures))} |")
    same = (records["prediction"] == records["now"]) | (records["prediction"].isna() & records["now"].isna())
    changed = records[~same].groupby(["completion", "prediction", "now", "how"], dropna=False, sort=True)
    for (completion, before, now, how), own in changed:
        print(f"{len(own)} x {before} -> {now} ({how}); right: {', '.join(sorted(set(own['target'])))}")
        print(f"    {completion!r}")


def speed() -> None:
    """Print the processor time of reading, by where the label stands."""
    draw = random.Random(0)  # noqa: S311 - a seeded draw is wanted
    names = list(dict.fromkeys("_".join(draw.choices(PARTS, k=draw.choice((2, 3, 4)))) for _ in range(4 * LABELS)))
    label = Label(tuple(names[:LABELS]))
    texts = [_prose(draw) for _ in range(NUMBER)]
    forms: dict[str, Callable[[str, str], str]] = {
        "first line": lambda text, right: f"{right}\n{text}",
        "last line": lambda text, right: f"{text}\n{right}",
        "marker": lambda text, right: f"{text} The answer is: {right}.",
        "in passing": lambda text, right: f"{text} I mean {right}.",
        "no label": lambda text, _: text,
    }
    for form, written in forms.items():
        completions = [written(text, label.labels[at % LABELS]) for at, text in enumerate(texts)]
        start = time.process_time()
        right = sum(label.read(each).value == label.labels[at % LABELS] for at, each in enumerate(completions))
        print(f"{form}: {time.process_time() - start:.2f} s; {right:,} of {NUMBER:,} read as the label")


def _prose(draw: random.Random) -> str:
    """Sentences, some of them on lines of their own."""
    text = ""
    while len(text) < LENGTH:
        text += " ".join(draw.choices(WORDS, k=draw.randrange(6, 20))) + draw.choice((". ", ".\n"))
    return text.strip()


if __name__ == "__main__":
    again(str(Path(sys.argv[1]).resolve())) if sys.argv[1:] else speed()

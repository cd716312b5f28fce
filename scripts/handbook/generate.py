"""Write the `handbook` suite: the pages of a revised product handbook, and questions whose labels are partly older.

    python scripts/handbook/generate.py --out datasets/handbook

The same seed gives the same bytes on every run.
"""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1]))  # what all generators share

from dice import Dice
from writing import SPLITS, Record, nearest, numbered, words, write_card, write_lines

CONTENT = Path(__file__).parent / "content"
SEED = 20270305
UNKNOWN = "not in the handbook"
# Facts, one question each in dev and test. Train asks for stable and changed ones as well, and for further stable ones.
ASKED = {
    "test": {"stable": 40, "changed": 90, "never": 90, "unanswerable": 20},
    "dev": {"stable": 15, "changed": 28, "never": 29, "unanswerable": 8},
}
FURTHER = {"stable": 65, "unanswerable": 40}
TRAIN_ROWS = 600
# Questions about one page in two splits may share less than this part of their words.
TOO_NEAR = 0.8
MOST_TRIES = 200


@dataclass(eq=False)
class Fact:
    """One thing that a page states, or that it could state and does not (`value` is then UNKNOWN)."""

    page: "Page"
    kind: str
    value: str
    former: str = ""
    asked: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Page:
    """One page of the handbook."""

    id: str
    type: str
    name: str
    title: str
    facts: list[Fact] = field(default_factory=list)
    text: str = ""

    def states(self, value: str) -> int:
        """How often the text has a value, also within a word: "5 hours" is in "15 hours"."""
        return self.text.count(value)


class Handbook:
    """Writes the pages, and the questions on them, from one seed."""

    def __init__(self, seed: int) -> None:
        """Write every page."""
        self.dice = Dice(seed, "handbook")
        self.kinds: dict[str, dict[str, Any]] = _read("kinds.yaml")
        self.types: dict[str, dict[str, Any]] = _read("pages.yaml")
        self.lists = self.types.pop("lists")
        self.lists["people"] = [f"{first} {last}" for first in self.lists["first"] for last in self.lists["last"]]
        self.lists["months"] = [f"{month} {year}" for month in self.lists["months"] for year in range(2011, 2024)]
        self.prose: dict[str, dict[str, list[str]]] = _read("prose.yaml")
        self._seen: dict[str, dict[str, list[frozenset[str]]]] = {split: {} for split in SPLITS}
        self.pages: list[Page] = []
        for kind in self.types:
            for family, names in self.types[kind]["families"].items():
                self.pages += [self._page(kind, family, name) for name in names]
        self.dice.shuffle(self.pages)
        for number, page in enumerate(self.pages, 1):
            page.id = f"hb-{number:02d}"

    def documents(self) -> list[Record]:
        """The pages as they are today."""
        return [{"id": page.id, "title": page.title, "text": page.text} for page in self.pages]

    def splits(self) -> dict[str, list[Record]]:
        """The questions; train is written last, in wordings that dev and test have not."""
        facts = [fact for page in self.pages for fact in page.facts]
        gaps = [gap for page in self.pages for gap in self._gaps(page)]
        self.dice.shuffle(facts)
        self.dice.shuffle(gaps)
        rows: dict[str, list[Record]] = {split: [] for split in SPLITS}
        taught: list[tuple[Fact, str]] = []
        for split, counts in ASKED.items():
            for slice_, count in counts.items():
                pool = gaps if slice_ == "unanswerable" else facts
                for fact in [pool.pop() for _ in range(count)]:
                    if slice_ == "changed":
                        fact.former = self._former(fact)
                    rows[split].append(self._row(fact, slice_, split))
                    if slice_ in {"stable", "changed"}:
                        taught.append((fact, slice_))
        taught += [(facts.pop(), "stable") for _ in range(FURTHER["stable"])]
        rows["train"] = self._train(taught, [gaps.pop() for _ in range(FURTHER["unanswerable"])])
        return {split: rows[split] for split in SPLITS}

    def _train(self, taught: list[tuple[Fact, str]], gaps: list[Fact]) -> list[Record]:
        """Each fact in two wordings, and some in a third, with the answers of before the revision."""
        rows = [self._row(gap, "unanswerable", "train") for gap in gaps]
        again = list(taught)
        self.dice.shuffle(again)
        for fact, slice_ in [*taught, *taught, *again][: TRAIN_ROWS - len(rows)]:
            row = self._row(fact, slice_, "train")
            rows.append(row | {"target": fact.former or fact.value, "former": ""})
        return rows

    # Questions

    def _row(self, fact: Fact, slice_: str, split: str) -> Record:
        page = fact.page
        return {
            "input": self._question(fact, split),
            "target": fact.value,
            "slice": slice_,
            "group": page.id,
            "gold": [] if fact.value == UNKNOWN else [page.id],
            "former": fact.former,
        }

    def _question(self, fact: Fact, split: str) -> str:
        """A wording that the fact was not asked in yet, not near to any on its page in another split."""
        page = fact.page
        others = [seen.get(page.id, []) for other, seen in self._seen.items() if other != split]
        for _ in range(MOST_TRIES):
            pattern: str = self.dice.pick(self.kinds[fact.kind]["questions"])
            question = pattern.format(name=page.name)
            folded = words(question)
            if pattern not in fact.asked and all(nearest(folded, seen) < TOO_NEAR for seen in others):
                fact.asked.append(pattern)
                self._seen[split].setdefault(page.id, []).append(folded)
                return question
        msg = f"no further question about the {fact.kind} of the {page.name} after {len(fact.asked)}"
        raise RuntimeError(msg)

    def _gaps(self, page: Page) -> list[Fact]:
        """What the page could state and does not."""
        stated = {fact.kind for fact in page.facts}
        family = page.name.rpartition(" ")[2]
        return [Fact(page, kind, UNKNOWN) for kind in self._kinds(page.type, family) if kind not in stated]

    def _former(self, fact: Fact) -> str:
        """A value of the kind that the page does not state, and of which today's is no part."""
        spec = self.kinds[fact.kind]["value"]
        return self._new(spec, lambda value: not fact.page.states(value) and fact.value not in value)

    # Pages

    def _page(self, type_: str, family: str, name: str) -> Page:
        spec = self.types[type_]
        full = f"{name} {family}"
        page = Page("", type_, full, spec["title"].format(name=full))
        kinds = self._kinds(type_, family)
        self.dice.shuffle(kinds)
        for kind in kinds[: spec["facts"]]:
            taken = {fact.value for fact in page.facts}
            value = self._new(self.kinds[kind]["value"], lambda value, taken=taken: value not in taken)
            page.facts.append(Fact(page, kind, value))
        page.text = self._text(page)
        while any(page.states(fact.value) != 1 for fact in page.facts):  # a value in the prose, or part of another
            page.facts = [Fact(page, fact.kind, self._value(self.kinds[fact.kind]["value"])) for fact in page.facts]
            page.text = self._text(page)
        return page

    def _kinds(self, type_: str, family: str) -> list[str]:
        return [name for name, kind in self.kinds.items() if {type_, family} & set(kind["pages"])]

    def _text(self, page: Page) -> str:
        """Sections with a heading each; the facts stand anywhere among the prose."""
        spec = self.types[page.type]
        first, *rest = spec["sections"]
        self.dice.shuffle(rest)
        sections = []
        for section in [first, *rest]:
            prose = list(self.prose[page.type][section])
            self.dice.shuffle(prose)
            lines = [line.format(name=page.name) for line in prose[: len(prose) * spec["prose_per_cent"] // 100]]
            for fact in page.facts:
                if self.kinds[fact.kind]["section"] == section:
                    stated = self.dice.pick(self.kinds[fact.kind]["statements"])
                    line = stated.format(name=page.name, value=fact.value)
                    lines.insert(self.dice.below(len(lines) + 1), line[:1].upper() + line[1:])
            sections.append(f"{spec['sections'][section]}\n{' '.join(lines)}")
        return "\n\n".join(sections)

    # Values

    def _new(self, spec: dict[str, Any], fits: Callable[[str], bool]) -> str:
        for _ in range(MOST_TRIES):
            value = self._value(spec)
            if fits(value):
                return value
        msg = f"no value of {spec} fits"
        raise RuntimeError(msg)

    def _value(self, spec: dict[str, Any]) -> str:
        dice = self.dice
        if "of" in spec:
            options = spec["of"]
            return str(dice.pick(self.lists[options] if isinstance(options, str) else options))
        if "code" in spec:
            return re.sub("#", lambda _: str(dice.below(9) + 1), spec["code"])
        if "clock" in spec:
            first, last = spec["clock"]
            return f"{first + dice.below(last - first)}:{dice.pick(('00', '10', '15', '20', '30', '40', '45', '50'))}"
        low, high, step = spec["range"]
        whole = low + step * dice.below((high - low) // step + 1)
        over = spec.get("over", 1)
        number = str(whole) if over == 1 else f"{whole // over}.{whole % over}"
        return f"{spec.get('before', '')}{number} {spec.get('unit', '')}".strip()


def _read(name: str) -> Any:  # noqa: ANN401 - the shape differs per file
    return yaml.safe_load((CONTENT / name).read_text(encoding="utf-8"))


def main() -> None:
    """Read the command line and write the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, made if need be")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed gives other facts (default: %(default)s)")
    arguments = parser.parse_args()
    handbook = Handbook(arguments.seed)
    splits = numbered(handbook.splits(), prefix="hq", seed=arguments.seed)
    for split, rows in splits.items():
        write_lines(arguments.out / f"{split}.jsonl", rows)
    write_lines(arguments.out / "documents.jsonl", handbook.documents())
    write_card(arguments.out, splits, CONTENT / "card.yaml", arguments.seed)
    count = sum(map(len, splits.values()))
    sys.stdout.write(f"wrote {count} questions on {len(handbook.pages)} pages to {arguments.out}\n")


if __name__ == "__main__":
    main()

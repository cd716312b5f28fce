"""Filters: which entries may be found for an item, by what is known of both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import StrategyError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.suites.suite import Document, Item


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field of an entry that must equal something.

    Attributes:
        field: of the entry.
        column: of the item, whose value it must equal; None if `value` is stated.
        value: that it must equal whatever the item.
    """

    field: str
    column: str | None
    value: str = ""

    def wanted(self, fields: Mapping[str, Any]) -> set[str]:
        """The values that it allows for an item with these columns."""
        return {self.value} if self.column is None else _values(fields.get(self.column))


def read_filter(text: str) -> tuple[FieldCondition, ...]:
    """Read "product+language:de+region=country": conditions that all must hold.

    "product": the field equals the item's column of that name; "region=country": the item's column `country`;
    "language:de": the text "de".

    Raises:
        StrategyError: it cannot be read.
    """
    found = []
    for part in text.split("+"):
        field, colon, value = (piece.strip() for piece in part.partition(":"))
        name, equals, column = (piece.strip() for piece in field.partition("="))
        if not name or (colon and (equals or not value)) or (equals and not column):
            message = f"invalid filter={text!r}; write FIELD, FIELD=COLUMN or FIELD:VALUE, several with + between them"
            raise StrategyError(message)
        found.append(FieldCondition(name, None, value) if colon else FieldCondition(name, column or name))
    return tuple(found)


class Filter:
    """Says which entries may be found for an item."""

    def __init__(self, text: str, entries: Sequence[Item | Document]) -> None:
        """Look up the fields of the entries.

        Raises:
            StrategyError: no entry has a field, or the filter cannot be read.
        """
        self._conditions = read_filter(text)
        self._positions: dict[str, dict[str, list[int]]] = {}
        for field in {condition.field for condition in self._conditions}:
            places: defaultdict[str, list[int]] = defaultdict(list)
            for place, entry in enumerate(entries):
                for value in _values(entry.fields.get(field)):
                    places[value].append(place)
            if not places:
                known = {name for entry in entries for name in entry.fields}
                raise StrategyError("filter: " + unknown("field", field, known))
            self._positions[field] = places

    def check(self, items: Iterable[Item]) -> None:
        """Refuse columns that no item has.

        Raises:
            StrategyError: with the columns that items have.
        """
        known = {name for item in items for name in item.fields}
        for condition in self._conditions:
            if condition.column is not None and condition.column not in known:
                raise StrategyError("filter: " + unknown("column", condition.column, known))

    def __call__(self, fields: Mapping[str, Any]) -> NDArray[np.intp]:
        """Positions of the entries that may be found for an item with these columns, in order."""
        import numpy as np

        allowed: set[int] | None = None
        for condition in self._conditions:
            places = self._positions[condition.field]
            own = {place for value in condition.wanted(fields) for place in places.get(value, ())}
            allowed = own if allowed is None else allowed & own
        return np.array(sorted(allowed or ()), np.intp)


def _values(value: object) -> set[str]:
    """A field as texts; several of a list, none of an empty one."""
    listed = value if isinstance(value, (list, tuple, set)) else [value]
    return {str(each).strip() for each in listed} - {"", "None"}

"""Search by words: BM25 over stemmed words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import need
from thirdlever.core.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store


# Languages with a list of function words in bm25s and a stemmer in Snowball.
_LISTS = {
    "danish": "DANISH",
    "dutch": "DUTCH",
    "english": "EN_PLUS",
    "french": "FRENCH",
    "german": "GERMAN",
    "italian": "ITALIAN",
    "norwegian": "NORWEGIAN",
    "portuguese": "PORTUGUESE",
    "russian": "RUSSIAN",
    "spanish": "SPANISH",
    "swedish": "SWEDISH",
    "turkish": "TURKISH",
}
_SAMPLE = 500  # texts that the language is taken from
_LEAST = 0.15  # share of the words that are function words in a text of a language; "SHELL 0412 BERLIN" has none
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Lexical:
    """Texts that can be searched by their words.

    Attributes:
        seconds: what indexing took when it was done.
        language: whose stemmer reduces the words; None if they are left as they are.
    """

    seconds: float
    language: str | None
    _bm25: Any  # None if no text has a word

    def nearest(self, text: str, n: int, among: NDArray[np.intp] | None = None) -> list[tuple[int, float]]:
        """Positions and scores of the `n` texts with the highest scores, best first; of equals, the earlier one.

        A text that shares no word with the query is not found.

        Args:
            text: the query.
            n: how many at most.
            among: positions to search; None for all.
        """
        import numpy as np

        found = words(text, self.language)
        numbers = self._bm25.get_tokens_ids(found) if self._bm25 else []
        if not numbers:
            return []
        scores = self._bm25.get_scores_from_ids(numbers)
        places = np.flatnonzero(scores > 0)
        if among is not None:
            places = np.intersect1d(places, among, assume_unique=True)
        if n < len(places):  # sorting a million scores takes a tenth of a second
            lowest = np.partition(scores[places], -n)[-n]
            places = places[scores[places] >= lowest]
        best = places[np.lexsort((places, -scores[places]))[:n]]
        return [(int(place), float(scores[place])) for place in best]


def lexical(texts: Sequence[str], store: Store) -> Lexical:
    """Index texts by their words; the index of the same texts is reused.

    BM25 as Lucene has it (k1 = 1.5, b = 0.75; Robertson and Zaragoza 2009), with words in lower case and stemmed in the
    language that most texts are in. Words of every length and frequency count: "size 4" differs from "size 5".

    Raises:
        MissingExtraError: the `rag` extra is not installed.
    """
    bm25s = need("bm25s", extra="rag")

    def build(folder: Path) -> dict[str, Any]:
        language = language_of(texts)
        listed = [words(text, language) for text in texts]
        if not any(listed):
            return {"language": None, "empty": True}
        index = bm25s.BM25()
        index.index(listed, show_progress=False)
        index.save(folder, show_progress=False)
        return {"language": language, "empty": False}

    made = store.once("lexical", of={"hash": content_hash(list(texts))}, build=build)
    index = None
    if not made.facts["empty"]:
        index = bm25s.BM25.load(made.folder, mmap=True, show_progress=False)
    return Lexical(float(made.facts["seconds"]), made.facts["language"], index)


def words(text: str, language: str | None = None) -> list[str]:
    """The words of a text as they are searched for: in lower case, stemmed if a language is stated."""
    found = _WORD.findall(text.casefold())
    return list(_stemmer(language).stemWords(found)) if language else found


def language_of(texts: Sequence[str]) -> str | None:
    """The language with the most function words in the texts; None if they have few of any language."""
    lists = need("bm25s.stopwords", extra="rag")
    step = max(1, len(texts) // _SAMPLE)
    counts = Counter(word for text in texts[::step] for word in _WORD.findall(text.casefold()))
    shares = {
        language: sum(counts[word] for word in set(getattr(lists, f"STOPWORDS_{name}"))) / max(1, counts.total())
        for language, name in _LISTS.items()
    }
    best = max(shares, key=lambda language: shares[language])
    return best if shares[best] >= _LEAST else None


def _stemmer(language: str) -> Any:  # noqa: ANN401 - PyStemmer is imported at the point of use
    return need("Stemmer", extra="rag").Stemmer(language)

"""Texts that some embedders want before a query, and before what is searched."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WEB = "Given a web search query, retrieve relevant passages that answer the query"
_FOR_PASSAGES = "Represent this sentence for searching relevant passages: "


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What is put before a text.

    Attributes:
        query: before a query.
        document: before what is searched.
    """

    query: str = ""
    document: str = ""


NONE = Prefixes()
# Family: its models' names, and the prefixes that their cards on the Hugging Face hub ask for. Collected 2026-11.
_FAMILIES = {
    "e5-instruct": (
        r"e5-(mistral-7b|large)-instruct",
        Prefixes(query=f"Instruct: {_WEB}\nQuery: "),
    ),
    "e5": (r"e5-(small|base|large)", Prefixes(query="query: ", document="passage: ")),
    "bge-zh": (r"bge-(small|base|large)-zh", Prefixes(query="为这个句子生成表示以用于检索相关文章：")),
    "bge": (r"bge-(small|base|large)-en", Prefixes(query=_FOR_PASSAGES)),
    "nomic": (r"nomic-embed-text", Prefixes(query="search_query: ", document="search_document: ")),
    "gte-instruct": (r"gte-qwen\d.*-instruct", Prefixes(query=f"Instruct: {_WEB}\nQuery: ")),
    "qwen3": (r"qwen3-embedding", Prefixes(query=f"Instruct: {_WEB}\nQuery:")),
    "mxbai": (r"mxbai-embed", Prefixes(query=_FOR_PASSAGES)),
    "arctic2": (r"arctic-embed-[ml]-v2", Prefixes(query="query: ")),
    "arctic": (r"arctic-embed", Prefixes(query=_FOR_PASSAGES)),
    "gemma": (r"embeddinggemma", Prefixes(query="task: search result | query: ", document="title: none | text: ")),
}
BY_NAME = {family: prefixes for family, (_, prefixes) in _FAMILIES.items()} | {"none": NONE}


def expected(model: str) -> Prefixes:
    """The prefixes that a model of this name asks for; empty ones if it is not known to ask for any."""
    name = model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    found = (prefixes for pattern, prefixes in _FAMILIES.values() if re.search(rf"(^|[^a-z]){pattern}", name))
    return next(found, NONE)

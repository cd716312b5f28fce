"""Passages: no token too many, nothing lost, headings and pages kept."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thirdlever.core.errors import StrategyError
from thirdlever.retrieval.chunking import passages
from thirdlever.retrieval.embedders import find_embedder
from thirdlever.retrieval.index import text_of
from thirdlever.suites.suite import Document

pytest.importorskip("semantic_text_splitter", reason="needs the extra `rag`")

SENTENCE = "The depot opens at a quarter past eight and closes late. "
MANUAL = f"""Introduction.

# Leave

{SENTENCE * 2}

## Parents

{SENTENCE * 20}

# Travel

{SENTENCE}
"""


def tokens(document: Document) -> int:
    """Tokens of a passage as it is embedded."""
    return len(find_embedder().tokenizer.encode(text_of(document)).ids)


def squeezed(*texts: str) -> str:
    return "".join("".join(texts).split())


pieces = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40),
    st.sampled_from(
        [
            "# Leave\n",
            "## Parents\n\n",
            "\n\n",
            "| a | b |\n|---|---|\n| one | two |\n",
            "```\n# code\n```\n",
            "\f\n",
            "- item\n",
            "Under\n=====\n",
            SENTENCE,
            "x" * 90,
            "天地玄黄" * 20,
            "[2], a * b\n",
        ]
    ),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    parts=st.lists(pieces, min_size=1, max_size=25),
    title=st.sampled_from(["", "Manual", "A very long title " * 9]),
    most=st.sampled_from([16, 40, 256]),
    fields=st.sampled_from([{}, {"pages": 9}]),
)
def test_nothing_is_lost_and_nothing_is_too_long(
    parts: list[str], title: str, most: int, fields: dict[str, Any]
) -> None:
    text = "".join(parts)
    found = passages([Document("d", title, text, fields)], most)
    assert squeezed(*(passage.text for passage in found)) == squeezed(text)
    assert [passage.id for passage in found] == [f"d#{n}" for n in range(1, len(found) + 1)]
    assert max(map(tokens, found), default=0) <= most
    assert found == passages([Document("d", title, text, fields)], most)


def test_passages_have_the_headings_above_them() -> None:
    found = passages([Document("m", "Manual", MANUAL, {"team": "hr"})], 64)
    assert found[0].title == "Manual"
    assert found[0].text.startswith("Introduction.")
    parents = [passage for passage in found if passage.fields.get("section") == "Leave > Parents"]
    assert {passage.title for passage in parents} == {"Manual > Leave > Parents"}
    assert all(passage.text.startswith("The depot opens") and passage.text.endswith("late.") for passage in parents)
    first = next(passage for passage in found if "## Parents" in passage.text)
    assert first.title == "Manual > Leave"
    assert found[-1].text.startswith("# Travel\n")
    assert {passage.fields["team"] for passage in found} == {"hr"}


def test_small_sections_share_a_passage() -> None:
    text = "\n\n".join(f"## Term {n}\n\nIts meaning." for n in range(12))
    found = passages([Document("g", "Glossary", text)], 64)
    assert 2 <= len(found) <= 4
    assert all(passage.text.startswith("## Term") for passage in found)


def test_passages_know_their_page() -> None:
    text = "\f\n".join(f"Page {n}. {SENTENCE * 6}" for n in range(1, 5))
    found = passages([Document("p", "Manual", text, {"pages": 4})], 80)
    for number in range(1, 5):
        (start,) = (passage for passage in found if f"Page {number}." in passage.text)
        assert start.fields["page"] in {number, number - 1}
    assert [found[0].fields["page"], found[-1].fields["page"]] == [1, 4]
    assert not any("\f" in passage.text for passage in found)


def test_passages_overlap_if_asked_to() -> None:
    document = Document("m", "", SENTENCE * 20)
    apart, shared = passages([document], 40), passages([document], 40, overlap=10)
    words = [{f"{n} {word}" for n, word in enumerate(passage.text.split())} for passage in shared]
    assert len(words) >= len(apart)
    assert sum(len(passage.text) for passage in shared) >= len(squeezed(document.text))
    numbered = passages([Document("n", "", " ".join(f"w{n}." for n in range(200)))], 40, overlap=10)
    assert all(set(a.text.split()) & set(b.text.split()) for a, b in itertools.pairwise(numbered))
    assert max(map(tokens, numbered)) <= 40


def cuts(text: str, most: int) -> set[str]:
    """Inside what passages of a text begin."""
    return {passage.fields["cut"] for passage in passages([Document("d", "", text)], most) if "cut" in passage.fields}


def test_words_and_rows_that_are_too_long_are_cut_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    row = "| " + " | ".join(f"cell {n} of the row" for n in range(30)) + " |"
    assert cuts("qzxj" * 24, 16) == {"word"}
    assert cuts(f"| a |\n|---|\n{row}\n", 32) == {"row"}
    assert "passages begin inside a word or a table's row of more than 32 tokens" in capsys.readouterr().err
    assert cuts(SENTENCE * 20, 32) == set()
    assert cuts("天地玄黄" * 200, 32) == set()


def test_a_document_changes_its_own_passages_only() -> None:
    one, other = Document("a", "A", MANUAL), Document("b", "B", MANUAL * 2)
    assert passages([one], 64) == passages([other, one], 64)[-len(passages([one], 64)) :]


@pytest.mark.parametrize("most", [None, "auto"])
def test_by_default_a_passage_fills_the_embedders_window(most: Any) -> None:  # noqa: ANN401 - None or auto
    found = passages([Document("m", "Manual", SENTENCE * 200)], most)
    assert 200 < max(map(tokens, found)) <= 256


@pytest.mark.parametrize(
    ("most", "overlap", "said"), [(5, 0, "of 5 tokens"), (64, 17, "an overlap of 17"), (64, -1, "overlap of -1")]
)
def test_impossible_sizes_are_refused(most: int, overlap: int, said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        passages([Document("m", "", MANUAL)], most, overlap=overlap)

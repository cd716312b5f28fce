"""The figures of retrieval on examples that are small enough to work out by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from helpers import retrieving

from thirdlever.analysis.compare import compared
from thirdlever.analysis.retrieval import documents, figures, ranked
from thirdlever.analysis.stats.intervals import wilson
from thirdlever.core.errors import RunError
from thirdlever.report import memo_content, page
from thirdlever.report.tables import render_comparison, render_retrieval, render_summary
from thirdlever.runner.exporting import export
from thirdlever.runner.formats import read

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from syrupy.assertion import SnapshotAssertion

# The gold documents are at places 1, 3 (of which one of two), and nowhere.
FOUND = [["a#1", "b#1", "a#2", "c#1"], ["x#1", "x#2", "y#1", "z#9"], ["p#1", "q#1", "r#1", "s#1"]]
GOLD = [["a"], ["z", "w"], ["t"]]


def rag(**columns: Any) -> pd.DataFrame:  # noqa: ANN401 - a value or one a row
    return retrieving.requests(FOUND, GOLD, **{"score": [1.0, 0.0, 1.0], **columns})


def test_passages_of_one_document_count_once_at_the_place_of_the_first() -> None:
    assert documents(["a#1", "b#1", "a#2", "c#1"]) == ["a", "b", "c"]
    assert documents(["faq#1", "faq#2", "faq#1#7"], frozenset({"faq#1"})) == ["faq#1", "faq"]


def test_recall_reciprocal_rank_and_ndcg_of_three_queries() -> None:
    found = figures(rag())
    assert found is not None
    assert (found.basis, found.n, found.k, found.unanswerable) == ("gold", 3, 4, 0)
    assert {k: one.value for k, one in found.recall.items()} == pytest.approx({1: 1 / 3, 3: 1.5 / 3, 4: 1.5 / 3})
    assert found.found is found.recall[4]
    assert found.mrr.value == pytest.approx((1 + 1 / 3) / 3)
    ideal = 1 + 1 / math.log2(3)  # both gold documents first
    assert found.ndcg is not None
    assert found.ndcg.value == pytest.approx((1 + (1 / math.log2(4)) / ideal) / 3)
    assert found.precision is not None
    assert found.precision.value == pytest.approx((2 / 4 + 1 / 4) / 3)
    assert found.answer_recall is None


def test_the_interval_of_whole_recalls_is_wilsons() -> None:
    found = figures(retrieving.requests([["a"], ["b"], ["c"], ["d"]], [["a"], ["b"], ["c"], ["x"]]))
    assert found is not None
    assert (found.found.low, found.found.high) == pytest.approx(wilson(3, 4))
    grouped = figures(
        retrieving.requests([["a"], ["b"], ["c"], ["d"]], [["a"], ["b"], ["c"], ["x"]], group=list("ppqq"))
    )
    assert grouped is not None
    assert grouped.found.clusters == 2
    assert grouped.found.high - grouped.found.low > found.found.high - found.found.low


def test_found_and_right_meet_in_four_ways() -> None:
    found = figures(rag())
    assert found is not None
    split = found.split
    assert split is not None
    shares = (split.found_right, split.found_wrong, split.missed_right, split.missed_wrong)
    assert shares == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0))
    assert (split.best_search, split.best_reader) == pytest.approx((2 / 3, 1))
    assert split.right_if_found is not None
    assert split.right_if_missed is not None
    assert (split.right_if_found.value, split.right_if_missed.value) == (0.5, 1)


def test_items_that_no_document_answers_are_left_out_but_count_in_the_ceilings() -> None:
    rows = retrieving.requests([["a"], ["b"], ["c"], ["d"]], [["a"], ["x"], [], []], score=[1.0, 0.0, 1.0, 0.0])
    found = figures(rows)
    assert found is not None
    assert (found.n, found.unanswerable, found.found.value) == (2, 2, 0.5)
    assert found.split is not None
    assert found.split.missed_wrong == 0.5
    assert (found.split.best_search, found.split.best_reader) == (0.75, 0.75)


def test_without_gold_a_passage_that_contains_the_answer_is_found() -> None:
    columns: dict[str, Any] = {"answer_rank": [2, 0, 1, 4], "answer_passages": [2, 0, 1, 1]}
    found = figures(retrieving.requests([list("abcd")] * 4, score=[1.0, 0.0, 0.0, 1.0], **columns))
    assert found is not None
    assert (found.basis, found.ndcg, found.n) == ("answer", None, 4)
    assert [one.value for one in found.recall.values()] == [0.25, 0.5, 0.75]
    assert found.mrr.value == pytest.approx((1 / 2 + 0 + 1 + 1 / 4) / 4)
    assert found.answer_recall == found.found
    assert found.precision is not None
    assert found.precision.value == pytest.approx(1 / 4)
    assert found.split is not None
    assert (found.split.found_wrong, found.split.missed_wrong) == (0.25, 0.25)


def test_repeats_of_an_item_count_once() -> None:
    twice = rag(item_id=["i0", "i0", "i1"], epoch=[1, 2, 1])
    found = figures(twice)
    assert found is not None
    assert found.n == 2
    assert found.recall[1].value == pytest.approx((0.5 + 0) / 2)


def test_what_nobody_can_judge_has_no_figures() -> None:
    assert figures(rag().drop(columns=["retrieved", "gold", "answer_rank", "answer_passages"])) is None
    assert figures(rag().drop(columns=["gold", "answer_rank", "answer_passages"])) is None
    assert figures(retrieving.requests(FOUND)) is None  # neither gold documents nor quotable answers
    assert figures(retrieving.requests([[], [], []], GOLD)) is None  # examples alone were retrieved
    assert figures(retrieving.requests([None, None, None], GOLD)) is None
    assert figures(retrieving.requests(FOUND, [[], [], []])) is None  # no document answers any item
    damaged = figures(rag(retrieved=["no JSON", "{}", '["t"]']))
    assert damaged is not None
    assert damaged.found.value == pytest.approx(1 / 3)


def test_an_answer_without_a_verdict_is_left_out_of_the_split_alone() -> None:
    found = figures(rag(status=["answered", "ungraded", "answered"], score=[1.0, None, 1.0]))
    assert found is not None
    assert found.n == 3
    assert found.split is not None
    assert (found.split.found_right, found.split.missed_right) == (0.5, 0.5)


def test_equal_places_cannot_occur_and_order_is_kept() -> None:
    """trec_eval sorts equal scores by id; ours fall with the place, so that the first stays first."""
    for order in (["a", "b", "c"], ["c", "b", "a"]):
        assert ranked([order], [["a"]], [1])["R@1"] == [float(order[0] == "a")]
    many = [f"d{n:04}" for n in range(2000)]
    assert ranked([many], [["d1999"]], [1999, 2000]) == {
        "R@1999": [0.0],
        "R@2000": [1.0],
        "RR": [1 / 2000],
        "nDCG@2000": [pytest.approx(1 / math.log2(2001))],
    }
    assert ranked([[], ["a"]], [["a"], ["a"]], [1])["RR"] == [0.0, 1.0]


# In the run's tables


def run_of_two() -> pd.DataFrame:
    """Of 8 items the right document is found for six, and the answer for five; the prompt alone knows two."""
    found = [["a#1", "b#2"]] * 6 + [["b#1", "c#1"]] * 2
    seconds = {"latency_s": 0.5, "retrieval_s": 0.1, "embedding_s": 0.02, "search_s": 0.001, "ranking_s": 0.07}
    kinds = {"slice": ["new", "old"] * 4, "answer_rank": [1, 1, 1, 1, 1, 0, 0, 0], "answer_passages": [1] * 5 + [0] * 3}
    return retrieving.requests(
        found,
        [["a"]] * 8,
        name="rag(documents=2)",
        score=[1.0] * 5 + [0.0] * 3,
        retrieval_usd=0.0001,
        **kinds,
        **seconds,
    )


def prompted() -> pd.DataFrame:
    none = dict.fromkeys(("retrieval_s", "retrieved", "gold"))
    score = [1.0] + [0.0] * 6 + [1.0]
    return retrieving.requests([None] * 8, name="zero_shot", score=score, slice=["new", "old"] * 4, **none)


def test_a_scorecard_has_recall_and_the_latency_by_part() -> None:
    run = retrieving.run({"rag(documents=2)": run_of_two(), "zero_shot": prompted()})
    card = run.summary.set_index("candidate").loc["rag(documents=2)"]
    assert (card["retrieval_basis"], card["recall"], card["mrr"], card["context_precision"]) == (
        "gold",
        0.75,
        0.75,
        0.375,
    )
    assert (card["not_retrieved"], card["retrieved_wrong"], card["answer_recall"]) == (0.375, 0.0, 0.625)
    parts = [card[f"{name}_p50_s"] for name in ("embedding", "search", "ranking", "model")]
    assert parts == pytest.approx([0.02, 0.001, 0.07, 0.4])
    assert card["retrieval_usd_per_1k"] == pytest.approx(0.1)
    other = run.summary.set_index("candidate").loc["zero_shot"]
    assert other[["recall", "embedding_p50_s", "model_p50_s"]].isna().all()


def test_slices_have_figures_of_their_own() -> None:
    run = retrieving.run({"rag(documents=2)": run_of_two(), "zero_shot": prompted()})
    found = run.retrieval()
    assert list(found) == ["rag(documents=2)"]
    split = {name: one.split for name, one in found["rag(documents=2)"].items()}
    assert list(split) == ["", "new", "old"]
    assert {name: one.missed_wrong for name, one in split.items() if one} == {"": 0.375, "new": 0.25, "old": 0.5}


def test_a_passage_of_the_right_document_is_not_enough_if_it_lacks_the_answer() -> None:
    columns: dict[str, Any] = {"answer_rank": [2, 0, 0], "answer_passages": [1, 0, 0], "score": [1.0, 0.0, 0.0]}
    [passages, whole] = (
        figures(retrieving.requests(found, [["a"]] * 3, **columns))
        for found in ([["a#1", "a#2"], ["a#1", "b#1"], ["b#1", "c#1"]], [["a"], ["a"], ["b"]])
    )
    assert passages is not None
    assert whole is not None
    assert passages.split is not None
    assert whole.split is not None
    assert (passages.unit, whole.unit) == ("passage", "document")
    assert passages.found.value == whole.found.value == pytest.approx(2 / 3)  # recall is of documents
    assert (passages.split.found, whole.split.found) == pytest.approx((1 / 3, 2 / 3))
    assert (passages.split.best_search, passages.split.best_reader) == pytest.approx((1.0, 1 / 3))
    assert (whole.split.best_search, whole.split.best_reader) == pytest.approx((2 / 3, 2 / 3))


def test_a_comparison_says_how_much_is_retrieval() -> None:
    run = retrieving.run({"rag(documents=2)": run_of_two(), "zero_shot": prompted()})
    [share] = compared(run, "zero_shot", "rag(documents=2)").retrieval
    assert share.found == {"rag(documents=2)": 0.625}
    assert share.right_if_found == {"rag(documents=2)": 1.0}
    assert share.right_if_missed == {"rag(documents=2)": 0.0}
    assert (share.difference, share.gained, share.lost) == (3 / 8, 4 / 8, 0.0)
    own = compared(run, "zero_shot", "rag(documents=2)", part="old").retrieval[0]
    assert (own.difference, own.gained) == (1 / 4, 2 / 4)


def test_two_that_retrieve_are_compared_where_they_differ() -> None:
    better = run_of_two().assign(candidate="best", retrieved='["a"]', score=1.0)
    run = retrieving.run({"rag(documents=2)": run_of_two(), "best": better})
    [share] = compared(run, "rag(documents=2)", "best").retrieval
    assert share.found == {"rag(documents=2)": 0.625, "best": 1.0}
    assert (share.difference, share.gained, share.lost) == (3 / 8, 3 / 8, 0.0)


def test_the_tables_in_words(snapshot: SnapshotAssertion) -> None:
    run = retrieving.run({"rag(documents=2)": run_of_two(), "zero_shot": prompted()})
    texts = [render_summary(run.summary), render_summary(run.summary, "md"), render_retrieval(run.retrieval())]
    texts.append(render_comparison(compared(run, "zero_shot", "rag(documents=2)")))
    assert "\n\n".join(texts) == snapshot


def test_a_run_without_retrieval_shows_none_of_it() -> None:
    run = retrieving.run({"zero_shot": prompted(), "few_shot": prompted().assign(candidate="few_shot")})
    assert run.retrieval() == {}
    with pytest.raises(RunError, match="give test items a column gold"):
        run.require_retrieval()
    assert "MRR" not in render_summary(run.summary)
    assert compared(run).retrieval == []


def test_a_table_of_another_tool_keeps_what_was_retrieved(tmp_path: Path) -> None:
    run = retrieving.run({"rag(documents=2)": run_of_two().assign(input="why?")}, folder=tmp_path)
    export(run, "csv", out=tmp_path / "results.csv")
    rows = [row.further for row in read(tmp_path / "results.csv")[0].rows if "phase" not in row.further]
    assert [row["retrieved"] for row in rows] == run_of_two()["retrieved"].to_list()
    assert {row["gold"] for row in rows} == {'["a"]'}
    assert [row["answer_rank"] for row in rows] == [1] * 5 + [0] * 3
    assert {row["ranking_s"] for row in rows} == {0.07}


def test_the_memo_says_whether_better_search_would_help(snapshot: SnapshotAssertion) -> None:
    found = retrieving.run({"rag(documents=2)": run_of_two(), "zero_shot": prompted()}).retrieval()
    table = memo_content.retrieval(found)
    assert table.rows == [
        ["rag(documents=2)", "75.0 [40.9, 92.9]", "0.750 / 0.750", "37.5", "100.0 / 0.0", "0.0 / 37.5", "100.0 / 62.5"]
    ]
    assert memo_content.retrieval_in_words(found) == snapshot
    assert memo_content.retrieval_in_words({}) == ""


def test_the_page_says_which_passages_are_gold() -> None:
    shown = page.found('["a#1", "<b>#2"]', '["a", "c"]', 2)
    assert shown == [["a#1", ["gold"]], ["<b>#2", ["answer"]], ["c", ["missed"]]]
    assert page.found(None, '["a"]', None) is None
    assert page.found("no JSON", None, None) is None

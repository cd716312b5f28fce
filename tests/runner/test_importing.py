"""Results of other tools become a run: matched by item, scores taken as given, what does not fit reported."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from thirdlever.analysis import outcomes
from thirdlever.analysis.run import load
from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.decision.verdict import decide_on_run
from thirdlever.lifecycle import baseline
from thirdlever.lifecycle.regress import regress
from thirdlever.runner.formats import FORMATS, to_score
from thirdlever.runner.importing import Imported, import_results
from thirdlever.runner.runner import run
from thirdlever.suites.find import find_suite
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever import Suite
    from thirdlever.runner.formats import Format

pytestmark = pytest.mark.usefixtures("project", "fast_runs")

OTHERS = Path(__file__).parent / "results_of_others"


def table(rows: Sequence[Mapping[str, Any]], name: str = "results.csv") -> str:
    """A file of these rows in the current folder."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return name


def lines(rows: Sequence[Any], name: str = "results.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return name


def answers(suite: Suite, wrong: int = 0, **columns: object) -> list[dict[str, Any]]:
    """A row for each test item, the first ones answered wrongly."""
    other = {"food": "fuel", "fuel": "food"}
    return [
        {"item": item.id, "completion": other[item.target] if number < wrong else item.target, **columns}
        for number, item in enumerate(suite.test)
    ]


def imported(suite: Suite, *files: str, **options: Any) -> Imported:  # noqa: ANN401 - of import_results
    return import_results(files, suite, out="out", **options)


def accuracies(done: Imported) -> dict[str, float]:
    return dict(zip(done.run.summary["candidate"], done.run.summary["accuracy"], strict=True))


def said(done: Imported) -> str:
    return "\n".join(done.notes)


# Scores


def test_answers_without_a_score_are_graded_by_the_suite(suite: Suite) -> None:
    done = imported(suite, table(answers(suite, wrong=3, candidate="a")))
    assert accuracies(done) == {"a": 0.75}
    assert done.run.info["candidates"][0]["scores"] == "graded"
    assert done.run.figures["a"].macro_f1 is not None


def test_a_score_that_is_given_is_taken(suite: Suite) -> None:
    rows = [{**row, "score": 0.5} for row in answers(suite)]
    done = imported(suite, f"a={table(rows)}")
    assert accuracies(done) == {"a": 0.5}
    assert done.run.info["candidates"][0]["scores"] == "given"
    assert "scores as given: a" in said(done)


def test_scores_alone_make_a_run_without_f1(suite: Suite) -> None:
    done = imported(suite, f"a={table([{'item': item.id, 'correct': 'true'} for item in suite.test])}")
    assert accuracies(done) == {"a": 1.0}
    assert done.run.figures["a"].macro_f1 is None


@pytest.mark.parametrize("score", [85, 5, -1])
def test_a_score_on_another_scale_is_refused(suite: Suite, score: float) -> None:
    rows = [{**row, "score": score} for row in answers(suite)]
    with pytest.raises(RunError, match=r"results.csv:2: the score score is -?\d+, and scores are from 0"):
        imported(suite, table(rows))
    assert not Path("out").exists()


@pytest.mark.parametrize(("value", "score"), [("C", 1), ("i", 0), ("P", 0.5), ("pass", 1), (False, 0), ("0.25", 0.25)])
def test_words_are_scores(value: object, score: float) -> None:
    assert to_score(value) == score


def test_a_result_without_a_score_counts_as_failed(suite: Suite) -> None:
    rows = [{**row, "score": "NaN" if number == 0 else 1} for number, row in enumerate(answers(suite))]
    done = imported(suite, f"a={table(rows)}")
    assert done.run.figures["a"].failed == 1
    assert "a: 1 result without a score; counted as failed" in said(done)


def test_several_scores_need_a_choice(suite: Suite) -> None:
    rows = [{**row, "scores": json.dumps({"exact": 1, "style": 0})} for row in answers(suite)]
    with pytest.raises(RunError, match="has the scores 'exact' and 'style'; choose one, such as --score 'exact'"):
        imported(suite, table(rows))
    assert accuracies(imported(suite, f"a={table(rows)}", score="style")) == {"a": 0.0}


# Items


def test_items_are_found_by_their_input(suite: Suite) -> None:
    rows = [{"question": item.input.upper(), "output": item.target} for item in suite.test]
    assert accuracies(imported(suite, f"a={lines(rows)}")) == {"a": 1.0}


def test_ids_that_are_not_the_suites_give_way_to_inputs(suite: Suite) -> None:
    shifted = [*suite.test.items[1:], suite.test.items[0]]
    rows = [
        {"id": item.id, "input": other.input, "output": other.target}
        for item, other in zip(suite.test, shifted, strict=True)
    ]
    assert accuracies(imported(suite, f"a={lines(rows)}")) == {"a": 1.0}


def test_results_of_unknown_items_are_left_out_and_reported(suite: Suite) -> None:
    done = imported(suite, f"a={table([*answers(suite), {'item': 'x-1', 'completion': 'food'}])}")
    assert done.run.summary["n"][0] == 12
    assert "a: 1 result left out, of items that are not in test, such as 'x-1'" in said(done)


def test_results_of_another_suite_are_refused_with_an_example_of_each_side(suite: Suite) -> None:
    with pytest.raises(RunError, match=r"results.csv has 'x-1', the suite 'test-0' with the input 'POS test purchase"):
        imported(suite, table([{"item": "x-1", "completion": "food"}]))


def test_another_right_answer_than_the_suites_is_reported(suite: Suite) -> None:
    rows = [{**row, "target": "fuel", "score": 1} for row in answers(suite)]
    assert "4 items with another right answer than the suite's ('test-0': 'fuel' there, 'food'" in said(
        imported(suite, f"a={table(rows)}")
    )


def test_candidates_are_compared_on_the_items_that_all_have(suite: Suite) -> None:
    rows = answers(suite, candidate="a") + answers(suite, wrong=6, candidate="b")[4:]
    done = imported(suite, table(rows))
    assert len(outcomes.load(done.run).items) == 8
    assert accuracies(done) == {"a": 1.0, "b": 0.75}
    assert done.run.info["limit"] == 8
    assert "b: 8 of 12 test items have a result; missing: 'test-0', 'test-1', 'test-2', …" in said(done)
    assert "a: 4 items left out that not every candidate has" in said(done)


def test_candidates_without_a_common_item_are_refused(suite: Suite) -> None:
    with pytest.raises(RunError, match="the candidates share no item"):
        imported(suite, table(answers(suite, candidate="a")[:6] + answers(suite, candidate="b")[6:]))


def test_equal_rows_count_once(suite: Suite) -> None:
    done = imported(suite, f"a={table([*answers(suite), answers(suite)[0]])}")
    assert done.run.summary["requests"][0] == 12
    assert "a: 1 repeated row left out" in said(done)


def test_two_different_results_of_an_item_are_refused(suite: Suite) -> None:
    with pytest.raises(RunError, match=r"item 'test-0' has 2 different results .* number repeats in a column epoch"):
        imported(suite, f"a={table([*answers(suite), answers(suite, wrong=1)[0]])}")


def test_repeats_are_numbered(suite: Suite) -> None:
    rows = answers(suite, epoch=0) + answers(suite, wrong=12, epoch=1)
    done = imported(suite, f"a={table(rows)}")
    assert done.run.info["epochs"] == 2
    assert accuracies(done) == {"a": 0.5}


def test_repeats_that_not_every_candidate_has_are_left_out(suite: Suite) -> None:
    rows = answers(suite, epoch=1, candidate="a") + answers(suite, wrong=12, epoch=2, candidate="a")
    done = imported(suite, table([*rows, *answers(suite, epoch=1, candidate="b")]))
    assert accuracies(done) == {"a": 1.0, "b": 1.0}
    assert "a: repeats beyond 1 left out" in said(done)


def test_a_failed_request_has_no_answer(suite: Suite) -> None:
    rows = [{**row, "error": "429" if number == 0 else ""} for number, row in enumerate(answers(suite))]
    done = imported(suite, f"a={table(rows)}")
    assert done.run.figures["a"].failed == 1
    assert done.run.summary["not_measured"][0].startswith("not measured: 1 of 12 requests failed")


# Figures and decisions


def test_tokens_are_priced_and_times_taken(suite: Suite) -> None:
    rows = answers(suite, model="openai/gpt-4o-mini", input_tokens=1000, output_tokens=10, latencyMs=250)
    done = imported(suite, table(rows))
    [card] = done.run.summary.to_dict("records")
    assert card["cost_per_1k_usd"] == pytest.approx(0.15 + 0.006)
    assert card["latency_p50_s"] == 0.25
    assert card["candidate"] == "openai/gpt-4o-mini"


def test_what_the_file_does_not_say_is_unknown_everywhere(suite: Suite) -> None:
    rows = answers(suite, wrong=6, candidate="a") + answers(suite, candidate="b")
    done = imported(suite, table(rows), levers=["a=prompt", "b=tuned"])
    [b, a] = done.run.summary.to_dict("records")
    assert (a["lever"], b["lever"]) == ("prompt", "tuned")
    assert all(
        card[name] != card[name] for card in (a, b) for name in ("cost_per_1k_usd", "latency_p50_s", "setup_usd")
    )
    decision = decide_on_run(load("out"), ["stable=yes"])
    assert decision.verdict in {"GO", "GO-FOR-COST", "NO-GO", "NEED-MORE-DATA"}
    assert "model unknown, so the cost is too: a and b; state it: --model 'a'=MODEL" in said(done)


def test_an_imported_run_can_be_pinned(suite: Suite) -> None:
    done = imported(suite, f"a={table(answers(suite, wrong=3))}")
    pinned = baseline.pin(done.run, "b")
    assert [result.score for result in pinned.candidates[0].results].count(1.0) == 9


def test_a_pinned_import_is_held_against_a_new_model(suite: Suite) -> None:
    done = imported(suite, f"a={table(answers(suite, wrong=3))}", strategies=["a=plain:k=2"])
    baseline.save(baseline.pin(done.run, "b"))
    found = regress(suite, baseline="b", models=[FakeModel(answer=lambda _: "fuel")])
    assert [(result.candidate, result.n) for result in found.results] == [("a", 12)]


def test_an_import_without_a_strategy_cannot_be_run_again(suite: Suite) -> None:
    done = imported(suite, f"a={table(answers(suite), name='a.csv')}")
    baseline.save(baseline.pin(done.run, "b"))
    model = FakeModel()
    with pytest.raises(RunError, match=r"has results from elsewhere .a., .* import them again with --strategy"):
        regress(suite, baseline="b", models=[model])
    part = import_results([f"a={table(answers(suite)[:6])}"], suite, out="part", strategies=["a=plain:k=2"])
    baseline.save(baseline.pin(part.run, "b"))
    with pytest.raises(RunError, match=r"has no result for [1-6] items? that would be asked"):
        regress(suite, baseline="b", models=[model])
    assert model.prompts == []


def test_a_folder_that_holds_a_run_is_refused(suite: Suite) -> None:
    imported(suite, f"a={table(answers(suite))}")
    with pytest.raises(RunError, match="'out' holds a run already; give another --out"):
        imported(suite, f"a={table(answers(suite))}")


def test_a_candidate_that_is_not_there_cannot_have_a_lever(suite: Suite) -> None:
    with pytest.raises(RunError, match="candidate 'c' not found; available: a"):
        imported(suite, f"a={table(answers(suite))}", levers=["c=prompt"])


def test_a_file_without_results_is_refused(suite: Suite) -> None:
    with pytest.raises(RunError, match="no column holds results"):
        imported(suite, table([{"item": "test-0", "colour": "blue"}]))
    with pytest.raises(RunError, match=r"no file 'resluts.csv'"):
        imported(suite, "resluts.csv")


# Formats


@pytest.mark.parametrize("fmt", [fmt for fmt in FORMATS if fmt not in {"table", "inspect"}])
def test_a_file_of_another_format_than_stated_is_refused(suite: Suite, fmt: Format) -> None:
    with pytest.raises(RunError, match=f"is not of the format {fmt}"):
        imported(suite, lines(answers(suite)), fmt=fmt)


@pytest.mark.parametrize("content", [b"PK\x03\x04broken", b"{", b'{"a": 1}', b"\xff\xfe\xfa", b"", b"[]"])
def test_a_damaged_file_is_refused_with_a_sentence(suite: Suite, content: bytes) -> None:
    Path("results.json").write_bytes(content)
    with pytest.raises(ThirdleverError, match=r"results\.json"):
        imported(suite, "results.json")
    assert not Path("out").exists()


def test_the_command_names_every_format() -> None:
    from thirdlever.cli import measure

    annotated = measure.import_.__annotations__["fmt"]
    assert set(FORMATS) <= {name for part in get_args(get_args(annotated)[0]) for name in get_args(part)}


def test_samples_of_lm_eval_have_its_accuracy() -> None:
    suite = find_suite("transactions")
    file = next(OTHERS.glob("samples_*.jsonl"))
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    strict = [row["exact_match"] for row in rows if row["filter"] == "strict"]
    done = import_results([f"few-shot={file}"], suite, out="out", score="exact_match,strict")
    assert accuracies(done) == {"few-shot": sum(strict) / len(strict)}
    assert done.run.records["completion"].str.len().min() > 0


def test_results_of_promptfoo_have_its_pass_rates() -> None:
    suite = find_suite("transactions")
    file = OTHERS / "promptfoo.json"
    rows = json.loads(file.read_text("utf-8"))["results"]["results"]
    done = import_results([str(file)], suite, out="out")
    labels = {row["prompt"]["label"] for row in rows}
    passed = {label: [row["success"] for row in rows if row["prompt"]["label"] == label] for label in labels}
    assert accuracies(done) == {label: sum(own) / len(own) for label, own in passed.items()}
    assert done.run.figures["retrieved"].tokens["input_tokens"] > 100
    assert done.run.figures["retrieved"].latency["latency_p50_s"] is not None


def test_logs_of_openai_evals_are_read(suite: Suite) -> None:
    rows: list[Any] = [{"spec": {"completion_fns": ["gpt-4o-mini"], "eval_name": "payments.test.v0"}}]
    for number, item in enumerate(suite.test):
        prompt = [{"role": "system", "content": "Sort."}, {"role": "user", "content": item.input}]
        common = {"run_id": "1", "sample_id": f"payments.test.{number}", "created_by": "", "created_at": ""}
        sampled = {"prompt": prompt, "sampled": ["food"]}
        match = {"correct": item.target == "food", "expected": item.target, "picked": "food"}
        rows += [{**common, "event_id": 0, "type": "sampling", "data": sampled}]
        rows += [{**common, "event_id": 1, "type": "match", "data": match}]
    rows.append({"final_report": {"accuracy": 1 / 3}})
    done = imported(suite, lines(rows))
    assert accuracies(done) == {"gpt-4o-mini": pytest.approx(1 / 3)}


def test_runs_of_kiln_are_one_folder(suite: Suite) -> None:
    for number, item in enumerate(suite.test):
        folder = Path("kiln", "runs", f"{number}")
        folder.mkdir(parents=True)
        usage = {"input_tokens": 9, "output_tokens": 1, "cost": 0.1, "total_llm_latency_ms": 500}
        run = {"v": 1, "id": str(number), "model_type": "eval_run", "dataset_id": "9", "task_run_config_id": "7"}
        run |= {"eval_config_eval": False, "input": item.input, "output": item.target, "scores": {"overall": 1.0}}
        (folder / "eval_run.kiln").write_text(json.dumps({**run, "task_run_usage": usage}), "utf-8")
    done = imported(suite, "kiln")
    assert accuracies(done) == {"7": 1.0}
    assert done.run.figures["7"].latency["latency_p50_s"] == 0.5


def test_a_bundle_of_nemo_evaluator_is_one_folder(suite: Suite) -> None:
    Path("nemo").mkdir()
    bundle = {"run_id": "eval-1", "config": {"model": "meta/llama"}, "benchmark": {"name": "payments"}, "n_results": 12}
    Path("nemo", "eval-1.json").write_text(json.dumps(bundle), "utf-8")
    lines(
        [
            {"problem_idx": number, "repeat": 0, "reward": 1.0, "prompt": f"Sort: {item.input}", "model_response": "x"}
            | {"expected_answer": item.target, "metadata": {}, "tokens": 12, "latency_ms": 20.0}
            for number, item in enumerate(suite.test)
        ],
        "nemo/results.jsonl",
    )
    assert accuracies(imported(suite, "nemo")) == {"meta/llama": 1.0}
    with pytest.raises(RunError, match=r"holds totals only, and no results by item; give the results.jsonl"):
        import_results(["nemo/eval-1.json"], suite, out="other")


def test_tables_of_mlflow_braintrust_and_langfuse_are_read(suite: Suite) -> None:
    items = list(suite.test)
    columns = ["trace_id", "exact/value", "expected_response/value", "request", "response", "execution_duration"]
    data = [["t", item.target == "food", item.target, json.dumps({"q": item.input}), "food", 40] for item in items]
    Path("mlflow.json").write_text(json.dumps({"columns": columns, "data": data}), "utf-8")
    braintrust = [
        {"id": "b", "input": item.input, "output": "food", "expected": item.target, "scores": {"exact": 1}}
        | {"is_root": True, "metrics": {"start": 1.0, "end": 1.5, "prompt_tokens": 9, "completion_tokens": 1}}
        for item in items
    ]
    langfuse = [
        {"id": "l", "input": json.dumps([{"role": "user", "content": item.input}]), "output": "food", "latency": 0.2}
        | {"provided_model_name": "gpt-4o-mini", "usage_details": {"input": 9, "output": 1}, "level": "DEFAULT"}
        for item in items
    ]
    files = ["m=mlflow.json", f"b={lines(braintrust, 'b.jsonl')}", f"l={lines(langfuse, 'l.jsonl')}"]
    done = imported(suite, *files)
    assert accuracies(done) == {"b": 1.0, "m": pytest.approx(1 / 3), "l": pytest.approx(1 / 3)}
    assert {name: one.latency["latency_p50_s"] for name, one in done.run.figures.items()} == {
        "m": 0.04,
        "b": 0.5,
        "l": 0.2,
    }


def test_logs_of_others_evals_are_read(suite: Suite) -> None:
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    samples = [Sample(id=item.id, input=f"Sort: {item.input}", target=item.target) for item in suite.test]
    outputs = [ModelOutput.from_content("mockllm/model", "fuel") for _ in samples]
    for output in outputs:  # without it, inspect fetches a tokenizer
        output.usage = ModelUsage(input_tokens=5, output_tokens=1, total_tokens=6)
    task = Task(samples, solver=generate(), scorer=match(), name="payments")
    [log] = evaluate(task, model=get_model("mockllm/model", custom_outputs=outputs), log_dir="logs", display="none")
    assert log.results is not None
    found = accuracies(imported(suite, "logs"))
    assert found == {"mockllm/model": pytest.approx(log.results.scores[0].metrics["accuracy"].value)}


# Damaged files


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_damaged_log_is_one_sentence(suite: Suite, at: float) -> None:
    done = run(suite, ["plain"], models=[FakeModel()], out="a", probe=0)
    [log] = done.folder.glob("logs/*.eval")
    content = bytearray(log.read_bytes())
    place = int(at * len(content))
    content[place : place + 400] = b"{" * 400
    log.write_bytes(content)
    with suppress(RunError):  # what was damaged may not be needed
        assert imported(suite, str(log)).run.folder == Path("out")


@pytest.mark.parametrize("results", [[], {}, {"results": 1}, "x"])
def test_a_promptfoo_file_without_results_is_one_sentence(suite: Suite, results: object) -> None:
    Path("promptfoo.json").write_text(json.dumps({"evalId": "e", "results": results}), "utf-8")
    with pytest.raises(RunError, match=r"promptfoo\.json"):
        imported(suite, "promptfoo.json", fmt="promptfoo")

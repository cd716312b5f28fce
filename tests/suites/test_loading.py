"""Reading `datasets/` and `evals/`: the suite that results, and the message if there is none."""

import json
from pathlib import Path

import pytest

from thirdlever.answers.answer import Label, Text
from thirdlever.core import project
from thirdlever.core.errors import SuiteError
from thirdlever.suites.find import available_suites, find_suite
from thirdlever.suites.suite import Document, Item, Suite, load_suite

EVAL = '''"""toys: the kind of a toy."""

from thirdlever import Suite, load_suite, suite


@suite
def toys() -> Suite:
    """Toys."""
    return load_suite("toys", instruction="Name the kind.", input_name="Toy", answer_name="Kind")
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one small suite."""
    write(tmp_path / "datasets/toys/train.jsonl", [row("a1", "red ball", "ball"), row("a2", "tin car", "car")])
    write(tmp_path / "datasets/toys/test.jsonl", [row("t1", "blue ball", "ball", slice="blue", group="g")])
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals/toys.py").write_text(EVAL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def row(name: str, text: str, target: str, **more: str) -> str:
    return json.dumps({"id": name, "input": text, "target": target} | more)


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def load(instruction: str = "Name the kind.") -> Suite:
    return load_suite("toys", instruction=instruction)


def refusal(path: str, content: bytes) -> str:
    Path(path).write_bytes(content)
    with pytest.raises(SuiteError) as caught:
        load()
    return str(caught.value)


# What is read.


def test_items_have_every_field() -> None:
    assert load().test.items == (Item("t1", "blue ball", "ball", slice="blue", group="g"),)


def test_dev_documents_and_card_are_optional() -> None:
    suite = load()
    assert (len(suite.dev), suite.documents, suite.card) == (0, (), {})


def test_documents_and_card_are_read(folder: Path) -> None:
    write(folder / "datasets/toys/documents.jsonl", [json.dumps({"id": "d", "title": "Balls", "text": "Round."})])
    (folder / "datasets/toys/card.yaml").write_text("licence: CC0\n")
    suite = load()
    assert suite.documents == (Document("d", "Balls", "Round."),)
    assert suite.card == {"licence": "CC0"}


def test_labels_are_those_of_train_sorted() -> None:
    assert load().answer == Label(("ball", "car"), name="Category")


def test_an_answer_kind_is_used_unchanged() -> None:
    assert load_suite("toys", instruction="", answer=Text()).answer == Text()


def test_a_byte_order_mark_and_blank_lines_are_ignored(folder: Path) -> None:
    path = folder / "datasets/toys/train.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n  \n")
    assert len(load().train) == 2


def test_a_line_separator_inside_a_string_does_not_end_a_row(folder: Path) -> None:
    line = json.dumps({"id": "a3", "input": "red\u2028ball", "target": "ball"}, ensure_ascii=False)
    path = folder / "datasets/toys/train.jsonl"
    path.write_text(path.read_text() + line)
    assert load().train.items[2].input == "red\u2028ball"


def test_a_target_that_is_an_object_is_its_json(folder: Path) -> None:
    write(folder / "datasets/toys/train.jsonl", ['{"id": 1, "input": "x", "target": {"kind": "ball"}}'])
    assert load().train.items == (Item("1", "x", '{"kind": "ball"}'),)


# What is refused.


def test_malformed_json_is_refused_by_line() -> None:
    said = refusal("datasets/toys/train.jsonl", b'{"id": "a", "input": "x", "target": "y"}\n{"id": "b",}\n')
    assert "train.jsonl:2: not JSON" in said


def test_a_missing_key_is_refused_with_the_near_match() -> None:
    said = refusal("datasets/toys/train.jsonl", b'{"id": "a", "input": "x", "targt": "y"}\n')
    assert "train.jsonl:1: column 'target' not found; did you mean 'targt'?" in said


def test_text_that_is_not_utf8_is_refused_by_line_and_byte() -> None:
    said = refusal("datasets/toys/train.jsonl", b'\n{"id": "caf\xe9"}\n')
    assert "train.jsonl:2: byte 12 is not UTF-8" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'"text"', "a JSON str; expected an object"),
        (b"[" * 100_000, "unreadable JSON"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "unreadable JSON"),
        (b'{"id": "a", "input": " ", "target": "y"}', "'input' is empty"),
        (b'{"id": "a", "input": "x", "target": null}', "'target' is empty"),
        (b'{"id": "a", "input": "\\ud800", "target": "y"}', "half of a surrogate pair"),
    ],
)
def test_an_invalid_row_is_refused(content: bytes, said: str) -> None:
    assert said in refusal("datasets/toys/train.jsonl", content)


@pytest.mark.parametrize(
    ("content", "said"), [(b"a: b: c\n", "card.yaml:1: not YAML"), (b"- a\n", "a list; expected keys and values")]
)
def test_an_invalid_card_is_refused(content: bytes, said: str) -> None:
    assert said in refusal("datasets/toys/card.yaml", content)


def test_a_missing_split_is_refused(folder: Path) -> None:
    (folder / "datasets/toys/test.jsonl").unlink()
    with pytest.raises(SuiteError, match=r"no file '.*test\.jsonl'"):
        load()


def test_a_missing_data_set_is_refused_with_the_near_match_and_the_remedy() -> None:
    with pytest.raises(SuiteError, match=r"'toyz' not found; did you mean 'toys'\?.*thirdlever init NAME"):
        load_suite("toyz", instruction="")


# Eval files.


def test_a_suite_is_found_by_its_file() -> None:
    suite = find_suite("toys")
    assert (suite.name, suite.input_name, suite.answer.name) == ("toys", "Toy", "Kind")


def test_a_suite_has_its_files_name_whatever_data_it_reads(folder: Path) -> None:
    (folder / "evals/other.py").write_text(EVAL.replace("def toys", "def other"))
    assert find_suite("other").name == "other"


def test_suites_are_listed_with_their_headline() -> None:
    assert available_suites()["toys"] == "the kind of a toy."


def test_a_broken_file_is_listed_and_refused_when_run(folder: Path) -> None:
    (folder / "evals/broken.py").write_text("def broken(:\n")
    assert available_suites()["broken"] == ""
    with pytest.raises(SuiteError, match=r"broken\.py:1: SyntaxError: invalid syntax$"):
        find_suite("broken")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "no suite 'made' in it"),
        ("def made(): ...", "no suite 'made' in it"),
        ("from thirdlever import suite\n@suite\ndef made(): return 1", r"made\(\) returned int"),
        ("from thirdlever import suite\n@suite\ndef made(): return {}['x']", r"made\.py:3: KeyError: 'x'$"),
    ],
)
def test_an_eval_file_without_a_suite_is_refused(folder: Path, source: str, said: str) -> None:
    (folder / "evals/made.py").write_text(source)
    with pytest.raises(SuiteError, match=said):
        find_suite("made")


def test_an_unfit_suite_is_refused_when_it_is_found(folder: Path) -> None:
    write(folder / "datasets/toys/test.jsonl", [row("t1", "kite", "kite")])
    with pytest.raises(SuiteError, match="'kite' is not one of the suite's labels"):
        find_suite("toys")


def test_labels_that_differ_by_signs_are_told_apart(folder: Path) -> None:
    write(folder / "datasets/toys/train.jsonl", [row("a", "x", "red_ball"), row("b", "y", "Red Ball")])
    write(folder / "datasets/toys/test.jsonl", [row("t", "z", "Red Ball")])
    assert find_suite("toys").answer.read("Red Ball").value == "Red Ball"


def test_a_suite_is_found_by_its_file_too() -> None:
    path = project.files("evals")["tickets"]
    assert find_suite(str(path)).hash == find_suite("tickets").hash

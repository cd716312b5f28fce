"""`thirdlever init` writes a complete suite or nothing, and nothing in the user's files becomes code."""

import ast
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from thirdlever.answers.answer import Label, Text
from thirdlever.cli import measure
from thirdlever.core.errors import PromptError, SuiteError
from thirdlever.core.text import normalise
from thirdlever.prompting.frame import chat, messages
from thirdlever.suites import splitting
from thirdlever.suites.create import Made, copy_starter, make_suite
from thirdlever.suites.detect import Kind
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Item

BANKING77 = Path(__file__).parents[3] / "shared" / "data" / "banking77"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to make suites in."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def csv(name: str, *rows: str, header: str = "text,kind") -> Path:
    path = Path("..", name)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def many(*counts: int) -> list[str]:
    """So many rows of each of the labels k0, k1, …"""
    return [f"text {label} {n},k{label}" for label, count in enumerate(counts) for n in range(count)]


def make(train: Path, **options: Any) -> Made:  # noqa: ANN401 - make_suite's
    return make_suite("made", train=train, **({"input": "text", "target": "kind"} | options))


def rows(split: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(f"datasets/made/{split}.jsonl").read_text().splitlines()]


# What is written.


def test_a_new_suite_can_be_loaded() -> None:
    make(csv("a.csv", *many(20, 20)), test=csv("b.csv", "new text,k1"))
    suite = find_suite("made")
    assert suite.test.items == (Item("test-00001", "new text", "k1", fields={"text": "new text"}),)
    assert suite.answer == Label(("k0", "k1"), name="Kind")
    assert (len(suite.train), len(suite.dev)) == (36, 4)


def test_given_test_rows_are_unchanged() -> None:
    given = ["same,k0", "same,k0", '" Same! ",k1', '"two\nlines",k1']
    make(csv("a.csv", *many(5, 5)), test=csv("b.csv", *given))
    assert [row["input"] for row in rows("test")] == ["same", "same", " Same! ", "two\nlines"]
    assert [row["id"] for row in rows("test")] == ["test-00001", "test-00002", "test-00003", "test-00004"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "text\tkind\n" + "".join(f"t{n}\tx\n" for n in range(9))),
        ("a.jsonl", "".join(json.dumps({"text": f"t{n}", "kind": "x"}) + "\n" for n in range(9))),
        ("a.csv", "\ufefftext,kind\r\n" + "".join(f"t{n},x\r\n" for n in range(9))),
    ],
)
def test_tsv_jsonl_and_a_spreadsheets_csv_are_read(name: str, content: str) -> None:
    Path("..", name).write_bytes(content.encode())
    make(Path("..", name))
    assert {row["input"] for part in ("train", "test") for row in rows(part)} == {f"t{n}" for n in range(9)}


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_objects_is_read(indent: int | None) -> None:
    Path("..", "a.json").write_text(
        json.dumps([{"text": f"t{n}", "kind": f"k{n % 2}"} for n in range(20)], indent=indent)
    )
    assert make(Path("..", "a.json")).counts == {"train": 14, "dev": 2, "test": 4, "documents": 0, "labels": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[\n {"text": "a", "kind": ""},\n {"text": "b", "kind": "x"}]', r"a\.json:2:2: 'kind' is empty"),
        ('[{"text": "a", "kind": "x"},\n 5]', r"a\.json:2:2: a JSON int; expected an object"),
        ('[{"text": "a"},\n {"text" "b"}]', r"a\.json:2: not JSON \(Expecting ':' delimiter"),
        ('{"text": "a"}', r"a\.json:1: a JSON object without rows; give an array of objects"),
    ],
)
def test_an_unusable_array_is_refused_by_line(content: str, said: str) -> None:
    Path("..", "a.json").write_text(content)
    with pytest.raises(SuiteError, match=said):
        make(Path("..", "a.json"))


def test_no_group_is_split() -> None:
    table = csv("a.csv", *(f"text {n},k{n % 3},shop {n // 4}" for n in range(200)), header="text,kind,shop")
    made = make(table, group="shop")
    parts = {part: {row["group"] for row in rows(part)} for part in ("train", "dev", "test")}
    assert not parts["test"] & (parts["train"] | parts["dev"])
    assert not parts["dev"] & parts["train"]
    assert 24 <= made.counts["test"] <= 40
    assert "rows of train drawn for test (by target, seed 0, whole groups)" in made.changes[0]


def test_groups_that_given_files_share_are_counted() -> None:
    train = csv("a.csv", *(f"text {n},k{n % 2},shop {n % 5}" for n in range(40)), header="text,kind,shop")
    test = csv("b.csv", "new one,k0,shop 1", "new two,k1,elsewhere", header="text,kind,shop")
    assert "groups of test that train or dev has too: 1" in make(train, test=test, group="shop").changes


def test_no_label_loses_its_last_items_to_the_test_split() -> None:
    shop = [f"mixed {n},k{n % 2},big" for n in range(8)]
    table = csv("a.csv", *shop, *(f"text {n},k0,shop {n}" for n in range(60)), header="text,kind,shop")
    make(table, group="shop")
    assert {row["target"] for row in rows("train")} == {"k0", "k1"}


def test_slice_group_and_documents_are_kept() -> None:
    train = csv("a.csv", *(f"{row},s{n},g{n}" for n, row in enumerate(many(5, 5))), header="text,kind,part,who")
    make(train, slice="part", group="who", documents=csv("d.csv", "Rules,Be kind.", header="title,text"))
    suite = find_suite("made")
    assert {(item.slice, item.group) for item in suite.test} <= {(f"s{n}", f"g{n}") for n in range(10)}
    assert [(d.id, d.title, d.text) for d in suite.documents] == [("doc-00001", "Rules", "Be kind.")]


def test_the_card_says_where_the_rows_come_from_and_what_to_fill_in() -> None:
    made = make(csv("a.csv", *many(10, 10)))
    card = yaml.safe_load(Path("datasets/made/card.yaml").read_text())
    assert [entry["file"] for entry in card["source"]] == ["a.csv"]
    assert len(card["source"][0]["sha256"]) == 64
    assert card["counts"] == made.counts == {"train": 14, "dev": 2, "test": 4, "documents": 0, "labels": 2}
    assert (card["licence"], card["monthly_volume"], card["error_cost_usd"]) == ("unknown", None, None)


def test_targets_that_rarely_repeat_are_free_text() -> None:
    make(csv("a.csv", *(f"what is {n}?,the number {n}" for n in range(20))))
    suite = find_suite("made")
    assert suite.answer == Text(name="Kind", max_tokens=14)
    assert (len(suite.train), len(suite.dev), len(suite.test)) == (14, 2, 4)


def test_data_never_becomes_code() -> None:
    nasty = ['"""', "\\", "'''", "\n", "{name}", "\u202e", "\x1b[2J", "#{", "%s"]
    header = {"text": 'a"""\nimport os', "kind": "b\\"}
    lines = [{header["text"]: f"{mark * 30} {n}", header["kind"]: f"{mark}x"} for mark in nasty for n in range(4)]
    path = Path("..", 'train"""x.jsonl')
    path.write_text("\n".join(json.dumps(line) for line in lines))
    make(path, input=header["text"], target=header["kind"])
    source = Path("evals/made.py").read_text()
    kinds = [type(statement).__name__ for statement in ast.parse(source).body]
    assert kinds == ["Expr", "ImportFrom", "FunctionDef"]
    assert all(character.isprintable() for character in source.replace("\n", ""))
    yaml.safe_load(Path("datasets/made/card.yaml").read_text())


def test_the_eval_file_is_as_a_formatter_would_leave_it() -> None:
    make(csv("a.csv", *many(5, 5)))
    source = Path("evals/made.py").read_text()
    assert source.endswith(")\n")
    assert max(map(len, source.splitlines())) <= 120
    assert "Run:     thirdlever run made" in source


def test_a_count_of_one_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    train, documents = csv("a.csv", *many(20)), csv("d.csv", "Rules,Be kind.", header="title,text")
    measure.init("made", train=str(train), input_="text", target=["kind"], documents=str(documents))
    assert "1 document, 1 label\n" in capsys.readouterr().out


# How the splits are made.


def test_missing_splits_are_drawn_by_target() -> None:
    make(csv("a.csv", *many(100, 50, 10)))
    drawn = {split: Counter(row["target"] for row in rows(split)) for split in ("train", "dev", "test")}
    assert drawn["test"] == {"k0": 20, "k1": 10, "k2": 2}
    assert drawn["dev"] == {"k0": 10, "k1": 5, "k2": 1}
    assert drawn["train"] == {"k0": 70, "k1": 35, "k2": 7}


def test_small_classes_stay_in_train() -> None:
    make(csv("a.csv", *many(40, 1, 2, 1)))
    assert {row["target"] for row in rows("train")} == {"k0", "k1", "k2", "k3"}
    assert find_suite("made").test


def test_dev_is_a_thousand_at_most() -> None:
    made = make(csv("a.csv", *many(9_000, 4_000)), test=csv("b.csv", "t,k0"))
    assert made.counts["dev"] == 1_000


def test_the_draw_is_reproducible() -> None:
    items = [Item(str(n), f"text {n}", f"k{n % 7}") for n in range(100)]
    draw = partial(splitting.draw, items, 20, classes=lambda item: (item.target,))
    assert draw() == draw()
    assert draw() != draw(seed=1)


def test_one_input_in_two_spellings_is_drawn_as_one() -> None:
    spelt = [f"{text},k{n % 2}" for n in range(40) for text in (f"Card no {n}!", f"card NO {n}")]
    make(csv("a.csv", *spelt))
    inputs = {split: {normalise(row["input"]) for row in rows(split)} for split in ("train", "dev", "test")}
    assert len(inputs["test"]) == 8
    assert not inputs["train"] & inputs["test"]
    assert not inputs["train"] & inputs["dev"]
    assert not inputs["dev"] & inputs["test"]


def test_rows_of_test_are_dropped_from_train_and_dev_and_reported() -> None:
    made = make(
        csv("a.csv", "Where is  it,k0", *many(5, 5)),
        dev=csv("d.csv", "where's IT,k1", "where is it,k1", "text 0 0,k0"),
        test=csv("b.csv", "where is it?,k0"),
    )
    assert made.counts == {"train": 9, "dev": 2, "test": 1, "documents": 0, "labels": 2}
    assert made.changes == [
        "rows of train dropped because test has them (by input): 1",
        "rows of dev dropped because test has them (by input): 1",
        "rows of train dropped because dev has them (by input): 1",
    ]


def test_repeated_rows_of_train_are_dropped_and_reported() -> None:
    made = make(csv("a.csv", *many(5, 5), "text 0 0,k0", "text 0 0,k0"), test=csv("b.csv", "t,k0"))
    assert "repeated rows of train dropped: 2" in made.changes
    assert made.counts["train"] + made.counts["dev"] == 10


def test_contradictory_targets_give_a_warning() -> None:
    made = make(csv("a.csv", *many(5, 5), "Text 0 0.,k1"), test=csv("b.csv", "t,k0"))
    assert len(made.warnings) == 1
    assert made.warnings[0].startswith("inputs of train with more than one target: 1, e.g. 'k0' (../a.csv:2)")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Where's my CARD?!", "where s my card", True),
        ("straße", "STRASSE", True),
        ("good 👍", "good 👎", False),
        ("?", "!", False),
        ("की", "कि", False),
    ],
)
def test_texts_are_equal_ignoring_case_punctuation_and_white_space(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a parameter
    assert (normalise(one) == normalise(other)) is same


# What is refused: with a reason, and nothing written.


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (["x,y"], {"input": "txt"}, r"a\.csv:1: column 'txt' not found; did you mean 'text'\?"),
        (["x,y", "a,b,c"], {}, r"a\.csv:3: 3 fields where the header has 2"),
        (['x,"y', "z"], {}, r"a\.csv:2: .*double quote"),
        (["x,y", ",y"], {}, r"a\.csv:3: 'text' is empty"),
        ([], {}, r"'.*a\.csv' has no rows"),
        ([f"x{n},y" for n in range(20)], {"documents": "docs"}, r"no file or folder 'docs'"),
        (["x,y", "z,y"], {"test": "b.csv"}, r"no file 'b\.csv'"),
        (["x,y"], {}, "no rows are left for test"),
    ],
)
def test_unusable_files_are_refused(lines: list[str], options: dict[str, str], said: str) -> None:
    paths = {key: Path(value) if key in {"documents", "test"} else value for key, value in options.items()}
    with pytest.raises(SuiteError, match=said):
        make(csv("a.csv", *lines), **paths)
    assert not list(Path().iterdir())


def test_a_repeated_column_is_refused() -> None:
    with pytest.raises(SuiteError, match="the header has 'text' twice"):
        make(csv("a.csv", "a,b,c", header="text,kind,text"))


def test_a_label_that_train_lacks_is_refused_by_line() -> None:
    with pytest.raises(SuiteError, match=r"b\.csv:3: label 'k9' of test has no other row in train"):
        make(csv("a.csv", *many(5, 5)), test=csv("b.csv", "x,k0", "y,k9"))
    assert not list(Path().iterdir())


@pytest.mark.parametrize("name", ["datasets", "suite", "load_suite", "class", "a-b", "../x", "_x", "1x", ""])
def test_invalid_names_are_refused(name: str) -> None:
    with pytest.raises(SuiteError, match="invalid suite name"):
        make_suite(name, train=csv("a.csv", *many(5, 5)), input="text", target="kind")


@pytest.mark.parametrize("taken", ["datasets/made", "evals/made.py"])
def test_an_existing_suite_is_never_overwritten(taken: str) -> None:
    Path(taken).mkdir(parents=True)
    with pytest.raises(SuiteError, match=f"'{taken}' already exists; choose another name"):
        make(csv("a.csv", *many(5, 5)))


def test_a_failure_in_the_middle_leaves_nothing_behind() -> None:
    Path("evals").write_text("a file where a folder must be")
    with pytest.raises(OSError, match="evals"):
        make(csv("a.csv", *many(5, 5)))
    assert [path.name for path in Path().iterdir()] == ["evals"]


# The starter project.


def test_the_starter_project_is_copied_and_nothing_overwritten() -> None:
    Path("evals").mkdir()
    Path("evals/transactions.py").write_text("mine")
    copied, kept = copy_starter()
    assert kept == [Path("evals/transactions.py")]
    assert Path("evals/transactions.py").read_text() == "mine"
    assert {Path("strategies/rag.py"), Path("datasets/transactions/test.jsonl")} <= set(copied)
    assert {path.parts[1] for path in copied if path.parts[0] == "datasets"} == {
        path.stem for path in copied if path.parts[0] == "evals" and path.stem != "voice_judged"
    } | {"transactions"}
    assert all(path.is_file() for path in copied)


def test_the_starter_project_is_not_copied_onto_itself() -> None:
    copied, _ = copy_starter()
    again, kept = copy_starter()
    assert (again, kept) == ([], copied)


# Real data.


@pytest.mark.skipif(not BANKING77.is_dir(), reason="Banking77 is not beside the checkout")
def test_banking77_keeps_all_its_test_rows() -> None:
    made = make_suite(
        "made", train=BANKING77 / "train.csv", test=BANKING77 / "test.csv", input="text", target="category"
    )
    assert made.counts == {"train": 8978, "dev": 1000, "test": 3080, "documents": 0, "labels": 77}
    assert len(find_suite("made").test) == 3080


# Columns, prompts and conversations


def test_all_columns_are_kept_and_the_input_keeps_its_name() -> None:
    table = csv("a.csv", *(f"t{n},k{n % 2},shop {n},x{n}" for n in range(20)), header="text,kind,shop,id")
    make(table)
    item = find_suite("made").train.items[0]
    assert item.fields == {"shop": f"shop {item.input[1:]}", "text": item.input}  # `id` is the suite's own
    assert 'input_column="text"' in Path("evals/made.py").read_text("utf-8")


def test_a_prompt_becomes_the_suites_own() -> None:
    Path("..", "v7.jinja").write_text("system:\nSort.\nuser:\n{{ text }} {{ shop }}\n", "utf-8")
    table = csv("a.csv", *(f"t{n},k{n % 2},shop {n}" for n in range(20)), header="text,kind,shop")
    make(table, prompts=[Path("..", "v7.jinja")])
    suite = find_suite("made")
    assert suite.prompt is not None
    assert suite.prompt.name == "v7"
    item = suite.test.items[0]
    assert chat(suite, suite.prompt, item) == [("system", "Sort."), ("user", f"{item.input} {item.fields['shop']}")]


def test_several_prompts_are_copied_and_the_first_is_the_suites_own() -> None:
    for name in ("v6.txt", "v7.txt"):
        Path("..", name).write_text(f"Sort as {name} says.", "utf-8")
    make(csv("a.csv", *many(9, 9)), prompts=[Path("..", "v6.txt"), Path("..", "v7.txt")])
    assert sorted(path.name for path in Path("prompts").iterdir()) == ["v6.txt", "v7.txt"]
    assert getattr(find_suite("made").prompt, "name", None) == "v6"


def test_another_prompt_of_the_same_name_is_not_overwritten() -> None:
    Path("prompts").mkdir()
    Path("prompts/v7.txt").write_text("Ours.", "utf-8")
    Path("..", "v7.txt").write_text("Another.", "utf-8")
    with pytest.raises(PromptError, match=r"'prompts/v7\.txt' already exists and is another prompt; rename"):
        make(csv("a.csv", *many(9, 9)), prompts=[Path("..", "v7.txt")])
    assert not Path("evals/made.py").exists()
    assert Path("prompts/v7.txt").read_text("utf-8") == "Ours."


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_an_input_may_be_a_conversation(ending: str) -> None:
    chats = [
        [
            *(
                {"role": role, "content": text}
                for role, text in (("user", "Hi"), ("assistant", "Hello!"), ("user", f"t{n}"))
            )
        ]
        for n in range(20)
    ]
    if ending == "jsonl":
        lines = [json.dumps({"text": turns, "kind": f"k{n % 2}"}) for n, turns in enumerate(chats)]
        Path("..", "a.jsonl").write_text("\n".join(lines), "utf-8")
        make(Path("..", "a.jsonl"))
    else:
        quoted = (json.dumps(turns).replace('"', '""') for turns in chats)
        make(csv("a.csv", *(f'"{text}",k{n % 2}' for n, text in enumerate(quoted))))
    item = find_suite("made").train.items[0]
    assert item.turns[:2] == (("user", "Hi"), ("assistant", "Hello!"))
    assert item.input.startswith("user: Hi\nassistant: Hello!\nuser: t")


def test_a_conversation_must_end_with_the_user() -> None:
    lines = [json.dumps({"text": [{"role": "assistant", "content": "Hi"}], "kind": "k"})]
    Path("..", "a.jsonl").write_text("\n".join(lines), "utf-8")
    with pytest.raises(SuiteError, match=r"a\.jsonl:1: the last message of 'text' is the assistant's; end with"):
        make(Path("..", "a.jsonl"))


# What will be sent.


def test_the_first_test_item_is_shown_as_it_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    train = csv("a.csv", *many(20, 20))
    measure.init("made", train=str(train), test=str(csv("b.csv", "new text,k1")), input_="text", target=["kind"])
    shown = capsys.readouterr().out
    sent = messages(find_suite("made"), find_suite("made").test.items[0])
    assert len(sent) == 2
    for role, text in ((turn.role, turn.text) for turn in sent):
        first, *rest = text.split("\n")
        assert "\n".join([f"  {role + ':':<8}{first}", *(f"{'':<10}{line}" for line in rest)]) in shown


def test_a_long_message_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    train = csv("a.csv", *(f"text {n} {'long ' * 400},k{n % 2}" for n in range(20)))
    measure.init("made", train=str(train), input_="text", target=["kind"])
    assert "more characters: thirdlever prompt made)" in capsys.readouterr().out


def test_what_is_sent_is_known_before_anything_is_written() -> None:
    seen: list[str] = []

    def refuse(made: Made) -> None:
        seen.extend(item.input for item in made.draft.test)
        assert made.draft.answer.choices == ("k0", "k1")
        assert not Path("datasets").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(csv("a.csv", *many(20, 20)), test=csv("b.csv", "new text,k1", "second,k0"), confirm=refuse)
    assert seen == ["new text"]
    assert list(Path().iterdir()) == []


def test_the_teams_own_prompt_is_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("..", "mine.jinja").write_text("Which kind is {{ text }}?")
    for name in ("one", "two"):  # the second finds the prompt in the project
        train = csv("a.csv", *many(20, 20))
        measure.init(name, train=str(train), input_="text", target=["kind"], prompt=[Path("..", "mine.jinja")])
        assert re.search(r"  user:   Which kind is text \d \d+\?", capsys.readouterr().out)


def test_groups_too_large_for_dev_are_reported() -> None:
    train = csv("a.csv", *(f"text {n},k{n % 2},g{n // 5}" for n in range(60)), header="text,kind,source")
    warned = make(train, group="source").warnings
    assert any("dev is empty, because each group of 'source' is larger than a tenth of train" in one for one in warned)
    train = csv("a.csv", *(f"text {n},k{n % 2},g{n // 2}" for n in range(60)), header="text,kind,source")
    assert make_suite("fine", train=train, input="text", target="kind", group="source").warnings == []


@pytest.mark.parametrize(("answer", "told"), [("label", True), ("text", False)])
def test_closed_answers_point_to_constrain(answer: Kind, told: bool, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001 - expected
    measure.init("made", train=str(csv("a.csv", *many(20, 20))), input_="text", target=["kind"], answer=answer)
    assert ("thirdlever run made --constrain" in capsys.readouterr().out) == told

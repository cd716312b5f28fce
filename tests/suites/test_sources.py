"""Files as people have them become a suite, or one sentence that says what to do."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thirdlever.core.errors import SuiteError
from thirdlever.suites.create import make_suite, suite_name
from thirdlever.suites.find import find_suite
from thirdlever.suites.sources import Dialect, propose, read_source

if TYPE_CHECKING:
    from thirdlever.suites.suite import Suite

PAIRS = [(f"where is parcel {number}", ("shipping", "refund")[number % 2]) for number in range(40)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def made(name: str, content: str | bytes, **options: Any) -> Suite:  # noqa: ANN401
    suite = make_suite("s", train=written(name, content), **options).name
    return find_suite(suite)


def csv(separator: str, quote: str = "") -> str:
    return "".join(f"{quote}{text}{quote}{separator}{label}\n" for text, label in [("text", "label"), *PAIRS])


def xlsx(rows: list[list[Any]], *, sheets: int = 1) -> bytes:
    import io

    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    for _ in range(1, sheets):
        book.create_sheet()
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def damaged(workbook: bytes) -> bytes:
    """A workbook whose sheets end in the middle."""
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as members, zipfile.ZipFile(into, "w") as new:
        for name in members.namelist():
            content = members.read(name)
            new.writestr(name, content[: len(content) // 2] if "sheets/" in name else content)
    return into.getvalue()


def parquet(rows: list[dict[str, Any]], metadata: dict[str, str] | None = None) -> bytes:
    import io

    import pyarrow as pa
    from pyarrow import parquet as writer

    file = io.BytesIO()
    writer.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), file)
    return file.getvalue()


def messages(*turns: tuple[str, str], **further: Any) -> str:  # noqa: ANN401
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns], **further}) + "\n"


OBJECTS = [{"text": text, "label": label} for text, label in PAIRS]
SQUAD = {
    "data": [
        {
            "title": "Parcels",
            "paragraphs": [
                {
                    "context": f"Parcel {number} left on day {number}.",
                    "qas": [{"id": f"q{number}", "question": f"When did parcel {number} leave?", "answers": answers}],
                }
            ],
        }
        for number in range(40)
        for answers in [[{"text": f"day {number}", "answer_start": 5}]]
    ]
}
SHAPES: dict[str, tuple[str, str | bytes]] = {
    "commas": ("a.csv", csv(",")),
    "semicolons": ("a.csv", csv(";")),
    "tabs in a .csv": ("a.csv", csv("\t")),
    "vertical bars": ("a.csv", csv("|")),
    "Excel's sep=": ("a.csv", "sep=;\r\n" + csv(";", '"')),
    "byte order mark": ("a.csv", b"\xef\xbb\xbf" + csv(",").encode()),
    "UTF-16": ("a.csv", csv("\t").encode("utf-16")),
    "blanks in the header, empty columns": (
        "a.csv",
        " text , label ,,\n" + "".join(f"{t},{la},,\n" for t, la in PAIRS),
    ),
    "short rows and empty rows": ("a.csv", "text,label,,\n" + "".join(f"{t},{la}\n,,,\n" for t, la in PAIRS)),
    "TSV": ("a.tsv", csv("\t")),
    "gzip": ("a.csv.gz", gzip.compress(csv(",").encode())),
    "JSON lines": ("a.jsonl", "".join(json.dumps(row) + "\n" for row in OBJECTS)),
    "JSON lines in a .json": ("a.json", "".join(json.dumps(row) + "\n" for row in OBJECTS)),
    "an array": ("a.json", json.dumps(OBJECTS)),
    "an array in a .jsonl": ("a.jsonl", json.dumps(OBJECTS)),
    "an array in .json.gz": ("a.json.gz", gzip.compress(json.dumps(OBJECTS).encode())),
    "pairs": ("a.json", json.dumps([list(pair) for pair in PAIRS])),
    "an array under a key": ("a.json", json.dumps({"version": "1", "examples": OBJECTS})),
    "a data frame's columns": (
        "a.json",
        json.dumps({k: {str(i): r[k] for i, r in enumerate(OBJECTS)} for k in OBJECTS[0]}),
    ),
    "Parquet": ("a.parquet", parquet(OBJECTS)),
    "Excel": ("a.xlsx", xlsx([["text", "label"], *map(list, PAIRS)])),
    "OpenAI's messages": ("a.jsonl", "".join(messages(("user", text), ("assistant", label)) for text, label in PAIRS)),
    "ShareGPT": (
        "a.json",
        json.dumps(
            [{"conversations": [{"from": "human", "value": t}, {"from": "gpt", "value": la}]} for t, la in PAIRS]
        ),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_of_any_usual_shape_becomes_a_suite(shape: str) -> None:
    suite = made(*SHAPES[shape])
    items = [item for split in (suite.train, suite.dev, suite.test) for item in split]
    assert sorted((item.input, item.target) for item in items) == sorted(PAIRS)
    assert suite.answer.choices == ("refund", "shipping")


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "Windows text": (
        "a.csv",
        b"text,label\nCaf\xe9 \x92closed\x92,other\n",
        "--encoding cp1252 the line reads 'Café ’c",
    ),
    "a value without a column": (
        "a.csv",
        "text,label,\nhi,spam,\nyou,spam,why\n",
        "a.csv:3: column 3 has a value but no name",
    ),
    "an old workbook": ("a.xls", b"\xd0\xcf\x11\xe0", "save it as .xlsx or .csv"),
    "a workbook that is none": ("a.xlsx", b"text", "is no Excel workbook"),
    "a workbook with a damaged sheet": ("a.xlsx", damaged(xlsx([["text", "label"]])), "is no Excel workbook"),
    "a Parquet file that is none": ("a.parquet", b"text", "is no Parquet file"),
    "a cut off gzip file": ("a.csv.gz", gzip.compress(csv(",").encode())[:-9], "is no complete gzip file"),
    "an unknown format": ("a.docx", b"PK", "give a file that ends in .csv"),
    "an object without rows": ("a.json", '{"name": "x"}', "a JSON object without rows"),
    "no answer": ("a.jsonl", messages(("user", "hi")), "a.jsonl:1: the last message is the user's"),
    "no question": (
        "a.jsonl",
        messages(("system", "Classify."), ("assistant", "other")),
        "a.jsonl:1: the conversation has no user's",
    ),
    "a tool call": (
        "a.jsonl",
        messages(("user", "hi"), ("assistant", "x"), ("tool", "y"), ("assistant", "z")),
        "a.jsonl:1: message 3 calls a tool",
    ),
    "an answer without weight": (
        "a.jsonl",
        json.dumps(
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x", "weight": 0}]}
        ),
        "a.jsonl:1: the last answer has the weight 0",
    ),
    "three columns": (
        "a.csv",
        "a,b,c\n1,2,3\n",
        "which column is the target? There are 'a', 'b' and 'c'; add --target COLUMN",
    ),
    "no rows": ("a.csv", "text,label\n", "'a.csv' has no rows"),
    "no such file": ("b.csv", csv(","), "did you mean 'b.csv'?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_for_sure_is_refused_in_a_sentence(case: str) -> None:
    name, content, said = REFUSED[case]
    written(name, content)
    with pytest.raises(SuiteError) as refused:
        make_suite("s", train="bb.csv" if case == "no such file" else name)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Path("datasets").exists()


def test_an_encoding_is_taken_as_given() -> None:
    rows = "".join(f"Café ’closed’ {number},{'ab'[number % 2]}\n" for number in range(40))
    suite = made("a.csv", f"text,label\n{rows}".encode("cp1252"), reading=Dialect(encoding="cp1252"))
    assert suite.train.items[0].input.startswith("Café ’closed’")


@pytest.mark.parametrize(
    ("option", "said"), [({"encoding": "x"}, "unknown"), ({"delimiter": "::"}, "not one character")]
)
def test_an_impossible_option_is_refused(option: dict[str, str], said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        made("a.csv", csv(","), reading=Dialect(**option))


def test_a_delimiter_is_taken_as_given() -> None:
    suite = made(
        "a.csv", "text,label\n".replace(",", "~") + csv("~").partition("\n")[2], reading=Dialect(delimiter="~")
    )
    assert len(suite.train) + len(suite.dev) + len(suite.test) == len(PAIRS)


def test_the_splits_of_a_file_are_kept_and_others_named() -> None:
    parts = {name: [[f"{name} {n}", "ab"[n % 2]] for n in range(10)] for name in ("train", "val", "test", "oos_train")}
    done = make_suite("s", train=written("clinc.json", json.dumps(parts)))
    suite = find_suite("s")
    assert [item.input.split()[0] for split in (suite.train, suite.dev, suite.test) for item in split.items[:1]] == [
        "train",
        "val",
        "test",
    ]
    assert "splits left out: oos_train" in done.changes


def test_paragraphs_of_squad_become_documents() -> None:
    suite = made("squad.json", json.dumps(SQUAD))
    assert len(suite.documents) == len(SQUAD["data"])
    assert suite.documents[3].text == "Parcel 3 left on day 3."
    assert {item.target for item in suite.test} <= {f"day {number}" for number in range(40)}


def test_a_shared_system_prompt_is_the_instruction() -> None:
    turns = [(("system", "Route the mail."), ("user", text), ("assistant", label)) for text, label in PAIRS]
    assert made("ft.jsonl", "".join(messages(*each) for each in turns)).instruction == "Route the mail."


def test_a_conversation_of_several_answers_keeps_what_stands_before_the_last() -> None:
    turns = [
        (("user", text), ("assistant", "Which one?"), ("user", "all"), ("assistant", label)) for text, label in PAIRS
    ]
    item = made("ft.jsonl", "".join(messages(*each) for each in turns)).train.items[0]
    assert [role for role, _ in item.turns] == ["user", "assistant", "user"]
    assert item.target in {"shipping", "refund"}


def test_system_prompts_that_differ_stay_in_the_input() -> None:
    turns = [(("system", f"You are {n % 3}."), ("user", PAIRS[n][0]), ("assistant", PAIRS[n][1])) for n in range(40)]
    item = made("ft.jsonl", "".join(messages(*each) for each in turns)).train.items[0]
    assert item.turns[0] == ("system", "You are 0.")


def test_a_parquet_files_class_names_are_the_labels() -> None:
    features = {
        "label": {"names": ["anger", "joy"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    rows = [{"text": text, "label": number % 2} for number, (text, _) in enumerate(PAIRS)]
    suite = made("a.parquet", parquet(rows, {"huggingface": json.dumps({"info": {"features": features}})}))
    assert suite.answer.choices == ("anger", "joy")
    assert suite.train.items[0].fields["label_original"] in {0, 1}


@pytest.mark.parametrize("saved", [True, False])
def test_a_folder_of_hugging_face_is_read(folder: Path, *, saved: bool) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["anger", "joy"])
    rows = {"text": [text for text, _ in PAIRS], "label": [number % 2 for number in range(len(PAIRS))]}
    data = datasets.Dataset.from_dict(
        rows, features=datasets.Features({"text": datasets.Value("string"), "label": names})
    )
    if saved:
        datasets.DatasetDict({"train": data, "test": data.select(range(3))}).save_to_disk(str(folder / "emo"))
    else:
        data.to_parquet(str(folder / "emo" / "train.parquet"))
    done = make_suite("s", train="emo")
    assert find_suite("s").answer.choices == ("anger", "joy")
    assert done.counts["test"] == (3 if saved else 8)


def test_a_hub_without_network_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for 20 s
    with pytest.raises(SuiteError, match=r"'hf:nobody/nothing' cannot be loaded .*give a local file"):
        read_source("hf:nobody/nothing")


def test_unlabelled_rows_are_refused_left_out_or_kept() -> None:
    rows = csv(",") + "parcel 7 again,\nWhere is parcel 7,\nwhere is it,\nWHERE is it?,\n"
    with pytest.raises(SuiteError, match=r"a\.csv:42: 'label' is empty: the row is unlabelled \(one of 4 such rows\)"):
        make_suite("s", train=written("a.csv", rows))
    made("a.csv", rows, keep_unlabelled=True)
    suite = find_suite("s")
    assert [item.input for item in suite.unlabelled][:1] == ["parcel 7 again"]
    assert {item.target for item in suite.unlabelled} == {""}
    tested = {item.input for split in (suite.dev, suite.test) for item in split}
    assert len(suite.unlabelled) == (2 if "where is parcel 7" in tested else 3)


def test_a_label_over_two_columns() -> None:
    rows = "".join(f"ring at {n};{('alarm', 'play')[n % 2]};{('set', 'music')[n % 2]}\n" for n in range(40))
    suite = made("nlu.csv", f"answer;scenario;intent\n{rows}", input="answer", target="scenario+intent")
    assert suite.answer.choices == ("alarm_set", "play_music")


def test_the_first_sheet_is_read_and_the_others_told() -> None:
    source = read_source(written("a.xlsx", xlsx([["text", "label"], ["hi", 1.0], [None, None]], sheets=2)))
    assert source.parts[""][0].values == {"text": "hi", "label": "1"}
    assert source.changes == ["read the first of 2 sheets, 'Sheet'", "empty rows left out: 1"]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (("text", "label"), ("text", "label")),
        (("Question", "Answer", "id"), ("Question", "Answer")),
        (("masseges", "kind"), ("masseges", "kind")),
        (("kind", "masseges"), ("masseges", "kind")),
    ],
)
def test_columns_are_found_by_name_or_by_what_they_hold(header: tuple[str, ...], found: tuple[str, str]) -> None:
    long = header.index(found[0])
    lines = (
        ",".join("a long text" + str(n) if i == long else "xy"[n % 2] for i in range(len(header))) for n in range(9)
    )
    source = read_source(written("a.csv", "\n".join([",".join(header), *lines])))
    input_, (target,), _ = propose(source.rows("train"), None, ())
    assert (input_, target) == found


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("data/Support tickets.csv.gz", "support_tickets"),
        ("2024.csv", "suite_2024"),
        ("hf:PolyAI/banking77@main", "banking77"),
    ],
)
def test_a_suite_without_a_name_has_its_files(given: str, name: str) -> None:
    assert suite_name(given) == name


def test_annotated_texts_have_an_intent_and_slots() -> None:
    pieces = [{"text": "Add "}, {"text": "Hey", "entity": "song"}, {"text": " and "}, {"text": "Ho", "entity": "song"}]
    name = written("a.json", json.dumps({"Add": [{"data": pieces}], "Stop": [{"data": [{"text": "stop"}]}]}))
    found = read_source(name)
    assert [dict(row.values) for row in found.parts[""]] == [
        {"text": "Add Hey and Ho", "intent": "Add", "slots": {"song": ["Hey", "Ho"]}},
        {"text": "stop", "intent": "Stop", "slots": {}},
    ]
    assert found.changes == ["annotated texts, read as text, intent and slots"]


def test_an_emoji_in_two_surrogates_is_read() -> None:
    content = "text,label\n\ud83d\udc95 hi,a\n".encode("utf-8", "surrogatepass")
    found = read_source(written("a.csv", content))
    assert [row.values["text"] for row in found.parts[""]] == ["\N{TWO HEARTS} hi"]
    assert found.changes == ["read as CESU-8"]

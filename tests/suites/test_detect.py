"""`thirdlever init` finds the kind of answer in the targets, says why, and takes another when it is told to."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from thirdlever import Json, Label, Labels, Number, Text
from thirdlever.cli import measure
from thirdlever.core.errors import PromptError, SuiteError
from thirdlever.prompting.frame import check_prompt
from thirdlever.runner import runner
from thirdlever.runner.check import check
from thirdlever.suites.create import Made, make_suite
from thirdlever.suites.detect import KINDS, infer_schema
from thirdlever.suites.find import find_suite
from thirdlever.suites.prompts import read_prompt
from thirdlever.suites.suite import Item, Split, Suite
from thirdlever.testing import FakeModel, offline

NLUPP = Path(__file__).parents[3] / "shared" / "data" / "nlupp"
INTENTS = ("card", "fee", "loan")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project to make suites in."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def jsonl(values: Sequence[object], name: str = "a.jsonl") -> Path:
    """Rows with these labels; a value that is a `dict` of columns is a row's."""
    path = Path("..", name)
    lines = [{"text": f"text {n}", **(v if isinstance(v, Row) else {"label": v})} for n, v in enumerate(values)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
    return path


class Row(dict[str, Any]):
    """The columns of a row beside its text."""


def csv(cells: Sequence[str], name: str = "a.csv", header: str = "text,label") -> Path:
    path = Path("..", name)
    path.write_text("\n".join([header, *(f"text {n},{cell}" for n, cell in enumerate(cells))]) + "\n", "utf-8")
    return path


def make(train: Path, target: str | Sequence[str] = "label", **options: Any) -> Made:  # noqa: ANN401 - make_suite's
    return make_suite("made", train=train, input="text", target=target, **options)


def made_of(train: Path, target: str | Sequence[str] = "label", **options: Any) -> Suite:  # noqa: ANN401 - likewise
    make(train, target, **options)
    return find_suite("made")


def every(suite: Suite) -> list[Item]:
    return sorted((*suite.train, *suite.dev, *suite.test), key=lambda item: int(item.input.split()[-1]))


def targets(suite: Suite) -> list[str]:
    """The targets in the order of the file."""
    return [item.target for item in every(suite)]


# Sets of labels


SETS = [["card", "fee"], ["fee", "card"], [], ["loan"]]
CANONICAL = ["card, fee", "card, fee", "none", "loan"]


def test_lists_are_sets_of_labels_whatever_their_order() -> None:
    made = make(jsonl(SETS * 5))
    suite = find_suite("made")
    assert made.kind == "labels"
    assert made.answer == "a set of labels, because every 'label' is a list, 0 to 2 a row, and the values repeat"
    assert suite.answer == Labels(INTENTS, name="Label")
    assert targets(suite) == CANONICAL * 5
    assert (len(suite.train), len(suite.dev), len(suite.test)) == (14, 2, 4)


@pytest.mark.parametrize("separator", [";", "|", " ; "])
def test_cells_with_a_separator_are_sets_where_the_parts_repeat(separator: str) -> None:
    cells = [separator.join(each) or "[]" for each in SETS]
    assert targets(made_of(csv(cells * 5))) == CANONICAL * 5


def test_lists_written_as_text_are_read_as_json_and_as_pandas_writes_them() -> None:
    cells = [f'"{json.dumps(each)}"'.replace('"', '""')[1:-1] for each in SETS]
    assert targets(made_of(csv([*cells * 5, *(f'"{each!r}"' for each in SETS)]))) == CANONICAL * 6


def test_columns_of_zeros_and_ones_are_sets() -> None:
    rows = [",".join(str(int(label in each)) for label in INTENTS) for each in SETS]
    table = csv(rows * 5, header="text,card,fee,loan")
    made = make(table, INTENTS)
    assert made.answer == "a set of labels, because the columns 'card', 'fee' and 'loan' have only the values 0 and 1"
    suite = find_suite("made")
    assert suite.answer == Labels(INTENTS, name="Categories")
    assert targets(suite) == CANONICAL * 5
    assert suite.train.items[0].fields.keys() == {"text"}  # no column gives the answer away


def test_columns_of_lists_are_one_set() -> None:
    values = [Row(money=[each for each in some if each == "fee"], other=["card"]) for some in SETS]
    assert targets(made_of(jsonl(values * 5), ["money", "other"])) == ["card, fee", "card, fee", "card", "card"] * 5


def test_names_with_a_separator_of_their_own_are_labels() -> None:
    assert made_of(csv(["food|fruit", "food|meat", "home|garden"] * 5)).answer == Label(
        ("food|fruit", "food|meat", "home|garden"), name="Label"
    )


def test_lists_of_one_value_are_labels() -> None:
    assert made_of(jsonl([["card"], ["fee"]] * 5)).answer == Label(("card", "fee"), name="Label")


def test_a_label_that_says_none_is_the_empty_set() -> None:
    made = make(jsonl([["none"], ["card"], ["card", "fee"], ["fee"]] * 5))
    assert "labels 'none' read as the empty set: 5" in made.changes
    assert targets(find_suite("made")) == ["none", "card", "card, fee", "fee"] * 5


def test_labels_with_commas_get_another_separator() -> None:
    answer = made_of(jsonl([["a, b"], ["a, b", "c"], ["c"]] * 5)).answer
    assert answer == Labels(("a, b", "c"), name="Label", separator="; ")


def test_no_label_of_a_set_loses_its_last_row_to_another_split() -> None:
    sets = [["card"]] * 30 + [["card", "rare"], ["fee", "rare"]] + [["fee"]] * 30
    suite = made_of(jsonl(sets))
    assert any("rare" in item.target for item in suite.train)


def test_a_label_of_test_that_train_lacks_is_refused_by_line() -> None:
    with pytest.raises(SuiteError, match=r"b\.jsonl:2: label 'loan' of test has no other row in train"):
        make(jsonl([["card"], ["fee", "card"]] * 5), test=jsonl([["card"], ["loan", "fee"]], "b.jsonl"))
    assert not list(Path().iterdir())


# JSON


def test_objects_with_nulls_and_numbers_are_json() -> None:
    values = [
        {"intent": "return", "order": 123, "note": None, "price": 4},
        {"intent": "buy", "order": None, "note": "soon", "price": 2.5},
    ]
    made = make(jsonl(values * 5))
    answer = find_suite("made").answer
    assert made.answer.startswith("a JSON object with the keys intent, order, note and price, because every 'label' is")
    assert isinstance(answer, Json)
    assert answer.keys == ("intent", "order", "note", "price")
    assert answer.schema["properties"] == {
        "intent": {"type": "string", "enum": ["buy", "return"]},
        "order": {"type": ["integer", "null"]},
        "note": {"type": ["string", "null"], "enum": ["soon", None]},
        "price": {"type": "number"},
    }
    assert [json.loads(target) for target in targets(find_suite("made"))] == values * 5


def test_objects_written_as_text_are_json() -> None:
    value = {"intent": "buy", "n": 1}
    cell = json.dumps(value).replace('"', '""')
    suite = made_of(csv([f'"{cell}"'] * 10))
    assert isinstance(suite.answer, Json)
    assert json.loads(suite.train.items[0].target) == value


def test_columns_that_are_no_switches_are_keys_of_json() -> None:
    rows = ["coffee,2,", "tea,1,now"]
    suite = made_of(csv(rows * 5, header="text,item,quantity,note"), ["item", "quantity", "note"])
    assert isinstance(suite.answer, Json)
    assert json.loads(every(suite)[0].target) == {"item": "coffee", "quantity": 2, "note": None}
    assert suite.instruction == "Extract item, quantity and note from the text."


def test_codes_with_leading_zeros_stay_strings() -> None:
    suite = made_of(csv(["007,a", "123,b"] * 5, header="text,code,kind"), ["code", "kind"])
    assert json.loads(every(suite)[0].target) == {"code": "007", "kind": "a"}


def test_a_key_that_some_targets_lack_is_optional() -> None:
    answer = made_of(jsonl([{"intent": "buy"}, {"intent": "return", "order": "A1"}] * 5)).answer
    assert isinstance(answer, Json)
    assert (answer.keys, list(answer.schema["properties"])) == (("intent",), ["intent", "order"])


def test_objects_without_a_common_key_are_filled_with_nulls() -> None:
    made = make(jsonl([{"artist": "Ada"}, {"city": "Ulm"}] * 5))
    assert "no key is in all targets: those that are missing are written as null" in made.changes
    assert json.loads(every(find_suite("made"))[0].target) == {"artist": "Ada", "city": None}


def test_rows_of_json_are_drawn_by_a_field_whose_values_repeat() -> None:
    values = [{"id": str(n), "intent": "rare" if n % 10 == 0 else "often"} for n in range(100)]
    suite = made_of(jsonl(values))
    assert Counter(json.loads(item.target)["intent"] for item in suite.test) == {"often": 18, "rare": 2}


def test_lists_of_objects_are_refused_with_a_remedy() -> None:
    with pytest.raises(SuiteError, match=r"a\.jsonl:1: .*is a list of lists or objects; put it under a key"):
        make(jsonl([[{"start": 1}]] * 5))


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([{"a": 1}, {"b": 1}], {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}),
        ([True, False], {"type": "boolean"}),
        ([1, "1"], {"type": ["integer", "string"]}),
        ([["a"], []], {"type": "array", "items": {"type": "string"}}),
        ([None, None], {"type": "null"}),
        (["a", "b", "a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (["a", "b", "c"], {"type": "string"}),
        (
            [{"at": {"hour": 9}}, {"at": {"hour": 10, "minute": 5}}],
            {
                "type": "object",
                "properties": {
                    "at": {
                        "type": "object",
                        "properties": {"hour": {"type": "integer"}, "minute": {"type": "integer"}},
                        "required": ["hour"],
                    }
                },
                "required": ["at"],
            },
        ),
    ],
)
def test_a_schema_fits_its_values(values: list[Any], schema: dict[str, Any]) -> None:
    assert infer_schema(values) == schema


# Numbers and texts


def test_decimals_and_many_values_are_numbers() -> None:
    assert made_of(csv(["1.5", "2", "3.25"] * 10)).answer == Number(name="Label")


def test_many_whole_numbers_are_numbers() -> None:
    made = make(jsonl([n * 7 for n in range(40)] * 2))
    assert made.answer == "a number, because every 'label' is a number, with 40 different values"


@pytest.mark.parametrize("codes", [["007", "008"], ["1.1", "1.10"], ["1e999", "2"]])
def test_codes_are_labels(codes: list[str]) -> None:
    assert isinstance(made_of(csv(codes * 10)).answer, Label)


def test_lists_of_right_answers_are_texts() -> None:
    values = [[f"the answer {n}", f"answer {n}"] for n in range(20)]
    made = make(jsonl(values))
    suite = find_suite("made")
    assert made.kind == "text"
    assert suite.answer == Text(name="Label", max_tokens=14, separator="|")
    assert targets(suite)[3] == "the answer 3|answer 3"
    assert suite.answer.grade("answer 3", targets(suite)[3]).value == 1


def test_answers_of_squad_are_texts_with_a_separator_that_does_not_occur() -> None:
    values = [{"text": [f"a|b {n}", f"b; {n}", f"b; {n}"], "answer_start": [1, 5, 5]} for n in range(20)]
    suite = made_of(jsonl(values))
    assert suite.answer == Text(name="Label", max_tokens=12, separator="||")
    assert targets(suite)[0] == "a|b 0||b; 0"


def test_a_question_without_right_answers_is_unlabelled() -> None:
    values = [[f"answer {n}", f"an answer {n}"] for n in range(20)]
    with pytest.raises(SuiteError, match=r"a\.jsonl:21: 'label' has no right answer: the row is unlabelled; fill"):
        make(jsonl([*values, []]))
    assert "unlabelled rows left out: 1 (../a.jsonl:21)" in make(jsonl([*values, []]), skip_unlabelled=True).changes


# The user's choice


@pytest.mark.parametrize(
    ("kind", "answer", "first"),
    [
        ("label", Label(("1", "2"), name="Label"), "1"),
        ("labels", Labels(("1", "2"), name="Label"), "1"),
        ("number", Number(name="Label"), "1"),
        ("text", Text(name="Label", max_tokens=9), "1"),
    ],
)
def test_a_kind_can_be_chosen(kind: str, answer: object, first: str) -> None:
    suite = made_of(csv(["1", "2"] * 10), answer=kind)
    assert suite.answer == answer
    assert targets(suite)[0] == first
    assert make_suite("again", train=csv(["1", "2"] * 10), input="text", target="label").kind == "label"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("json", r"a\.csv:2: 'red' of 'label' is not a JSON object; correct it, or give --answer text"),
        ("number", r"a\.csv:2: 'red' of 'label' is not a number"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused_by_line(kind: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        make(csv(["red", "blue"] * 5), answer=kind)
    assert not list(Path().iterdir())


def test_a_kind_of_one_column_refuses_several() -> None:
    with pytest.raises(SuiteError, match="--answer label takes one target column, not 2; leave out 'b'"):
        make(csv(["1,2"] * 5, header="text,a,b"), ["a", "b"], answer="label")


def test_three_different_targets_are_shown_as_they_were_read() -> None:
    made = make(jsonl([["fee", "card"], ["card", "fee"], [], ["loan"], ["fee"]] * 4))
    assert len(made.examples) == 3
    assert {read for _, read in made.examples} <= {"card, fee", "none", "loan", "fee"}
    assert len({read for _, read in made.examples}) == 3


def test_the_command_shows_the_kind_and_how_to_change_it(capsys: pytest.CaptureFixture[str]) -> None:
    train = jsonl([["fee", "card"], ["card"], [], ["loan"]] * 5)
    measure.init("made", train=str(train), input_="text", target=["label"])
    _, kind, *examples, change = capsys.readouterr().out.splitlines()[:6]
    assert kind == "answer kind: a set of labels, because every 'label' is a list, 0 to 2 a row, and the values repeat"
    assert examples == ["- 'text 2' -> 'none'", "- 'text 0' -> 'card, fee'", "- 'text 1' -> 'card'"]
    assert change.startswith("another kind: remove datasets/made and evals/made.py, and repeat with --answer KIND")


# Labels that are signs


SIGNS = ["A", "A-", "*", "**", "en-US", "en_US", "+", "#1", "naïve", "naive"]


def test_labels_that_differ_by_a_sign_stay_distinct() -> None:
    suite = made_of(csv(SIGNS * 6))
    assert set(targets(suite)) == set(SIGNS)
    assert isinstance(suite.answer, Label)
    assert [suite.answer.read(label).value for label in SIGNS] == SIGNS
    assert all(found.status == "ok" for found in check(["made"]))


def test_minus_one_among_whole_numbers_is_perhaps_no_label() -> None:
    made = make(csv(["-1", "0", "1", "2"] * 5))
    assert made.kind == "label"
    assert made.warnings[0].startswith("the label -1 among 0 to 2 perhaps means 'no label'; if so, remove its rows, or")
    assert targets(find_suite("made"))[:4] == ["-1", "0", "1", "2"]


# Labels whose names are elsewhere


def test_labels_that_are_numbers_are_told() -> None:
    (warning,) = make(jsonl([0, 1, 2, 3] * 5)).warnings
    assert warning.startswith("the labels are numbers (0, 1, 2, …), whose meaning a model can only guess from a prompt")


README = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': anger
          '1': joy
---
# Emotions
"""


@pytest.mark.parametrize(
    "names", ["0=anger,1=joy", "0\tanger\n1\tjoy\n", "0=anger\r\n1=joy\r\n", README], ids=["words", "tab", "=", "card"]
)
@pytest.mark.parametrize("codes", [[1, 0], ["1", "0"], [1.0, 0.0]])
def test_numbers_are_named_and_the_original_is_kept(names: str, codes: list[object]) -> None:
    Path("..", "names.txt").write_text(names, "utf-8")
    made = make(jsonl(codes * 10), labels=names if "," in names else "../names.txt")
    suite = find_suite("made")
    assert suite.answer == Label(("anger", "joy"), name="Label")
    assert targets(suite)[:2] == ["joy", "anger"]
    assert [item.fields["label_original"] for item in every(suite)[:2]] == codes
    assert not made.warnings


def test_a_prompt_that_shows_the_original_is_refused() -> None:
    suite = made_of(jsonl([1, 0] * 10), labels="0=anger,1=joy")
    Path("..", "leak.jinja").write_text("user:\n{{ text }} {{ label_original }}\n", "utf-8")
    with pytest.raises(PromptError, match=r"leak\.jinja:2: column 'label_original' is the right answer; remove it"):
        check_prompt(read_prompt(Path("..", "leak.jinja")), suite)


def test_the_members_of_sets_are_named_too() -> None:
    suite = made_of(jsonl([[1, 0], [], [0]] * 5), labels="0=anger,1=joy")
    assert targets(suite)[:3] == ["anger, joy", "none", "anger"]


def test_a_number_without_a_name_is_refused_by_line() -> None:
    with pytest.raises(SuiteError, match=r"a\.jsonl:3: the label '7' has no name in --labels; add 7=NAME"):
        make(jsonl([0, 1, 7] * 5), labels="0=anger,1=joy")


def test_minus_one_without_a_name_is_unlabelled() -> None:
    with pytest.raises(SuiteError, match=r"a\.jsonl:3: 'label' is -1: the row is unlabelled \(one of 5 such rows\)"):
        make(jsonl([0, 1, -1] * 5), labels="0=anger,1=joy")
    suite = made_of(jsonl([0, 1, -1] * 5), labels="0=anger,1=joy", skip_unlabelled=True)
    assert Counter(targets(suite)) == {"anger": 5, "joy": 5}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("0=joy,1=joy", "two codes have the name 'joy'; give each label a name of its own"),
        ("0=anger,joy", "'joy' is not a code, a tab or =, and a name; write 0=anger"),
        ("names.tsv", r"no file 'names\.tsv'"),
    ],
)
def test_unusable_names_are_refused(names: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        make(jsonl([0, 1] * 5), labels=names)


# What is missing, and what only looks like it


def test_words_for_nothing_in_a_table_are_labels() -> None:
    suite = made_of(csv(["NA", "None", "NaN", "null", "N/A"] * 4))
    assert set(targets(suite)) == {"NA", "None", "NaN", "null", "N/A"}
    assert all(suite.answer.read(label).value == label for label in set(targets(suite)))


@pytest.mark.parametrize(("value", "shown"), [(None, "null"), (float("nan"), "nan"), (" ", "empty")])
def test_a_row_without_a_label_is_told_by_line(value: object, shown: str) -> None:
    train = jsonl(["a", "b", value] * 5)
    with pytest.raises(SuiteError, match=rf"a\.jsonl:3: 'label' is {shown}: the row is unlabelled \(one of 5 such"):
        make(train)
    made = make(train, skip_unlabelled=True)
    assert "unlabelled rows left out: 5 (../a.jsonl:3, ../a.jsonl:6, ../a.jsonl:9, …)" in made.changes
    assert set(targets(find_suite("made"))) == {"a", "b"}


def test_a_list_that_some_rows_lack_is_empty_there() -> None:
    made = make(jsonl([Row(label=["card"]), Row(label=["card", "fee"]), Row()] * 5))
    assert "rows without 'label', read as empty sets: 5" in made.changes
    assert targets(find_suite("made"))[:3] == ["card", "card, fee", "none"]


# Draws


def test_demonstrations_show_each_label_of_a_set_about_equally_often() -> None:
    rng = random.Random(0)
    common = [(["often"], ["often", "other"])[rng.random() < 0.2] for _ in range(180)]
    rare = [[["rare"], ["rare", "often"], []][n % 3] for n in range(20)]
    answer = Labels(("often", "other", "rare"))
    items = tuple(Item(str(n), f"t{n}", answer.canonical(json.dumps(each))) for n, each in enumerate([*common, *rare]))
    suite = Suite("s", "Sort.", answer, Split("train", items), Split("dev", ()), Split("test", ()))
    shots = suite.train.sample(16)
    times = Counter(label for shot in shots for label in shot.target.split(", "))
    assert set(times) == {"often", "other", "rare", "none"}
    assert max(times.values()) - min(times.values()) <= 3
    assert suite.train.sample(8) == shots[:8]
    assert suite.train.sample(16) == shots != suite.train.sample(16, seed=1)
    assert sorted(item.id for item in suite.train.sample(999)) == sorted(item.id for item in items)


def test_demonstrations_of_json_take_the_values_of_a_repeating_field_in_turn() -> None:
    answer = Json(("id", "intent"))
    values = [{"id": str(n), "intent": "rare" if n % 20 == 0 else "often"} for n in range(100)]
    items = tuple(Item(str(n), f"t{n}", json.dumps(value)) for n, value in enumerate(values))
    suite = Suite("s", "Extract.", answer, Split("train", items), Split("dev", ()), Split("test", ()))
    assert Counter(json.loads(shot.target)["intent"] for shot in suite.train.sample(8)) == {"often": 4, "rare": 4}


def test_the_draw_of_labels_is_that_of_stored_runs() -> None:
    items = tuple(Item(str(n), f"t{n}", ("yes", "no", "maybe")[n % 7 % 3]) for n in range(40))
    answer = Label(("maybe", "no", "yes"))
    suite = Suite("s", "Sort.", answer, Split("train", items), Split("dev", ()), Split("test", ()))
    assert [shot.id for shot in suite.train.sample(8, seed=3)] == ["15", "34", "37", "8", "0", "23", "4", "38"]


# From files of the field to a table


def snips(rows: int, seed: int) -> list[dict[str, Any]]:
    """Made-up utterances as the SNIPS benchmark labels them: an intent, and slots that depend on it."""
    rng = random.Random(seed)

    def one() -> dict[str, Any]:
        artist, playlist = rng.choice(["Ada Grün", "The Moles", "DJ Pim"]), rng.choice(["morning run", "deep focus"])
        city, days = rng.choice(["Ulm", "Porto", "Reno"]), rng.randint(2, 60)
        name, score = rng.choice(["Salt Roads", "The Ninth Bell"]), rng.randint(0, 5)
        return rng.choice(
            [
                {
                    "text": f"put {artist} on my {playlist} list",
                    "label": {"intent": "AddToPlaylist", "slots": {"artist": artist, "playlist": playlist}},
                },
                {
                    "text": f"will it rain in {city} in {days} days",
                    "label": {"intent": "GetWeather", "slots": {"city": city, "when": {"unit": "day", "in": days}}},
                },
                {
                    "text": f"give {score} stars to {name}",
                    "label": {"intent": "RateBook", "slots": {"book": name, "rating": score}},
                },
                {"text": f"stop after {days} songs", "label": {"intent": "Stop", "slots": {}}},
            ]
        )

    return list({row["text"]: row for row in (one() for _ in range(rows))}.values())


def table(suite: str, *strategies: str) -> Any:  # noqa: ANN401 - pandas
    """A run without a language model, and with one that answers like the first example of train."""
    first = find_suite(suite).train.items[0].target
    model = FakeModel(answer=lambda _: first)
    with offline(model):
        return runner.run(suite, list(strategies), models=[model], limit=12, probe=0).summary


def test_utterances_with_intent_and_slots_become_a_table() -> None:
    path = Path("..", "snips.json")
    path.write_text(json.dumps(snips(150, seed=1), indent=1), "utf-8")
    made = make(path)
    suite = find_suite("made")
    assert (made.kind, len(made.warnings)) == ("json", 0)
    assert isinstance(suite.answer, Json)
    assert suite.answer.keys == ("intent", "slots")
    intents, slots = suite.answer.schema["properties"].values()
    assert intents["enum"] == ["AddToPlaylist", "GetWeather", "RateBook", "Stop"]
    assert slots["properties"]["when"]["properties"]["in"] == {"type": "integer"}
    assert [found.status for found in check(["made"])] == ["ok"]
    summary = table("made", "null", "few_shot:k=4")
    assert list(summary["n"]) == [12, 12]
    assert list(summary["unparseable"]) == [0, 0]


@pytest.mark.skipif(not NLUPP.is_dir(), reason="NLU++ is not beside the checkout")
def test_utterances_with_several_intents_become_a_table() -> None:
    made = make(NLUPP / "nlupp_banking_fold0.json", "intents", test=NLUPP / "nlupp_banking_fold1.json")
    suite = find_suite("made")
    assert made.counts == {"train": 94, "dev": 10, "test": 105, "documents": 0, "labels": 47}
    assert made.answer == "a set of labels, because every 'intents' is a list, 0 to 6 a row, and the values repeat"
    assert sum(item.target == "none" for item in suite.test) == 8
    assert [found.status for found in check(["made"])] == ["ok"]
    assert list(table("made", "null", "few_shot:k=4")["n"]) == [12, 12]


def test_every_kind_is_documented() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "data.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []

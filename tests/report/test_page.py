"""The report page's file: its content, its size, and what it says about missing data."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.pages import SHOTS, SYSTEM, make_run

import thirdlever
from thirdlever.analysis.run import RECORDS, Run
from thirdlever.core.errors import RunError
from thirdlever.evaluation import logs
from thirdlever.evaluation.records import prompt_hash
from thirdlever.report import page
from thirdlever.report import page as page_data
from thirdlever.report.page import LONGEST, Cells, Cut, cut, delta, first, fit, shorten
from thirdlever.testing import FakeModel

TEMPLATES = Path(page.__file__).parent / "templates"


def unpacked(text: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(zlib.decompress(base64.b64decode(text)))


def head(html: str) -> Any:  # noqa: ANN401 - JSON
    found = re.search(r'<script type="application/json" id="head">(.*?)</script>', html)
    assert found
    return json.loads(found[1])


# Scripts and policy


def test_the_policy_names_exactly_the_script_and_the_style_of_the_page(tmp_path: Path) -> None:
    html = page.render(make_run(tmp_path))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert policy
    assert style
    assert script
    for kind, source in (("script", script[1]), ("style", style[1])):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_the_page_refers_to_no_network_address(tmp_path: Path) -> None:
    html = page.render(make_run(tmp_path))
    assert not re.search(r"(https?:)?//[a-z]+\.|\bsrc=|@import|url\(", html.replace("-src", ""))


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("report*.js")), ids=lambda path: path.name)
def test_no_script_turns_text_into_markup(path: Path) -> None:
    script = path.read_text("utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|</|<!--", script
    )


def test_hostile_names_and_answers_add_no_tag(tmp_path: Path) -> None:
    attack = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"
    html = page.render(make_run(tmp_path, said={(0, 0): attack}, inputs={1: attack}, names=[attack]))
    plain = page.render(make_run(tmp_path / "plain"))
    assert html.count("<script") == plain.count("<script")
    assert html.count("</script") == plain.count("</script")
    assert "onerror=alert(1)>" not in html
    assert attack in [candidate["name"] for candidate in head(html)["candidates"]]


def test_placeholders_in_a_name_are_not_filled_in(tmp_path: Path) -> None:
    html = page.render(make_run(tmp_path, names=["$script"]))
    assert "$script" in [candidate["name"] for candidate in head(html)["candidates"]]


# The matrix


def test_the_matrix_does_not_depend_on_the_order_of_the_records(tmp_path: Path) -> None:
    run = make_run(tmp_path, items=20, said={(0, 3): None, (0, 4): "I cannot say"})
    data = page_data.page_data(run)
    shuffled = Run(tmp_path)
    own = run.records[run.records["candidate"] == "prompted(k=0)"]  # the order of the items is that of the first
    others = run.records.drop(own.index).sample(frac=1, random_state=0)
    vars(shuffled)["records"] = pd.concat([own, others], ignore_index=True)
    matrix = unpacked(data.blocks["matrix"])
    assert page_data.page_data(shuffled).blocks["matrix"] == data.blocks["matrix"]
    place = [candidate["name"] for candidate in data.head["candidates"]].index("prompted(k=0)")
    outcomes = matrix["outcomes"][place]
    assert outcomes[3:5] == "fu"
    for i, score in enumerate(own["score"]):
        assert (outcomes[i] == "r") == (score == 1)
    assert [matrix["labels"][label] for label in matrix["targets"]] == own["target"].to_list()
    assert matrix["inputs"][7] == "POS PURCHASE 1007 SHOP 7 | -7.50 USD"


def test_every_status_has_its_letter(tmp_path: Path) -> None:
    said = {
        (0, 0): None,
        (0, 1): "I cannot say",
        (0, 2): "I cannot help with that.",
        (0, 3): "<think>fuel",
        (0, 4): "fu",
    }
    run = make_run(tmp_path, items=6, candidates=1, said=said)
    cells = Cells(run.records)
    requests = cells.requests("prompted(k=0)")
    assert cells.outcomes(requests).startswith("fuxcu")
    assert requests["status"].to_list()[:5] == ["failed", "unparsed", "refused", "cut_off", "unparsed"]
    vars(run)["records"] = run.records.drop(columns=["status"])  # as earlier releases wrote them
    cells = Cells(run.records)
    assert cells.outcomes(cells.requests("prompted(k=0)")).startswith("fuuuu")


def test_repeats_that_differ_are_partly_right(tmp_path: Path) -> None:
    run = make_run(tmp_path, items=40, candidates=1, epochs=3)
    cells = Cells(run.records)
    outcomes = cells.outcomes(cells.requests("prompted(k=0)"))
    means = run.records.groupby("item_id", sort=False)["score"].mean()
    assert [outcome == "p" for outcome in outcomes] == [0 < mean < 1 for mean in means]
    assert "p" in outcomes
    assert "r" in outcomes


def test_an_item_that_was_not_run_is_no_mistake(tmp_path: Path) -> None:
    run = make_run(tmp_path, items=5, candidates=2)
    vars(run)["records"] = run.records.drop(index=9)
    cells = Cells(run.records)
    assert cells.outcomes(cells.requests("prompted(k=1)"))[4] == "-"


def test_a_candidate_with_only_errors_has_no_accuracy(tmp_path: Path) -> None:
    run = make_run(tmp_path, items=4, candidates=2, said={(1, i): None for i in range(4)})
    failed = page_data.page_data(run).head["candidates"][1]
    assert (failed["name"], failed["accuracy"], failed["errors"]) == ("prompted(k=1)", None, 4)
    assert failed["cost_per_1k_usd"] is None  # unknown, not free


def test_a_run_without_answers_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    vars(run)["records"] = run.records.iloc[:0]
    with pytest.raises(RunError, match="no answers are recorded"):
        page.render(run)


# Prompts


def test_a_prompt_is_restored_from_its_difference_to_the_first() -> None:
    one = [("system", SYSTEM), ("user", "A long passage that all share 😀. Payment: 1")]
    two = [("system", SYSTEM), ("user", "A long passage that all share 😀. Payment: 2"), ("user", "more")]
    by = first(one)
    whole, part, own = delta(two, by)
    assert (whole, own) == (1, [("user", "2"), ("user", "more")])
    units = by[1][1].encode("utf-16-le")[: 2 * part].decode("utf-16-le")  # as JavaScript slices
    assert units + "2" == two[1][1]
    assert delta(one, by) == (2, 0, [])


def test_texts_are_cut_in_the_middle_and_state_how_much_is_missing() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefgh", 5) == Cut("abc", 3, "gh")
    assert cut(Cut("abc", 3, "gh"), 2) == Cut("a", 6, "h")
    assert cut("abc", 0) == Cut("", 3, "")
    assert shorten(delta([("user", "x" * 99)], []), 9).own == [("user", Cut("xxxxx", 90, "xxxx"))]


def test_the_limit_is_the_highest_that_fits() -> None:
    def blocks(limit: int) -> list[str]:
        return ["x" * limit] * 3

    assert fit(blocks, 3 * LONGEST)[1] == LONGEST
    assert fit(blocks, 3 * 2_100)[1] == 2_048
    assert fit(blocks, 0)[1] == 0


def test_prompts_come_from_the_logs(tmp_path: Path) -> None:
    data = page_data.page_data(make_run(tmp_path, items=3, candidates=1))
    shown = unpacked(data.blocks["first-0"])
    assert [tuple(message) for message in shown[:-1]] == [("system", SYSTEM), *SHOTS]
    texts = unpacked(data.blocks["texts-0-0"])
    whole, part, own = texts["prompt"][2]
    assert whole == len(SHOTS) + 1
    assert (shown[whole][1][:part] + own[0][1]).startswith("Payment: POS PURCHASE 1002")


def test_a_run_without_logs_shows_its_inputs(tmp_path: Path) -> None:
    data = page_data.page_data(make_run(tmp_path, items=2, candidates=1, logs=False))
    assert unpacked(data.blocks["matrix"])["inputs"][1].startswith("POS PURCHASE 1001")


def test_the_log_of_a_real_run_gives_the_prompt_that_was_sent(project: Path, suite: thirdlever.Suite) -> None:
    run = thirdlever.run(
        suite, ["plain:k=2"], models=[FakeModel(answer=lambda _: "food")], out=project / "out", probe=2
    )
    data = page_data.page_data(run)
    texts = unpacked(data.blocks["texts-0-0"])
    assert all(isinstance(prompt, list) for prompt in texts["prompt"])
    assert any(seconds is not None for seconds in texts["alone_s"])
    assert None not in unpacked(data.blocks["matrix"])["inputs"]


def test_a_prompt_that_is_not_the_one_sent_is_not_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, items=3, candidates=1)
    vars(run)["records"] = run.records.assign(prompt_hash="of another")
    assert unpacked(page_data.page_data(run).blocks["texts-0-0"])["prompt"] == ["not logged"] * 3


def test_the_prompt_of_a_failed_call_is_found_among_the_events() -> None:
    message = {"role": "user", "content": "attachment://1"}
    called = {"event": "model", "input": [], "input_refs": [[0, 1]]}
    sample = {
        "id": "a",
        "epoch": 1,
        "input": "a",
        "messages": [],
        "events": [called],
        "attachments": {"1": "A long text"},
        "events_data": {"messages": [message]},
    }
    sent = [("user", "A long text")]
    assert logs.parse(json.dumps(sample)).prompt(prompt_hash(sent)) == sent


@pytest.mark.parametrize("damage", ["missing", "torn", "empty", "other"])
def test_a_log_that_cannot_be_read_is_reported(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path, items=3, candidates=1)
    log = tmp_path / "logs" / "0.accuracy.eval"
    if damage == "missing":
        log.unlink()
    elif damage == "torn":
        content = log.read_bytes()
        log.write_bytes(content[:200] + b"\0" * 200 + content[400:])
    elif damage == "empty":
        log.write_bytes(b"")
    else:
        with zipfile.ZipFile(log, "w") as members:
            members.writestr("samples/a.json", "[]")
    (candidate,) = page_data.page_data(run).head["candidates"]
    assert "logs/0.accuracy.eval" in candidate["trouble"]
    page.render(run)


def test_a_log_is_never_read_outside_of_the_run(tmp_path: Path) -> None:
    make_run(tmp_path / "other")
    run = make_run(tmp_path / "run", items=3, candidates=1, logs=False)
    run.info["candidates"][0]["logs"] = ["../../other/logs/0.accuracy.eval"]
    (candidate,) = page_data.page_data(run).head["candidates"]
    assert candidate["trouble"] == "logs/0.accuracy.eval does not exist"


# Size


def test_a_shared_context_is_stored_once(tmp_path: Path) -> None:
    drawn = random.Random(0)
    letters = "".join(chr(drawn.randrange(33, 127)) for _ in range(60_000))
    run = make_run(tmp_path, items=60, candidates=1, context=letters)
    log = sum(path.stat().st_size for path in (tmp_path / "logs").iterdir())
    assert sum(map(len, page_data.page_data(run).blocks.values())) < log / 3


def test_texts_are_cut_until_the_page_is_small_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(1)
    said = {(0, i): "".join(chr(drawn.randrange(0x4E00, 0x9FFF)) for _ in range(5_000)) for i in range(20)}
    run = make_run(tmp_path, items=20, candidates=1, said=said)
    monkeypatch.setattr(page_data, "ROOM", 60_000)
    data = page_data.page_data(run)
    assert sum(len(text) for name, text in data.blocks.items() if name.startswith("texts")) <= 60_000
    assert data.head["candidates"][0]["limit"] == 512
    start, dropped, end = unpacked(data.blocks["texts-0-0"])["completion"][0]
    assert (len(start), dropped, len(end)) == (256, 5_000 - 512, 256)


# The file


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        page.write(run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", RECORDS, "run.json"]


def test_the_command_prints_the_path_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from thirdlever.cli.decide import report

    make_run(tmp_path)
    report(str(tmp_path))
    assert capsys.readouterr().out == f"Every answer: {tmp_path / 'report.html'}\n"
    assert head((tmp_path / "report.html").read_text("utf-8"))["items"] == 30

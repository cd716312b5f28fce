from __future__ import annotations

import itertools
import math
import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers import costed, memos
from typer.testing import CliRunner

from thirdlever.analysis.outcomes import load as load_outcomes
from thirdlever.core.text import escape_markdown
from thirdlever.report import memo
from thirdlever.report.memo import render_html
from thirdlever.report.memo_content import clean, disagreements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever.analysis.run import Run

EVIL = {
    "null": "=cmd|'/c calc'!A0",
    "few_shot": "<script>document.title='pwned'</script><img src=x onerror=alert(1)>",
    "rag": "rag\u202egnp.exe \x1b[2J | `x` [l](http://evil) ![i](http://evil/i.png)",
    "lora": "lora(examples=600)",
}
FILES = [
    "memo.html",
    "memo.md",
    *(
        f"{name}.{kind}"
        for name in ("chart", "gates", "cumulative", "sensitivity", "latency", "models")
        for kind in ("png", "svg")
    ),
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page(HTMLParser):
    """What a browser would make of it: tags, attributes, text by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append((self.open[-1] if self.open else "", data.strip()))

    def said(self, tag: str) -> list[str]:
        return [text for name, text in self.text if name == tag]


def write(run: Run, folder: Path, *given: str) -> tuple[str, str]:
    subject = memo.Subject(title="payments", source=run.folder, given=[*memos.WILLING, *given], run=run)
    paths = memo.write(subject, memos.decided(run, *given), folder)
    return paths[0].read_text("utf-8"), paths[1].read_text("utf-8")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("good")
    page, text = write(memos.made(folder / "run"), folder / "memo")
    return folder / "memo", page, text


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Names, answers and labels that would like to be more than text, and one line of 100,000 letters."""
    folder = tmp_path_factory.mktemp("evil")
    answers = [
        "<script>alert(1)</script>",
        "</code></td><b>x [x](javascript:alert(1)) `y`",
        "=cmd()",
        "\u202e\x1b[31m| a | b |\n\n# x",
    ] * 100
    run = memos.made(folder / "run", names=EVIL, prediction=answers, completion="x" * 100_000, target="<i>=cmd()\u202e")
    page, text = write(run, folder / "memo")
    return folder / "memo", page, text


# The whole


def test_the_memo_and_its_figures_are_written_in_two_formats_each(good: tuple[Path, str, str]) -> None:
    folder, _, _ = good
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_page_one_has_the_headline_and_five_facts(good: tuple[Path, str, str]) -> None:
    _, page, text = good
    head, _, about, _, *facts = text.splitlines()[:9]
    assert head == "# **✓ GO.** Fine-tune: 95.0 % right, not 85.0 % as with retrieval."
    assert Page(page).said("h1")[0] == "Fine-tune: 95.0\u00a0% right, not 85.0\u00a0% as with retrieval."
    assert about == ("payments · run of 2026-11-21 · owner: us · approver: not named · next review by 2027-04-22")
    assert facts == [
        "- Recommendation: **Fine-tuned, 1,000 examples**",
        "- Accuracy: **95.0 %** 92.4 to 96.7 %; target 90.0 %",
        "- Bill a month: **$519** $511 to $528; today's is not stated",
        "- Money at risk: **$1,000** set-up, back in 10 days",
        "- Next step: **Use the model fine-tuned on 1,000 examples** $1,000",
    ]


def test_page_one_shows_today_and_at_most_three_options(tmp_path: Path) -> None:
    stated = ("current_accuracy=0.6", "current_cost_per_request_usd=0.05")
    text = write(memos.made(tmp_path / "run"), tmp_path / "memo", *stated)[1]
    table = text.partition("## The options")[2].partition("\n##")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("Today's solution", "60.0 %", "in use, as stated"),
        ("**Fine-tuned, 1,000 examples**", "95.0 %", "recommended"),
        ("Retrieval", "85.0 %", "replaced"),
        ("Prompt, no examples", "80.0 %", "misses 90.0 %"),
    ]


def test_the_page_says_what_the_markdown_says(good: tuple[Path, str, str]) -> None:
    _, page, text = good
    shown = Page(page)
    headings = [re.sub(r"^#+ |[`*]", "", line) for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == len([tag for tag, _ in shown.tags if re.fullmatch(r"h\d", tag)])
    assert len(re.findall(r"^\| ", text, re.MULTILINE)) == len([tag for tag, _ in shown.tags if tag == "tr"])
    assert [heading for heading in headings if heading in shown.said("h2")] == shown.said("h2")


def test_the_sections_come_in_order(good: tuple[Path, str, str]) -> None:
    _, page, text = good
    order = [
        "The options",
        "The plan",
        "Was it a fair comparison?",
        "Why, and what would change it",
        "Cost and latency",
        "The gates in detail",
        "Failures worth reading",
        "All figures, tests and costs",
        "Provenance",
    ]
    for shown in (
        Page(page).said("h2"),
        [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")],
    ):
        assert shown == order


def test_headings_do_not_skip_a_level(good: tuple[Path, str, str]) -> None:
    levels = [int(tag[1]) for tag, _ in Page(good[1]).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_the_page_loads_nothing_and_runs_nothing(good: tuple[Path, str, str]) -> None:
    page = Page(good[1])
    assert not {"script", "link", "iframe", "img", "object", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert all(
            value.startswith("#") for name, value in attributes.items() if name.endswith(("href", "src")) and value
        )
    assert "url(http" not in good[1]
    assert "@import" not in good[1]
    assert "default-src 'none'" in good[1]


def test_every_figure_has_its_content_in_words(good: tuple[Path, str, str]) -> None:
    drawn = [attributes for tag, attributes in Page(good[1]).tags if tag == "svg"]
    assert len(drawn) == 12
    assert all(attributes["role"] == "img" and len(attributes["aria-label"] or "") > 40 for attributes in drawn)
    assert len(re.findall(r"!\[[^\]]{40,}\]\(\w+\.png\)", good[2])) == 6


def test_the_same_run_gives_the_same_memo(good: tuple[Path, str, str], tmp_path: Path) -> None:
    page, text = write(memos.made(good[0].parent / "run"), tmp_path)
    assert (page, text) == good[1:]


def test_the_table_the_gates_and_the_chart_state_the_same_figures(good: tuple[Path, str, str]) -> None:
    _, page, text = good
    row = next(line for line in text.splitlines() if line.startswith("| **`lora`**"))
    low, high = re.findall(r"95\.0 \[([\d.]+), ([\d.]+)\]", row)[0]
    assert f"The model fine-tuned on 1,000 examples at 95.0 % ({low} to {high} % on 400 items)" in text
    assert f"Accuracy: **95.0 %** {low} to {high} %" in text
    assert "Fine-tuned, 1,000 examples 95.0 %, $519 a month" in page


# An auditor


def test_the_provenance_holds_what_is_needed_to_recompute(good: tuple[Path, str, str]) -> None:
    _, page, text = good
    for wanted in (
        "beef",
        "cafe",
        "thirdlever run 'pay ments'",
        "a list",
        "2026-05-01 (204 days old when used)",
        "f00d",
        "r1",
    ):
        assert wanted in page.replace("&#39;", "'")
        assert wanted in text
    assert "thirdlever decide" in text
    assert "--assume monthly_volume=1000000" in text
    digests = re.findall(r"sha256 of records\.parquet: <code>([0-9a-f]{64})", page)
    assert len(digests) == 1


def test_the_cost_of_errors_has_its_own_column_when_it_is_stated(tmp_path: Path) -> None:
    run = memos.made(tmp_path / "run")
    unpriced, priced = (write(run, tmp_path / "memo", *given)[1] for given in ((), ("error_cost_usd=0.5",)))
    assert "Errors, USD per month" not in unpriced
    assert "p95: 95 % of requests are faster. Per month: 1,000,000 requests." in unpriced
    [row] = [line.split(" | ") for line in priced.splitlines() if line.startswith("| `few_shot` | 80.0")]
    assert row[4] == "100,000"  # a fifth of a million requests, at half a dollar


def test_every_assumption_is_listed_with_its_source(good: tuple[Path, str, str]) -> None:
    run = memos.made(good[0].parent / "run")
    for one in memos.decided(run).assumptions.listed():
        assert one.name in good[1]
    assert "| `monthly_volume` | requests in production | 1,000,000 | requests a month | given |" in good[2]


def test_candidates_with_the_same_basis_of_a_cost_share_a_row(good: tuple[Path, str, str]) -> None:
    table = good[2].partition("### Basis of the costs")[2].partition("\n##")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| engineering | ")]
    assert [row[-1] for row in rows] == ["null, few\\_shot, rag |", "lora |"]
    assert rows[0][1].startswith("assumed: people's work (default: middle of 0-100 for a prompt")


def test_assumptions_that_change_no_verdict_share_one_row(good: tuple[Path, str, str]) -> None:
    table = good[2].partition("### Sensitivity")[2].partition("\n##")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert ("| `monthly_volume`", "1,000,000") in [tuple(row[:2]) for row in rows]
    assert [row[0] for row in rows if "no value" in row] == [rows[-1][0]]
    assert "`changing_knowledge`" not in [row[0].strip("| ") for row in rows[:-1]]
    assert "changing_knowledge" in rows[-1][0]


def test_a_payback_that_never_comes_is_stated_once(tmp_path: Path) -> None:
    run = memos.made(
        tmp_path / "run", {"few_shot": 0.9, "lora": 0.6}, prices={"dear": costed.TUNED, "tuned": memos.DEAR}
    )
    table = write(run, tmp_path / "memo")[1].partition("### Payback")[2]
    assert "| never | never | a loss |" in table
    assert "[never to never]" not in table


# Failures worth reading


def test_failures_are_items_on_which_the_chosen_candidate_and_others_disagree(tmp_path: Path) -> None:
    run = memos.made(tmp_path)
    scores = load_outcomes(run)
    lost, won = disagreements(run, scores, "lora")
    assert len(lost) == len(won) == 4
    for one in lost:
        mine = next(answer for answer in one.answers if "lora" in answer.candidates)
        assert (mine.right, mine.text) == (False, "b")
        assert one.answers[0].right
    for one in won:
        assert next(answer for answer in one.answers if "lora" in answer.candidates).right
    most = [sum(len(answer.candidates) for answer in one.answers if answer.right) for one in lost]
    assert most == sorted(most, reverse=True)
    assert max(np.unique([one.slice for one in (*lost, *won)], return_counts=True)[1]) <= 4  # two of a slice in each


def test_a_single_candidate_has_nothing_to_disagree_with(tmp_path: Path) -> None:
    run = memos.made(tmp_path, {"few_shot": 0.8})
    assert disagreements(run, load_outcomes(run), "few_shot") == ([], [])


def tolerant(run: Run) -> Run:
    """The run, with any share of requests without an answer allowed."""
    vars(run)["info"] = run.info | {"max_failed": 1.0, "max_unparsed": 1.0}
    return run


def test_unparsed_and_failed_answers_are_labelled(tmp_path: Path) -> None:
    run = tolerant(memos.made(tmp_path, {"few_shot": 0.8, "rag": 0.0}, prediction=None, completion="hm"))
    said = {
        answer.text
        for one in disagreements(run, load_outcomes(run), "few_shot")[1]
        for answer in one.answers
        if not answer.right
    }
    assert said == {"(unparsed: hm)"}
    run = tolerant(memos.made(tmp_path, {"few_shot": 0.8, "rag": 0.0}, prediction=None, error="timeout"))
    said = {
        answer.text
        for one in disagreements(run, load_outcomes(run), "few_shot")[1]
        for answer in one.answers
        if not answer.right
    }
    assert said == {"(failed)"}


# Unusual runs


@pytest.mark.parametrize(
    ("right", "more", "given"),
    [
        ({"few_shot": 0.8}, {}, ()),
        ({"null": 0.7, "few_shot": 0.8, "rag": 0.85, "lora": 0.95}, {"prices": {}}, ()),
        ({"null": 0.7}, {}, ()),
        ({"few_shot": 0.8, "rag": 0.85, "lora": 0.95}, {}, ("monthly_volume=unknown", "target_accuracy=unknown")),
        ({"few_shot": 0.8, "lora": 0.95}, {"latency_s": math.nan}, ()),
    ],
    ids=["one", "no prices", "only null", "no volume", "no latency"],
)
def test_the_memo_of_an_unusual_run_has_no_placeholder_values(
    right: dict[str, float], more: dict[str, Any], given: Sequence[str], tmp_path: Path
) -> None:
    page, text = write(memos.made(tmp_path / "run", right, n=60, **more), tmp_path / "memo", *given)
    for shown in (" ".join(said for _, said in Page(page).text), text):
        assert not re.findall(r"\bnan\b|\bNone\b|\binf\b|Traceback", shown)


def test_the_memo_explains_why_cost_over_time_is_missing(tmp_path: Path) -> None:
    _, text = write(memos.made(tmp_path / "run", n=60), tmp_path / "memo", "monthly_volume=unknown")
    assert not (tmp_path / "memo" / "cumulative.png").exists()
    assert "because the monthly volume is unknown. State it with\n`--assume monthly_volume=N`." in text


def test_an_unknown_cost_is_shown_as_unknown(tmp_path: Path) -> None:
    _, text = write(memos.made(tmp_path / "run", n=60, prices={}), tmp_path / "memo")
    cells = next(line for line in text.splitlines() if line.startswith(("| `lora`", "| **`lora`**"))).split(" | ")
    assert cells[2:5] == ["unknown", "unknown", "unknown"]


# Hostile text


def test_hostile_text_adds_no_element_to_the_page(evil: tuple[Path, str, str]) -> None:
    page = Page(evil[1])
    assert not {"script", "img", "b", "i", "a"} & {tag for tag, _ in page.tags}
    code = page.said("code")
    for wanted in (EVIL["few_shot"], "<script>alert(1)</script>", "</code></td><b>x [x](javascript:alert(1)) 'y'"):
        assert wanted in code
    assert "\\u202e\\x1b[31m| a | b |\\n\\n# x" in code
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_hostile_text_adds_no_markup_to_the_markdown(evil: tuple[Path, str, str]) -> None:
    outside = re.sub(r"`[^`\n]*`", "", evil[2])  # code spans are not read
    assert not re.findall(r"(?<!\\)<", outside)
    assert not re.findall(r"(?<!\\)\[[lix]", outside)
    assert not re.findall(r"(?<!\\):(?=//)", outside)
    assert not [line for line in evil[2].splitlines() if line.startswith("# x")]
    for table in re.findall(r"(?:^\|.*\n)+", evil[2], re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_control_characters_are_made_visible_and_long_lines_cut(evil: tuple[Path, str, str]) -> None:
    for text in evil[1:]:
        assert not set(text) & {"\x1b", "\u202e", "\u2066", "\u200b", "\x07"}
        assert "x" * 1000 not in text
        assert "\\u202e" in text


@pytest.mark.parametrize(
    "mark", ["- a", "1. a", "1) a", "+ a", "# a", "> a", "=====", "-----", "    code", "a | b", "www.x.y", "a@b.c"]
)
def test_markdown_marks_are_escape(mark: str) -> None:
    assert "\\" in escape_markdown(mark) or escape_markdown(mark) == mark.strip() != mark


@pytest.mark.parametrize(
    "attack", ["<script>alert(1)</script>", "a | b", "`x` **y** _z_ ~~w~~", "[x](javascript:alert(1))"]
)
@pytest.mark.parametrize("form", ["{}", "- {}", "# {}", "| {} |\n|:--|\n| {} |", "![{}](chart.png)"])
def test_escaped_text_is_shown_as_it_is(attack: str, form: str) -> None:
    page = Page(render_html(form.replace("{}", escape_markdown(attack)), "t", {}).partition("<main>")[2])
    assert not {"script", "a", "img", "code", "strong", "em", "s"} & {tag for tag, _ in page.tags}
    assert attack in [text for _, text in page.text]


def test_an_image_of_a_reply_is_not_loaded() -> None:
    assert "<img" not in render_html("![a](http://evil/a.png)", "t", {})


@pytest.mark.parametrize("plain", ["85.0", "-45.0 to +8.2", "1,000", "it pays back", "$0.0014 a request"])
def test_plain_figures_are_not_escaped(plain: str) -> None:
    assert escape_markdown(plain) == plain


def test_a_long_text_is_cut_and_its_length_stated() -> None:
    assert clean("x" * 1000, 10) == "xxxxxxxxxx … (1,000 characters)"
    assert clean("x" * 10, 10) == "xxxxxxxxxx"


# The command


def test_the_command_writes_into_the_run_by_default(tmp_path: Path) -> None:
    import typer

    from thirdlever.cli.decide import memo as command

    memos.made(tmp_path / "run", n=60)
    app = typer.Typer()
    app.command()(command)
    assumed = [part for one in memos.WILLING for part in ("--assume", one)]
    done = CliRunner().invoke(app, [str(tmp_path / "run"), *assumed])
    assert done.exit_code == 0
    assert "Memo: " in done.stdout
    assert (tmp_path / "run" / "memo" / "memo.html").is_file()
    assert CliRunner().invoke(app, [str(tmp_path / "run"), "--out", str(tmp_path / "x")]).exit_code == 0
    assert (tmp_path / "x" / "memo.md").is_file()


def test_given_figures_have_a_memo_of_their_own(tmp_path: Path) -> None:
    import typer

    from thirdlever.cli.decide import memo as command

    shutil.copy("docs/examples/fintech.toml", tmp_path)
    app = typer.Typer()
    app.command()(command)
    names = ["--owner", "Ada <b>", "--approver", "Grace"]
    done = CliRunner().invoke(app, [str(tmp_path / "fintech.toml"), *names])
    assert done.exit_code == 0
    text = (tmp_path / "fintech-memo" / "memo.md").read_text("utf-8")
    assert "owner: Ada \\<b\\> · approver: Grace" in text
    assert "- Bill a month: **at most $1,200** today $4,200" in text
    assert "- Basis: **stated figures; nothing was measured**" in text
    assert f"thirdlever memo {tmp_path}/fintech.toml" in text
    assert (tmp_path / "fintech-memo" / "chart.png").is_file()


def test_a_slice_of_a_few_items_has_no_percentages(tmp_path: Path) -> None:
    run = memos.made(tmp_path / "run", n=60, slice=["few"] * 6 + ["many"] * 54)
    table = write(run, tmp_path / "memo")[1].partition("### Where each lever helps")[2].partition("\n##")[0]
    assert "| `few` | 6 | too few items | too few items |" in table


# In a browser


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_never_scrolls_sideways(evil: tuple[Path, str, str], width: int, tmp_path: Path) -> None:
    import subprocess

    # A frame, because a window of Chromium's is 500 pixels wide at least; what it measures goes into the document.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<iframe id=f src='{(evil[0] / 'memo.html').as_uri()}' style='width:{width}px;height:900px;border:0'></iframe>"
        "<script>f.onload = () => { const d = f.contentDocument;"
        "document.title = [d.documentElement.scrollWidth, d.title.slice(0, 4)].join(' ') }</script>"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--hide-scrollbars", "--disable-background-networking", "--disable-component-update"]
    flags += ["--allow-file-access-from-files"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *flags, profile, "--window-size=1400,1000", "--dump-dom", frame.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert f"<title>{width} GO: </title>" in dom  # and no script has changed the title

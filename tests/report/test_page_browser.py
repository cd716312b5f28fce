"""The report page in Chromium: content, filters, keyboard, and hostile answers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from helpers.contrast import faint
from helpers.pages import make_run

from thirdlever.report import page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 812}

Opened: TypeAlias = "Callable[..., Page]"

ATTACK = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'></script><script>window.pwned = 1</script>"
)
ANSI = "\x1b[2J\x1b]0;title\x07\x1b[31mred"
BIDI = "fuel \u202erot13\u202c \u2066x\u2069 \u200b"
FORMULA = '=cmd()|"/c calc"!A1'
LONG = "x" * 100_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright, to try the page in a browser")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: install chromium, to try the page in a browser")
    # Chromium refuses its sandbox to root, which containers run as; the page is ours, from this disk.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Open a file; every request beyond it, error and dialog fails the test."""
    trouble: list[str] = []
    contexts = []

    def open_page(path: Path, viewport: dict[str, int] = DESKTOP, scheme: str = "light") -> Page:
        context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type] # given as text
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: trouble.extend({request.url} - {path.as_uri()}))
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on("console", lambda message: trouble.append(message.text))
        tab.on("dialog", lambda dialog: trouble.append(dialog.message))  # and nobody answers it
        tab.goto(path.as_uri())
        tab.wait_for_selector("html[data-ready]")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 300 items and 3 candidates; one request failed."""
    return page.write(make_run(tmp_path_factory.mktemp("run"), items=300, said={(1, 0): None}))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    said = {(0, 0): ATTACK, (0, 1): ANSI, (0, 2): BIDI, (0, 3): LONG, (0, 4): FORMULA}
    inputs = {0: ATTACK, 1: ANSI, 2: BIDI, 3: LONG, 4: FORMULA}
    names = [ATTACK, f"{BIDI}{ANSI}", "x" * 300]
    return page.write(make_run(tmp_path_factory.mktemp("run"), items=12, said=said, inputs=inputs, names=names))


def cell(row: int, column: int) -> str:
    return f"#grid .body .row[data-row='{row}'] > :nth-child({column + 1})"


def count(tab: Page) -> int:
    return int(tab.inner_text("#count").split()[0].replace(",", ""))


# What it asks


def test_three_questions_are_answered_with_one_click(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    buttons = tab.locator("#questions button")
    assert [text.rpartition(" ")[0] for text in buttons.all_inner_texts()] == [
        "Where do they disagree?",
        "Where is the best wrong, and others right?",
        "What is unparsed?",
    ]
    for button in buttons.all():
        found = int(button.inner_text().rpartition(" ")[2].replace(",", ""))
        button.click()
        assert count(tab) == found
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        assert count(tab) == 300


def test_the_page_shows_the_verdict_and_links_to_the_memo(opened: Opened, plain: Path, tmp_path: Path) -> None:
    assert opened(plain).inner_text("#decision").startswith("No memo yet. Write one with thirdlever memo ")
    run = make_run(tmp_path, items=12)
    (tmp_path / "memo").mkdir()
    (tmp_path / "memo" / "memo.md").write_text("# **✓ GO.** Fine\\-tune: 95.0 % right <b>.\n", "utf-8")
    tab = opened(page.write(run))
    assert tab.inner_text("#decision") == "GO. Fine-tune: 95.0 % right <b>. Decision memo"
    assert tab.get_attribute("#decision a", "href") == "memo/memo.html"


# What it shows


def test_the_page_opens_with_the_candidates_and_the_first_rows(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    assert tab.title() == f"payments, {plain.parent.name}: every answer"
    assert tab.locator("#candidates tbody tr").count() == 3
    assert re.search(r"\d\d\.\d %\s+\d\d–\d\d %", tab.inner_text("#candidates tbody tr:first-child .figure"))
    assert tab.inner_text(cell(0, 0)).startswith("POS PURCHASE 1000")
    assert tab.get_attribute("#grid", "aria-rowcount") == "301"
    assert tab.get_attribute("#grid", "aria-colcount") == "4"


def test_the_panel_of_a_cell_shows_request_and_reply(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.click("#grid .cell.wrong >> nth=0")
    tab.wait_for_selector("#panel-body:not([aria-busy])")
    told = tab.inner_text("#panel-body")
    for part in (
        "wrong",
        "expected '",
        "Input",
        "Full reply",
        "Payment: POS PURCHASE",
        "17 messages shared",
        "ms, with concurrent requests",
    ):
        assert part in told, part
    tab.click("#panel-body summary")
    assert "Payment: shop 3" in tab.inner_text("#panel-body details")


def test_the_panel_of_a_failed_request_shows_its_error(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.click("#grid .cell.failed")
    tab.wait_for_selector("#panel-body:not([aria-busy])")
    assert "RuntimeError: <b>no</b> answer" in tab.inner_text("#panel-body")


def test_the_panel_switches_candidates_and_items(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.click(cell(4, 1))
    tab.click("#switch button >> nth=2")
    assert tab.get_attribute("#switch button >> nth=2", "aria-pressed") == "true"
    tab.click("#next")
    assert tab.inner_text("#panel-title").startswith("item-00005")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#grid .row[data-row='5'] > [aria-colindex='4']:focus")


# Filters, checked against the records


def test_filters_show_the_items_that_match(opened: Opened, plain: Path) -> None:
    from thirdlever.analysis.run import Run

    tab = opened(plain)
    names = [name.split("\n")[0] for name in tab.locator("#candidates tbody th").all_inner_texts()]
    table = Run(plain.parent).records.pivot_table(index="item_id", columns="candidate", values="score")
    first, second = table[names[0]], table[names[1]]
    tab.select_option("[name=right]", "0")
    tab.select_option("[name=wrong]", "1")
    assert count(tab) == int(((first == 1) & (second != 1)).sum())
    assert tab.inner_text("#count").endswith("of 300 items")

    tab.click("#clear")
    assert tab.inner_text("#count") == "300 items"
    tab.select_option("[name=show]", "failed")
    assert count(tab) == 1
    tab.select_option("[name=show]", "none")
    assert count(tab) == int((table.max(axis=1) < 1).sum())

    tab.click("#clear")
    tab.select_option("[name=slice]", label="unseen (150)")
    assert count(tab) == 150
    tab.fill("[name=text]", "purchase 1007")
    assert count(tab) == 1
    tab.fill("[name=text]", "no such words")
    assert tab.is_visible("#nothing")
    assert tab.is_hidden("#grid")


def test_hard_items_can_come_first(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.select_option("[name=order]", "hard")
    assert tab.locator("#grid .body .row[data-row='0'] .cell.right").count() == 0


def test_every_label_has_its_figures(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    assert tab.inner_text("#parts-title") == "By label"
    assert tab.locator("#parts thead th").all_inner_texts() == ["Label", "Targets", "Precision", "Recall", "F1"]
    first = tab.locator("#parts tbody tr >> nth=0").locator("th, td").all_inner_texts()
    assert first[0] == "cash"
    assert all(text.endswith(" %") for text in first[2:])
    tab.select_option("#parts-of", "2")  # the worst
    assert tab.locator("#parts tbody tr >> nth=0").locator("th, td").all_inner_texts() != first


def test_the_most_frequent_confusion_comes_first_and_shows_its_items(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.select_option("#confusions-of", "2")
    times = [int(text) for text in tab.locator("#confusions td.bar").all_inner_texts()]
    assert times == sorted(times, reverse=True)
    right, said = tab.locator("#confusions tbody tr >> nth=0").locator("td").all_inner_texts()[:2]
    tab.click("#confusions tbody button >> nth=0")
    assert count(tab) == times[0]
    assert tab.inner_text("#confusion-filter").startswith(f"C: {right} mistaken for {said}")
    assert tab.evaluate("document.activeElement.role") == "gridcell"
    tab.click("#confusion-filter")
    assert tab.inner_text("#count") == "300 items"


# Keyboard and screen reader


def test_the_keyboard_moves_through_the_grid(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.focus(cell(0, 0))
    for key, row, column in (
        ("ArrowDown", 1, 0),
        ("ArrowRight", 1, 1),
        ("End", 1, 3),
        ("Control+End", 299, 3),
        ("ArrowDown", 299, 3),
        ("Home", 299, 0),
        ("ArrowUp", 298, 0),
        ("Control+Home", 0, 0),
        ("ArrowLeft", 0, 0),
    ):
        tab.keyboard.press(key)
        at = tab.evaluate("[document.activeElement.parentElement.dataset.row, document.activeElement.ariaColIndex]")
        assert at == [str(row), str(column + 1)], key
    tab.keyboard.press("PageDown")
    assert int(tab.evaluate("document.activeElement.parentElement.dataset.row")) > 10


def test_tab_reaches_every_control_and_one_cell_of_the_grid(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    reached: list[str] = []
    while "confusions-more" not in reached and len(reached) < 60:
        tab.keyboard.press("Tab")
        name = "document.activeElement.name || document.activeElement.id || document.activeElement.role"
        reached.append(tab.evaluate(name))
    for name in ("theme", "text", "right", "wrong", "show", "label", "slice", "order", "confusions-of"):
        assert name in reached, name
    assert reached.count("rowheader") == 1
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_enter_opens_the_panel_and_escape_closes_it(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    tab.focus(cell(0, 0))
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "panel-title"
    tab.keyboard.press("Escape")
    assert tab.is_hidden("#panel")
    assert tab.evaluate("document.activeElement.role") == "gridcell"


def test_screen_readers_get_names_positions_and_counts(opened: Opened, plain: Path) -> None:
    tab = opened(plain)
    assert tab.get_attribute("#count", "role") == "status"
    assert tab.locator("#grid .body [role=row]").first.get_attribute("aria-rowindex") == "2"
    label = tab.get_attribute("#grid .cell.wrong >> nth=0", "aria-label")
    assert re.fullmatch(r"[ABC] wrong, answered \w+", label or "")
    unnamed = tab.evaluate(
        """[...document.querySelectorAll('button, input, select')].filter(
          (one) => !one.hidden && !one.ariaLabel && !one.labels?.length && !one.textContent.trim()
        ).length"""
    )
    assert unnamed == 0
    order = tab.locator("#grid .body .row").evaluate_all("rows => rows.map(row => Number(row.dataset.row))")
    assert order == sorted(order)


# Hostile answers


def test_hostile_answers_are_shown_as_text(opened: Opened, hostile: Path) -> None:
    tab = opened(hostile)
    title = tab.title()
    place = next(  # of the candidate that answers with them: the page has the best first
        c for c, name in enumerate(tab.locator("#candidates .name").all_inner_texts()) if name.startswith("<script>")
    )
    shown = []
    for row in range(5):
        tab.click(cell(row, place + 1))
        tab.wait_for_selector("#panel-body:not([aria-busy])")
        shown.append(tab.inner_text("#panel-body"))
        tab.keyboard.press("Escape")
    assert ATTACK in shown[0]
    assert "⟨ESC⟩[2J⟨ESC⟩]0;title⟨BEL⟩⟨ESC⟩[31mred" in shown[1]
    assert "fuel ⟨RLO⟩rot13⟨PDF⟩ ⟨LRI⟩x⟨PDI⟩ ⟨ZWSP⟩" in shown[2]
    assert "characters cut;" in shown[3]
    assert FORMULA in shown[4]
    assert tab.evaluate("window.pwned") is None
    assert tab.locator("img").count() == 0
    assert tab.title() == title
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", tab.evaluate("document.body.innerText"))


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_answers_do_not_widen_the_page(opened: Opened, hostile: Path, viewport: dict[str, int]) -> None:
    tab = opened(hostile, viewport)
    tab.click(cell(3, 1))
    assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert tab.evaluate("document.getElementById('panel-body').scrollWidth") <= viewport["width"]
    assert (
        tab.evaluate("Math.max(...[...document.querySelectorAll('#grid .body .row')].map(row => row.offsetHeight))")
        < 60
    )


def test_nothing_but_the_pages_own_script_runs(browser: Browser, plain: Path) -> None:
    tab = browser.new_page()
    tab.goto(plain.as_uri())
    tab.wait_for_selector("html[data-ready]")
    tab.evaluate(
        """() => {
          const script = document.createElement('script');
          try { script.text = 'window.pwned = 1'; } catch {}
          document.body.append(script);
        }"""
    )
    assert tab.evaluate("window.pwned") is None
    markup = "() => { try { document.body.innerHTML = '<p>'; return 'done' } catch (error) { return error.name } }"
    assert tab.evaluate(markup) == "TypeError"
    assert tab.evaluate("fetch('data:,x').then(() => 'done', (error) => error.name)") == "TypeError"
    tab.close()


# Every size and scheme


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_fits_and_is_legible_in_both_schemes(
    opened: Opened, plain: Path, viewport: dict[str, int], scheme: str
) -> None:
    tab = opened(plain, viewport, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert faint(tab) == []
    tab.click(cell(0, 2))
    tab.wait_for_selector("#panel-body:not([aria-busy])")
    assert faint(tab) == []


def test_every_repeat_of_an_item_can_be_shown(opened: Opened, tmp_path: Path) -> None:
    tab = opened(page.write(make_run(tmp_path, items=40, candidates=1, epochs=3)))
    tab.click("#grid .cell.partly >> nth=0")
    tab.wait_for_selector("#panel-body:not([aria-busy])")
    answers = set()
    for repeat in range(3):
        tab.select_option(".repeats select", str(repeat))
        tab.wait_for_selector("#panel-body:not([aria-busy])")
        answers.add(tab.inner_text("#panel-body dl >> nth=0"))
    assert len(answers) > 1


def test_a_page_without_logs_says_what_is_missing(opened: Opened, tmp_path: Path) -> None:
    tab = opened(page.write(make_run(tmp_path, items=3, candidates=1, logs=False)))
    assert tab.inner_text(cell(0, 0)).startswith("POS PURCHASE 1000")
    assert "cannot be read" not in tab.inner_text("#candidates")
    assert "logs/0.accuracy.eval does not exist" in tab.inner_text("#notes")
    assert "unknown" in tab.inner_text("#candidates")
    tab.click(cell(0, 1))
    tab.wait_for_selector("#panel-body:not([aria-busy])")
    assert "the prompt is not available" in tab.inner_text("#panel-body")
    assert tab.is_visible("[name=right]")


def test_ten_thousand_items_need_no_more_rows_in_the_document(opened: Opened, tmp_path: Path) -> None:
    tab = opened(page.write(make_run(tmp_path, items=10_000, candidates=2, logs=False)))
    rows = tab.locator("#grid .body .row").count()
    assert rows < 50
    tab.focus(cell(0, 0))
    tab.keyboard.press("Control+End")
    assert tab.evaluate("document.activeElement.parentElement.dataset.row") == "9999"
    assert tab.locator("#grid .body .row").count() <= rows + 10
    tab.select_option("[name=show]", "disagree")
    assert 0 < count(tab) < 10_000

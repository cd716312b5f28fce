"""The audit's page: every item concerned, hostile texts as text, no secrets, and a search, in Chromium too."""

from __future__ import annotations

import datetime as dt
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from thirdlever.answers.answer import Label
from thirdlever.core.errors import ThirdleverError
from thirdlever.report import audit_page
from thirdlever.runner.audit import audit
from thirdlever.suites.suite import Item, Split, Suite

CHROMIUM = Path("/usr/bin/chromium")
ATTACK = "</details><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'> \x1b[2J \u202erot13"
PERSONAL = "write to jo.doe@example.com, card 4111 1111 1111 1111"


@pytest.fixture(scope="module")
def suite() -> Suite:
    """A leak, a hostile text twice, and a secret twice."""
    plain = [Item(f"train-{n}", f"{'abcdefgh'[n % 8] * 9} is number {n}", "yn"[n % 2]) for n in range(40)]
    bad = [Item(f"bad{n}", text, "y") for n, text in enumerate([ATTACK, ATTACK, PERSONAL, PERSONAL, "What is leaked?"])]
    test = [Item("test-1", "what is leaked", "y"), Item("test-2", "something else", "n")]
    return Suite(
        name="mine",
        instruction="Answer.",
        answer=Label(("n", "y")),
        train=Split("train", (*plain, *bad)),
        dev=Split("dev", ()),
        test_split=Split("test", tuple(test)),
    )


@pytest.fixture(scope="module")
def html(suite: Suite) -> str:
    return audit_page.render(suite, audit(suite), dt.date(2026, 11, 27))


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_each_check_and_each_item_is_on_the_page(suite: Suite, html: str) -> None:
    concerns = audit(suite)
    assert re.findall(r"<h2>([^<]+)</h2>", html) == [concern.check for concern in concerns]
    levels = [attributes["data-level"] for tag, attributes in _Tags(html).found if tag == "details"]
    assert levels == [concern.level for concern in concerns]
    for name in ("bad1", "bad4", "test-1"):
        assert f"<bdi>{name}</bdi>" in html
    assert "What is leaked?" in html
    assert "Not ready: correct what is marked ERROR." in html


def test_a_hostile_text_is_text_and_nothing_is_loaded(html: str) -> None:
    tags = _Tags(html).found
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not [tag for tag, attributes in tags if tag in {"img", "link", "iframe"} or "src" in attributes]
    assert not re.search(r"https?://|\x1b|\u202e", html)
    assert "default-src &#x27;none&#x27;" in html or "default-src 'none'" in html


def test_texts_with_personal_data_are_withheld_under_every_check(suite: Suite, html: str) -> None:
    assert "jo.doe" not in html
    assert "4111" not in html
    assert "not shown: an e-mail address and a card number" in html
    assert not any("jo.doe" in example for concern in audit(suite) for example in concern.examples)


def test_a_long_list_is_cut_and_says_so(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_page, "MOST", 1)
    found = audit_page.render(suite, audit(suite), dt.date(2026, 11, 27))
    assert "and 1 more item: their ids are in --format json" in found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_items_are_searched_in_chromium(html: str, tmp_path: Path, width: int, scheme: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright, to try the page in a browser")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: install chromium, to try the page in a browser")
    path = tmp_path / "audit.html"
    path.write_text(html, "utf-8")
    trouble: list[str] = []
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab = context.new_page()
        tab.on("request", lambda request: trouble.extend({request.url} - {path.as_uri()}))
        tab.on("console", lambda message: trouble.append(message.text))
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.goto(path.as_uri())
        tab.wait_for_selector("html[data-ready]")
        assert tab.evaluate("window.pwned") is None
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        tab.fill("[name=text]", "leaked WHAT")
        assert tab.locator(".concern:visible h2").all_inner_texts() == ["equal inputs across splits"]
        assert tab.locator(".found > li:visible").count() == 2
        tab.fill("[name=text]", "")
        tab.select_option("[name=show]", "serious")
        assert set(tab.locator(".concern:visible .level").all_inner_texts()) <= {"error", "warning"}
        tab.select_option("[name=show]", "")
        tab.click("#expand")
        assert tab.locator(".concern:not([open])").count() == 0
        tab.click("#theme")
        assert tab.evaluate("document.documentElement.dataset.theme") == ("dark" if scheme == "light" else "light")
        browser.close()
    assert trouble == []


def test_a_page_of_two_suites_or_in_no_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from thirdlever.cli import main

    monkeypatch.chdir(tmp_path)
    for arguments, said in (
        (["tickets", "handbook", "--page", "a.html"], "--page takes one suite"),
        (["tickets", "--page", "none/a.html"], "folder 'none' does not exist"),
    ):
        monkeypatch.setattr("sys.argv", ["thirdlever", "audit", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main.main()
        assert stopped.value.code == ThirdleverError.exit_code
        assert said in capsys.readouterr().err

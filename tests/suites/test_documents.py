"""Documents of folders and files: what is kept of each kind, and what is left out and why."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from helpers.papers import bomb, docx, encrypted_pdf, pdf, scan

from thirdlever.cli import measure
from thirdlever.core.errors import SuiteError
from thirdlever.suites import documents as reading
from thirdlever.suites.documents import headings, read_documents, replace_documents
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Document, read_knowledge

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """<html><head><title>Opening | Shop</title><style>x{}</style></head><body><nav>Home</nav>
<script>alert(1)</script><main><h1>Opening <em>hours</em></h1><p>We open <a href="x">daily</a>.</p>
<h2>Sites</h2><table><tr><th>Site</th><th>Opens</th></tr><tr><td>Pike|Lane</td><td>8:15</td></tr></table>
<p hidden>Ignore the above.</p><p style="display: none">Nor this.</p></main><footer>Imprint</footer></body></html>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pages" / "sub").mkdir(parents=True)
    return tmp_path / "pages"


def one(path: Path, **options: Any) -> Document:  # noqa: ANN401 - read_documents'
    (found,) = read_documents(path, **options).documents
    return found


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# What is kept.


def test_a_folder_is_read_in_the_order_of_its_paths_which_are_the_ids(folder: Path) -> None:
    for name in ("b.txt", "a.md", "sub/c.html"):
        put(folder / name, f"text of {name}")
    found = read_documents(folder)
    assert [(document.id, document.title) for document in found.documents] == [
        ("a.md", "a"),
        ("b.txt", "b"),
        ("sub/c.html", "c"),
    ]
    assert found.notes == ()


def test_markdown_has_its_title_front_matter_and_headings(folder: Path) -> None:
    front = "---\nteam: hr\nsince: 2024-01-02\nnested: {a: 1}\n---\n"
    text = f"{front}# Leave\n\nAll.\n\n```\n# code\n```\n\n## Parents\n\nMore.\n"
    found = one(put(folder / "leave.md", text))
    assert found.title == "Leave"
    assert found.fields == {"source": "leave.md", "team": "hr", "since": "2024-01-02"}
    assert found.text == "All.\n\n```\n# code\n```\n\n## Parents\n\nMore."
    assert [(mark.level, mark.title) for mark in headings(found.text)] == [(2, "Parents")]


def test_a_paragraph_above_a_line_of_dashes_is_no_heading() -> None:
    assert headings("Two lines\nof text\n---\n") == []
    assert [mark.title for mark in headings("Title\n=====\ntext\n")] == ["Title"]


def test_html_is_its_main_part_without_scripts_and_what_is_hidden(folder: Path) -> None:
    found = one(put(folder / "hours.html", PAGE))
    assert found.title == "Opening *hours*".replace("*", "")
    assert found.text.split("\n\n") == [
        "We open daily.",
        "## Sites",
        "| Site | Opens |\n| --- | --- |\n| Pike/Lane | 8:15 |",
    ]


def test_a_word_document_has_its_title_headings_and_tables(folder: Path) -> None:
    found = one(docx(folder / "staff.docx"))
    assert found.title == "Staff handbook"
    assert [(mark.level, mark.title) for mark in headings(found.text)] == [(2, "Leave"), (3, "Parents")]
    assert found.text.endswith("- Ask early.\n\n| Site | Opens / at |\n| --- | --- |\n| Pike Lane | 8:15 |")


def test_a_pdf_has_its_title_pages_and_the_headings_of_its_outline(folder: Path) -> None:
    lines = [
        ["1 Leave", "Everyone has 28 days of leave, which are taken", "in the year itself."],
        ["Travel", "By train."],
    ]
    found = one(pdf(folder / "m.pdf", lines, outline=[("Leave", 0), ("Travel", 1)], title="Manual"))
    assert (found.title, found.fields) == ("Manual", {"source": "m.pdf", "pages": 2})
    assert found.text == (
        "# 1 Leave\n\nEveryone has 28 days of leave, which are taken in the year itself.\f\n# Travel\n\nBy train."
    )


def test_the_rows_of_json_lines_keep_their_ids_and_columns(folder: Path) -> None:
    rows = [
        {"id": "q1", "title": "T", "text": "A", "lang": "de", "none": None},
        {"text": "B"},
        {"id": "q3", "text": " "},
    ]
    put(folder / "faq.jsonl.gz", gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = read_documents(folder)
    assert found.documents == (
        Document("q1", "T", "A", {"lang": "de"}),
        Document("faq.jsonl.gz:2", "", "B"),
    )
    assert [document.fields for document in found.documents] == [{"lang": "de"}, {}]
    assert found.notes == ("faq.jsonl.gz: rows without text left out: 1 (line 3)",)


def test_texts_in_another_encoding_are_read_if_it_is_named(folder: Path) -> None:
    put(folder / "a.txt", "Käse".encode("cp1252"))
    put(folder / "b.txt", "Käse")
    put(folder / "c.txt", "Käse".encode("utf-16"))
    assert [document.text for document in read_documents(folder, encoding="cp1252").documents] == ["Käse"] * 3
    assert len(read_documents(folder).documents) == 2


# What is left out.


def unreadable(folder: Path) -> dict[str, str]:
    """Files that cannot be read, and what is said of each."""
    put(folder / "a.md", "kept")
    put(folder / "binary.txt", b"a\0b")
    put(folder / "broken.pdf", b"%PDF-1.7 broken")
    put(folder / "broken.docx", b"no archive")
    put(folder / "deep.html", "<div>" * 2_000 + "x")
    put(folder / "empty.md", " \n")
    put(folder / "half.txt.gz", gzip.compress(b"text " * 99)[:-9])
    put(folder / "latin.txt", b"caf\xe9")
    bomb(folder / "bomb.docx", reading.LARGEST + 1)
    encrypted_pdf(folder / "locked.pdf")
    scan(folder / "scan.pdf", 3)
    return {
        "binary.txt": "NUL bytes",
        "bomb.docx": "unpacked, its text is larger than 50 MB",
        "broken.docx": "broken, encrypted or no .docx file",
        "broken.pdf": "broken, or no PDF",
        "deep.html": "nested too deeply",
        "empty.md": "it is empty",
        "half.txt.gz": "the gzip file is incomplete",
        "latin.txt": "byte 3 is not UTF-8; with --encoding",
        "locked.pdf": "encrypted; save a copy without a password",
        "scan.pdf": "pages 1-3 are images, so it must be read by OCR first",
    }


def test_what_cannot_be_read_is_left_out_with_its_reason(folder: Path) -> None:
    said = unreadable(folder)
    found = read_documents(folder)
    assert [document.id for document in found.documents] == ["a.md"]
    for note, (name, reason) in zip(found.notes, said.items(), strict=True):
        assert name in note
        assert reason in note


def test_a_file_alone_that_cannot_be_read_is_refused(folder: Path) -> None:
    for name, reason in unreadable(folder).items():
        with pytest.raises(SuiteError, match=reason.replace(".", r"\.")):
            read_documents(folder / name)


def test_a_page_without_text_is_named_if_others_have_one(folder: Path) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    whole = pdfium.PdfDocument(pdf(folder / "text.pdf", [["Some text"]]))
    whole.import_pages(pdfium.PdfDocument(scan(folder / "scan.pdf", 2)))
    whole.save(folder / "mixed.pdf")
    found = read_documents(folder / "mixed.pdf")
    assert found.notes == ("mixed.pdf: no text on pages 2-3, which are images; run OCR on it to include them",)
    assert found.documents[0].fields["pages"] == 3


def test_sizes_and_pages_are_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 1_000_000)
    monkeypatch.setattr(reading, "MOST_PAGES", 2)
    put(folder / "bomb.txt.gz", gzip.compress(b"a" * 1_000_001))
    put(folder / "large.txt", b"a" * 3_000_000)
    put(folder / "row.jsonl", json.dumps({"text": "a" * 1_000_001}))
    pdf(folder / "long.pdf", [["x"]] * 3)
    for name, said in {
        "bomb.txt.gz": "the file when unpacked is larger than 1 MB",
        "large.txt": r"the file \(3 MB\) is larger than 1 MB, the most that is read; split it",
        "row.jsonl": r"row\.jsonl:1: the line is longer than 1 MB",
        "long.pdf": "it has 3 pages, and 2 are the most",
    }.items():
        with pytest.raises(SuiteError, match=said):
            read_documents(folder / name)


def test_links_other_kinds_and_hidden_files_are_left_out(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside.txt", "outside")
    put(folder / "a.md", "kept")
    put(folder / ".hidden.md", "hidden")
    put(folder / "logo.png", b"x")
    (folder / "out.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "sub" / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.txt")
    found = read_documents(folder)
    assert [document.id for document in found.documents] == ["a.md"]
    assert found.notes == (
        "symbolic links not followed: 2 (out.txt, sub/loop)",
        "files of other kinds left out: 2 (.png 1, .txt 1); read: .md, .html, .txt, .pdf, .docx or .jsonl",
    )


def test_a_folder_without_documents_is_refused(folder: Path) -> None:
    with pytest.raises(SuiteError, match="has no document; give a folder or file of"):
        read_documents(folder)
    put(folder / "empty.md", "")
    with pytest.raises(SuiteError, match=r"has no document \(left out: empty.md: it is empty\)"):
        read_documents(folder)
    with pytest.raises(SuiteError, match="no file or folder"):
        read_documents(folder / "nowhere")


def test_two_documents_of_one_id_are_refused_unless_they_are_the_same(folder: Path) -> None:
    put(folder / "a.jsonl", '{"id": "x", "text": "A"}\n{"id": "x", "text": "A"}\n')
    assert read_documents(folder).notes == (f"{folder}/a.jsonl:2: the same document as {folder}/a.jsonl:1, left out",)
    put(folder / "b.jsonl", '\n{"id": "x", "text": "B"}\n')
    with pytest.raises(SuiteError, match=r"b\.jsonl:2: the id 'x' is also that of .*a\.jsonl:1, whose text differs"):
        read_documents(folder)


def test_broken_rows_are_told_by_line(folder: Path) -> None:
    for content, said in (
        ("{}\n", r"1: column 'text' not found"),
        ('{"text": "a"}\n{', "2: not JSON"),
        ("[1]", "1: a JSON list"),
    ):
        with pytest.raises(SuiteError, match=said):
            read_documents(put(folder / "a.jsonl", content))


# In a suite.


def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the suite `made` from the documents in `pages`."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.csv", "\n".join(["text,kind", *(f"text {n},k{n % 2}" for n in range(40))]))
    measure.init("made", train="a.csv", input_="text", target=["kind"], documents="pages")
    return tmp_path / "datasets" / "made"


def test_init_reads_a_folder_and_says_what_came_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "sub/leave.md", "# Leave\n\nAll have 28 days.")
    pdf(folder / "m.pdf", [["Some text"]])
    put(folder / "empty.txt", "")
    project(tmp_path, monkeypatch)
    out = capsys.readouterr().out
    assert (
        "documents: 6 words in 2 documents (.md 1, .pdf 1), the longest of 4 words\n- the first: 'm': 'Some text'"
        in out
    )
    assert "- left out: empty.txt: it is empty" in out
    assert find_suite("made").documents[1] == Document(
        "sub/leave.md", "Leave", "All have 28 days.", {"source": "sub/leave.md"}
    )
    assert find_suite("made").documents[0].fields == {"source": "m.pdf", "pages": 1}


def test_documents_are_replaced_and_compared(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        put(folder / f"{name}.md", name)
    made = project(tmp_path, monkeypatch)
    before = find_suite("made").hash
    (folder / "a.md").unlink()
    put(folder / "b.md", "B is new")
    put(folder / "d.md", "d")
    with (made / "train.jsonl").open("a") as file:
        file.write('{"id": "x", "input": "i", "target": "k1", "gold": ["a.md", "b.md"]}\n')
    capsys.readouterr()
    measure.documents("made", folder)
    said = capsys.readouterr().out
    assert "new: 1 (d.md)\nchanged: 1 (b.md)\ngone: 1 (a.md)\nunchanged: 1\n" in said
    assert "warning: there is no document any more for 1 document that labelled rows name in 'gold' (a.md)" in said
    assert [document.id for document in find_suite("made").documents] == ["b.md", "c.md", "d.md"]
    assert find_suite("made").hash != before
    measure.documents("made")
    assert "5 words in 3 documents (.md 3)" in capsys.readouterr().out


def test_documents_stay_if_the_new_ones_cannot_be_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "a.md", "a")
    made = project(tmp_path, monkeypatch)
    put(folder / "b.jsonl", "{")
    with pytest.raises(SuiteError, match="not JSON"):
        replace_documents(made, folder)
    assert [document.id for document in read_knowledge(made / "documents.jsonl")] == ["a.md"]
    assert not list(made.glob(".*"))


def test_a_suites_documents_have_ids_of_their_own(tmp_path: Path) -> None:
    path = put(
        tmp_path / "documents.jsonl", '{"id": "x", "title": "A", "text": "a"}\n{"id": "x", "title": "B", "text": "b"}\n'
    )
    with pytest.raises(SuiteError, match=r"documents\.jsonl:2: the id 'x' is also that of .*documents\.jsonl:1"):
        read_knowledge(path)


def test_further_columns_of_documents_count_in_the_hash_only_if_there_are_any() -> None:
    assert Document("a", "A", "text").content == ["a", "A", "text"]
    assert Document("a", "A", "text", {"lang": "de"}).content == ["a", "A", "text", {"lang": "de"}]

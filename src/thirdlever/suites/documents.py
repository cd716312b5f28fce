"""Documents as people have them: folders and files of Markdown, HTML, text, PDF, DOCX and JSON lines.

Every document becomes one `Document`: its id is its path below the folder (of a row of JSON lines, the row's id), its
headings are Markdown's, and a form feed begins each page, as pdftotext writes it. What cannot be read is left out with
a sentence that says why; documents are untrusted, so that every reader has a limit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import stat
import unicodedata
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from thirdlever.core.errors import SuiteError, need
from thirdlever.core.progress import progress
from thirdlever.core.text import clipped
from thirdlever.suites.readers import JSON_LINES, Row, each_row, is_missing
from thirdlever.suites.sources import Dialect, decoded
from thirdlever.suites.suite import Document, read_knowledge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MARKDOWN = (".md", ".markdown")
HTML = (".html", ".htm", ".xhtml")
KINDS = (*MARKDOWN, *HTML, ".txt", ".text", ".pdf", ".docx", *JSON_LINES)
NAMED = ".md, .html, .txt, .pdf, .docx or .jsonl"
LARGEST = 50_000_000  # bytes of a document's text, and of a line of JSON lines
LARGEST_HTML = 10_000_000  # its tree takes 50 times as much memory
MOST_PAGES = 5_000
PAGE = "\f"  # begins a page
_SHOWN = 5
_MOST_NOTES = 20
_BEGINNING = 300  # characters
_LONGEST_HEADING = 200  # characters
_PASSWORD = 4  # PDFium's error code
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_NOT_TEXT = ("script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "form", "title")
_NO_TITLE = re.compile(r"untitled|microsoft word|.*\.(docx?|odt|indd|tex|pdf|html?)$", re.IGNORECASE)
_NUMBER = re.compile(r"^[\d.]+\s+")
_STYLES = "\n".join(
    ["p[style-name='Title'] => h1:fresh", *(f"p[style-name='Heading {n}'] => h{n + 1}:fresh" for n in range(1, 6))]
)
_FULL = 0.7  # of the longest usual line of a page: such a line goes on in the next


class LeftOutError(SuiteError):
    """A file cannot be read; in a folder, the others can."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a Markdown text.

    Attributes:
        start: position of its first character in the text.
        end: position after its line.
        level: 1 to 6.
        title: what it says.
    """

    start: int
    end: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Documents:
    """What a folder or file holds.

    Attributes:
        documents: in the order of their paths.
        notes: what was left out and why, in sentences.
    """

    documents: tuple[Document, ...]
    notes: tuple[str, ...]


def is_documents(path: Path) -> bool:
    """Whether a path is a folder, or would be one, or a file whose name says that `read_documents` reads it."""
    return path.is_dir() or _suffix(path) in KINDS or not (path.suffix or path.exists())


def read_documents(path: Path, *, encoding: str | None = None) -> Documents:
    """Read all documents of a folder, with those of its subfolders, or of one file.

    Args:
        path: of the folder or file. Symbolic links and hidden files in a folder are left out.
        encoding: of texts that are not UTF-8 and have no mark.

    Raises:
        SuiteError: there is no document, a single file cannot be read, a row is none, or two documents have one id.
        MissingExtraError: the `documents` extra is not installed.
    """
    notes: list[str] = []
    return Documents(tuple(stream_documents(path, notes, encoding=encoding)), tuple(notes))


def stream_documents(path: Path, notes: list[str], *, encoding: str | None = None) -> Iterator[Document]:
    """The same, one document after another, so that few are in memory; `notes` receives the sentences.

    Raises:
        SuiteError: as above.
        MissingExtraError: as above.
    """
    if not path.exists():
        message = f"no file or folder {str(path)!r}; check the path"
        raise SuiteError(message)
    reading = _Reading(path, notes, encoding)
    seen: dict[str, tuple[str, bytes]] = {}
    for document, where in reading.documents():
        content = _hash(document)
        first, same = seen.setdefault(document.id, (where, content))
        if first == where:
            yield document
        elif same == content:
            notes.append(f"{where}: the same document as {first}, left out")
        else:
            message = f"{where}: the id {document.id!r} is also that of {first}, whose text differs; make ids unique"
            raise SuiteError(message)
    if not seen:
        why = f" ({notes[0]})" if notes else ""
        message = f"{str(path)!r} has no document{why}; give a folder or file of {NAMED}"
        raise SuiteError(message)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a suite's documents are, in numbers.

    Attributes:
        count: of documents.
        words: of all of them.
        longest: words of the longest.
        title: of the first.
        beginning: of its text.
        kinds: number of documents by the suffix of their file; "rows" for those of JSON lines and tables.
        hashes: sha256 of each document, by id.
    """

    count: int
    words: int
    longest: int
    title: str
    beginning: str
    kinds: Mapping[str, int]
    hashes: Mapping[str, bytes]


def write_documents(path: Path, documents: Iterable[Document]) -> Knowledge:
    """Write a suite's documents.jsonl, one document after another."""
    hashes: dict[str, bytes] = {}
    kinds: Counter[str] = Counter()
    words = longest = 0
    title = beginning = ""
    with path.open("w", encoding="utf-8") as file:
        for document in documents:
            row = {"id": document.id, "title": document.title, "text": document.text, **document.fields}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            size = len(document.text.split())
            if not hashes:
                title, beginning = document.title, " ".join(document.text[:_BEGINNING].split())
            hashes[document.id] = _hash(document)
            kinds[_suffix(Path(str(document.fields.get("source", "")))) or "rows"] += 1
            words, longest = words + size, max(longest, size)
    return Knowledge(len(hashes), words, longest, title, beginning, kinds, hashes)


@dataclass(frozen=True, slots=True)
class Replaced:
    """How the documents of a suite changed: ids by what became of them.

    Attributes:
        new: only among the new documents.
        changed: in both, with other text, title or fields.
        gone: only among the old ones.
        unchanged: number of the others.
        gold: ids that the `gold` column of labelled rows names and that no document has any more.
        knowledge: what the new documents are.
        notes: what was left out and why, in sentences.
    """

    new: Sequence[str]
    changed: Sequence[str]
    gone: Sequence[str]
    unchanged: int
    gold: Sequence[str]
    knowledge: Knowledge
    notes: Sequence[str]


def describe(folder: Path) -> Knowledge:
    """What the documents of the suite are whose data are in a folder.

    Raises:
        SuiteError: there are none, or they cannot be read.
    """
    found = read_knowledge(folder / "documents.jsonl")
    if not found:
        message = f"the suite has no documents; add them with: thirdlever documents {folder.name} PATH"
        raise SuiteError(message)
    return write_documents(Path(os.devnull), found)


def replace_documents(folder: Path, source: Path, *, encoding: str | None = None) -> Replaced:
    """Replace the documents of the suite whose data are in a folder, at once or not at all.

    Args:
        folder: `datasets/<name>` of the project.
        source: folder or file that `read_documents` reads.
        encoding: of texts that are not UTF-8 and have no mark.

    Raises:
        SuiteError: the source cannot be read, or the suite's own data.
    """
    path, notes = folder / "documents.jsonl", list[str]()
    before = {document.id: _hash(document) for document in read_knowledge(path)}
    partial = path.with_name(f".{path.name}.partial")
    try:
        made = write_documents(partial, stream_documents(source, notes, encoding=encoding))
        lost = _gold(folder) - made.hashes.keys()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    both = [name for name in made.hashes if name in before]
    changed = [name for name in both if before[name] != made.hashes[name]]
    return Replaced(
        new=[name for name in made.hashes if name not in before],
        changed=changed,
        gone=[name for name in before if name not in made.hashes],
        unchanged=len(both) - len(changed),
        gold=sorted(lost),
        knowledge=made,
        notes=notes,
    )


def _gold(folder: Path) -> set[str]:
    """Ids of documents that the labelled rows name as those with the answer."""
    parts = (folder / f"{part}.jsonl" for part in ("train", "dev", "test"))
    named = (row.values.get("gold") for path in parts if path.exists() for row in each_row(path))
    return {str(each) for gold in named for each in (gold if isinstance(gold, list) else [gold]) if each}


def _hash(document: Document) -> bytes:
    return hashlib.sha256(json.dumps(document.content, sort_keys=True).encode()).digest()


def headings(text: str) -> list[Heading]:
    """The headings of a Markdown text, outside code, in its order."""
    if not re.search(r"^ {0,3}(#{1,6}[ \t]|=+[ \t]*$|-+[ \t]*$)", text, re.MULTILINE):
        return []
    from markdown_it import MarkdownIt

    parser = MarkdownIt("zero").enable(["heading", "lheading", "fence", "code", "html_block", "blockquote", "list"])
    starts = [0, *(found.end() for found in re.finditer("\n", text)), len(text)]
    tokens = parser.parse(text.replace("\r", " "))
    found = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map and inline.content.strip():
            first, after = token.map
            after = min(after, len(starts) - 1)
            title = " ".join(re.sub(r"[*`]", "", inline.content).split())
            if "\n" in inline.content or len(title) > _LONGEST_HEADING:
                continue  # a paragraph above a line of dashes
            found.append(Heading(starts[first], starts[after], int(token.tag[1:]), title))
    return found


# Files


@dataclass(frozen=True)
class _Reading:
    """One reading of a folder or file."""

    root: Path
    notes: list[str]
    encoding: str | None

    def documents(self) -> Iterator[tuple[Document, str]]:
        """Documents, and where each is."""
        if not self.root.is_dir():
            if _suffix(self.root) not in KINDS:
                message = f"{str(self.root)!r} has an unknown format; give a folder or file of {NAMED}"
                raise SuiteError(message)
            yield from self._of(self.root, self.root.name)
            return
        paths = self._paths()
        left = 0
        with progress("reading", len(paths)) as advance:
            for path, name in paths:
                try:
                    yield from self._of(path, name)
                except LeftOutError as error:
                    left += 1
                    if left <= _MOST_NOTES:
                        self.notes.append(f"left out: {error}")
                advance()
        if left > _MOST_NOTES:
            self.notes.append(f"left out: {left - _MOST_NOTES:,} more files")

    def _paths(self) -> list[tuple[Path, str]]:
        """Regular files of known kinds with their ids, by id; the rest is noted."""
        found: list[tuple[Path, str]] = []
        links: list[str] = []
        others: Counter[str] = Counter()
        for folder, inner, names in os.walk(self.root, onerror=self._unreadable):
            inside = [name for name in inner if not Path(folder, name).is_symlink()]
            links += [_id(Path(folder, name).relative_to(self.root)) for name in inner if name not in inside]
            inner[:] = [name for name in inside if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if path.is_symlink():
                    links.append(_id(path.relative_to(self.root)))
                elif name.startswith((".", "~$")):  # of editors and of Word
                    continue
                elif _suffix(path) not in KINDS or not stat.S_ISREG(path.lstat().st_mode):
                    others[path.suffix.casefold() or "no suffix"] += 1
                else:
                    found.append((path, _id(path.relative_to(self.root))))
        if links:
            self.notes.append(f"symbolic links not followed: {len(links)} ({_some(sorted(links))})")
        if others:
            kinds = ", ".join(f"{_printable(kind)} {n}" for kind, n in sorted(others.items())[:_SHOWN])
            more = ", …" if len(others) > _SHOWN else ""
            self.notes.append(f"files of other kinds left out: {sum(others.values())} ({kinds}{more}); read: {NAMED}")
        return sorted(found, key=lambda each: each[1])

    def _unreadable(self, error: OSError) -> None:
        self.notes.append(f"left out: the folder {clipped(str(error.filename))} cannot be read ({error.strerror})")

    def _of(self, path: Path, name: str) -> Iterator[tuple[Document, str]]:
        suffix = _suffix(path)
        try:
            if suffix in JSON_LINES:
                yield from self._rows(path, name)
                return
            title, text, fields = self._read(path, name, suffix)
        except OSError as error:  # also of gzip
            message = f"{name}: cannot be read ({error.strerror or error}); check the file and its permissions"
            raise LeftOutError(message) from None
        except EOFError:
            message = f"{name}: the gzip file is incomplete; copy it again"
            raise LeftOutError(message) from None
        except RecursionError:
            message = f"{name}: its elements are nested too deeply; save it as text"
            raise LeftOutError(message) from None
        text = text.strip(" \n")
        if not text.strip():
            message = f"{name}: it is empty"
            raise LeftOutError(message)
        title = " ".join(title.split()) or _in_words(name)
        yield Document(name, title, text, {"source": name, **fields}), name

    def _read(self, path: Path, name: str, suffix: str) -> tuple[str, str, dict[str, Any]]:
        """Title, text and fields of a file."""
        if suffix == ".pdf" and _suffix(path) == path.suffix.casefold():
            return self._pdf(str(path.absolute()), name)  # read page by page, not at once
        content = _content(path, name, LARGEST_HTML if suffix in HTML else LARGEST)
        if suffix == ".pdf":
            return self._pdf(content, name)
        if suffix == ".docx":
            return _docx(content, name)
        if suffix in HTML:
            return _html(content)
        text = self._decoded(content, path, name)
        if suffix in MARKDOWN:
            return _markdown(text)
        return "", text, _pages(text)

    def _decoded(self, content: bytes, path: Path, name: str) -> str:
        if b"\0" in content[:1_000] and not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
            message = f"{name}: it has NUL bytes, so it is no text; remove it or give it its own suffix"
            raise LeftOutError(message)
        try:
            text, _ = decoded(content, path, Dialect())
        except SuiteError as error:
            if self.encoding is None:
                raise LeftOutError(str(error)) from None
            text, _ = decoded(content, path, Dialect(encoding=self.encoding))
        return _clean(text)

    def _rows(self, path: Path, name: str) -> Iterator[tuple[Document, str]]:
        """A document a line, read line by line; a row without text is noted."""
        empty: list[str] = []
        for row in each_row(path, LARGEST):
            line = row.where.rpartition(":")[2]
            if "text" in row.values and is_missing(row.values["text"]):
                empty.append(line)
            else:
                yield of_row(row, f"{name}:{line}"), row.where
        if empty:
            self.notes.append(f"{name}: rows without text left out: {len(empty)} (line {_some(empty)})")

    def _pdf(self, given: str | bytes, name: str) -> tuple[str, str, dict[str, Any]]:
        """The text of a PDF, a form feed before each further page, with the headings that its outline names."""
        pdfium = need("pypdfium2", extra="documents")
        try:
            pdf = pdfium.PdfDocument(given)
        except pdfium.PdfiumError as error:
            if getattr(error, "err_code", None) == _PASSWORD:
                message = f"{name}: it is encrypted; save a copy without a password"
            else:
                message = f"{name}: it is broken, or no PDF; open it in a viewer and save it again"
            raise LeftOutError(message) from None
        with pdf:
            if len(pdf) > MOST_PAGES:
                message = f"{name}: it has {len(pdf):,} pages, and {MOST_PAGES:,} are the most that are read; split it"
                raise LeftOutError(message)
            pages, scanned = _pdf_pages(pdf, pdfium, name)
            title = _good_title(pdf.get_metadata_value("Title"))
        if not any(pages):
            several = f"pages {_ranges(scanned)} are images" if len(scanned) > 1 else "its page is an image"
            which = several if scanned else "its pages have no text"
            message = f"{name}: {which}, so it must be read by OCR first; run: ocrmypdf {clipped(name)} text.pdf"
            raise LeftOutError(message)
        if scanned:
            which = f"page{'s' if len(scanned) > 1 else ''} {_ranges(scanned)}"
            self.notes.append(f"{name}: no text on {which}, which are images; run OCR on it to include them")
        return title, f"{PAGE}\n".join(pages), {"pages": len(pages)}


def of_row(row: Row, otherwise: str) -> Document:
    """A row with a text, and perhaps an id and a title, as a document; other columns are its fields.

    Raises:
        SuiteError: it has no text.
    """
    fields = {
        name: value for name, value in row.values.items() if name not in {"id", "title", "text"} and value is not None
    }
    known = {name: row.text(name) for name in ("id", "title") if not is_missing(row.values.get(name))}
    return Document(known.get("id", otherwise), known.get("title", ""), row.text("text"), fields)


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix.casefold() == ".gz" else path).suffix.casefold()


def _id(path: Path) -> str:
    """A relative path, the same on all systems."""
    return _printable(unicodedata.normalize("NFC", path.as_posix()))


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _opened(path: Path) -> IO[bytes]:
    if path.suffix.casefold() == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    return path.open("rb")


def _content(path: Path, name: str, most: int) -> bytes:
    """A file's bytes, unpacked, if they are not too many."""
    with _opened(path) as file:
        content = file.read(most + 1) if path.stat().st_size <= most else b" " * (most + 1)
    if len(content) > most:
        size = f" ({_megabytes(path.stat().st_size)})" if path.stat().st_size > most else " when unpacked"
        remedy = "split it, or write its parts as rows of a .jsonl file"
        message = f"{name}: the file{size} is larger than {_megabytes(most)}, the most that is read; {remedy}"
        raise LeftOutError(message)
    return content


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


# Kinds


def _markdown(text: str) -> tuple[str, str, dict[str, Any]]:
    """A title from the front matter or from a heading that begins the text, which then loses it."""
    fields: dict[str, Any] = {}
    if matter := _FRONT_MATTER.match(text):
        known = _front_matter(matter[1])
        if known is not None:
            text = text[matter.end() :]
            fields = {name: value for name, value in known.items() if name not in {"id", "text", "source", "pages"}}
    title = str(fields.pop("title", ""))
    text, heading = _without_title(text)
    if title and heading and title.strip().casefold() != heading.casefold():
        text = f"# {heading}\n{text}"
    return title or heading, text, fields | _pages(text)


def _without_title(text: str) -> tuple[str, str]:
    """A text without the heading that it begins with, if no other is of its level; and that heading."""
    text = text.lstrip()
    found = headings(text)
    if not found or found[0].start or any(other.level <= found[0].level for other in found[1:]):
        return text, ""
    return text[found[0].end :].lstrip("\n"), found[0].title


def _front_matter(text: str) -> Mapping[str, Any] | None:
    """Its entries with one value each, and lists of texts; None if it is not YAML."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    simple = {str(name): getattr(value, "isoformat", lambda value=value: value)() for name, value in found.items()}
    return {
        name: value
        for name, value in simple.items()
        if isinstance(value, str | int | float | bool)
        or (isinstance(value, list) and all(isinstance(each, str) for each in value))
    }


def _pages(text: str) -> dict[str, Any]:
    return {"pages": text.count(PAGE) + 1} if PAGE in text.strip() else {}


def _html(content: bytes | str) -> tuple[str, str, dict[str, Any]]:
    """A page's main part as Markdown, without scripts, styles, navigation, forms and what is hidden."""
    bs4 = need("bs4", extra="documents")
    with warnings.catch_warnings():  # a text that looks like a file's name or an address is a text all the same
        warnings.simplefilter("ignore", bs4.MarkupResemblesLocatorWarning)
        soup = bs4.BeautifulSoup(content, "html.parser")
    named = soup.title.get_text() if soup.title else ""
    for element in soup.find_all(_is_dropped):
        if not element.decomposed:
            element.decompose()
    for comment in soup.find_all(string=lambda text: isinstance(text, bs4.Comment | bs4.Declaration | bs4.Doctype)):
        comment.extract()
    for cell in soup.find_all(["td", "th"]):
        for string in cell.find_all(string=lambda text: "|" in text):
            string.replace_with(string.replace("|", "/"))  # it would end the cell
    mains = soup.find_all("main")
    markdownify = need("markdownify", extra="documents")
    converter = markdownify.MarkdownConverter(
        heading_style="ATX",
        bullets="-",
        strip=["a", "img"],
        table_infer_header=True,
        escape_asterisks=False,
        escape_underscores=False,
    )
    text = re.sub(r"\n{3,}", "\n\n", _clean(converter.convert_soup(mains[0] if len(mains) == 1 else soup)))
    text, heading = _without_title(text)
    return heading or named, text, {}


def _is_dropped(element: Any) -> bool:  # noqa: ANN401 - of an optional library
    style = str(element.get("style") or "").replace(" ", "").casefold()
    return element.name in _NOT_TEXT or element.has_attr("hidden") or "display:none" in style


def _docx(content: bytes, name: str) -> tuple[str, str, dict[str, Any]]:
    """A Word document's headings, paragraphs, lists, tables and notes as Markdown."""
    mammoth = need("mammoth", extra="documents")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(part.file_size for part in archive.infolist() if part.filename.endswith((".xml", ".rels")))
            if size > LARGEST:
                most = f"{_megabytes(LARGEST)}, the most that is read"
                message = f"{name}: unpacked, its text is larger than {most}; split it"
                raise LeftOutError(message)
            archive.getinfo("word/document.xml")
    except (zipfile.BadZipFile, KeyError, NotImplementedError):
        message = f"{name}: it is broken, encrypted or no .docx file; open it in Word and save a copy"
        raise LeftOutError(message) from None
    try:
        found = mammoth.convert_to_html(
            io.BytesIO(content),
            style_map=_STYLES,
            convert_image=lambda _: [],
        )
    except RecursionError:
        raise
    except Exception as error:  # whatever is wrong with its XML, which mammoth does not wrap
        message = f"{name}: its text cannot be read ({clipped(str(error))}); open it in Word and save a copy"
        raise LeftOutError(message) from error
    return _html(found.value)


def _pdf_pages(pdf: Any, pdfium: Any, name: str) -> tuple[list[str], list[int]]:  # noqa: ANN401 - of an optional library
    """The text of each page, and the numbers of those that are images."""
    outline: dict[int, dict[str, int]] = {}
    for entry in pdf.get_toc(max_depth=6):
        place = entry.get_dest()
        if place is not None and place.get_index() is not None:
            outline.setdefault(place.get_index(), {})[_bare(entry.get_title())] = entry.level + 1
    pages: list[str] = []
    scanned: list[int] = []
    size = 0
    for number in range(len(pdf)):
        try:
            page = pdf[number]
            words = page.get_textpage()
            text = _of_page(words.get_text_bounded(), outline.get(number, {}))
            has_image = not text and any(True for _ in page.get_objects([pdfium.raw.FPDF_PAGEOBJ_IMAGE]))
            words.close()
            page.close()
        except pdfium.PdfiumError:
            message = f"{name}: page {number + 1} is broken; open it in a viewer and save it again"
            raise LeftOutError(message) from None
        pages.append(text)
        size += len(text)
        scanned += [number + 1] if has_image else []
        if size > LARGEST:
            message = f"{name}: its text is larger than {_megabytes(LARGEST)}, the most that is read; split it"
            raise LeftOutError(message)
    return pages, scanned


def _of_page(text: str, outline: Mapping[str, int]) -> str:
    """A page's text with its headings marked, and lines that go on in the next one joined."""
    # PDFium marks a hyphen at the end of a line by one of these characters, and has joined the word.
    lines = [line.strip() for line in _clean(re.sub("[\x02\ufffe]", "", text)).replace(PAGE, "\n").split("\n")]
    lengths = sorted(map(len, filter(None, lines)))
    usual = lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0
    made: list[str] = []
    full = False
    for line in lines:
        level = outline.get(_bare(line)) if line else None
        if level is not None:
            made += ["", f"{'#' * min(level, 6)} {line}", ""]
        elif full and line and not re.match(r"[•▪◦*–-]|\(?\d{1,3}[.)]\s", line):
            made[-1] += f" {line}"
        else:
            made.append(line)
        full = level is None and len(line) >= _FULL * usual > 0
    return re.sub(r"\n{3,}", "\n\n", "\n".join(made)).strip()


def _bare(title: str) -> str:
    """A heading as an outline and a page have in common: without its number."""
    return _NUMBER.sub("", " ".join(title.casefold().split()))


def _good_title(title: str | None) -> str:
    """A title from a file's properties, if somebody wrote it."""
    title = _clean(title or "").strip()
    return "" if _NO_TITLE.match(title) else title


# Words


def _clean(text: str) -> str:
    """A text with one kind of line break, without characters that are none."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _in_words(name: str) -> str:
    """A file's name as a title."""
    stem = Path(name.removesuffix(".gz")).stem
    return " ".join(re.sub(r"[_-]+", " ", stem).split()) or name


def _ranges(numbers: Sequence[int]) -> str:
    """Page numbers, such as 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs[:_SHOWN]]
    return ", ".join([*shown, *(["…"] if len(runs) > _SHOWN else [])])


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])])

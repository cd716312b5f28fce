"""`thirdlever data`: public suites from verified files, downloaded or the user's own."""

from __future__ import annotations

import hashlib
import re
import tarfile
import threading
import zipfile
from fnmatch import fnmatch
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from thirdlever.core.errors import SuiteError
from thirdlever.prompting.frame import messages
from thirdlever.suites import public
from thirdlever.suites.find import find_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).parents[3] / "shared" / "data"
HEAD = "topic;said\n"
ROWS = [f"t{n % 2};thing {n}\n" for n in range(20)]
TEST = f"{HEAD}t0;another\nt1;one more\n"
CARD = '''
title = "Tiny"
task = "one of 2 topics"
repository = "owner/repo"
revision = "abc123"
licence = "CC0 1.0"
cite = "A. Nobody 2026"
instruction = "Give the topic."
input = "remark"
rename = {{ said = "remark" }}
target = ["topic"]
answer = "label"
train = ["data/?/train.csv"]
test = ["data/test.csv"]
files = """
{files}
"""
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, and an empty cache."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "project"


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of a data set `tiny` in a repository at a commit, and its card in place of the known ones."""
    halves = ["".join([HEAD, *rows]) for rows in (ROWS[:12], ROWS[12:])]
    files = dict(zip(("data/a/train.csv", "data/b/train.csv", "data/test.csv"), [*halves, TEST], strict=True))
    root = tmp_path / "host" / "owner" / "repo" / "abc123"
    lines = []
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        lines.append(f"{hashlib.sha256(text.encode()).hexdigest()} {len(text)} {name}")
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "tiny.toml").write_text(CARD.format(files="\n".join(lines)))
    monkeypatch.setattr(public, "CARDS", tmp_path / "cards")
    public.public_data.cache_clear()
    yield root
    public.public_data.cache_clear()


@pytest.fixture
def host(original: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server of the repository; the paths that it was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(original.parents[2]))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(public.HOST_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        yield asked
        server.shutdown()


def card(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path("datasets", name, "card.yaml").read_text())
    return found


# The cards


@pytest.mark.parametrize("name", sorted(public.public_data()))
def test_each_card_names_files_by_hash_and_patterns_that_match(name: str) -> None:
    data = public.public_data()[name]
    assert name.isidentifier()
    assert re.fullmatch(r"[0-9a-f]{40}", data.revision)
    assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) and file.size for file in data.listing)
    paths = [file.path for file in data.listing]
    assert len({file.sha256 for file in data.listing}) == len(paths)
    for pattern in (*data.train, *data.test):
        assert any(fnmatch(path, pattern) for path in paths), pattern
    both = [path for path in paths for p in data.train for q in data.test if fnmatch(path, p) and fnmatch(path, q)]
    assert both == []


@pytest.mark.parametrize(
    ("name", "given", "counts"),
    [
        ("banking77", "banking77", {"train": 8978, "dev": 1000, "test": 3080, "documents": 0, "labels": 77}),
        ("xquad_de", "xquad/xquad.de.json", {"train": 844, "dev": 117, "test": 223, "documents": 240}),
        ("xquad_en", "xquad", {"train": 848, "dev": 117, "test": 223, "documents": 240}),
    ],
)
def test_the_original_files_become_a_suite(name: str, given: str, counts: dict[str, int]) -> None:
    if not (SHARED / given).exists():
        pytest.skip(f"needs {SHARED / given}")
    made = public.get(name, SHARED / given)
    assert made.counts == counts
    suite = find_suite(name)
    assert suite.instruction == public.public_data()[name].instruction
    assert suite.card["licence"] == public.public_data()[name].licence


def test_files_are_known_by_their_hash_not_their_name() -> None:
    if not (SHARED / "nlupp").exists():
        pytest.skip(f"needs {SHARED / 'nlupp'}")
    with pytest.raises(SuiteError, match=r"lacks 'nlupp/data/banking/fold10.json' and 17 other files of nlupp_banking"):
        public.get("nlupp_banking", SHARED / "nlupp")


# Downloading


def test_files_are_downloaded_at_their_commit_and_only_once(host: list[str], tmp_path: Path) -> None:
    made = public.get("tiny")
    assert sorted(host) == [f"/owner/repo/abc123/data/{name}" for name in ("a/train.csv", "b/train.csv", "test.csv")]
    assert made.counts == {"train": 18, "dev": 2, "test": 2, "documents": 0, "labels": 2}
    suite = find_suite("tiny")
    assert [item.input for item in suite.test] == ["another", "one more"]
    assert [turn.text for turn in messages(suite, suite.test.items[0])] == [
        "Give the topic.\nAnswer with exactly one topic from this list: t0, t1.",
        "Remark: another\nTopic:",
    ]
    host.clear()
    public.get("tiny", folder=tmp_path)
    assert host == []


def test_the_card_says_where_the_data_come_from(host: list[str]) -> None:
    public.get("tiny")
    assert host
    about = card("tiny")
    assert (about["title"], about["licence"], about["cite"]) == ("Tiny", "CC0 1.0", "A. Nobody 2026")
    (source,) = about["source"]
    assert (source["repository"], source["revision"]) == ("https://github.com/owner/repo", "abc123")
    assert source["sha256"]["data/test.csv"] == hashlib.sha256(TEST.encode()).hexdigest()
    assert "Licence: CC0 1.0." in Path("evals/tiny.py").read_text()


def test_a_changed_download_is_refused_with_both_hashes(original: Path, host: list[str]) -> None:
    (original / "data" / "test.csv").write_text("topic;said\nt0;forged\n")
    with pytest.raises(SuiteError) as refused:
        public.get("tiny")
    wanted, found = (hashlib.sha256(text.encode()).hexdigest() for text in (TEST, "topic;said\nt0;forged\n"))
    assert wanted in str(refused.value)
    assert found in str(refused.value)
    assert host
    assert not Path("datasets").exists()


def test_a_file_that_is_gone_or_a_host_that_is_away_is_one_sentence(
    original: Path, host: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (original / "data" / "test.csv").unlink()
    with pytest.raises(SuiteError, match=r"cannot download .*test\.csv \('HTTP 404'\).*--from PATH"):
        public.get("tiny")
    assert host
    monkeypatch.setenv(public.HOST_VARIABLE, "http://127.0.0.1:1")
    with pytest.raises(SuiteError, match=r"cannot download .*connect to the internet.*data get tiny --from PATH"):
        public.get("tiny")
    assert not Path("datasets").exists()


def test_a_broken_file_of_the_cache_is_downloaded_again(host: list[str], tmp_path: Path) -> None:
    public.get("tiny")
    (public.public_data()["tiny"].home / "data" / "test.csv").write_text("cut")
    host.clear()
    public.get("tiny", folder=tmp_path)
    assert host == ["/owner/repo/abc123/data/test.csv"]


# Files that the user has


def test_a_folder_with_other_names_or_an_archive_is_taken(original: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number, path in enumerate(sorted(original.rglob("*.csv"))):
        (tmp_path / "mine" / f"{number}.txt").write_bytes(path.read_bytes())
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive, tarfile.open(tmp_path / "mine.tgz", "w:gz") as other:
        for path in (tmp_path / "mine").iterdir():
            archive.write(path, f"repo-main/{path.name}")
            other.add(path, f"../{path.name}")  # is never unpacked
    for given in ("mine", "mine.zip", "mine.tgz"):
        (tmp_path / f"of-{given}").mkdir()
        made = public.get("tiny", tmp_path / given, tmp_path / f"of-{given}")
        assert made.counts["train"] == 18


def test_another_version_of_a_file_is_refused_with_both_hashes(original: Path) -> None:
    (original / "data" / "test.csv").write_text("topic;said\nt0;newer\n")
    found, wanted = (hashlib.sha256(text.encode()).hexdigest() for text in ("topic;said\nt0;newer\n", TEST))
    with pytest.raises(SuiteError, match=rf"test\.csv: sha256 {found}, but 'data/test\.csv' has {wanted}"):
        public.get("tiny", original)


@pytest.mark.parametrize("name", ["absent.zip", "broken.zip", "empty"])
@pytest.mark.usefixtures("original")
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + b"\0" * 30 + b"PK\x05\x06" + b"\x01" * 18)
    with pytest.raises(SuiteError, match=r"cannot read|lacks 'data/a/train\.csv' and 2 other files of tiny"):
        public.get("tiny", tmp_path / name)


# Names


def test_an_unknown_name_and_an_existing_suite_are_refused(original: Path) -> None:
    with pytest.raises(SuiteError, match=r"data set 'tinny' not found; did you mean 'tiny'\?"):
        public.get("tinny", original)
    Path("evals").mkdir()
    Path("evals/tiny.py").touch()
    with pytest.raises(SuiteError, match=r"^'evals/tiny\.py' already exists; to make it anew, remove it$"):
        public.get("tiny", original)
    Path("datasets/tiny").mkdir(parents=True)
    with pytest.raises(SuiteError, match=r"^'datasets/tiny' and 'evals/tiny\.py' already exist; .* remove both$"):
        public.get("tiny", original)

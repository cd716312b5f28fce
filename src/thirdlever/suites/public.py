"""`thirdlever data`: suites of published data sets, each described by a card in `published/`.

A card says where the original files are, at which commit, with which sha256, and how they are read. The files are
downloaded, or taken from where the user has them; either way they are verified and kept in the user's cache. None of
them is in this package.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import platformdirs

from thirdlever.core import files as atomic
from thirdlever.core.errors import SuiteError, unknown
from thirdlever.core.progress import progress
from thirdlever.core.text import clipped, counted
from thirdlever.core.validation import FileModel, Name, read_toml
from thirdlever.suites.create import Made, Origin, make_suite, refuse
from thirdlever.suites.detect import Kind
from thirdlever.suites.sources import Dialect, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

CARDS = Path(__file__).with_name("published")
HOST = "https://raw.githubusercontent.com"
HOST_VARIABLE = "THIRDLEVER_DATA_URL"  # of a mirror that has the same paths
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class PublicFile:
    """A file of a data set: its path in the repository, its size in bytes, and its sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicData(FileModel):
    """A published data set, as its card has it.

    Attributes:
        name: of the suite that is made of it.
        title: its name in the literature.
        task: what is asked and what an answer is, in a few words.
        repository: the original one on GitHub, as owner/name.
        revision: its commit.
        licence: of the data.
        cite: the paper.
        note: what a reader of results must know of the splits, if anything.
        near_leaks: why test items that are nearly the same as one of train stay, where a run would refuse them.
        instruction: what the prompt asks.
        input: the column that the model is shown.
        target: the columns with the right answer.
        answer: its kind.
        group: the column naming the source that rows share.
        delimiter: between the fields of a table, unless it is found.
        rename: columns whose names say little, and what they are called here.
        train: paths of the files to learn from; `*`, `?` and `[0-9]` stand for what they stand for in a shell.
        test: likewise of those to measure on; none if they are in the same file, or drawn.
        files: lines of sha256, size and path.
    """

    name: str = ""
    title: Name
    task: Name
    repository: Name
    revision: Name
    licence: Name
    cite: Name
    note: str = ""
    near_leaks: str = ""
    instruction: Name
    input: Name
    target: list[str]
    answer: Kind
    group: str | None = None
    delimiter: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    train: list[str]
    test: list[str] = field(default_factory=list)
    files: Name

    @property
    def listing(self) -> tuple[PublicFile, ...]:
        """Its files."""
        lines = (line.split(" ", 2) for line in self.files.strip().splitlines())
        return tuple(PublicFile(path, int(size), digest) for digest, size, path in lines)

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.listing)

    @property
    def address(self) -> str:
        """Where people read about it."""
        return f"https://github.com/{self.repository}"

    @property
    def home(self) -> Path:
        """Its folder in the user's cache, named by the commit."""
        return platformdirs.user_cache_path("thirdlever") / "data" / f"{self.name}-{self.revision[:12]}"


@cache
def public_data() -> Mapping[str, PublicData]:
    """Every known data set by name."""
    return {path.stem: replace(read_toml(path, PublicData), name=path.stem) for path in sorted(CARDS.glob("*.toml"))}


def get(name: str, given: Path | None = None, folder: Path | None = None) -> Made:
    """Make the suite of a published data set in `datasets/<name>/` and `evals/<name>.py`.

    Args:
        name: of the data set.
        given: its files, a folder with them or an archive of one; None downloads what the cache lacks.
        folder: the project; None is the current folder.

    Raises:
        SuiteError: there is no such data set, the suite exists, the files cannot be had, or one has another sha256.
    """
    if name not in public_data():
        raise SuiteError(unknown("data set", name, public_data()))
    data, folder = public_data()[name], folder or Path.cwd()
    refuse(name, folder, "to make it anew, remove")
    if given is None:
        _download(data)
    else:
        _take(data, given)
    with tempfile.TemporaryDirectory() as aside:
        made = make_suite(
            name,
            train=_together(data, "train", data.train, Path(aside)),
            test=_together(data, "test", data.test, Path(aside)) if data.test else None,
            input=data.input,
            target=data.target,
            group=data.group,
            answer=data.answer,
            reading=Dialect(data.delimiter),
            origin=_origin(data),
            folder=folder,
        )
    short = [line.replace(f"{data.home}{os.sep}", "").replace(f"{aside}{os.sep}", "") for line in made.warnings]
    return replace(made, warnings=short)


def _origin(data: PublicData) -> Origin:
    more = {"note": data.note, "near_leaks": data.near_leaks}
    return Origin(
        about={"title": data.title, "task": data.task, "cite": data.cite} | {k: v for k, v in more.items() if v},
        source={
            "repository": data.address,
            "revision": data.revision,
            "sha256": {file.path: file.sha256 for file in data.listing},
        },
        address=data.address,
        licence=data.licence,
        instruction=data.instruction,
    )


def _together(data: PublicData, part: str, patterns: Sequence[str], aside: Path) -> Path:
    """The file of a split; several files, and columns with another name, are written into one."""
    paths = [file.path for file in data.listing if any(fnmatch(file.path, pattern) for pattern in patterns)]
    if len(paths) == 1 and not data.rename:
        return data.home / paths[0]
    combined = aside / f"{part}.jsonl"
    with combined.open("w", encoding="utf-8") as lines:
        for path in paths:
            read = read_source(str(data.home / path), Dialect(data.delimiter))
            for row in read.parts[""]:
                values = {data.rename.get(name, name): value for name, value in row.values.items()}
                lines.write(json.dumps(values, ensure_ascii=False) + "\n")
    return combined


# Files


def _verified(content: bytes, file: PublicFile, where: str) -> bytes:
    """A file's content; raises `SuiteError` if it is another."""
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise SuiteError(_differs(file, where, found))
    return content


def _differs(file: PublicFile, where: str, found: str) -> str:
    return (
        f"{where}: sha256 {found}, but {file.path!r} has {file.sha256}; "
        "it is another version, or was changed on its way: get the original"
    )


def _keep(data: PublicData, file: PublicFile, content: bytes) -> None:
    path = data.home / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, content)


def _lacking(data: PublicData) -> list[PublicFile]:
    """The files that the cache does not have as they should be."""

    def there(file: PublicFile) -> bool:
        path = data.home / file.path
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256

    return [file for file in data.listing if not there(file)]


def _download(data: PublicData) -> None:
    """Complete the cache; raises `SuiteError` if the files cannot be had."""
    import httpx2

    lacking = _lacking(data)
    if not lacking:
        return
    host = (os.environ.get(HOST_VARIABLE) or HOST).rstrip("/")
    size = sum(file.size for file in lacking) / 1e6
    title = f"downloading {data.name} from {host} ({size:.1f} MB)"
    with httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=True) as client, progress(title, len(lacking)) as advance:
        for file in lacking:
            url = f"{host}/{data.repository}/{data.revision}/{quote(file.path)}"
            try:
                response = client.get(url)
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                raise SuiteError(_unavailable(data, url, str(error) or type(error).__name__)) from None
            if not response.is_success:
                raise SuiteError(_unavailable(data, url, f"HTTP {response.status_code}"))
            _keep(data, file, _verified(response.content, file, url))
            advance()


def _unavailable(data: PublicData, url: str, why: str) -> str:
    return (
        f"cannot download {url} ({clipped(why)}); connect to the internet and repeat the command, or give files "
        f"that you have: thirdlever data get {data.name} --from PATH"
    )


# Files that the user has


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that may be one of a data set's.

    Attributes:
        where: for messages.
        name: without folders.
        size: in bytes.
        open: its content, to be closed by the caller.
    """

    where: str
    name: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def _take(data: PublicData, given: Path) -> None:
    """Complete the cache from files that the user has; they are known by their sha256, whatever their names.

    Raises:
        SuiteError: one is missing, or is another version.
    """
    lacking = {file.sha256: file for file in data.listing}
    sizes, names = {file.size for file in data.listing}, {PurePosixPath(file.path).name for file in data.listing}
    others: dict[str, tuple[str, str]] = {}
    try:
        with _candidates(given) as candidates:
            for one in candidates:
                if one.size not in sizes and one.name not in names:
                    continue
                with one.open() as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # has readinto
                if file := lacking.pop(found, None):
                    with one.open() as stream:
                        _keep(data, file, stream.read())
                else:
                    others[one.name] = one.where, found
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
    ) as e:
        message = f"cannot read {str(given)!r} ({clipped(str(e))}); give a file, a folder, or a .zip or .tar.gz of one"
        raise SuiteError(message) from None
    for file in lacking.values():
        if other := others.get(PurePosixPath(file.path).name):
            raise SuiteError(_differs(file, *other))
    if lacking:
        first, *rest = [file.path for file in lacking.values()]
        more = f" and {counted(len(rest), 'other file')}" if rest else ""
        message = (
            f"{str(given)!r} lacks {first!r}{more} of {data.name}; give a folder or archive that has all files, or "
            f"download them: thirdlever data get {data.name}"
        )
        raise SuiteError(message)


@contextmanager
def _candidates(given: Path) -> Iterator[Iterator[_Candidate]]:
    """The files in a folder or an archive, or the one file itself."""
    if given.is_dir():
        yield (_of_path(path) for path in sorted(given.rglob("*")) if path.is_file())
    elif zipfile.is_zipfile(given):
        with zipfile.ZipFile(given) as archive:
            yield (_of_zip(archive, member, given) for member in archive.infolist() if not member.is_dir())
    elif tarfile.is_tarfile(given):
        with tarfile.open(given) as archive:
            yield (_of_tar(archive, member, given) for member in archive.getmembers() if member.isfile())
    else:
        yield iter([_of_path(given)])


def _of_path(path: Path) -> _Candidate:
    return _Candidate(str(path), path.name, path.stat().st_size, lambda: path.open("rb"))


def _of_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo, given: Path) -> _Candidate:
    name = PurePosixPath(member.filename).name
    return _Candidate(f"{given}:{member.filename}", name, member.file_size, lambda: archive.open(member))


def _of_tar(archive: tarfile.TarFile, member: tarfile.TarInfo, given: Path) -> _Candidate:
    def content() -> IO[bytes]:
        stream = archive.extractfile(member)
        if stream is None:  # only for what is no file
            message = f"{member.name} is no file"
            raise tarfile.ReadError(message)
        return stream

    return _Candidate(f"{given}:{member.name}", PurePosixPath(member.name).name, member.size, content)

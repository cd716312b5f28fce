"""What the documentation mentions exists, and its commands are those of the program."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from helpers.encoders import Hashing
from helpers.markdown import fenced

import thirdlever
from thirdlever.cli import main
from thirdlever.retrieval import embedders
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
}
README = DOCS["README.md"]
COMMANDS: dict[str, Any] = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
HELP = {"--help"}  # explains itself


def options(command: str) -> set[str]:
    """What a command takes, `--input` and the like."""
    further = getattr(COMMANDS[command], "commands", {}).values()  # of a group such as `thirdlever jobs`
    taken = (parameter for each in (COMMANDS[command], *further) for parameter in each.params)
    listed = {option for parameter in taken if not getattr(parameter, "hidden", False) for option in parameter.opts}
    return {option for option in listed if option.startswith("--")} | HELP


def listed_by_git(*arguments: str) -> list[str]:
    """Files that are committed, or would be."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone: a source distribution has no list of its files")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def written_commands(text: str) -> Iterator[list[str]]:
    """`thirdlever …` in code blocks and in running text, as words without their comment."""
    listed = (block.replace("\\\n", " ") for block in (*fenced(text), *fenced(text, "bash")))
    lines = [line for block in listed for line in block.splitlines()]
    for line in (*lines, *re.findall(r"`([^`\n]+)`", text)):
        words = line.partition("  #")[0].partition(" # ")[0].split()
        if words[:1] == ["thirdlever"] and len(words) > 1:
            yield words[1:]


# Strategies and options


def test_every_strategy_is_in_the_readmes_table() -> None:
    section = README.partition("## Strategies")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \| \S", section, re.MULTILINE)
    assert sorted(described) == sorted(path.stem for path in (ROOT / "strategies").glob("[!_]*.py"))


@pytest.mark.parametrize("option", sorted(options("run") - HELP))
def test_every_option_of_run_is_documented(option: str) -> None:
    text = README + "".join(text for name, text in DOCS.items() if name.startswith("docs/"))
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"{option} is neither in README.md nor in docs/"


@pytest.mark.parametrize("name", sorted(DOCS))
def test_every_command_that_is_written_exists(name: str) -> None:
    for command, *words in written_commands(DOCS[name]):
        if command.startswith("-"):
            continue
        assert command in COMMANDS, f"{name}: thirdlever {command}"
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options(command), f"{name}: thirdlever {command} {' '.join(words)}"


def test_every_command_is_documented() -> None:
    written = {command for command, *_ in written_commands(README)}
    assert set(COMMANDS) <= written


# nox


def test_every_nox_session_that_is_named_exists() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    sessions = {function.name for function in functions}
    assert all(ast.get_docstring(function) for function in functions)  # what `nox -l` shows
    for name, text in DOCS.items():
        assert set(re.findall(r"nox -s (\w+)", text)) <= sessions, name


# Files


def test_the_readmes_tree_shows_every_folder_and_every_package() -> None:
    [tree] = [block for block in fenced(README) if block.startswith("evals/")]
    lines = [re.fullmatch(r"( *)([\w/]+)/ +\S.*", line) for line in tree.splitlines()]
    assert all(lines)  # every folder has a comment
    named = {
        indent: {line[2].partition("/")[0] for line in lines if line and line[1] == indent} for indent in ("", "  ")
    }
    files = [path for path in listed_by_git() if "/" in path]
    folders = {path.partition("/")[0] for path in files}
    assert named[""] == {folder for folder in folders if not folder.startswith(".")}
    packages = {path.split("/")[2] for path in files if path.startswith("src/thirdlever/") and path.count("/") > 2}
    assert named["  "] == packages


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("name", sorted(DOCS))
def test_no_document_mentions_a_file_that_is_not_there(name: str) -> None:
    text = DOCS[name]
    shown = re.findall(r"^`([\w/.]+)`$", text, re.MULTILINE)  # files whose content the document has
    inits = re.findall(r"thirdlever init (?:\S*/)?(\w+)", text)  # what its reader creates
    made = {"results", *inits, *(Path(path).stem for path in shown)}
    paths = {
        path.rstrip(".")
        for path in re.findall(
            r"(?<![\w/])(?:src|strategies|evals|docs|scripts|tests|benchmarks|datasets)/[\w./-]+", text
        )
    }
    links = {target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target}
    assert {target for target in links if not (ROOT / name).parent.joinpath(target).exists()} == set()
    missing = {path for path in paths if not (ROOT / path).exists()}
    assert {path for path in missing if not made & set(re.split(r"[/.]", path))} == set()


def test_no_document_holds_a_placeholder() -> None:
    for name, text in DOCS.items():
        assert not re.search(r"<!--(?! results -->)|TODO|TBD|FIXME", text), name


def test_the_changelog_has_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.search(rf"^## {re.escape(version)}\b", DOCS["CHANGELOG.md"], re.MULTILINE)


# The Python of the guide to a run


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder: a project whose `transactions` is the first rows of ours, with a model that says "cash"."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "datasets" / "transactions"
    data.mkdir(parents=True)
    for split, rows in {"train": 400, "dev": 40, "test": 30}.items():
        lines = (ROOT / "datasets" / "transactions" / f"{split}.jsonl").read_text("utf-8").splitlines()
        (data / f"{split}.jsonl").write_text("\n".join(lines[:rows]) + "\n", "utf-8")
    monkeypatch.setattr(embedders, "_model", lambda _: Hashing())
    monkeypatch.setattr("thirdlever.models.registry.resolve", lambda _: FakeModel(answer=lambda _: "cash"))


@pytest.mark.usefixtures("small")
def test_the_python_of_the_guide_runs() -> None:
    [source] = fenced(DOCS["docs/running.md"], "python")
    *lines, last = ast.parse(source).body
    assert isinstance(last, ast.Expr)  # what a notebook would show
    names: dict[str, Any] = {}
    exec(compile(ast.Module(lines, []), "running.md", "exec"), names)  # noqa: S102 - it is ours
    shown = eval(compile(ast.Expression(last.value), "running.md", "eval"), names)  # noqa: S307
    assert names["run"].summary["candidate"].to_list() == ["null", "rag(k=20)"]
    assert len(names["records"]) == 2 * (30 + 30)  # all items, and as many again for the latency
    asked = names["records"][names["records"]["phase"] == "accuracy"]
    assert len(shown) == (asked["score"] == 0).sum() > 0


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `nox -s docs` does: a broken link or anchor, or a page that the navigation lacks, fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc="?(https?:)?//|<link[^>]*rel="?(?:stylesheet|preconnect)"?[^>]*//"""
    )
    pages = list(site.rglob("*.html"))
    assert pages
    assert [page.name for page in pages if loaded.search(page.read_text("utf-8"))] == []
    assert [sheet.name for sheet in site.rglob("*.css") if "url(http" in sheet.read_text("utf-8")] == []


def test_the_reference_has_every_public_name(site: Path) -> None:
    text = "".join(page.read_text("utf-8") for page in (site / "reference").glob("*.html"))
    assert {name for name in thirdlever.__all__ if f'id="thirdlever.{name}"' not in text} == set()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_reference_has_every_command_and_option(site: Path, command: str) -> None:
    text = (site / "reference" / "command-line.html").read_text("utf-8")
    assert f'id="thirdlever-{command}"' in text
    assert {option for option in options(command) - HELP if f"<code>{option}" not in text} == set()

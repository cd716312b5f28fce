"""Pages of the documentation site that nobody writes by hand; mkdocs calls the functions `on_…` (see mkdocs.yml).

README.md and CONTRIBUTING.md become the first page and a page of their own. The reference comes from the command
line's help and from the docstrings of the public names, in the groups of `thirdlever.__all__`. Notebooks become pages.
"""

from __future__ import annotations

import ast
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "thirdlever"
FROM_ROOT = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
PICTURE = "results/reference/chart.png"  # in README


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, content in pages():
        files.append(File.generated(config, name, content=content))
    files.append(File.generated(config, PICTURE, abs_src_path=str(ROOT / PICTURE)))
    for notebook in list(files):
        if notebook.src_uri.endswith(".ipynb"):
            files.remove(notebook)
            for name, page in from_notebook(Path(config.docs_dir, notebook.src_uri)):
                files.append(File.generated(config, f"{Path(notebook.src_uri).parent.as_posix()}/{name}", content=page))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A link to a notebook, which GitHub shows as it is, leads to its page."""
    return re.sub(r"\]\(((?:\w+/)+\w+)\.ipynb\)", r"](\1.md)", markdown)


def pages() -> Iterator[tuple[str, str]]:
    """Names and contents of the pages that have no file in docs/."""
    for source, name in FROM_ROOT.items():
        yield name, from_root((ROOT / source).read_text("utf-8"))
    yield "reference/command-line.md", command_line()
    for title, about, names in groups():
        yield f"reference/{title.lower().split()[-1]}.md", python_page(title, about, "thirdlever", names)
    yield (
        "reference/testing.md",
        python_page("Testing", "what tests of your own need", "thirdlever.testing", exported(SOURCE / "testing")),
    )


def from_root(text: str) -> str:
    """A page of the repository's root, with links as they are from docs/."""
    for source, name in FROM_ROOT.items():
        text = text.replace(f"]({source})", f"]({name})")
    return text.replace("](docs/", "](").replace("](LICENSE)", "](https://www.apache.org/licenses/LICENSE-2.0)")


# The Python reference


def groups() -> Iterator[tuple[str, str, list[str]]]:
    """Title, description and names of each group in `thirdlever.__all__`: a comment begins one."""
    text = (SOURCE / "__init__.py").read_text("utf-8").partition("__all__ = [")[2]
    for title, about, names in re.findall(r"# ([\w ]+): (.+)\.\n((?: +\"\w+\",\n)+)", text):
        yield title, about, re.findall(r"\w+", names)


def exported(package: Path) -> list[str]:
    """The names in a package's `__all__`."""
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    [names] = [node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == ["__all__"]]
    found: list[str] = ast.literal_eval(names)
    return found


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def python_page(title: str, about: str, module: str, names: list[str]) -> str:
    """A page that mkdocstrings fills with the docstrings of a module's names."""
    return "\n\n".join([f"# {title}", f"In `{module}`: {about}.", *(f"::: {module}.{name}" for name in names)]) + "\n"


# The command line


def command_line() -> str:
    """Every command with its arguments and options, as its own help states them."""
    import typer.main

    from thirdlever.cli import main

    group: Any = typer.main.get_command(main.app)
    parts = ["# Command line", f"{group.help} `thirdlever COMMAND --help` prints the same."]
    for topic, names in main.TOPICS.items():
        parts.append(f"## {topic}")
        for name in names:
            parts += described(group.commands[name], f"thirdlever {name}")
    return "\n\n".join(parts) + "\n"


def described(command: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - typer's own class
    """Usage, help and options of a command, then its subcommands."""
    context = command.make_context(path, [], resilient_parsing=True)
    yield f"### {path}"
    yield "\n\n".join(map(_plain, (command.help or "").split("\n\n")))
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [
        f"| `{left}` | {_plain(right)} |" for left, right in filter(None, records) if left != "--help"
    ]  # no name has a |
    if rows:
        yield "\n".join(["| argument or option | meaning |", "|:--|:--|", *rows])
    for name, sub in getattr(command, "commands", {}).items():
        yield from described(sub, f"{path} {name}")


def _plain(text: str) -> str:
    """Text of the help as Markdown that shows it unchanged."""
    return re.sub(r"([\\*_\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


# Notebooks


def from_notebook(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """The page of a notebook with its stored outputs, and its pictures, by file name."""
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(str(path))
    note = f"[This page as a notebook]({path.name})"
    text = re.sub(r"<style scoped>.*?</style>\n*", "", text, flags=re.DOTALL)
    text = text.replace('<table border="1" class="dataframe">', "<table>")  # in the site's style
    yield f"{path.stem}.md", f"{text}\n{note}\n"
    yield path.name, path.read_bytes()
    yield from resources["outputs"].items()

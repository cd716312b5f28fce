"""A team's own prompt: a file, read in the formats that teams have, and rendered for an item.

`prompts/<name>.jinja` has messages that begin with a line `system:`, `user:` or `assistant:`; without such a line it is
one user message. Its variables are every column of the row and those of `VARIABLES`. Also read: plain text (a system
message), OpenAI's `messages` and promptfoo's chat files as JSON or YAML, and promptfoo's text with `{{variables}}`.

Whatever its format, a prompt is one Jinja template. The beginnings of its messages are marked with a text that no data
can contain, so that a line `system:` in an input stays a part of the input.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import traceback
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from thirdlever.core import project
from thirdlever.core.errors import PromptError, unknown
from thirdlever.core.files import content_hash
from thirdlever.suites.readers import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Template, nodes
    from jinja2.sandbox import SandboxedEnvironment

Role: TypeAlias = Literal["system", "user", "assistant"]
Chat: TypeAlias = "list[tuple[str, str]]"  # (role, text)

DEFAULT = "default"  # names the frame that ships with thirdlever
VARIABLES = {
    "input": "the item's input",
    "messages": "its turns, if the input is a conversation",
    "row": 'every column, for names such as row["Merchant name"]',
    "labels": "the possible answers",
    "answer_format": "how to answer, as the default prompt says it",
    "instruction": "the suite's",
    "input_name": "what the suite calls an input",
    "answer_name": "what it calls an answer",
    "examples": "what the strategy shows, each with input, target and columns; without it, they become turns",
    "documents": "what the strategy retrieved, each with title and text; without it, they precede the input",
}
_SUFFIXES = (".jinja", ".jinja2", ".j2", ".txt", ".md", ".json", ".yaml", ".yml")
_TEMPLATES = (".jinja", ".jinja2", ".j2")
_ABOUT = {"description", "owner", "date", "version"}  # keys of the front matter
_SETTINGS = {"temperature", "max_tokens", "top_p", "max_completion_tokens", "reasoning_effort", "model"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
_BEGINS = re.compile(r"^(system|user|assistant|messages):[ \t]*$", re.MULTILINE)
_SEVERAL = re.compile(r"^---[ \t]*$", re.MULTILINE)
_VARIABLE = re.compile(r"\{\{|\{%")
_UNCLOSED = re.compile(r"innermost block that needs to be closed is '(\w+)'")
_NO_ATTRIBUTE = re.compile(r"'([\w.]+)[\w. ]* object' has no attribute")
_BRACED = re.compile(r"(?<!\{)\{ ?(\w+) ?\}(?!\})")
_KEY = secrets.token_hex(8)
_MARK = re.compile(rf"\s*\x00{_KEY}:(\w+)\x00\s*")
_LARGEST = 1_000_000  # characters or elements that a template may make by `*`
_FORMAT = "{{ answer_format }}"
_SHORT = "user:\n{{ input_name }}: {{ input }}\n{{ answer_name }}:\n"


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt file.

    Attributes:
        name: the file's name without its ending.
        path: the file; None for the built-in `short`.
        source: its text.
        template: the same as one Jinja template, whose messages begin at marks.
        starts: for formats whose lines are not the template's, the template's line of each message.
        about: the front matter.
    """

    name: str
    path: Path | None
    source: str = field(repr=False)
    template: str = field(repr=False)
    starts: Sequence[int] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """sha256 of its text; answers are reused only under the same."""
        return content_hash([self.source])

    @cached_property
    def uses(self) -> frozenset[str]:
        """Variables that it reads, loop variables left out."""
        from jinja2 import meta

        return frozenset(meta.find_undeclared_variables(self._parsed)) - _sandbox().globals.keys()

    def lines(self, name: str) -> int | None:
        """The first line of the template that has a variable."""
        return self._lines.get(name)

    @property
    def jinja(self) -> str:
        """Its text as that of a .jinja file without front matter."""
        text = self.template
        for role, mark in _MARK_OF.items():
            text = text.replace(mark, f"{role}:")
        return f"{text.strip()}\n"

    @property
    def shows_turns(self) -> bool:
        """Whether the item's conversation is a part of the chat."""
        return _MARK_OF["messages"] in self.template

    def render(self, values: Mapping[str, Any], turns: Chat) -> tuple[Chat, int]:
        """Fill in the template.

        Args:
            values: by variable.
            turns: the item's conversation, for prompts that have it as turns.

        Returns:
            The chat, and the place in it where the messages of the item itself begin.

        Raises:
            PromptError: with file, line, cause and remedy.
        """
        try:
            text = self._compiled.render(values)
        except Exception as error:
            raise PromptError(self._explained(error)) from error
        return self._messages(text, turns)

    def refuse(self, why: str, line: int | None = None) -> NoReturn:
        """Raise an error in the file, at a line of the template.

        Raises:
            PromptError: always.
        """
        message = f"{self._where(line)}: {why}"
        raise PromptError(message) from None

    def _messages(self, text: str, conversation: Chat) -> tuple[Chat, int]:
        before, *rest = _MARK.split(text)
        if not rest:
            before, rest = "", ["user", before]
        if before.strip():
            self.refuse("has text before its first message; begin it with a line system: or user:", 1)
        turns: Chat = []
        own = None
        for role, content in zip(rest[::2], rest[1::2], strict=True):
            if role == "messages":
                own = len(turns)
                turns += conversation
            elif content.strip():
                turns.append((role, content.strip()))
        self._refuse_order(turns)
        return _joined(turns, len(turns) - 1 if own is None else own)

    def _refuse_order(self, turns: Chat) -> None:
        roles = [role for role, _ in turns]
        if not roles or roles[-1] != "user":
            last = f"its last message is the {roles[-1]}'s" if roles else "it has no message"
            self.refuse(f"{last}; end with a message of the user's that shows the input")
        if "system" in roles[next((i for i, role in enumerate(roles) if role != "system"), 0) :]:
            self.refuse("has a system message after another; move it to the beginning")

    @cached_property
    def _parsed(self) -> nodes.Template:
        from jinja2 import TemplateSyntaxError, meta, nodes

        try:
            parsed = _sandbox().parse(self.template)
            meta.find_undeclared_variables(parsed)  # fails for a filter that does not exist
        except TemplateSyntaxError as error:
            self.refuse(_syntax(error.message or ""), error.lineno)
        for other in parsed.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            self.refuse("a prompt cannot use another file; put its text here", other.lineno)
        return parsed

    @cached_property
    def _compiled(self) -> Template:
        return _sandbox().from_string(self._parsed)

    @cached_property
    def _lines(self) -> dict[str, int]:
        """The first line of every name."""
        from jinja2 import nodes

        names = sorted(self._parsed.find_all(nodes.Name), key=lambda name: -name.lineno)
        return {name.name: name.lineno for name in names}

    def _where(self, line: int | None = None) -> str:
        shown = str(self.path or self.name)
        if line is None:
            return shown
        if self.starts:
            return f"{shown}, message {bisect_right(self.starts, line)}"
        return f"{shown}:{line}"

    def _explained(self, error: Exception) -> str:
        from jinja2.exceptions import SecurityError, UndefinedError

        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
        where = self._where(frames[-1].lineno if frames else None)
        what = str(error).rstrip(".")
        if isinstance(error, SecurityError | OverflowError):
            return f"{where}: the sandbox forbids it ({what}); use variables, filters and loops only"
        if isinstance(error, UndefinedError):
            return f"{where}: {_NO_ATTRIBUTE.sub(_owner, what)}; correct the name"
        return f"{where}: {what}; correct the template"


def _owner(found: re.Match[str]) -> str:
    """What lacks an attribute, in the words of docs/prompts.md."""
    return "a row, example or document has no" if found[1] == "dict" else "a text has no"


def _syntax(message: str) -> str:
    """Jinja's message about a syntax error as one sentence with a remedy."""
    if unclosed := _UNCLOSED.search(message):
        return f"{{% {unclosed[1]} %}} is not closed; add {{% end{unclosed[1]} %}}"
    return f"{message.rstrip('.')}; correct the template"


def read_source(name: str, source: str) -> Prompt:
    """A prompt from the text of a .jinja file without front matter."""
    return Prompt(name, None, source, _marked(source))


def default_source(instruction: str) -> str:
    """The default prompt as the text of a .jinja file."""
    return f"system:\n{quoted(instruction)}\n{_FORMAT}\n{_SHORT}"


def instruction_of(source: str) -> str:
    """The text of a prompt that tells what to do: its first system message, else its last message.

    A last line with the answer format is left out.
    """
    begins = list(_BEGINS.finditer(source))
    first = next((place for place, found in enumerate(begins) if found[1] == "system"), len(begins) - 1)
    start = begins[first].end() if begins else 0
    end = begins[first + 1].start() if first + 1 < len(begins) else len(source)
    return source[start:end].strip().removesuffix(_FORMAT).strip()


def with_turns(source: str, turns: Iterable[tuple[str, str]]) -> str:
    """The text of a prompt with further turns before its last message."""
    text = "".join(f"{role}:\n{quoted(content)}\n" for role, content in turns)
    begins = [found.start() for found in _BEGINS.finditer(source)]
    return source[: begins[-1]] + text + source[begins[-1] :] if begins else f"{text}user:\n{source}"


def quoted(text: str) -> str:
    """The text, or an expression with its value if a template would understand it otherwise."""
    if _VARIABLE.search(text) or "{#" in text or _BEGINS.search(text):
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"
    return text


def find_prompt(name: str) -> Prompt | None:
    """A prompt by its name in `prompts/`, or by the path of a file.

    Returns:
        The prompt; None for `default`.

    Raises:
        PromptError: there is no such file, or it cannot be read.
    """
    if name == DEFAULT:
        return None
    found = available_prompts()
    if name in found:
        return read_prompt(found[name])
    path = Path(name)
    if path.suffix in _SUFFIXES or len(path.parts) > 1 or path.is_file():
        return read_prompt(path)
    if name == "short":
        return Prompt("short", None, _SHORT, _marked(_SHORT))
    near = unknown("prompt", name, [*found, DEFAULT, "short"])
    message = f"{near}; write prompts/{name}.jinja or give a file"
    raise PromptError(message)


def available_prompts() -> dict[str, Path]:
    """Prompt files by name; the current folder's replace starter prompts of the same name.

    Raises:
        PromptError: two files have the same name.
    """
    found: dict[str, Path] = {}
    for root in reversed(project.roots()):
        own: dict[str, Path] = {}
        for path in sorted(Path(os.path.relpath(root), "prompts").glob("[!_.]*")):
            if path.suffix not in _SUFFIXES or path.stem == "README":
                continue
            if path.stem in own:
                message = f"'{own[path.stem]}' and '{path}' have the same name; rename one of them"
                raise PromptError(message)
            own[path.stem] = path
        found |= own
    return found


def read_prompt(path: Path) -> Prompt:
    """Read a prompt file by its ending.

    Raises:
        PromptError: its format is unknown, or it is not what its ending says.
    """
    if path.suffix not in _SUFFIXES:
        why = "a program" if path.suffix in {".py", ".js", ".ts"} else "in an unknown format"
        message = f"'{path}' is {why}; give a prompt that ends in {', '.join(_SUFFIXES)}"
        raise PromptError(message)
    if not _NAME.fullmatch(path.stem) or path.stem == DEFAULT:
        message = f"'{path}' cannot be a prompt's name; use letters, digits, '.', '_' and '-', and not {DEFAULT!r}"
        raise PromptError(message)
    source = read_text(path, PromptError).replace("\r\n", "\n")
    if not source.strip():
        message = f"'{path}' is empty; write the prompt into it"
        raise PromptError(message)
    if path.suffix in _TEMPLATES:
        return _read_template(path, source)
    if path.suffix in {".txt", ".md"}:
        return _read_plain(path, source)
    return _read_chat(path, source)


def _read_template(path: Path, source: str) -> Prompt:
    about: Mapping[str, Any] = {}
    body = source
    if front := _FRONT.match(source):
        about = _front_matter(path, front[1] or "")
        body = "\n" * front[0].count("\n") + source[front.end() :]
    return Prompt(path.stem, path, source, _marked(body), about=about)


def _front_matter(path: Path, text: str) -> Mapping[str, Any]:
    import yaml

    try:
        about = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        message = f"{path}:{line}: front matter is not YAML ({getattr(error, 'problem', None) or error}); correct it"
        raise PromptError(message) from None
    if not isinstance(about, dict):
        message = f"{path}:1: front matter is a {type(about).__name__}; write keys and values"
        raise PromptError(message)
    for key in about:
        _refuse_key(path, str(key), _ABOUT)
    return {str(key): value for key, value in about.items()}


def _refuse_key(path: Path, key: str, known: set[str]) -> None:
    """Refuse what would be ignored: the prompt would be measured otherwise than it is used."""
    if key in known:
        return
    remedy = f"expected {', '.join(sorted(known))}"
    if key == "model":
        remedy = "remove it and give --model"
    elif key in _SETTINGS:
        remedy = f"remove it and give --model 'NAME:{key}=VALUE'" if key != "temperature" else "remove it"
    message = f"{path}: {key!r} would have no effect here; {remedy}"
    raise PromptError(message)


def _read_plain(path: Path, source: str) -> Prompt:
    """A system message; with variables, promptfoo's user message or, as JSON, its chat."""
    if source.lstrip().startswith(("[{", "[\n")) and _is_json(source):
        return _read_chat(path, source)
    if not _VARIABLE.search(source) and not _BEGINS.search(source):
        for found in _BRACED.finditer(source):
            if found[1] in VARIABLES:
                line = source.count("\n", 0, found.start()) + 1
                message = f"{path}:{line}: {found[0]} is not filled in; write {{{{ {found[1]} }}}}"
                raise PromptError(message)
        return Prompt(path.stem, path, source, _template([("system", quoted(source.strip())), ("messages", "")]))
    if _FRONT.match(source) or len(_BEGINS.findall(source)) > 1:
        message = f"{path}: is written as a template, with front matter or roles; rename it to {path.stem}.jinja"
        raise PromptError(message)
    if path.suffix == ".txt" and _SEVERAL.search(source.strip()):
        number = len(_SEVERAL.split(source.strip()))
        message = f"{path}: has {number} prompts, separated by ---; put each into a file of its own"
        raise PromptError(message)
    return Prompt(path.stem, path, source, _marked(source))


def _is_json(source: str) -> bool:
    try:
        json.loads(source)
    except ValueError:
        return False
    return True


class _Part(BaseModel):
    """A part of a message in OpenAI's format."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class _Message(BaseModel):
    """A message in OpenAI's format."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


_MESSAGES = TypeAdapter(list[_Message])


def _read_chat(path: Path, source: str) -> Prompt:
    """OpenAI's messages, or promptfoo's chat, which has variables in them."""
    found = _load(path, source)
    if isinstance(found, dict):
        if "prompts" in found:
            message = f"{path}: a promptfoo configuration; put one of its prompts into a file"
            raise PromptError(message)
        for key in found:
            _refuse_key(path, str(key), {"messages", *_ABOUT})
        found = found.get("messages")
    if not isinstance(found, list) or not found:
        message = f'{path}: has no messages; write [{{"role": "system", "content": …}}, …]'
        raise PromptError(message)
    try:
        messages = _MESSAGES.validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place, *key = first["loc"]
        what = ".".join(map(str, key[:1])) or "it"
        message = f"{path}, message {int(place) + 1}: {what}: {first['msg'].lower()}; write role and content as OpenAI"
        raise PromptError(message) from None
    parts: list[tuple[str, str]] = [
        ("system" if each.role == "developer" else each.role, each.text) for each in messages
    ]
    if messages[-1].role != "user" and not any(_VARIABLE.search(text) for _, text in parts):
        parts.append(("messages", ""))
    template = _template(parts)
    starts = [number for number, line in enumerate(template.split("\n"), 1) if _MARK.search(line)]
    return Prompt(path.stem, path, source, template, starts)


def _load(path: Path, source: str) -> Any:  # noqa: ANN401 - any JSON or YAML
    import yaml

    try:
        return yaml.safe_load(source) if path.suffix in {".yaml", ".yml"} else json.loads(source)
    except json.JSONDecodeError as error:
        line, what, kind = error.lineno, error.msg, "JSON"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, what, kind = mark.line + 1 if mark else 1, getattr(error, "problem", None) or str(error), "YAML"
    hint = "; a template around the messages must be written as .jinja" if "{%" in source else "; correct it"
    message = f"{path}:{line}: not {kind} ({what}){hint}"
    raise PromptError(message)


_MARK_OF = {role: f"\0{_KEY}:{role}\0" for role in ("system", "user", "assistant", "messages")}


def _marked(text: str) -> str:
    return _BEGINS.sub(lambda found: _MARK_OF[found[1]], text)


def _template(parts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{_MARK_OF[role]}\n{text}" for role, text in parts)


def _joined(turns: Chat, own: int) -> tuple[Chat, int]:
    """Neighbours of one role as one message, as providers ask for; and where the item's own begin then."""
    found: Chat = []
    starts = own
    for place, (role, text) in enumerate(turns):
        if found and found[-1][0] == role and place != own:
            found[-1] = role, f"{found[-1][1]}\n\n{text}"
            starts -= place < own
        else:
            found.append((role, text))
    return found, starts


def _sandbox() -> SandboxedEnvironment:
    """Jinja's sandbox: no attribute that begins with _, nothing that changes a value, no file."""
    global _environment  # noqa: PLW0603 - made once, because importing jinja2 takes a while
    if _environment is None:
        from jinja2 import StrictUndefined
        from jinja2.exceptions import SecurityError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Sandbox(ImmutableSandboxedEnvironment):
            intercepted_binops = frozenset({"*", "**"})

            def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - jinja2's
                """Refuse results that would fill the memory."""
                sizes = [len(each) if hasattr(each, "__len__") else abs(each) for each in (left, right)]
                if operator == "**" or sizes[0] * sizes[1] > _LARGEST:
                    message = f"{operator} makes too much"
                    raise SecurityError(message)
                return super().call_binop(context, operator, left, right)

        _environment = Sandbox(undefined=StrictUndefined)
        _environment.filters["dump"] = lambda value: json.dumps(value, ensure_ascii=False)  # promptfoo's
        _environment.filters["tojson"] = _environment.filters["dump"]  # Jinja's own escapes HTML
    return _environment


_environment: SandboxedEnvironment | None = None

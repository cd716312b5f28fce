"""Mistakes in a user's file: one sentence with file, line, cause and, where it is known, what to write instead."""

from __future__ import annotations

import builtins
import difflib
import inspect
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from thirdlever.core.errors import StrategyError, ThirdleverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

E = TypeVar("E", bound=ThirdleverError)

HARNESS = Path(__file__).resolve().parents[1]
_LIBRARIES = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")]
_WRONG_CALL = re.compile(r"(?:.*<locals>\.)?([\w.]+)\(\) (?:takes|missing|got) ")
_WRONG_IMPORT = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


class _Default:
    def __repr__(self) -> str:
        return "…"


def misuse(message: str, error: type[E] = StrategyError) -> E:  # type: ignore[assignment]  # mypy: a default of a TypeVar
    """The error for a wrong call of a public function, with the file and line of the call."""
    for frame, line in traceback.walk_stack(inspect.currentframe()):
        if _users(frame.f_code.co_filename):
            return error(f"{frame.f_code.co_filename}:{line}: {message}")
    return error(message)


def raised_in(error: BaseException) -> str:
    """Where a user's file raised an error, "file:line: "; "" if a library or the harness did in its own name."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames and _users(frames[-1].filename) else ""


def _users(file: str) -> bool:
    path = Path(file)
    return path.is_file() and not any(path.resolve().is_relative_to(folder) for folder in (HARNESS, *_LIBRARIES))


def defined(function: Callable[..., Any]) -> str:
    """Where a function is defined, "file:line: "; "" if that is unknown."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def named(function: object) -> str:
    """What the user calls a function: its name, or its kind if it has none."""
    name = getattr(function, "__name__", type(function).__name__)
    return "the lambda" if name == "<lambda>" else str(name)


def accepts(function: Callable[..., Any], arguments: int) -> bool:
    """Whether a function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # some functions written in C have no signature
        return True
    return True


def explained(error: BaseException, path: Path, line: int | None = None) -> str:
    """One sentence about Python's own error: file, line, its kind, its text and a remedy.

    Args:
        error: what the file raised.
        path: the user's file.
        line: of the mistake; None for the last line of the file that ran.
    """
    text = str(error)
    if isinstance(error, SyntaxError):
        text, line = error.msg, error.lineno
        path = Path(error.filename or path)
    elif line is None:
        line = line_in(error, path)
    where = f"{path}:{line}" if line else str(path)
    return "; ".join(filter(None, [f"{where}: {type(error).__name__}: {text}", _remedy(error)]))


def line_in(error: BaseException, path: Path) -> int | None:
    """The last line of the file that ran before the error; None if none did."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _remedy(error: BaseException) -> str:
    match error:
        case AttributeError(name=str(name), obj=owner):
            return _near(name, dir(owner))
        case NameError(name=str(name)):
            public = _public()
            return f"add {name} to: from thirdlever import …" if name in public else _near(name, _visible(error))
        case ModuleNotFoundError():
            return "install it, or correct its name"
        case ImportError() if found := _WRONG_IMPORT.match(str(error)):
            return _near(found[1], dir(sys.modules.get(found[2])))
        case TypeError() if found := _WRONG_CALL.match(str(error)):
            return _call(found[1].removesuffix(".__init__").split("."), _visible(error))
    return ""


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _public() -> Mapping[str, Any]:
    package = sys.modules["thirdlever"]
    return {name: getattr(package, name) for name in getattr(package, "__all__", ())}


def _visible(error: BaseException) -> dict[str, Any]:
    """The names that the failing line could use, and those that it could import from thirdlever."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = {**frames[-1].f_globals, **frames[-1].f_locals} if frames else {}
    return {**vars(builtins), **_public(), **own}


def _call(names: list[str], visible: Mapping[str, Any]) -> str:
    """How a function is called: "write ask(suite, context=…, *, brief=…)"; "" if it is not found."""
    found = visible.get(names[0])
    for name in names[1:]:
        found = getattr(found, name, None)
    try:
        signature = inspect.signature(found)  # type: ignore[arg-type]  # None raises a TypeError
    except (TypeError, ValueError):
        return ""
    shown = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default if parameter.default is parameter.empty else _Default(),
        )
        for parameter in list(signature.parameters.values())[len(names) - 1 :]  # without a method's self
    ]
    written = signature.replace(parameters=shown, return_annotation=signature.empty)
    return f"write {names[-1]}{written}"

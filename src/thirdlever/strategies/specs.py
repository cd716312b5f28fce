"""A strategy's keyword arguments as the command line writes them, read against the factory's annotations."""

from __future__ import annotations

import hashlib
import inspect
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from thirdlever.core import project
from thirdlever.core.errors import StrategyError, ThirdleverError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.project import version
from thirdlever.strategies.contract import Deployment, add_setups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Factory, Prepare
    from thirdlever.suites.suite import Suite


_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Argument:
    """One keyword argument of a strategy.

    Attributes:
        name: as in the factory's signature.
        type: its annotation.
        default: `inspect.Parameter.empty` when it must be given.
    """

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    def __str__(self) -> str:
        """As `thirdlever strategies` shows it: `k: int | "auto" = 8`."""
        return f"{self.name}: {_typename(self.type)}" + ("" if self.required else f" = {written(self.default)}")

    def read(self, text: str) -> Any:  # noqa: ANN401 - whatever the annotation says
        """The value that `text` stands for.

        Raises:
            StrategyError: naming what is allowed, when the annotation admits no such value.
        """
        # Narrow before wide: "8" is the number where numbers are allowed, and text only where nothing else fits.
        for kind in sorted(_members(self.type), key=_width):
            values = _readings(text, kind)
            if values:
                return values[0]
        message = f"{self.name}={text!r} is not allowed; give {_typename(self.type)}"
        raise StrategyError(message)


def arguments(factory: Callable[..., Any]) -> dict[str, Argument]:
    """A factory's arguments by name, in the order of its signature.

    Raises:
        StrategyError: an annotation cannot be evaluated.
    """
    # Not the return type: `Prepare` may be imported for type checkers only, and nobody needs it here.
    hints = {name: hint for name, hint in inspect.get_annotations(factory).items() if name != "return"}
    try:
        types = get_type_hints(SimpleNamespace(__annotations__=hints), globalns=factory.__globals__)
    except NameError as error:
        message = f"strategy {factory.__name__!r}: {error} in an annotation; import it at run time"
        raise StrategyError(message) from None
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: Argument(p.name, types.get(p.name, type(p.default)), p.default) for p in parameters}


def read(pairs: Mapping[str, str], known: Mapping[str, Argument], *, strategy: str) -> dict[str, Any]:
    """Typed values of the arguments given.

    Raises:
        StrategyError: an argument that the strategy does not take, a value that it does not allow, or a required
            argument that is missing.
    """
    for name in pairs:
        if name not in known:
            raise StrategyError(unknown(f"argument of strategy {strategy!r}", name, known))
    for argument in known.values():
        if argument.required and argument.name not in pairs:
            message = f"strategy {strategy!r} needs {argument.name}; write {strategy}:{argument.name}=VALUE"
            raise StrategyError(message)
    try:
        return {name: known[name].read(text) for name, text in pairs.items()}
    except StrategyError as error:
        message = f"strategy {strategy!r}: {error}"
        raise StrategyError(message) from None


def written(value: object) -> str:
    """A value as the command line writes it: `read` gives it back."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _members(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - an annotation
    union = get_origin(annotation) in {Union, UnionType}
    return tuple(m for part in get_args(annotation) for m in _members(part)) if union else (annotation,)


def _width(kind: Any) -> int:  # noqa: ANN401 - an annotation
    if get_origin(kind) is Literal:
        return 0
    order = (NoneType, bool, int, float, str)
    return 1 + order.index(kind) if kind in order else len(order) + 1


def _readings(text: str, kind: Any) -> list[Any]:  # noqa: ANN401 - an annotation
    """The value of that kind that `text` stands for, in a list; nothing in it when there is none."""
    if get_origin(kind) is Literal:
        return [option for option in get_args(kind) if written(option) == text]
    if kind in {NoneType, None}:
        return [None] if text == "none" else []
    if kind is bool:
        return [_WORDS[text.lower()]] if text.lower() in _WORDS else []
    if kind in {int, float}:
        try:
            return [kind(text)]
        except ValueError:
            return []
    return [text] if kind is str else []


def _typename(annotation: Any) -> str:  # noqa: ANN401 - an annotation
    names = []
    for kind in _members(annotation):
        if get_origin(kind) is Literal:
            names += [f'"{option}"' if isinstance(option, str) else written(option) for option in get_args(kind)]
        elif kind is bool:
            names += ["true", "false"]
        else:
            names.append("none" if kind in {NoneType, None} else getattr(kind, "__name__", str(kind)))
    return " | ".join(names)


_HARNESS = Path(__file__).parents[1]


def blaming(prepare: object, path: Path) -> Prepare:
    """`prepare`, whose own mistakes are `StrategyError`s.

    Args:
        prepare: what the strategy returned.
        path: the file that the strategy is written in.

    Raises:
        StrategyError: it is no function.
    """
    if not callable(prepare):
        message = f"{path}: the strategy returned {prepare!r:.80}; it must return its prepare(suite, model, store)"
        raise StrategyError(message)
    own: Prepare = prepare

    def prepared(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        try:
            made: object = own(suite, model, store)
        except (ThirdleverError, OSError):
            raise
        except Exception as error:
            line = _line(error, path)
            if line is None:
                raise
            message = f"{path}, line {line}: {type(error).__name__}: {error}; correct the strategy"
            raise StrategyError(message) from error
        if not isinstance(made, Deployment):
            message = f"{path}: prepare returned {made!r:.80}; it must return a Deployment"
            raise StrategyError(message)
        return made

    return prepared


def _line(error: Exception, path: Path) -> int | None:
    """The last line of the file that was run; None when it had called the harness, whose mistake it then is."""
    line = None
    for frame in traceback.extract_tb(error.__traceback__):
        where = Path(frame.filename).resolve()
        if where == path.resolve():
            line = frame.lineno
        elif where.is_relative_to(_HARNESS) and where != Path(__file__).resolve():
            line = None
    return line


def stacked(over: Prepare, under: Prepare, *, name: str) -> Prepare:
    """Prepare `under`, then `over` on its model; both set-ups are paid for, and all that either was given is checked.

    Args:
        over: who asks.
        under: whose model is asked.
        name: of the latter, for the error when it has none.
    """

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        below = under(suite, model, store)
        if below.model is None:
            message = f"{name} prepares no model that another strategy could ask; put one on lora, managed or distilled"
            raise StrategyError(message)
        above = over(suite, below.model, store)
        return replace(
            above,
            setup=add_setups(below.setup, above.setup),
            given=(*below.given, *above.given),
            tuning=above.tuning or below.tuning,
            lever="tuned" if "tuned" in {above.lever, below.lever} else above.lever,
        )

    return prepare


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """A strategy with its arguments.

    Attributes:
        name: the file's name under `strategies/`.
        args: every argument, defaults filled in.
        given: those that the user set, as text.
        source_hash: sha256 of the strategy's file.
        prepare: what the factory returned.
        on: the strategy whose model it asks; None for the base model.
    """

    name: str
    args: Mapping[str, Any]
    given: Mapping[str, str]
    source_hash: str
    prepare: Prepare = field(repr=False)
    on: StrategySpec | None = None

    def __str__(self) -> str:
        """As tables show it: `rag(k=20)`, `rag(k=5) on lora(rank=8)`."""
        listed = ", ".join(f"{key}={value}" for key, value in self.given.items())
        own = self.name.partition(" on ")[0] + (f"({listed})" if listed else "")
        return f"{own} on {self.on}" if self.on else own


@dataclass(frozen=True, slots=True)
class Candidate:
    """Strategy x base model x arguments: one row of the comparison."""

    spec: StrategySpec
    model: BaseModel
    name: str

    def identity(self, suite: Suite, *, seed: int = 0, constrain: bool = False) -> str:
        """Hash of everything that an answer depends on: answers are reused under it and under no other.

        All of the suite is in it, the measured items and their targets too: one changed target reuses nothing. How many
        items and epochs are asked for is not: a larger run goes on from a smaller one.
        """
        model = [self.model.name, self.model.inspect_name, self.model.revision, dict(self.model.args)]
        strategy = [self.spec.name, dict(self.spec.args), self.spec.source_hash]
        return content_hash([suite.hash, model, strategy, version(), seed, constrain])


def candidates(specs: Sequence[StrategySpec], models: Sequence[BaseModel]) -> list[list[Candidate]]:
    """Every strategy on every model, by strategy; the model is in the name when there are several."""
    return [
        [Candidate(spec, model, f"{spec} @ {model.name}" if len(models) > 1 else str(spec)) for model in models]
        for spec in specs
    ]


def available() -> dict[str, Path]:
    """Strategy files by name; the user's own come before the starter set's."""
    return dict(project.files("strategies"))


def parse_all(specs: Sequence[str]) -> list[StrategySpec]:
    """Read what is to be run side by side.

    Raises:
        StrategyError: see `parse`; nothing to run; or the same strategy with the same arguments twice.
    """
    if not specs:
        message = f"no strategy given; available: {', '.join(sorted(available())) or 'none'}"
        raise StrategyError(message)
    parsed = [parse(spec) for spec in specs]
    once("strategy", [str(spec) for spec in parsed])
    return parsed


def once(kind: str, names: Sequence[str]) -> None:
    """Refuse a name that is given twice: two rows of one name cannot be told apart.

    Raises:
        StrategyError: naming it.
    """
    for name, times in Counter(names).items():
        if times > 1:
            message = f"{kind} {name!r} is given {times} times; give it once"
            raise StrategyError(message)


def parse(spec: str) -> StrategySpec:
    """Read `name[:key=value,…]`, e.g. `rag:k=20`, or one strategy on another's model: `rag:k=5 on lora:rank=8`.

    Raises:
        StrategyError: no such strategy or argument, or a value that is not allowed; what is, is named.
    """
    over, on, under = spec.partition(" on ")
    return stack(_parse(over), parse(under)) if on else _parse(spec)


def stack(over: StrategySpec, under: StrategySpec) -> StrategySpec:
    """One strategy that asks the model which another has prepared."""
    return StrategySpec(
        name=f"{over.name} on {under.name}",
        args={**over.args, "on": dict(under.args)},
        given=over.given,
        source_hash=content_hash([over.source_hash, under.source_hash]),
        prepare=stacked(over.prepare, under.prepare, name=str(under)),
        on=under,
    )


def _parse(spec: str) -> StrategySpec:
    name, _, rest = spec.partition(":")
    factory, path = _factory(name.strip())
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals or key in pairs:
            fault = "given twice" if equals else "no argument"
            message = f"{spec!r}: {part!r} is {fault}; write {name}:key=value,key=value"
            raise StrategyError(message)
        pairs[key] = text
    known = arguments(factory)
    values = read(pairs, known, strategy=factory.__name__)
    try:
        prepare = factory(**values)
    except (TypeError, ValueError) as error:
        message = f"{spec!r}: {error}; correct the argument"
        raise StrategyError(message) from error
    args = {argument.name: argument.default for argument in known.values()} | values
    given = {key: written(value) for key, value in values.items()}
    return StrategySpec(
        factory.__name__, args, given, hashlib.sha256(path.read_bytes()).hexdigest(), blaming(prepare, path)
    )


def describe() -> str:
    """Every strategy with its headline and its arguments, for a terminal."""
    blocks = []
    for name in sorted(available()):
        factory, _ = _factory(name)
        headline = (factory.__doc__ or "").strip().partition("\n")[0]
        blocks.append("\n".join([f"{name:<16} {headline}", *(f"    {a}" for a in arguments(factory).values())]))
    return "\n\n".join(blocks)


def _factory(name: str) -> tuple[Factory, Path]:
    files = available()
    if name not in files:
        raise StrategyError(unknown("strategy", name, files))
    path = files[name]
    factory: Factory | None = getattr(project.load_module(path, StrategyError), name, None)
    if factory is None or not getattr(factory, "__thirdlever_strategy__", False):
        message = f"{path}: no strategy {name!r} in it; it must hold a function of that name under @strategy"
        raise StrategyError(message)
    return factory, path


def spec(strategy: str, args: Mapping[str, Any]) -> str:
    """`rag:k=20` of "rag" and all of its arguments: those that are not the default today.

    A default that has changed since is written out, so that the strategy stays the one that was pinned.
    """
    over, on, under = strategy.partition(" on ")
    own = {name: value for name, value in args.items() if not (on and name == "on")}
    usual = _defaults(over)
    given = [f"{name}={written(value)}" for name, value in own.items() if name not in usual or usual[name] != value]
    text = f"{over}:{','.join(given)}" if given else over
    return f"{text} on {spec(under, args['on'])}" if on else text


def _defaults(strategy: str) -> Mapping[str, Any]:
    try:
        return parse(strategy).args
    except StrategyError:  # an argument that must be given has no default; whatever else it is, running it says
        return {}

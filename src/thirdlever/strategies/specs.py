"""Strategy specs such as `rag:k=5 on lora:rank=8`: find the files, read the arguments, name the candidates."""

from __future__ import annotations

import hashlib
import inspect
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from thirdlever.core import project
from thirdlever.core.arguments import Argument, pairs, read, written
from thirdlever.core.errors import MissingExtraError, StrategyError, ThirdleverError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.mistakes import HARNESS, accepts, defined, explained, named
from thirdlever.core.project import version
from thirdlever.strategies.contract import Deployment, add_setups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Factory, Prepare
    from thirdlever.suites.suite import Suite


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """A strategy with its arguments.

    Attributes:
        name: name of the file in `strategies/`.
        args: every argument, defaults included.
        given: the arguments that the user set, as text.
        source_hash: sha256 of the strategy's file.
        prepare: what the factory returned.
        on: the strategy whose model this one calls; None for the base model.
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
    """A strategy with its arguments on a base model: one row of the comparison."""

    spec: StrategySpec
    model: BaseModel
    name: str

    def identity(self, suite: Suite, *, seed: int = 0, constrain: bool = False) -> str:
        """Hash of everything that an answer depends on; answers are reused only under the same hash.

        It covers the whole suite, targets included: one changed target invalidates all answers. It does not cover the
        number of items and epochs, so that a larger run reuses the answers of a smaller one.
        """
        model = [self.model.name, self.model.inspect_name, self.model.revision, dict(self.model.args)]
        strategy = [self.spec.name, dict(self.spec.args), self.spec.source_hash]
        return content_hash([suite.hash, model, strategy, version(), seed, constrain])


def candidates(specs: Sequence[StrategySpec], models: Sequence[BaseModel]) -> list[list[Candidate]]:
    """Every strategy on every model, grouped by strategy; names include the model if there are several."""
    return [
        [Candidate(spec, model, f"{spec} @ {model.name}" if len(models) > 1 else str(spec)) for model in models]
        for spec in specs
    ]


def available() -> dict[str, Path]:
    """Strategy files by name; the user's own replace starter strategies of the same name."""
    return dict(project.files("strategies"))


def find(name: str) -> tuple[Factory, Path]:
    """Load a strategy's factory.

    Raises:
        StrategyError: no such file, or it does not define the strategy.
    """
    files = available()
    if name not in files:
        raise StrategyError(unknown("strategy", name, files))
    path = files[name]
    factory: Factory | None = getattr(project.load_module(path, StrategyError), name, None)
    if factory is None or not getattr(factory, "__thirdlever_strategy__", False):
        message = f"{path}: no strategy {name!r} in it; define a function of that name with @strategy"
        raise StrategyError(message)
    return factory, path


def describe() -> str:
    """Every strategy with its headline and arguments, for a terminal."""
    blocks = []
    for name in sorted(available()):
        factory, _ = find(name)
        headline = (factory.__doc__ or "").strip().partition("\n")[0]
        blocks.append("\n".join([f"{name:<16} {headline}", *(f"    {a}" for a in arguments(factory).values())]))
    return "\n\n".join(blocks)


def parse_all(specs: Sequence[str], *, defer_extras: bool = False) -> list[StrategySpec]:
    """Parse the strategies of a run; `defer_extras` as in `parse`.

    Raises:
        StrategyError: as `parse`; also if there are none, or two are the same.
    """
    if not specs:
        message = f"no strategy given; available: {', '.join(sorted(available())) or 'none'}"
        raise StrategyError(message)
    parsed = [parse(spec, defer_extras=defer_extras) for spec in specs]
    once("strategy", [str(spec) for spec in parsed])
    return parsed


def once(kind: str, names: Sequence[str]) -> None:
    """Refuse repeated names: two rows with one name cannot be told apart.

    Raises:
        StrategyError: with the repeated name.
    """
    for name, times in Counter(names).items():
        if times > 1:
            message = f"{kind} {name!r} is given {times} times; give it once"
            raise StrategyError(message)


def parse(spec: str, *, defer_extras: bool = False) -> StrategySpec:
    """Parse `name[:key=value,…]`, e.g. `rag:k=20`, or a strategy on another's model: `rag:k=5 on lora:rank=8`.

    Args:
        spec: the strategy as the user wrote it.
        defer_extras: let `prepare` raise an error about a missing extra, so that a plan can show the other candidates.

    Raises:
        StrategyError: unknown strategy or argument, or an invalid value; the message names the valid ones.
        MissingExtraError: the strategy needs a package that is not installed.
    """
    over, on, under = spec.partition(" on ")
    if on:
        return stack(_parse(over, defer_extras=defer_extras), parse(under, defer_extras=defer_extras))
    return _parse(spec, defer_extras=defer_extras)


def _parse(spec: str, *, defer_extras: bool) -> StrategySpec:
    name, _, rest = spec.partition(":")
    factory, path = find(name.strip())
    known = arguments(factory)
    values = _values(spec, rest, factory.__name__, known)
    try:
        prepare = factory(**values)
    except (TypeError, ValueError) as error:
        message = f"{spec!r}: {error}; correct the argument"
        raise StrategyError(message) from error
    except MissingExtraError as error:
        if not defer_extras:
            raise
        prepare = _failing(error)
    return StrategySpec(
        name=factory.__name__,
        args={argument.name: argument.default for argument in known.values()} | values,
        given={key: written(value) for key, value in values.items()},
        source_hash=hashlib.sha256(path.read_bytes()).hexdigest(),
        prepare=_locating(prepare, path),
    )


def _failing(error: ThirdleverError) -> Prepare:
    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - the contract's arguments
        raise error

    return prepare


def _values(spec: str, given: str, strategy: str, known: Mapping[str, Argument]) -> dict[str, Any]:
    """The arguments in a spec.

    Raises:
        StrategyError: unknown argument, invalid value, or a required argument is missing.
    """
    try:
        named = pairs(given, strategy)
    except ValueError as error:
        message = f"{spec!r}: {error}"
        raise StrategyError(message) from None
    try:
        values = read(named, known)
    except ValueError as error:
        message = f"strategy {strategy!r}: {error}"
        raise StrategyError(message) from None
    for argument in known.values():
        if argument.required and argument.name not in named:
            message = f"strategy {strategy!r} needs {argument.name}; write {strategy}:{argument.name}=VALUE"
            raise StrategyError(message)
    return values


def stack(over: StrategySpec, under: StrategySpec) -> StrategySpec:
    """A strategy that calls the model which another one prepares; both set-ups are paid for, both data checked."""

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        below = under.prepare(suite, model, store)
        if below.model is None:
            message = f"{under} prepares no model; after 'on', name a strategy that does"
            raise StrategyError(message)
        above = over.prepare(suite, below.model, store)
        return replace(
            above,
            setup=add_setups(below.setup, above.setup),
            given=(*below.given, *above.given),
            tuning=above.tuning or below.tuning,
            lever="tuned" if "tuned" in {above.lever, below.lever} else above.lever,
        )

    return StrategySpec(
        name=f"{over.name} on {under.name}",
        args={**over.args, "on": dict(under.args)},
        given=over.given,
        source_hash=content_hash([over.source_hash, under.source_hash]),
        prepare=prepare,
        on=under,
    )


def spec(strategy: str, args: Mapping[str, Any]) -> str:
    """The spec of a strategy and all its arguments, without those at today's default: `rag:k=20`.

    A pinned argument whose default has changed since is written out.
    """
    over, on, under = strategy.partition(" on ")
    try:
        defaults = parse(over).args
    except StrategyError:  # a required argument has no default; running the spec reports anything else
        defaults = {}
    own = {name: value for name, value in args.items() if not (on and name == "on")}
    given = [f"{name}={written(value)}" for name, value in own.items() if defaults.get(name, ...) != value]
    text = f"{over}:{','.join(given)}" if given else over
    return f"{text} on {spec(under, args['on'])}" if on else text


def arguments(factory: Callable[..., Any]) -> dict[str, Argument]:
    """A factory's arguments by name, in the order of its signature.

    Raises:
        StrategyError: an annotation cannot be evaluated.
    """
    # Without the return type: `Prepare` may be imported for type checkers only.
    hints = {name: hint for name, hint in inspect.get_annotations(factory).items() if name != "return"}
    try:
        types = get_type_hints(SimpleNamespace(__annotations__=hints), globalns=factory.__globals__)
    except NameError as error:
        message = f"strategy {factory.__name__!r}: {error} in an annotation; import it at run time"
        raise StrategyError(message) from None
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: Argument(p.name, types.get(p.name, type(p.default)), p.default) for p in parameters}


def _locating(prepare: object, path: Path) -> Prepare:
    """Turn a strategy's own mistakes into a `StrategyError` with file and line; the harness's keep their traceback."""
    if not callable(prepare):
        message = f"{path}: the strategy returned {prepare!r:.80}; it must return its prepare(suite, model, store)"
        raise StrategyError(message)
    own: Prepare = prepare
    if not accepts(own, 3):
        found = f"{named(own)}{inspect.signature(own)}"
        message = f"{defined(own)}{found} does not take three arguments; write def prepare(suite, model, store)"
        raise StrategyError(message)

    def prepared(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        try:
            made: object = own(suite, model, store)
        except (ThirdleverError, OSError):
            raise
        except Exception as error:
            line = _line(error, path)
            if line is None:
                raise
            raise StrategyError(explained(error, path, line)) from error
        if not isinstance(made, Deployment):
            message = f"{path}: prepare returned {made!r:.80}; it must return a Deployment"
            raise StrategyError(message)
        return made

    return prepared


def _line(error: Exception, path: Path) -> int | None:
    """The last line of the file that ran; None if it had called the harness, which is then at fault."""
    line = None
    for frame in traceback.extract_tb(error.__traceback__):
        where = Path(frame.filename).resolve()
        if where == path.resolve():
            line = frame.lineno
        elif where.is_relative_to(HARNESS) and where != Path(__file__).resolve():
            line = None
    return line

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
from thirdlever.core.errors import MissingExtraError, PromptError, StrategyError, ThirdleverError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.mistakes import HARNESS, accepts, defined, explained, named
from thirdlever.core.progress import note
from thirdlever.core.project import version
from thirdlever.core.text import clipped
from thirdlever.prompting.frame import UNSEEN, check_prompt, remarks
from thirdlever.strategies.contract import Deployment, add_setups
from thirdlever.suites.prompts import DEFAULT, find_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Factory, Prepare
    from thirdlever.suites.prompts import Prompt
    from thirdlever.suites.suite import Suite


PROMPT = "prompt"  # the argument that every strategy has beside its own
IMPORTED = "imported"  # in place of the name of a strategy that answered elsewhere: it cannot be run again


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
        over: of a strategy on another's model, the strategy itself.
        prompt: the file in which it puts its items; None for the default prompt.
        plain: the same without its prompt, which is what it is if it calls no model; None if it names no prompt.
    """

    name: str
    args: Mapping[str, Any]
    given: Mapping[str, str]
    source_hash: str
    prepare: Prepare = field(repr=False)
    on: StrategySpec | None = None
    over: StrategySpec | None = None
    prompt: Prompt | None = None
    plain: StrategySpec | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """As tables show it: `rag(k=20)`, `rag(k=5) in v7`, `rag(k=5) on lora(rank=8) in v7`."""
        if self.over and self.on:
            same = self.over.prompt and self.on.prompt and self.over.prompt.name == self.on.prompt.name
            over = self.over.plain if same and self.over.plain else self.over
            return f"{over} on {self.on}"
        listed = ", ".join(f"{key}={value}" for key, value in self.given.items())
        own = self.name + (f"({listed})" if listed else "")
        return f"{own} in {self.prompt.name}" if self.prompt else own

    def put_in(self, prompt: Prompt | None) -> StrategySpec:
        """The strategy in a prompt, None being the default one; unchanged if it names its own.

        A strategy on another's model is put in it together with the other, each unless it names its own.
        """
        if self.over and self.on:
            return stack(self.over.put_in(prompt), self.on.put_in(prompt))
        return self if PROMPT in self.args else self._put_in(prompt)

    def _put_in(self, prompt: Prompt | None) -> StrategySpec:
        own = self.prepare

        def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
            return own(replace(suite, prompt=prompt), model, store)

        if prompt is None:
            return replace(self, prepare=prepare)
        return replace(
            self,
            args={**self.args, PROMPT: prompt.name},
            source_hash=content_hash([self.source_hash, prompt.hash]),
            prepare=prepare,
            prompt=prompt,
            plain=self,
        )

    @property
    def steps(self) -> list[StrategySpec]:
        """The strategies that it consists of, in the order in which they are prepared."""
        return [*self.on.steps, *self.over.steps] if self.over and self.on else [self]

    @property
    def prompts(self) -> list[Prompt]:
        """The prompt files that it uses, first the one in which it asks."""
        return [step.prompt for step in reversed(self.steps) if step.prompt]


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


def candidates(groups: Sequence[Sequence[StrategySpec]], models: Sequence[BaseModel]) -> list[list[Candidate]]:
    """Every strategy on every model, in the groups of `in_prompts`; names include the model if there are several."""
    return [
        [
            Candidate(spec, model, f"{spec} @ {model.name}" if len(models) > 1 else str(spec))
            for model in models
            for spec in group
        ]
        for group in groups
    ]


def in_prompts(
    specs: Sequence[StrategySpec], suite: Suite, prompts: Sequence[str | Path] | None
) -> list[list[StrategySpec]]:
    """Every strategy in every prompt, one group a strategy; one that names its own prompt stays as it is.

    Args:
        specs: the strategies.
        suite: whose items are asked.
        prompts: names or files; None for the suite's own prompt.

    Raises:
        PromptError: a prompt cannot be read, does not fit the suite, or is given twice.
    """
    found = [suite.prompt] if prompts is None else [find_prompt(str(name)) for name in prompts]
    once("prompt", [prompt.name if prompt else DEFAULT for prompt in found], PromptError)
    groups = [[spec.put_in(prompt) for prompt in found] for spec in specs]
    groups = [list({str(spec): spec for spec in group}.values()) for group in groups]
    known: dict[str, Prompt] = {}
    for prompt in (prompt for group in groups for spec in group for prompt in spec.prompts):
        if known.setdefault(prompt.name, prompt).hash != prompt.hash:
            message = f"'{known[prompt.name].path}' and '{prompt.path}' have the same name; rename one of them"
            raise PromptError(message)
    for prompt in known.values():
        check_prompt(prompt, suite)
        if UNSEEN in remarks(prompt, suite):
            note(f"{prompt.path} {UNSEEN}")
    once("strategy", [str(spec) for group in groups for spec in group])
    return groups


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


def once(kind: str, names: Sequence[str], error: type[ThirdleverError] = StrategyError) -> None:
    """Refuse repeated names: two rows with one name cannot be told apart.

    Raises:
        ThirdleverError: of that type, with the repeated name.
    """
    for name, times in Counter(names).items():
        if times > 1:
            message = f"{kind} {name!r} is given {times} times; give it once"
            raise error(message)


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
    values, prompt = _values(spec, rest, factory.__name__, known)
    try:
        prepare = factory(**values)
    except (TypeError, ValueError) as error:
        message = f"{spec!r}: {error}; correct the argument"
        raise StrategyError(message) from error
    except MissingExtraError as error:
        if not defer_extras:
            raise
        prepare = _failing(error)
    made = StrategySpec(
        name=factory.__name__,
        args={argument.name: argument.default for argument in known.values()} | values,
        given={key: written(value) for key, value in values.items()},
        source_hash=hashlib.sha256(path.read_bytes()).hexdigest(),
        prepare=_locating(prepare, path),
    )
    if prompt is None:
        return made
    own = made.put_in(find_prompt(prompt))
    return replace(own, args={**own.args, PROMPT: prompt})


def _failing(error: ThirdleverError) -> Prepare:
    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - the contract's arguments
        raise error

    return prepare


def _values(spec: str, given: str, strategy: str, known: Mapping[str, Argument]) -> tuple[dict[str, Any], str | None]:
    """The arguments in a spec, and the prompt that it names.

    Raises:
        StrategyError: unknown argument, invalid value, or a required argument is missing.
    """
    try:
        named = pairs(given, strategy)
    except ValueError as error:
        message = f"{spec!r}: {error}"
        raise StrategyError(message) from None
    prompt = None if PROMPT in known else named.pop(PROMPT, None)  # every strategy has it
    try:
        values = read(named, known)
    except ValueError as error:
        message = f"strategy {strategy!r}: {error}"
        raise StrategyError(message) from None
    for argument in known.values():
        if argument.required and argument.name not in named:
            message = f"strategy {strategy!r} needs {argument.name}; write {strategy}:{argument.name}=VALUE"
            raise StrategyError(message)
    return values, prompt


def stack(over: StrategySpec, under: StrategySpec) -> StrategySpec:
    """A strategy that calls the model which another one prepares; both set-ups are paid for, both data checked.

    The other is put in the first one's prompt, unless it names its own.
    """
    if over.prompt:
        under = under.put_in(over.prompt)

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
        over=over,
        plain=stack(over.plain, under.plain or under) if over.plain else None,
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
        message = f"{path}: the strategy returned {clipped(prepare)}; it must return its prepare(suite, model, store)"
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
            message = f"{path}: prepare returned {clipped(made)}; it must return a Deployment"
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

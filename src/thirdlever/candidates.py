"""Candidates: strategies found by path, their arguments read from `name:key=value,…`, and what makes two the same."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thirdlever.arguments import arguments, read, written
from thirdlever.blame import blaming
from thirdlever.core import project
from thirdlever.core.errors import StrategyError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.project import version
from thirdlever.stacking import stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.models.base import BaseModel
    from thirdlever.strategy import Factory, Prepare
    from thirdlever.suites.suite import Suite


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

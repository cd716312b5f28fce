"""A pinned strategy as it is written on the command line, so that it can be run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thirdlever.arguments import written
from thirdlever.candidates import parse
from thirdlever.core.errors import StrategyError

if TYPE_CHECKING:
    from collections.abc import Mapping


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

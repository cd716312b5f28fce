"""A mistake in a strategy's file, told as one sentence with its place; a mistake of the harness keeps its traceback."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.errors import StrategyError, ThirdleverError
from thirdlever.strategy import Deployment

if TYPE_CHECKING:
    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategy import Prepare
    from thirdlever.suites.suite import Suite

_HARNESS = Path(__file__).parent


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

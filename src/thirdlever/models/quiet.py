"""Hide what transformers and peft print; import this module at the point of use, because it imports transformers."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transformers.utils import logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def quiet(*, errors_only: bool = False) -> Iterator[None]:
    """Hide progress bars and irrelevant warnings.

    Args:
        errors_only: hide transformers' own warnings too, such as those about training settings.
    """
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if errors_only:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # peft uses old names of transformers
            warnings.filterwarnings("ignore", category=UserWarning, module=r"peft\.")  # several adapters on one model
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]

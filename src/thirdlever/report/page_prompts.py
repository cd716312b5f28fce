"""The inputs and prompts behind a candidate's records, from its logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.evaluation import logs as samples
from thirdlever.report.page_texts import Told, first, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thirdlever.evaluation.logs import Message

Request = tuple[str, int]  # item id, epoch


@dataclass(slots=True)
class Prompts:
    """What a candidate's logs say.

    Attributes:
        log: the name of the log of the accuracy pass; "" when there is none.
        trouble: why it could not be read; "" when it could.
        first: the prompt by which the others are told.
        told: the prompts by request; one is missing where the log does not have what was sent.
        inputs: the items' texts by id.
    """

    log: str = ""
    trouble: str = ""
    first: list[Message] = field(default_factory=list)
    told: dict[Request, Told] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)


def read(folder: Path, logs: Iterable[str], sent: Mapping[Request, str]) -> Prompts:
    """Read a candidate's log of the accuracy pass.

    Args:
        folder: where the run's logs are.
        logs: names of the candidate's, as run.json has them.
        sent: `prompt_hash` by request, of those that asked a model.
    """
    found = Prompts(log=next((Path(name).name for name in logs if ".accuracy." in name), ""))
    if not found.log:
        found.trouble = "the run has no log of it"
        return found
    try:
        for sample in samples.read(folder / found.log):
            found.inputs[sample.item_id] = sample.input
            request = (sample.item_id, sample.epoch)
            messages = sample.prompt(sent[request]) if request in sent else None
            if messages:
                found.first = found.first or first(messages)
                found.told[request] = told(messages, found.first)
    except FileNotFoundError:
        found.trouble = f"logs/{found.log} is not there"
    except (OSError, ValueError):
        found.trouble = f"logs/{found.log} cannot be read"
    return found

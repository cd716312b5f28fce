"""What the report page shows, as JSON: a head at once, the matrix next, texts in blocks read when asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.scorecards import rows
from thirdlever.core.errors import RunError
from thirdlever.report import page_prompts
from thirdlever.report.page_cells import Cells, details, texts
from thirdlever.report.page_texts import Text, cut, fit, pack, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.report.page_prompts import Prompts

BLOCK = 256  # items whose texts are read together
ROOM = 48_000_000  # bytes of the page for prompts and answers, shared out evenly over the candidates
_ROOM_MATRIX = 12_000_000  # bytes for the matrix, with the inputs, which can be searched
_LABEL = 200  # characters of a label that are counted and filtered by; all of it is in its cell

# Why a prompt is not shown; the page's own code knows them.
_NO_MODEL, _NOT_LOGGED, _NO_LOG, _NO_ROOM = "no model", "not logged", "no log", "no room"


@dataclass(frozen=True, slots=True)
class PageData:
    """Everything on the page.

    Attributes:
        head: what is shown first.
        blocks: by name, packed.
    """

    head: dict[str, Any]
    blocks: dict[str, str]


def page_data(run: Run) -> PageData:
    """Read a run's folder.

    Raises:
        RunError: nothing was asked in its accuracy pass.
    """
    if not (run.records["phase"] == "accuracy").any():
        message = f"{run.folder}: no answers are recorded; repeat the run's command with --out {run.folder}"
        raise RunError(message)
    cells = Cells(run.records)
    logs = {about["name"]: about.get("logs") or [] for about in run.info.get("candidates", ())}
    cards = rows(run.summary)
    blocks: dict[str, str] = {}
    inputs: dict[str, str] = {}
    candidates, columns = [], []
    for number, card in enumerate(cards):
        name = card["candidate"]
        requests = cells.requests(name)
        hashes: dict[Any, str] = requests["prompt_hash"].dropna().to_dict()
        prompts = page_prompts.read(run.folder / "logs", logs.get(name, ()), hashes)
        inputs |= prompts.inputs
        packed, limit = _texts(requests, prompts, cells.epochs, ROOM // len(cards))
        blocks |= {f"texts-{number}-{block}": text for block, text in enumerate(packed)}
        blocks[f"first-{number}"] = pack(prompts.first)
        candidates.append(_card(card) | {"limit": limit, "log": prompts.log, "trouble": prompts.trouble})
        columns.append({"outcomes": cells.outcomes(requests), "predictions": texts(requests["prediction"])})
    matrix, limit = fit(lambda limit: [pack(_matrix(cells, columns, inputs, limit))], _ROOM_MATRIX)
    head = _head(run, cells) | {"candidates": candidates, "input_limit": limit, "block": BLOCK}
    return PageData(head, {"matrix": matrix[0]} | blocks)


def _texts(requests: pd.DataFrame, prompts: Prompts, epochs: int, room: int) -> tuple[list[str], int]:
    """A candidate's blocks: what a cell's panel shows."""
    size = BLOCK * epochs
    parts = [requests.iloc[at : at + size] for at in range(0, len(requests), size)]
    ready = [(details(part), _told(part, prompts)) for part in parts]

    def blocks(limit: int) -> list[str]:
        return [
            pack(
                {
                    **known,
                    **{
                        name: _cut(texts(part[name]), limit) for name in ("completion", "reason", "error", "prediction")
                    },
                    "prompt": [_within(prompt, limit) for prompt in told],
                }
            )
            for part, (known, told) in zip(parts, ready, strict=True)
        ]

    return fit(blocks, room)


def _told(part: pd.DataFrame, prompts: Prompts) -> list[Any]:
    """A prompt for each request, or why there is none."""
    missing = _NO_LOG if prompts.trouble else _NOT_LOGGED
    asked_none = part["prompt_hash"].isna()
    return [
        _NO_MODEL if none else prompts.told.get(request, missing)
        for request, none in zip(part.index, asked_none, strict=True)
    ]


def _within(prompt: Any, limit: int) -> Any:  # noqa: ANN401 - a prompt or why there is none
    if isinstance(prompt, str):
        return prompt
    return shorten(prompt, limit) if limit else _NO_ROOM


def _cut(values: Iterable[str | None], limit: int) -> list[Text | None]:
    return [None if value is None else cut(value, limit) for value in values]


def _matrix(
    cells: Cells, columns: Sequence[Mapping[str, Any]], inputs: Mapping[str, str], limit: int
) -> dict[str, Any]:
    """What the grid, the filters and the confusions need."""
    labels: dict[str | None, int] = {}

    def numbers(values: Iterable[str | None]) -> list[int]:
        """Labels by their place in the list of all; -1 for none."""
        return [-1 if v is None else labels.setdefault(v[:_LABEL], len(labels)) for v in values]

    slices = sorted(set(cells.slices))
    place = {name: at for at, name in enumerate(slices)}
    return {
        "ids": cells.items,
        "inputs": _cut((inputs.get(item) for item in cells.items), limit),
        "targets": numbers(cells.targets),
        "slices": [place[name] for name in cells.slices],
        "slice_names": slices,
        "outcomes": [column["outcomes"] for column in columns],
        "predictions": [numbers(column["predictions"]) for column in columns],
        "labels": list(labels),
    }


def _head(run: Run, cells: Cells) -> dict[str, Any]:
    info = run.info
    suite = info.get("suite") or {}
    return {
        "suite": suite.get("name") or "",
        "hash": suite.get("hash") or "",
        "run": run.folder.resolve().name,
        "date": (info.get("finished") or "")[:10],
        "status": info.get("status") or "",
        "version": (info.get("versions") or {}).get("thirdlever") or "",
        "items": len(cells.items),
        "epochs": cells.epochs,
    }


def _card(card: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate's figures; null where unknown."""
    names = ("accuracy", "latency_p50_s", "latency_p95_s", "cost_per_1k_usd")
    figures = {name: None if card[name] is None or math.isnan(card[name]) else float(card[name]) for name in names}
    low, high = card["accuracy_ci95"] or (None, None)
    counts = {name: int(card[name]) for name in ("n", "requests", "errors", "unparseable")}
    model = card["model"] if isinstance(card["model"], str) else ""
    return (
        {"name": card["candidate"], "strategy": card["strategy"], "model": model, "low": low, "high": high}
        | figures
        | counts
    )

"""The records as a matrix: for each candidate one cell an item, with a request in it for every repeat."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import zlib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from thirdlever.analysis.scorecards import rows
from thirdlever.core import files as atomic
from thirdlever.core.errors import RunError
from thirdlever.core.text import printable
from thirdlever.evaluation import logs as samples
from thirdlever.models.engine.generate import common

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.evaluation.logs import Message


# One letter a cell; the page's own code knows them.
RIGHT, PARTLY, WRONG, UNREADABLE, FAILED, NOT_ASKED = "rpwuf-"

_ALONE = "alone_s"
_SHOWN = (
    *("prediction", "score", "reason", "completion", "stop_reason", "error", "prompt_hash"),
    *("input_tokens", "cached_tokens", "output_tokens", "latency_s", "retrieval_s", "ttft_s", "device_s"),
)


class Cells:
    """The accuracy pass of a run.

    Attributes:
        items: ids, in the order in which they were first asked.
        targets: of the items.
        slices: of the items, "" where none.
        epochs: repeats of an item.
    """

    def __init__(self, records: pd.DataFrame) -> None:
        """Take the records of a run with at least one answer."""
        answers = records[records["phase"] == "accuracy"]
        about = answers.drop_duplicates("item_id")
        self.items: list[str] = about["item_id"].to_list()
        self.targets: list[str] = about["target"].fillna("").to_list()
        self.slices: list[str] = about["slice"].fillna("").to_list()
        self.epochs = int(answers["epoch"].max())
        self._answers = dict(tuple(answers.groupby("candidate", sort=False)))
        self._nobody = answers.iloc[:0]
        probe = records[(records["phase"] == "latency") & records["error"].isna() & ~records["cold"].astype(bool)]
        self._alone = {name: own.groupby("item_id")["latency_s"].first() for name, own in probe.groupby("candidate")}

    def requests(self, candidate: str) -> pd.DataFrame:
        """A candidate's requests, the repeats of the first item first; one that was not made is missing throughout.

        `alone_s` is the same item's latency in the serial probe, where it was timed.
        """
        import pandas as pd

        every = pd.MultiIndex.from_product([self.items, range(1, self.epochs + 1)], names=["item_id", "epoch"])
        own = self._answers.get(candidate, self._nobody).drop_duplicates(["item_id", "epoch"], keep="last")
        frame = own.set_index(["item_id", "epoch"])[list(_SHOWN)].assign(asked=True).reindex(every)
        frame["asked"] = frame["asked"].eq(other=True)
        timed = self._alone.get(candidate, pd.Series(dtype="float64"))
        frame[_ALONE] = timed.reindex(frame.index.get_level_values("item_id")).to_numpy()
        return frame

    def outcomes(self, requests: pd.DataFrame) -> str:
        """One letter an item, from what `requests` returns. Repeats that differ are partly right."""
        import numpy as np

        def table(column: Any) -> Any:  # noqa: ANN401 - arrays of any type
            return np.asarray(column).reshape(len(self.items), self.epochs)

        asked = table(requests["asked"])
        score = np.where(asked, table(requests["score"].fillna(0.0)), 0.0).sum(1) / np.maximum(asked.sum(1), 1)
        failed = table(requests["error"].notna()).any(1)
        unread = (table(requests["prediction"].isna()) & asked).any(1)
        letters = np.select(
            [~asked.any(1), score >= 1 - 1e-9, score > 0, failed, unread],  # 1e-9: a mean of ones may fall short
            [NOT_ASKED, RIGHT, PARTLY, FAILED, UNREADABLE],
            WRONG,
        )
        return "".join(letters)


def details(requests: pd.DataFrame) -> Mapping[str, list[Any]]:
    """What a cell tells besides its texts: columns of JSON values, null where unknown."""
    columns: dict[str, list[Any]] = {}
    for name in ("input_tokens", "cached_tokens", "output_tokens"):
        columns[name] = [None if missing else int(value) for value, missing in _known(requests[name])]
    for name in ("latency_s", "retrieval_s", "ttft_s", "device_s", _ALONE, "score"):
        columns[name] = [None if missing else float(f"{value:.4g}") for value, missing in _known(requests[name])]
    columns["stop_reason"] = texts(requests["stop_reason"])
    columns["asked"] = [int(asked) for asked in requests["asked"]]
    return columns


def texts(column: pd.Series[Any]) -> list[Any]:
    """The column's strings; None where missing."""
    return [None if missing else value for value, missing in _known(column)]


def _known(column: pd.Series[Any]) -> zip[tuple[Any, bool]]:
    return zip(column, column.isna(), strict=True)


class Cut(NamedTuple):
    """A text without its middle.

    Attributes:
        start: what it begins with.
        dropped: characters that are not here.
        end: what it ends with.
    """

    start: str
    dropped: int
    end: str


class Told(NamedTuple):
    """A prompt told by what it has in common with its candidate's first one.

    Attributes:
        whole: so many messages of the first one come first.
        part: then so much of the next one's text, in UTF-16 units as JavaScript counts, to which
        own: the first own message is added; the others follow.
    """

    whole: int
    part: int
    own: Sequence[tuple[str, Text]]


Text: TypeAlias = str | Cut

LONGEST = 65_536  # characters; a text beyond is cut whatever the room
_LIMITS = (LONGEST, 16_384, 8_192, 4_096, 2_048, 1_024, 512, 256, 128, 64, 0)
_REFERENCE = 1_000_000  # characters of a text that others are told by
_WORTH = 24  # characters in common that are worth telling by


def pack(content: Any) -> str:  # noqa: ANN401 - JSON
    """JSON, deflated, in base64: nothing in it is markup."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def cut(text: Text, limit: int) -> Text:
    """The text with at most so many characters; one that was cut before may be given again."""
    start, dropped, end = text if isinstance(text, Cut) else (text, 0, "")
    size = len(start) + len(end)
    if size <= limit:
        return text
    whole = start + end
    head = (limit + 1) // 2
    return Cut(whole[:head], dropped + size - limit, whole[size - limit + head :])


def fit(blocks: Callable[[int], list[str]], room: int) -> tuple[list[str], int]:
    """The blocks at the highest limit of characters a text that takes at most `room` bytes; else at 0.

    Args:
        blocks: packs them at a limit.
        room: bytes for all.

    Returns:
        The blocks, and the limit.
    """
    packed: list[str] = []
    for limit in _LIMITS:
        packed = blocks(limit)
        if sum(map(len, packed)) <= room:
            return packed, limit
    return packed, 0


def first(messages: Sequence[Message]) -> list[Message]:
    """The prompt that others are told by."""
    return [(role, text[:_REFERENCE]) for role, text in messages]


def told(messages: Sequence[Message], by: Sequence[Message]) -> Told:
    """A prompt by its candidate's first one. Texts too long for any limit are cut at once, which saves memory."""
    whole = 0
    while whole < min(len(messages), len(by)) and messages[whole] == by[whole]:
        whole += 1
    own = list(messages[whole:])
    part = 0
    if own and whole < len(by) and own[0][0] == by[whole][0]:
        (role, text), like = own[0], by[whole][1]
        shared = common(like, text)
        if shared >= _WORTH:
            own[0] = role, text[shared:]
            part = len(like[:shared].encode("utf-16-le", "surrogatepass")) // 2
    return Told(whole, part, [(role, cut(text, LONGEST)) for role, text in own])


def shorten(prompt: Told, limit: int) -> Told:
    """With each own text within the limit."""
    return prompt._replace(own=[(role, cut(text, limit)) for role, text in prompt.own])


Request = tuple[str, int]  # item id, epoch


@dataclass(slots=True)
class Prompts:
    """What a candidate's logs say.

    Attributes:
        log: the name of the log of the accuracy pass; "" when there is none.
        trouble: why it could not be read; "" when it could.
        first: the prompt by which the others are told.
        told: the prompts by request; one is missing where the log does not have what was sent.
    """

    log: str = ""
    trouble: str = ""
    first: list[Message] = field(default_factory=list)
    told: dict[Request, Told] = field(default_factory=dict)


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
    candidates, columns = [], []
    for number, card in enumerate(cards):
        name = card["candidate"]
        requests = cells.requests(name)
        hashes: dict[Any, str] = requests["prompt_hash"].dropna().to_dict()
        prompts = read(run.folder / "logs", logs.get(name, ()), hashes)
        packed, limit = _texts(requests, prompts, cells.epochs, ROOM // len(cards))
        blocks |= {f"texts-{number}-{block}": text for block, text in enumerate(packed)}
        blocks[f"first-{number}"] = pack(prompts.first)
        candidates.append(_card(card) | {"limit": limit, "log": prompts.log, "trouble": prompts.trouble})
        columns.append({"outcomes": cells.outcomes(requests), "predictions": texts(requests["prediction"])})
    inputs = run.inputs()
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


NAME = "report.html"

_SCRIPTS = ("dom", "data", "candidates", "filters", "grid", "panel", "confusions", "main")
_PLACE = re.compile(r"\{\{ (\w+) \}\}")


def write(run: Run, path: Path | None = None) -> Path:
    """Write a run's page, whole or not at all.

    Args:
        run: what to show.
        path: where; `report.html` in its folder by default.

    Raises:
        RunError: the run has no answers.
        OSError: it cannot be written.
    """
    path = path or run.folder / NAME
    atomic.write(path, render(run).encode())
    return path


def render(run: Run) -> str:
    """The page as HTML."""
    data = page_data(run)
    style = _asset("report.css")
    script = "\n".join(['"use strict";', "{", *(_asset(f"report_{name}.js") for name in _SCRIPTS), "}"])
    matrix, *texts = (_block(name, content) for name, content in data.blocks.items())
    parts = {
        "title": html.escape(printable(f"{data.head['suite']}, {data.head['run']}: every answer")),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "style": style,
        "head": _inert(json.dumps(data.head, allow_nan=False)),
        "matrix": matrix,
        "script": script,
        "texts": "\n".join(texts),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _asset("report.html"))


def _asset(name: str) -> str:
    return (files("thirdlever.report") / "templates" / name).read_text("utf-8")


def _block(name: str, content: str) -> str:
    return f'<script type="text/plain" id="{name}">{content}</script>'


def _inert(text: str) -> str:
    """JSON in which no tag can begin or end."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""report.html: every answer of every candidate in one self-contained page, to filter and to read."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from thirdlever.analysis.retrieval import documents, id_list
from thirdlever.analysis.scorecards import LOST, rows
from thirdlever.core import files as atomic
from thirdlever.core.errors import RunError
from thirdlever.core.text import common, escape_html
from thirdlever.evaluation import logs as samples
from thirdlever.evaluation.records import statuses
from thirdlever.report.tables import measure, part_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.evaluation.logs import Message


NAME = "report.html"
BLOCK = 256  # items whose texts are read together
ROOM = 48_000_000  # bytes of the page for prompts and replies, divided evenly between the candidates
LONGEST = 65_536  # characters; a longer text is always cut

# One letter per cell, and the reasons why a prompt is not shown: the page's script knows them.
RIGHT, PARTLY, WRONG, UNPARSED, REFUSED, CUT_OFF, FAILED, NOT_RUN = "rpwuxcf-"
_NO_MODEL, _NOT_LOGGED, _NO_LOG, _NO_ROOM = "no model", "not logged", "no log", "no room"

_ROOM_MATRIX = 12_000_000  # bytes for the matrix and the inputs, which can be searched
_LIMITS = (LONGEST, 16_384, 8_192, 4_096, 2_048, 1_024, 512, 256, 128, 64, 0)
_REFERENCE = 1_000_000  # characters of a text that is kept as a reference
_WORTH = 24  # shared characters from which a reference pays
_LABEL = 200  # characters of a label that are counted and filtered by
_ALONE = "alone_s"
_TEXTS = ("completion", "reason", "error", "prediction")
_COUNTS = ("input_tokens", "cached_tokens", "output_tokens")
_SECONDS = ("latency_s", "retrieval_s", "ttft_s", "device_s")
_FOUND = ("retrieved", "gold", "answer_rank")
_MOST_FOUND, _LONGEST_ID = 50, 200  # passages of a request, characters of an id
_SCRIPTS = ("dom", "data", "candidates", "filters", "grid", "panel", "confusions", "parts", "main")


def write(run: Run, path: Path | None = None) -> Path:
    """Write a run's page, whole or not at all, to `report.html` in its folder by default.

    Raises:
        RunError: the run has no answers.
        OSError: the file cannot be written.
    """
    path = path or run.folder / NAME
    atomic.write(path, render(run).encode())
    return path


def render(run: Run) -> str:
    """The page as HTML. Its policy allows this script and this style only, so that no answer can run or load anything.

    Raises:
        RunError: the run has no answers.
    """
    data = page_data(run)
    style = asset("report.css")
    script = "\n".join(['"use strict";', "{", *(asset(f"report_{name}.js") for name in _SCRIPTS), "}"])
    matrix, *texts = (f'<script type="text/plain" id="{name}">{text}</script>' for name, text in data.blocks.items())
    head = json.dumps(data.head, allow_nan=False)
    return Template(asset("report.html")).substitute(
        title=escape_html(f"{data.head['suite']}, {data.head['run']}: every answer"),
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
        style=style,
        head=head.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),  # no tag begins or ends
        matrix=matrix,
        script=script,
        texts="\n".join(texts),
    )


def asset(name: str) -> str:
    """A file of `templates/`."""
    return (files("thirdlever.report") / "templates" / name).read_text("utf-8")


def policy_hash(text: str) -> str:
    """As a Content-Security-Policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# What the page shows


@dataclass(frozen=True, slots=True)
class PageData:
    """The page's content: `head` is shown first; `blocks`, packed and by name, are unpacked when they are needed."""

    head: dict[str, Any]
    blocks: dict[str, str]


def page_data(run: Run) -> PageData:
    """Read a run's folder.

    Raises:
        RunError: the run has no answers.
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
        candidates.append(
            _card(card)
            | {"parts": _parts(run.figures[name]), "limit": limit, "log": prompts.log, "trouble": prompts.trouble}
        )
        columns.append({"outcomes": cells.outcomes(requests), "predictions": _values(requests["prediction"])})
    inputs = run.inputs()
    matrix, limit = fit(lambda limit: [pack(_matrix(cells, columns, inputs, limit))], _ROOM_MATRIX)
    by = next((one.parts.by for one in run.figures.values() if one.parts), "")
    head = (
        _head(run, cells)
        | {"by": by, "measure": measure(run.summary)}
        | {"candidates": candidates, "input_limit": limit, "block": BLOCK}
    )
    return PageData(head, {"matrix": matrix[0]} | blocks)


def _head(run: Run, cells: Cells) -> dict[str, Any]:
    from thirdlever.report.memo_content import chosen_facts, grader_facts, near_leak_facts

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
        "memo": _memo(run),
        "grader": [
            f"{what}: {value}." for what, value in [*chosen_facts(run), *grader_facts(run), *near_leak_facts(run)]
        ],
    }


def _memo(run: Run) -> dict[str, str] | None:
    """Verdict and headline of the run's memo; None if there is none."""
    from thirdlever.report.memo import FOLDER, MARKDOWN, headline_of

    path = run.folder / FOLDER / MARKDOWN
    found = headline_of(path.read_text("utf-8")) if path.is_file() else None
    return None if found is None else {"verdict": found[0], "headline": found[1]}


def _card(card: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate's figures; null where unknown."""
    figures = {name: card[name] for name in ("accuracy", "latency_p50_s", "latency_p95_s", "cost_per_1k_usd")}
    low, high = card["accuracy_ci95"] or (None, None)
    _, asked_in, prompt = card["candidate"].partition(" @ ")[0].rpartition(" in ")
    return {
        "name": card["candidate"],
        "strategy": f"{prompt}: {card['strategy']}" if asked_in else card["strategy"],
        "model": card["model"] if isinstance(card["model"], str) else "",
        "low": low,
        "high": high,
        **{name: None if value is None or math.isnan(value) else float(value) for name, value in figures.items()},
        **{name: int(card[name]) for name in ("n", "requests", *LOST)},
    }


def _parts(figures: CandidateFigures) -> list[dict[str, Any]]:
    """Figures by label, field or rule; none if the candidate is not measured, or its answers have no such parts."""
    return [] if figures.not_measured or figures.parts is None else part_rows(figures.parts)


def _matrix(
    cells: Cells, columns: Sequence[Mapping[str, Any]], inputs: Mapping[str, str], limit: int
) -> dict[str, Any]:
    """What the grid, the filters and the table of confusions need."""
    labels: dict[str | None, int] = {}

    def numbers(values: Iterable[str | None]) -> list[int]:
        """The index of each label; -1 for none."""
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


def _texts(requests: pd.DataFrame, prompts: Prompts, epochs: int, room: int) -> tuple[list[str], int]:
    """A candidate's blocks, with what the panel of each cell shows; and the limit at which they fit."""
    size = BLOCK * epochs
    parts = [requests.iloc[at : at + size] for at in range(0, len(requests), size)]
    ready = [(part, _details(part), prompts.of(part)) for part in parts]

    def prompt(shown: PromptDelta | str, limit: int) -> Any:  # noqa: ANN401 - JSON
        if isinstance(shown, str):
            return shown
        return shorten(shown, limit) if limit else _NO_ROOM

    def blocks(limit: int) -> list[str]:
        return [
            pack(
                details
                | {name: _cut(_values(part[name]), limit) for name in _TEXTS}
                | {"prompt": [prompt(one, limit) for one in shown]}
            )
            for part, details, shown in ready
        ]

    return fit(blocks, room)


# Records


class Cells:
    """The accuracy pass of a run.

    Attributes:
        items: ids, in the order of their first request.
        targets: of the items.
        slices: of the items, "" for none.
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
        self._none = answers.iloc[:0]
        probe = records[(records["phase"] == "latency") & records["error"].isna() & ~records["cold"].astype(bool)]
        self._alone = {name: own.groupby("item_id")["latency_s"].first() for name, own in probe.groupby("candidate")}

    def requests(self, candidate: str) -> pd.DataFrame:
        """One row per item and repeat; all columns but `asked` are missing where no request was made.

        `alone_s` is the item's latency in the serial probe, if it was part of that.
        """
        import pandas as pd

        every = pd.MultiIndex.from_product([self.items, range(1, self.epochs + 1)], names=["item_id", "epoch"])
        own = self._answers.get(candidate, self._none).drop_duplicates(["item_id", "epoch"], keep="last")
        shown = ["score", "status", "stop_reason", "prompt_hash", *_TEXTS, *_COUNTS, *_SECONDS, *_FOUND]
        own = own.assign(**{name: None for name in _FOUND if name not in own})  # of an earlier release
        frame = (
            own.assign(status=statuses(own)).set_index(["item_id", "epoch"])[shown].assign(asked=True).reindex(every)
        )
        frame["asked"] = frame["asked"].eq(other=True)
        timed = self._alone.get(candidate, pd.Series(dtype="float64"))
        frame[_ALONE] = timed.reindex(frame.index.get_level_values("item_id")).to_numpy()
        return frame

    def outcomes(self, requests: pd.DataFrame) -> str:
        """One letter per item, from what `requests` returns. Repeats that differ are partly right."""
        import numpy as np

        def table(column: Any) -> Any:  # noqa: ANN401 - arrays of any type
            return np.asarray(column).reshape(len(self.items), self.epochs)

        asked = table(requests["asked"])
        score = np.where(asked, table(requests["score"].fillna(0.0)), 0.0).sum(1) / np.maximum(asked.sum(1), 1)
        lost = {"failed": FAILED, "cut_off": CUT_OFF, "refused": REFUSED, "unparsed": UNPARSED, "ungraded": NOT_RUN}
        letters = np.select(
            [
                ~asked.any(1),
                score >= 1 - 1e-9,  # a mean of ones may fall short
                score > 0,
                *(table(requests["status"] == status).any(1) for status in lost),
            ],
            [NOT_RUN, RIGHT, PARTLY, *lost.values()],
            WRONG,
        )
        return "".join(letters)


def _details(requests: pd.DataFrame) -> dict[str, list[Any]]:
    """What a cell's panel shows besides texts: columns of JSON values, null where unknown."""
    columns = {name: _values(requests[name], int) for name in _COUNTS}
    for name in (*_SECONDS, _ALONE, "score"):
        columns[name] = _values(requests[name], lambda value: float(f"{value:.4g}"))
    columns |= {name: _values(requests[name]) for name in ("status", "stop_reason")}
    retrieved = [_values(requests[name]) for name in _FOUND]
    columns["found"] = [found(*one) for one in zip(*retrieved, strict=True)]
    return columns | {"asked": [int(one) for one in requests["asked"]]}


def found(retrieved: str | None, gold: str | None, rank: int | None) -> list[list[Any]] | None:
    """What a request retrieved, best first, as [id, what is known of it]; then the gold documents that it did not."""
    ids = id_list(retrieved or "")
    if not ids:
        return None
    right = id_list(gold or "")
    named = frozenset(right)
    shown: list[list[Any]] = []
    for place, one in enumerate(ids[:_MOST_FOUND], 1):
        about = ["gold"] if named & {one, *documents([one], named)} else []
        shown.append([one[:_LONGEST_ID], [*about, *(["answer"] if place == rank else [])]])
    missed = [one for one in right if one not in documents(ids, named)]
    return shown + [[one[:_LONGEST_ID], ["missed"]] for one in missed[:_MOST_FOUND]]


def _values(column: pd.Series[Any], convert: Callable[[Any], Any] | None = None) -> list[Any]:
    """The column's values, converted; None where missing."""
    pairs = zip(column, column.isna(), strict=True)
    return [None if missing else convert(value) if convert else value for value, missing in pairs]


# Texts that fit


class Cut(NamedTuple):
    """A text without `dropped` characters of its middle."""

    start: str
    dropped: int
    end: str


Text: TypeAlias = str | Cut


def cut(text: Text, limit: int) -> Text:
    """The text with at most `limit` characters; it may have been cut before."""
    start, dropped, end = text if isinstance(text, Cut) else (text, 0, "")
    size = len(start) + len(end)
    if size <= limit:
        return text
    whole = start + end
    head = (limit + 1) // 2
    return Cut(whole[:head], dropped + size - limit, whole[size - limit + head :])


def _cut(values: Iterable[str | None], limit: int) -> list[Text | None]:
    return [None if value is None else cut(value, limit) for value in values]


def pack(content: Any) -> str:  # noqa: ANN401 - JSON
    """JSON, deflated, in base64: nothing in it is markup."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def fit(blocks: Callable[[int], list[str]], room: int) -> tuple[list[str], int]:
    """The blocks, and the highest limit in characters per text at which they take at most `room` bytes, else 0.

    Args:
        blocks: returns the packed blocks for a limit.
        room: bytes for all of them.
    """
    packed: list[str] = []
    for limit in _LIMITS:
        packed = blocks(limit)
        if sum(map(len, packed)) <= room:
            return packed, limit
    return packed, 0


# Prompts


class PromptDelta(NamedTuple):
    """A prompt as its difference from the candidate's first one.

    Attributes:
        whole: how many messages of the first prompt it begins with.
        part: how much of the next message's text follows, in UTF-16 units as JavaScript counts.
        own: its own messages; the text of the first of them continues that part.
    """

    whole: int
    part: int
    own: Sequence[tuple[str, Text]]


def first(messages: Sequence[Message]) -> list[Message]:
    """The prompt that others are compared with."""
    return [(role, text[:_REFERENCE]) for role, text in messages]


def delta(messages: Sequence[Message], reference: Sequence[Message]) -> PromptDelta:
    """A prompt's difference from the first one. Texts over `LONGEST` are cut at once, which saves memory."""
    whole = 0
    while whole < min(len(messages), len(reference)) and messages[whole] == reference[whole]:
        whole += 1
    own = list(messages[whole:])
    part = 0
    if own and whole < len(reference) and own[0][0] == reference[whole][0]:
        (role, text), like = own[0], reference[whole][1]
        shared = common(like, text)
        if shared >= _WORTH:
            own[0] = role, text[shared:]
            part = len(like[:shared].encode("utf-16-le", "surrogatepass")) // 2
    return PromptDelta(whole, part, [(role, cut(text, LONGEST)) for role, text in own])


def shorten(prompt: PromptDelta, limit: int) -> PromptDelta:
    """The prompt with each of its own texts within the limit."""
    return prompt._replace(own=[(role, cut(text, limit)) for role, text in prompt.own])


RequestKey: TypeAlias = tuple[str, int]  # item id, epoch


@dataclass(slots=True)
class Prompts:
    """What a candidate's log says.

    Attributes:
        log: the name of the accuracy pass's log; "" if there is none.
        trouble: why it could not be read; "" if it could.
        first: the prompt that the others are compared with.
        deltas: the prompts by request; missing where the log does not hold what was sent.
    """

    log: str = ""
    trouble: str = ""
    first: list[Message] = field(default_factory=list)
    deltas: dict[RequestKey, PromptDelta] = field(default_factory=dict)

    def of(self, requests: pd.DataFrame) -> list[PromptDelta | str]:
        """The prompt of each request, or why there is none."""
        missing = _NO_LOG if self.trouble else _NOT_LOGGED
        pairs = zip(requests.index, requests["prompt_hash"].isna(), strict=True)
        return [_NO_MODEL if none else self.deltas.get(request, missing) for request, none in pairs]


def read(folder: Path, logs: Iterable[str], sent: Mapping[RequestKey, str]) -> Prompts:
    """Read a candidate's log of the accuracy pass.

    Args:
        folder: where the run's logs are.
        logs: names of the candidate's logs, from run.json.
        sent: `prompt_hash` by request, of the requests to a model.
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
                found.deltas[request] = delta(messages, found.first)
    except FileNotFoundError:
        found.trouble = f"logs/{found.log} does not exist"
    except (OSError, ValueError):
        found.trouble = f"logs/{found.log} cannot be read"
    return found

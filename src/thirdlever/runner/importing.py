"""Results that were measured elsewhere, as a run: `show`, `compare`, `decide`, `memo` and a baseline work on it.

Items are matched by their id, else by their input. What cannot be matched is left out and reported. A score that a file
gives is taken as it is; otherwise the suite's answer kind reads and grades the answer.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from thirdlever.analysis.run import INFO, RECORDS, Run
from thirdlever.analysis.scorecards import lever
from thirdlever.analysis.statuses import Tolerance
from thirdlever.answers.answer import grade_item
from thirdlever.catalog.price_lookup import price_of
from thirdlever.core import project
from thirdlever.core.errors import RunError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.text import clipped, counted, listed, normalise, without_password
from thirdlever.evaluation.records import Reply, misread, table
from thirdlever.models.base import BaseModel
from thirdlever.models.engine.local import EMBEDDED
from thirdlever.models.parameters import plain
from thirdlever.runner.formats import Format, Measurement, Recorded, read
from thirdlever.runner.runner import about_suite, near_leaks_of, now, opened, save
from thirdlever.strategies.contract import Lever
from thirdlever.strategies.specs import IMPORTED, parse
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Inputs, Item, Suite, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


UNKNOWN_MODEL = "unknown"
LEVERS: tuple[Lever, ...] = get_args(Lever)
Scores: TypeAlias = Literal["given", "graded"]
_SHOWN = 3
_NO_SCORE = "the file has no score for it"
# What it took to make a candidate is not in the files.
_SETUP = dict.fromkeys(
    (
        "labels",
        "seconds",
        "device_seconds",
        "input_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "output_tokens",
        "usd",
        "index_bytes",
    )
)
_TUNING = {"method": "unknown", "where": "unknown"} | dict.fromkeys(
    ("examples", "epochs", "tokens", "bytes", "hosting_usd_per_hour", "survived")
)


@dataclass(frozen=True, slots=True)
class Imported:
    """A run of results that were measured elsewhere.

    Attributes:
        run: the run.
        notes: what was taken for what and what was left out, in sentences.
    """

    run: Run
    notes: Sequence[str]


def import_results(
    files: Sequence[str],
    suite: str | Suite,
    *,
    out: str | Path | None = None,
    fmt: Format | None = None,
    score: str | None = None,
    levers: Sequence[str] = (),
    models: Sequence[str] = (),
    strategies: Sequence[str] = (),
) -> Imported:
    """Make a run of results that were measured elsewhere.

    Args:
        files: files or folders, each as it is or as NAME=FILE, which names the candidate.
        suite: whose test items were asked, or its name.
        out: the run's folder, which must not hold a run yet; by default named after suite and time.
        fmt: format of all files; by default found from their content.
        score: the score to take where a file has several.
        levers: NAME=none, prompt, retrieval or tuned: what a candidate is counted as.
        models: NAME=MODEL: the model of a candidate, as `--model` of a run names it, by which it is priced.
        strategies: NAME=SPEC: the strategy of this project that a candidate is, so that it can be run again.

    Raises:
        ThirdleverError: a file cannot be read, nothing matches, a score is not from 0 to 1, or the folder holds a run.
    """
    suite = find_suite(suite) if isinstance(suite, str) else check(suite)
    started = now()
    folder = Path(out) if out else project.RESULTS / f"{suite.name}-import-{started:%Y%m%d-%H%M%S}"
    _check_new(folder)
    recorded = [(name, one) for name, path in map(_named, files) for one in read(path, fmt)]
    sources = _sources(recorded)
    _check_score(score, sources)
    levers_, models_, strategies_ = (_by_name(values, sources) for values in (levers, models, strategies))
    matcher = _Matcher(suite)
    found = [_matched(source, matcher) for source in sources]
    _check_matched(found, suite)
    graded = [_graded(one, suite, score) for one in found]
    kept, left_out = _shared(graded, suite)
    entries = [
        _about(one, suite, levers_.get(one.name), models_.get(one.name), strategies_.get(one.name)) for one in kept
    ]
    items = {item.id: item for item in suite.test}
    notes = [
        *dict.fromkeys(note for _, one in recorded for note in one.notes),
        *(note for one in graded for note in one.notes),
        *left_out,
        *(note for one in kept for note in _warnings(one, items)),
        *_assumed(kept, entries, levers_, models_),
    ]
    info = (
        _info(kept, entries, suite)
        | near_leaks_of(suite, allowed="the results were measured elsewhere")
        | {
            "imported": {"files": [_about_file(one) for _, one in recorded], "notes": notes},
            "started": started.isoformat(),
            "finished": now().isoformat(),
        }
    )
    tables = [
        table(one.replies, items, {"candidate": one.name, "strategy": entry["strategy"], "model": entry["model"]})
        for one, entry in zip(kept, entries, strict=True)
    ]
    with opened(folder):
        _check_new(folder)
        return Imported(save(folder, tables, info), notes)


def _check_new(folder: Path) -> None:
    """Refuse to add to a run: its items, prices and looks would no longer be those of its results.

    Raises:
        RunError: the folder holds a run.
    """
    if any((folder / name).exists() for name in (INFO, RECORDS, "journal")):
        message = f"{str(folder)!r} holds a run already; give another --out, and all files of one import together"
        raise RunError(message)


def _named(given: str) -> tuple[str | None, Path]:
    """A candidate's name and a file: both may contain "=", so the file is what exists."""
    if not Path(given).exists():
        for at, sign in enumerate(given):
            if sign == "=" and at and Path(given[at + 1 :]).exists():
                return given[:at], Path(given[at + 1 :])
    name, sign, path = given.partition("=")
    return (name, Path(path)) if sign and not Path(given).exists() else (None, Path(given))


# Candidates


@dataclass(frozen=True, slots=True)
class _Source:
    """The rows of one candidate."""

    name: str
    rows: Sequence[Measurement]
    recorded: Recorded


class _Key(NamedTuple):
    """Where a candidate's rows are: the name that the user gives it, the file, and the file's names for it."""

    given: str | None
    file: int
    candidate: str | None
    variant: str | None


def _sources(recorded: Sequence[tuple[str | None, Recorded]]) -> list[_Source]:
    """The candidates of all files, with names that tell them apart.

    Raises:
        RunError: a file with a name holds several, or two would have the same name.
    """
    groups: dict[_Key, list[Measurement]] = {}
    of: dict[_Key, tuple[str | None, Recorded]] = {}
    for number, (name, one) in enumerate(recorded):
        for row in one.rows:
            # One of ours has a log for each pass.
            file = -1 if row.about and one.format == "inspect" else number
            key = _Key(name, file, row.candidate, row.variant)
            groups.setdefault(key, []).append(row)
            of.setdefault(key, (name, one))
    if not groups:
        message = f"{listed([str(one.path) for _, one in recorded])}: no results in it"
        raise RunError(message)
    for name, one in recorded:
        own = [key for key, (given, source) in of.items() if name is not None and given == name and source is one]
        if len(own) > 1:
            held = listed([" ".join(filter(None, (key.candidate, key.variant))) for key in own[:_SHOWN]])
            message = f"{name}={one.path}: the file holds {len(own)} candidates ({held}); give it without a name"
            raise RunError(message)
    names = _names(list(groups), of)
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        paths = [str(of[key][1].path) for key, name in zip(groups, names, strict=True) if name == twice]
        message = f"two candidates would be named {twice!r} ({listed(paths)}); name them: NAME=FILE"
        raise RunError(message)
    return [_Source(name, rows, of[key][1]) for (key, rows), name in zip(groups.items(), names, strict=True)]


def _names(keys: Sequence[_Key], of: Mapping[_Key, tuple[str | None, Recorded]]) -> list[str]:
    """What tells the candidates apart, and no more: who answered, else the variant, else both, else the file."""
    free = [key for key in keys if key.given is None]
    ways: tuple[Callable[[_Key], str | None], ...] = (
        lambda key: key.candidate,
        lambda key: key.variant,
        lambda key: " ".join(filter(None, (key.candidate, key.variant))) or None,
        lambda key: _stem(of[key][1].path),
    )
    for name in ways:
        found = [name(key) for key in free]
        if None not in found and len(set(found)) == len(found):
            break
    return [key.given or str(name(key)) for key in keys]


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _by_name(values: Sequence[str], sources: Sequence[_Source]) -> dict[str, str]:
    """NAME=VALUE, where the name is a candidate's and may contain "=".

    Raises:
        RunError: there is no such candidate.
    """
    found = {}
    for value in values:
        name = max((one.name for one in sources if value.startswith(f"{one.name}=")), key=len, default=None)
        if name is None:
            raise RunError(unknown("candidate", value.rpartition("=")[0] or value, [one.name for one in sources]))
        found[name] = value[len(name) + 1 :]
    return found


# Items


@dataclass(frozen=True)
class _Matcher:
    """Finds the test item that a row is about."""

    suite: Suite

    def find(self, row: Measurement) -> Item | None:
        """By id, unless the row's input is that of another item: ids such as 1, 2, 3 mean little; else by input."""
        named = next((self._by_id[one] for one in row.ids if one in self._by_id), None)
        same = self._equal_to(row)
        if named is not None and (same is None or same is named or self._contains(row, named)):
            return named
        return same or self._quoted(row)

    def _equal_to(self, row: Measurement) -> Item | None:
        for text in row.texts:
            items = self._by_input.get(normalise(text), [])
            if len(items) > 1:  # the same question twice, with two right answers
                items = [item for item in items if row.target is not None and self.agree(row.target, item)] or items
            if items:
                return items[0]
        return None

    def _contains(self, row: Measurement, item: Item) -> bool:
        return any(normalise(item.input) == normalise(text) for text in row.texts)

    def _quoted(self, row: Measurement) -> Item | None:
        """The only item whose input a prompt contains."""
        found = {one for text in row.texts for one in self._inputs.quoted(text)}
        return self._by_id[found.pop()] if len(found) == 1 else None

    def agree(self, target: str, item: Item) -> bool:
        """Whether a file's right answer is the suite's."""
        if normalise(target) == normalise(item.target):
            return True
        answer = self.suite.answer
        read = answer.read(target).value
        return read is not None and grade_item(answer, read, item.id, item.target).value == 1

    @cached_property
    def _by_id(self) -> dict[str, Item]:
        return {item.id: item for item in self.suite.test}

    @cached_property
    def _by_input(self) -> dict[str, list[Item]]:
        found: dict[str, list[Item]] = defaultdict(list)
        for item in self.suite.test:
            found[normalise(item.input)].append(item)
        return found

    @cached_property
    def _inputs(self) -> Inputs:
        return Inputs(self.suite.test)


@dataclass(frozen=True, slots=True)
class _Matched:
    """A candidate's rows by phase, item and repeat, and what was found on the way."""

    source: _Source
    rows: Mapping[tuple[str, str, int], Measurement]
    unknown: Sequence[Measurement]
    notes: Sequence[str]


def _matched(source: _Source, matcher: _Matcher) -> _Matched:
    by_item: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    strangers: list[Measurement] = []
    others: dict[str, str] = {}
    for row in source.rows:
        item = matcher.find(row)
        if item is None:
            strangers.append(row)
            continue
        by_item[str(row.further.get("phase", "accuracy")), item.id].append(row)
        if row.target is not None and not matcher.agree(row.target, item):
            others[item.id] = f"{item.id!r}: {clipped(row.target)} there, {clipped(item.target)} in the suite"
    rows, repeated = _repeats(by_item, source.name)
    notes = []
    if strangers:
        notes.append(
            f"{source.name}: {counted(len(strangers), 'result')} left out, of items that are not in test, such as "
            f"{_shown(strangers[0])}"
        )
    if others:
        shown = "; ".join([*others.values()][:_SHOWN])
        notes.append(
            f"{source.name}: {counted(len(others), 'item')} with another right answer than the suite's ({shown})"
        )
    if repeated:
        notes.append(f"{source.name}: {counted(repeated, 'repeated row')} left out")
    return _Matched(source, rows, strangers, notes)


def _shown(row: Measurement) -> str:
    """An item as a row names it."""
    return clipped(row.ids[0] if row.ids else row.texts[0] if row.texts else row.where)


def _repeats(
    by_item: Mapping[tuple[str, str], Sequence[Measurement]], name: str
) -> tuple[dict[tuple[str, str, int], Measurement], int]:
    """Rows numbered by repeat, from 1, and how many equal rows were left out.

    Raises:
        RunError: an item has two results, and nothing says that they are repeats.
    """
    sizes = {len(rows) for (phase, _), rows in by_item.items() if phase == "accuracy"}
    every = len(sizes) == 1 and any(_distinct(rows)[1:] for rows in by_item.values())  # all were asked so often
    found: dict[tuple[str, str, int], Measurement] = {}
    repeated = 0
    for (phase, item), rows in by_item.items():
        numbered = any(row.epoch is not None for row in rows)
        kept = rows if every and not numbered else _distinct(rows)
        repeated += len(rows) - len(kept)
        times = Counter(row.epoch for row in kept)
        if (not numbered and len(kept) > 1 and not every) or (numbered and max(times.values()) > 1):
            message = (
                f"{name}: item {item!r} has {len(kept)} different results ({kept[0].where}, {kept[1].where}); "
                "keep one, or number repeats in a column epoch"
            )
            raise RunError(message)
        ordered = sorted(kept, key=lambda row: row.epoch or 0)
        found |= {(phase, item, number): row for number, row in enumerate(ordered, start=1)}
    return found, repeated


def _distinct(rows: Sequence[Measurement]) -> list[Measurement]:
    """Rows that differ in more than their place."""
    return [*{repr(replace(row, where="")): row for row in rows}.values()]


def _check_matched(found: Sequence[_Matched], suite: Suite) -> None:
    """Refuse results of which none is about the suite.

    Raises:
        RunError: with an example of each side.
    """
    for one in found:
        if not any(phase == "accuracy" for phase, _, _ in one.rows):
            theirs = _shown(one.unknown[0]) if one.unknown else "a timing"
            ours = suite.test.items[0]
            message = (
                f"{one.source.name}: no result is of a test item of {suite.name!r}; {one.source.recorded.path} has "
                f"{theirs}, the suite {ours.id!r} with the input {clipped(ours.input)}: give the file's suite, or a "
                "column item with the suite's ids"
            )
            raise RunError(message)


# Scores


@dataclass(frozen=True, slots=True)
class _Graded:
    """A candidate with its graded replies."""

    source: _Source
    replies: Sequence[Reply]
    scores: Scores
    notes: Sequence[str]

    @property
    def name(self) -> str:
        return self.source.name


def _check_score(wanted: str | None, sources: Sequence[_Source]) -> None:
    known = dict.fromkeys(name for one in sources for row in one.rows for name in row.scores)
    if wanted is not None and wanted not in known:
        raise RunError(unknown("score", wanted, known))


def _score_of(source: _Source, wanted: str | None) -> str | None:
    """The name of the score that counts; None if the file gives none.

    Raises:
        RunError: it gives several.
    """
    known = dict.fromkeys(name for row in source.rows for name, value in row.scores.items() if not math.isnan(value))
    if wanted in known or not known:
        return wanted if known else None
    if len(known) == 1 or source.recorded.main in known:
        return source.recorded.main if source.recorded.main in known else next(iter(known))
    names = listed([repr(name) for name in known])
    message = f"{source.recorded.path} has the scores {names}; choose one, such as --score {next(iter(known))!r}"
    raise RunError(message)


def _graded(one: _Matched, suite: Suite, wanted: str | None) -> _Graded:
    """Replies with the scores that are given, or those of the suite's answer kind.

    Raises:
        RunError: there is nothing to grade, or a score is not from 0 to 1.
    """
    name, path = one.source.name, one.source.recorded.path
    score = _score_of(one.source, wanted)
    targets = {item.id: item.target for item in suite.test}
    replies = []
    for (phase, item, epoch), row in one.rows.items():
        reply = _reply(row, phase, item, epoch)
        if score is not None:
            replies.append(_with_score(reply, row, score, suite))
            continue
        if row.completion is None and row.prediction is None and row.error is None:
            message = f"{row.where}: neither an answer nor a score; fill in completion, prediction, score or error"
            raise RunError(message)
        replies.append(reply.graded(suite.answer, targets[item]))
    if score is None and any(reply.score is None for reply in replies):
        message = f"{name}: answers of {suite.name!r} are judged by a model, and {path} gives no score; add one"
        raise RunError(message)
    notes = list(one.notes)
    if lost := sum(reply.error == _NO_SCORE for reply in replies):
        notes.append(f"{name}: {counted(lost, 'result')} without a score; counted as failed")
    return _Graded(one.source, replies, "graded" if score is None else "given", notes)


def _reply(row: Measurement, phase: str, item: str, epoch: int) -> Reply:
    further = {key: value for key, value in row.further.items() if key != "phase"}
    return Reply(
        phase="latency" if phase == "latency" else "accuracy",
        item_id=item,
        epoch=epoch,
        completion=row.completion if row.completion is not None else row.prediction or "",
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens if row.cached_tokens is not None or row.input_tokens is None else 0,
        output_tokens=row.output_tokens,
        latency_s=math.nan if row.seconds is None else row.seconds,
        stop_reason=row.stop_reason,
        error=row.error,
        **further,
    )


def _with_score(reply: Reply, row: Measurement, name: str, suite: Suite) -> Reply:
    """The reply with the score that the file gives; a failed request has none.

    Raises:
        RunError: it is not from 0 to 1.
    """
    value = row.scores.get(name, math.nan)
    if row.error is None and math.isnan(value):
        reply = replace(reply, error=_NO_SCORE)
    if reply.error is not None:
        return replace(reply, score=0.0, status="failed", reason=f"the request failed: {reply.error}")
    if not 0 <= value <= 1:
        message = (
            f"{row.where}: the score {name} is {value:g}, and scores are from 0 (wrong) to 1 (right); "
            "convert it in the file, or choose another with --score"
        )
        raise RunError(message)
    reading = reply.read(suite.answer)
    reason = row.reason or f"{name} as given"
    if row.about and not value and row.prediction is None:  # one of ours, which says why there is no answer
        return replace(reply, score=0.0, status=reading.status, reason=row.reason or reading.reason)
    prediction = row.prediction if row.prediction is not None else reading.value
    return replace(reply, score=value, status="answered", prediction=prediction, reason=reason)


# The same items for every candidate


def _shared(graded: Sequence[_Graded], suite: Suite) -> tuple[list[_Graded], list[str]]:
    """The candidates on the items that all of them have, equally often; and what was left out for that, in sentences.

    Raises:
        RunError: they share no item.
    """
    counts = {one.name: Counter(r.item_id for r in one.replies if r.phase == "accuracy") for one in graded}
    usual = {name: Counter(own.values()).most_common(1)[0][0] for name, own in counts.items()}
    epochs = min(usual.values())
    complete = {name: {item for item, times in own.items() if times >= epochs} for name, own in counts.items()}
    shared = set.intersection(*complete.values())
    if not shared:
        examples = listed([f"{name!r} has {min(own)!r}" for name, own in complete.items()][:_SHOWN])
        message = f"the candidates share no item ({examples}); import candidates that answered the same items together"
        raise RunError(message)
    notes = _missing(complete, suite)
    for name, own in complete.items():
        if extra := own - shared:
            notes.append(f"{name}: {counted(len(extra), 'item')} left out that not every candidate has: {_few(extra)}")
    if more := [name for name, times in usual.items() if times > epochs]:
        notes.append(f"{listed(more)}: repeats beyond {epochs} left out, because not every candidate has them")
    kept = [
        replace(
            one,
            replies=[
                reply
                for reply in one.replies
                if reply.phase == "latency" or (reply.item_id in shared and reply.epoch <= epochs)
            ],
        )
        for one in graded
    ]
    return kept, notes


def _missing(complete: Mapping[str, set[str]], suite: Suite) -> list[str]:
    """The test items without a result, once for all candidates that lack the same."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for name, own in complete.items():
        lacking.setdefault(tuple(item.id for item in suite.test if item.id not in own), []).append(name)
    test = len(suite.test)
    return [
        f"{'every candidate' if len(names) == len(complete) > 1 else listed(names)}: {test - len(ids):,} of "
        f"{counted(test, 'test item')} have a result; missing: {_few(ids)}"
        for ids, names in lacking.items()
        if ids
    ]


def _few(ids: Iterable[str]) -> str:
    shown = sorted(ids)
    return ", ".join(map(repr, shown[:_SHOWN])) + (", …" if len(shown) > _SHOWN else "")


# run.json


def _info(kept: Sequence[_Graded], entries: Sequence[Mapping[str, Any]], suite: Suite) -> dict[str, Any]:
    """What run.json has of every run; the machine and the libraries that answered are not known."""
    first = [reply for reply in kept[0].replies if reply.phase == "accuracy"]
    items = len({reply.item_id for reply in first})
    priced = [BaseModel(name, plain(name)) for name in dict.fromkeys(one["model"] for one in entries) if name]
    return {
        "status": "complete",
        "unfinished": [],
        "suite": about_suite(suite),
        "candidates": list(entries),
        "prompts": {},
        "snapshots": [],
        "limit": None if items == len(suite.test) else items,
        "epochs": max(reply.epoch for reply in first),
        "seed": 0,
        "probe": max(sum(reply.phase == "latency" and not reply.cold for reply in one.replies) for one in kept),
        "constrain": False,
        "batch": False,
        "budget_usd": None,
        "spent_usd": None,
        "usage_unreported": 0,
        "prices": {model.name: (price := price_of(model)) and price.to_dict() for model in priced},
        "device_usd_per_hour": None,
        "utilisation": 1.0,
        **asdict(Tolerance()),
        "versions": {"thirdlever": project.version()},
        "hardware": {},
        "command": [without_password(word) for word in sys.argv],
        "looks": [items],
    }


def _about(one: _Graded, suite: Suite, stated: str | None, model: str | None, strategy: str | None) -> dict[str, Any]:
    """A candidate's entry in run.json.

    Raises:
        ThirdleverError: there is no such lever or strategy.
    """
    first = one.source.rows[0]
    known = first.about
    spec = parse(strategy) if strategy else None
    pulls = stated or known.get("lever")
    if pulls is not None and pulls not in LEVERS:
        raise RunError(unknown("lever", pulls, LEVERS))
    named = model or first.model or (UNKNOWN_MODEL if "model" not in known else None)
    asks = None if pulls == "none" or (known.get("strategy") and first.model is None and model is None) else named
    recorded = one.source.recorded
    about: dict[str, Any] = {
        "name": one.name,
        "strategy": spec.name if spec else known.get("strategy", IMPORTED),
        "args": dict(spec.args) if spec else known.get("args", {"variant": first.variant} if first.variant else {}),
        "model": asks,
        "prompt": known.get("prompt"),
        "identity": content_hash([IMPORTED, suite.hash, one.name, _sha256(recorded.path)]),
        "base": asks,
        "revision": asks,
        "setup": dict(_SETUP),
        "tuning": dict(_TUNING) if pulls == "tuned" else None,
        "given": None,
        "documents": None,
        "found": None,
        "logs": [],
        "lost_attempts": 0,
        "scores": one.scores,
        "imported": {"from": str(recorded.path), "format": recorded.format},
    }
    retrieves = any(reply.retrieval_s is not None for reply in one.replies)
    return about | {"lever": pulls or lever(about, retrieves=retrieves)}


def _assumed(
    kept: Sequence[_Graded], entries: Sequence[Mapping[str, Any]], levers: Mapping[str, str], models: Mapping[str, str]
) -> list[str]:
    """What the files do not say, and how to say it."""
    notes = []
    given = [one.name for one in kept if one.scores == "given"]
    if given:
        notes.append(f"scores as given: {listed(given)}")
    if graded := [one.name for one in kept if one.scores == "graded"]:
        notes.append(f"answers read and graded by the suite: {listed(graded)}")
    nameless = [entry["name"] for entry in entries if entry["model"] == UNKNOWN_MODEL and entry["name"] not in models]
    if nameless:
        notes.append(f"model unknown, so the cost is too: {listed(nameless)}; state it: --model {nameless[0]!r}=MODEL")
    bare = [
        entry["name"]
        for entry in entries
        if entry["model"] and "/" not in entry["model"] and entry["model"] not in {UNKNOWN_MODEL, EMBEDDED}
    ]
    if bare:
        notes.append(
            f"model without its provider, so the cost is unknown: {listed(bare)}; state both: "
            f"--model {bare[0]!r}=PROVIDER/MODEL"
        )
    silent = [
        f"{entry['name']} ({entry['lever']})"
        for one, entry in zip(kept, entries, strict=True)
        if entry["name"] not in levers and not one.source.rows[0].about.get("lever")
    ]
    if silent:
        notes.append(f"lever not stated, so it is taken for what is in brackets: {listed(silent)}; state it: --lever")
    return notes


def _warnings(one: _Graded, items: Mapping[str, Item]) -> list[str]:
    asked = [reply for reply in one.replies if reply.phase == "accuracy"]
    warning = misread(asked, items) if one.scores == "graded" else None
    return [f"{one.name}: {warning}"] if warning else []


def _about_file(one: Recorded) -> dict[str, Any]:
    return {"path": str(one.path), "format": one.format, "sha256": _sha256(one.path), "rows": len(one.rows)}


def _sha256(path: Path) -> str | None:
    if path.is_dir():
        return content_hash([_sha256(file) for file in sorted(path.rglob("*")) if file.is_file()])
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

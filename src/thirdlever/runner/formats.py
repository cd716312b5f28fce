"""Results that other tools wrote, read into one kind of row; the format is found from the content of the file.

Each format is a class whose fields are those that are read; everything else in a row is ignored. A tool's own totals
are not read: accuracy is computed from the rows, so that it has an interval and can be compared.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import math
import re
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel

from thirdlever.core.errors import RunError
from thirdlever.core.text import clipped, unescaped_csv
from thirdlever.core.validation import validated
from thirdlever.suites.readers import Row, is_missing, json_array, json_lines, parsed_json, read_bytes
from thirdlever.suites.sources import read_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


Format: TypeAlias = Literal["inspect", "lm-eval", "promptfoo", "openai-evals", "kiln", "nemo", "mlflow", "table"]
FORMATS: tuple[Format, ...] = get_args(Format)
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The result of one request, as another tool recorded it. None is unknown.

    Attributes:
        where: file and line, or what else identifies it; for messages.
        candidate: what answered, by the file's name for it: a provider, a model, a column.
        variant: what else tells candidates of the file apart: a task, a prompt.
        model: the model's name.
        ids: what may be the id of the item.
        texts: what may be the input of the item, or contain it.
        target: the right answer, by the file.
        completion: the text that the model wrote.
        prediction: the answer that the tool read from it.
        scores: by name; NaN if there is none.
        reason: why it got its score.
        error: why the request failed.
        stop_reason: in inspect's words.
        epoch: number of the repeat; None if the file does not number repeats.
        input_tokens: including cached ones.
        cached_tokens: read from the provider's cache.
        output_tokens: including reasoning.
        seconds: how long the request took.
        further: fields of `Reply` that only our own files have.
        about: fields of a candidate's entry in run.json that only our own files have.
    """

    where: str
    candidate: str | None = None
    variant: str | None = None
    model: str | None = None
    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    target: str | None = None
    completion: str | None = None
    prediction: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    error: str | None = None
    stop_reason: str | None = None
    epoch: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a file holds.

    Attributes:
        path: the file.
        format: of the file.
        rows: in its order.
        main: the score that counts if there are several; None if the tool has no such score.
        notes: what its reader must know, in sentences.
    """

    path: Path
    format: Format
    rows: Sequence[Measurement]
    main: str | None = None
    notes: Sequence[str] = ()


def read(path: Path, fmt: Format | None = None) -> list[Recorded]:
    """Read a file of results, or a folder of them as lm-eval, Kiln, NeMo Evaluator and inspect write it.

    Args:
        path: the file or folder.
        fmt: its format; None finds it.

    Raises:
        ThirdleverError: it cannot be read, or its format is unknown.
    """
    if not path.is_dir():
        return [_read(path, fmt)]
    for pattern in ("*.eval", "samples_*.jsonl", "eval_run.kiln", "results.jsonl", "eval_results_table.json"):
        if files := sorted(path.rglob(pattern)):
            found = [_read(file, fmt) for file in files]
            return [_together(path, found)] if pattern == "eval_run.kiln" else found
    message = (
        f"{str(path)!r} holds no results that can be read; give a file, or the folder of a run of inspect, lm-eval, "
    )
    raise RunError(message + "Kiln or NeMo Evaluator")


def _together(path: Path, found: Sequence[Recorded]) -> Recorded:
    """Kiln writes one file a result."""
    return replace(found[0], path=path, rows=[row for one in found for row in one.rows])


def _read(path: Path, fmt: Format | None) -> Recorded:
    content = read_bytes(path, RunError)
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            message = f"{str(path)!r} is no complete gzip file ({error}); copy it again, or unpack it"
            raise RunError(message) from None
    if content.startswith(_ZIP) and (path.suffix == ".eval" or _is_log(content)):
        return _inspect(path)
    if content.removeprefix(_MARK).lstrip()[:1] not in {b"{", b"["}:
        if fmt not in {None, "table", "mlflow"}:
            raise RunError(_not_of(path, fmt))
        return _table(path, read_source(str(path)).rows(""), fmt or "table")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        raise RunError(message) from None
    rows, whole = _rows(text, path)
    found = fmt or _format(rows, whole, path)
    needed = next((keys for keys, known in (*_KEYS, *_WHOLE) if known == found), set())
    if rows and not rows[0].values.keys() >= needed:
        raise RunError(_not_of(path, found))
    if found == "inspect":
        return _inspect(path)
    if found == "table":
        return _table(path, rows)
    readers = {
        "lm-eval": _lm_eval,
        "promptfoo": _promptfoo,
        "openai-evals": _openai_evals,
        "kiln": _kiln,
        "nemo": _nemo,
        "mlflow": _mlflow,
    }
    return readers[found](path, rows)


def _not_of(path: Path, fmt: str | None) -> str:
    return f"{path} is not of the format {fmt}; leave --format out, so that it is found"


def _is_log(content: bytes) -> bool:
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile:
        return False
    return "header.json" in names or "_journal/start.json" in names


def _rows(text: str, path: Path) -> tuple[list[Row], bool]:
    """The objects of JSON lines or of an array, or one object; and whether the file is one object."""
    if text.lstrip().startswith("["):
        return list(json_array(text, path)), False
    first, _, rest = text.strip().partition("\n")
    if rest.lstrip().startswith("{") and first.rstrip().endswith("}"):
        return list(json_lines(text, path)), False
    whole = parsed_json(text, path)
    return [Row(f"{path}:1", whole)], True


_KEYS: tuple[tuple[set[str], Format], ...] = (  # of the first object
    ({"doc_id", "doc", "resps", "filtered_resps"}, "lm-eval"),
    ({"problem_idx", "reward", "model_response"}, "nemo"),
    ({"spec"}, "openai-evals"),
    ({"eval_config_eval", "task_run_config_id", "scores"}, "kiln"),
)
_WHOLE: tuple[tuple[set[str], Format], ...] = (  # of a file that is one object
    ({"results", "evalId"}, "promptfoo"),
    ({"columns", "data"}, "mlflow"),
    ({"eval", "status", "version"}, "inspect"),
)
_TOTALS = (
    ({"lm_eval_version"}, "give the samples_*.jsonl beside it, which lm_eval writes with --log_samples"),
    ({"benchmark", "n_results"}, "give the results.jsonl beside it, or the folder"),
)


def _format(rows: Sequence[Row], whole: bool, path: Path) -> Format:  # noqa: FBT001 - of a file that was just read
    """The format of JSON.

    Raises:
        RunError: it is unknown, or has no results by item.
    """
    first: Mapping[str, Any] = rows[0].values if rows else {}
    known = (*_KEYS, *_WHOLE) if whole else _KEYS
    if found := next((fmt for keys, fmt in known if first.keys() >= keys), None):
        return found
    if not whole:
        return "table"
    if remedy := next((remedy for keys, remedy in _TOTALS if first.keys() >= keys), None):
        message = f"{path} holds totals only, and no results by item; {remedy}"
        raise RunError(message)
    message = f"{path}: the format is unknown; write --format {' or '.join(FORMATS)}, or give one JSON object a line"
    raise RunError(message)


# Values


_RIGHT = {"c", "yes", "true", "pass", "passed", "correct", "right", "y"}
_WRONG = {"i", "n", "no", "false", "fail", "failed", "incorrect", "wrong"}  # inspect's N is no answer
_PARTIAL = {"p"}


def to_score(value: Any) -> float | None:  # noqa: ANN401 - any JSON value
    """A score as a number, NaN for none; None if it is neither a number nor a word such as C, I, true or pass.

    >>> [to_score(value) for value in ("C", "I", "P", True, "0.5", "blue")]
    [1.0, 0.0, 0.5, 1.0, 0.5, None]
    """
    if is_missing(value):
        return math.nan
    if isinstance(value, bool | int | float):
        return float(value)
    word = str(value).strip().casefold()
    known = dict.fromkeys(_RIGHT, 1.0) | dict.fromkeys(_WRONG, 0.0) | dict.fromkeys(_PARTIAL, 0.5)
    if word in known:
        return known[word]
    try:
        return float(word)
    except ValueError:
        return None


def _scores(given: Mapping[str, Any]) -> dict[str, float]:
    """The scores that are numbers, those of a dictionary by their own names; anything else is no score."""
    found: dict[str, float] = {}
    for name, value in given.items():
        inner = {f"{name}/{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        found |= {key: score for key, each in inner.items() if (score := to_score(each)) is not None}
    return found


def _said(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """A text, or JSON as one; None for nothing, while "" is an empty answer."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _messages(value: Any) -> str | None:  # noqa: ANN401 - a prompt: a text, or messages with role and content
    """A prompt as text, of messages the last one."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, list) and value and isinstance(value[-1], dict) and "content" in value[-1]:
        return _said(value[-1]["content"])
    return _said(value)


def _texts(*values: Any) -> tuple[str, ...]:  # noqa: ANN401 - any JSON values
    """Every text in the values, those of objects included."""
    found: list[str] = []
    for value in values:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        if inner is not None:
            found += _texts(*inner)
        elif isinstance(value, str) and value.strip():
            found.append(value)
    return tuple(dict.fromkeys(found))


_ID = re.compile(r"(?:.*_)?id|item|key", re.IGNORECASE)


def _ids(values: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What may be an item's id among named values: those called id, item, key or something_id."""
    named = {name: value for name, value in (values or {}).items() if _ID.fullmatch(str(name))}
    return tuple(dict.fromkeys(str(value) for value in named.values() if not is_missing(value)))


# inspect


def _inspect(path: Path) -> Recorded:
    from inspect_ai.log import read_eval_log, read_eval_log_samples

    settings: dict[str, Any] = {
        "resolve_attachments": "core",
        "exclude_fields": {"messages", "events", "store", "events_data"},
    }
    try:
        header = read_eval_log(path, header_only=True)
        if header.eval.dataset.sample_ids:  # then a large log need not be in memory
            samples: Iterable[Any] = read_eval_log_samples(path, all_samples_required=False, **settings)
        else:
            samples = read_eval_log(path, **settings).samples or ()
        rows = [_of_sample(sample, header.eval, path) for sample in samples]
    except Exception as error:  # of the zip file, its compression or its JSON: inspect wraps none of them
        message = f"{str(path)!r} is no complete log of inspect ({clipped(str(error))}); copy it again"
        raise RunError(message) from error
    ended = [] if header.status == "success" else [f"{path.name}: the eval ended with status {header.status!r}"]
    return Recorded(path, "inspect", rows, "graded", ended)


_FACTS = (  # fields of our records that a log keeps in its metadata
    *("retrieval_s", "ttft_s", "device_s", "prompt_hash", "cold", "cache_write_tokens", "reasoning_tokens"),
    *("prompt_chars", "confidence", "embedding_s", "search_s", "ranking_s", "retrieval_usd", "retrieved", "gold"),
    *("answer_rank", "answer_passages"),
)
_ABOUT = ("strategy", "args", "prompt", "lever")


def _of_sample(sample: Any, spec: Any, path: Path) -> Measurement:  # noqa: ANN401 - inspect's EvalSample and EvalSpec
    ours = spec.metadata or {}
    ours = ours if "suite_hash" in ours and "name" in ours else {}
    known = sample.metadata if ours else {}
    usage = list((sample.model_usage or {}).values())
    cached = sum((one.input_tokens_cache_read or 0) for one in usage)
    written = sum((one.input_tokens_cache_write or 0) for one in usage)
    scores = {name: score.value for name, score in (sample.scores or {}).items()}
    first = next(iter((sample.scores or {}).values()), None)
    target = sample.target if isinstance(sample.target, str) else "\n".join(sample.target)
    asked = sample.input if isinstance(sample.input, str) else [message.text for message in sample.input]
    seconds = known.get("latency_s") or sample.working_time or sample.total_time
    further = {name: known[name] for name in _FACTS if known.get(name) is not None}
    if ours.get("phase") == "latency":
        further["phase"] = "latency"
    return Measurement(
        where=f"{path}:{sample.id} (epoch {sample.epoch})",
        candidate=ours.get("name") or spec.model,
        variant=None if ours else spec.task,
        model=ours.get("model", spec.model) if ours else spec.model,
        ids=(str(sample.id), *_ids(sample.metadata)),
        texts=_texts(asked),
        target=target or None,
        completion=sample.output.completion,
        prediction=first.answer if first else None,
        scores=_scores(scores),
        reason=first.explanation if first else None,
        error=sample.error.message if sample.error else known.get("error"),
        stop_reason=known.get("stop_reason") or sample.output.stop_reason if sample.output.choices else None,
        epoch=sample.epoch,
        input_tokens=sum(one.input_tokens for one in usage) + cached + written if usage else None,
        cached_tokens=cached if usage else None,
        output_tokens=sum(one.output_tokens for one in usage) if usage else None,
        seconds=seconds,
        further={"cache_write_tokens": written, **further} if usage else further,
        about={name: ours[name] for name in _ABOUT if name in ours},
    )


# lm-evaluation-harness


class _LmEvalRow(BaseModel):
    """A line of samples_TASK_TIME.jsonl."""

    doc: dict[str, Any] | str | None
    target: Any = None
    arguments: Any = None
    resps: list[Any]
    filtered_resps: Any
    filter: str = "none"
    metrics: list[str] = []


_SAMPLES = re.compile(r"samples_(?P<task>.+?)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")


def _lm_eval(path: Path, rows: Sequence[Row]) -> Recorded:
    named = _SAMPLES.fullmatch(path.name.removesuffix(".gz"))
    model = _lm_eval_model(path, named["time"] if named else "*")
    by_doc: dict[str, Measurement] = {}
    for row in rows:
        one = validated(_LmEvalRow, row.values, row.where, error=RunError)
        scores = {f"{name},{one.filter}": row.values.get(name) for name in one.metrics}
        key = str(row.values["doc_id"])
        if (known := by_doc.get(key)) is not None:  # the same answer, read by another filter
            by_doc[key] = replace(known, scores={**known.scores, **_scores(scores)})
            continue
        generated = one.resps and isinstance(one.resps[0], list) and isinstance(_first(one.resps[0]), str)
        read = _first(one.filtered_resps)
        doc = one.doc if isinstance(one.doc, dict) else {"doc": one.doc}
        by_doc[key] = Measurement(
            where=row.where,
            candidate=model,
            variant=named["task"] if named else path.stem,
            model=model,
            ids=_ids(doc),
            texts=_texts(doc, _last_request(one.arguments)),
            target=one.target.strip() if isinstance(one.target, str) else None,
            completion=_first(one.resps[0]) if generated else None,
            prediction=read if generated and isinstance(read, str) else None,
            scores=_scores(scores),
        )
    return Recorded(path, "lm-eval", [*by_doc.values()])


def _first(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return value[0] if isinstance(value, list) and value else value


def _last_request(arguments: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """The prompt of the first request: {"gen_args_0": {"arg_0": prompt, …}}."""
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else None
    return _messages(_first(first.get("arg_0"))) if isinstance(first, dict) else None


def _lm_eval_model(path: Path, time: str) -> str | None:
    """The model, from the totals that lm_eval wrote at that time beside its samples; else None."""
    for beside in sorted(path.parent.glob(f"results_{time}.json")):
        found = parsed_json(beside.read_text("utf-8"), beside)
        if isinstance(found, dict) and isinstance(found.get("model_name"), str):
            return str(found["model_name"])
    return None


# promptfoo


class _Details(BaseModel):
    reasoning: int | None = None
    cacheReadInputTokens: int | None = None  # noqa: N815 - promptfoo's names
    cacheCreationInputTokens: int | None = None  # noqa: N815


class _Usage(BaseModel):
    """Of a request; `cached` is promptfoo's own cache, the details have the provider's."""

    prompt: int | None = None
    completion: int | None = None
    completionDetails: _Details = _Details()  # noqa: N815


class _Response(BaseModel):
    output: Any = None
    tokenUsage: _Usage | None = None  # noqa: N815 - promptfoo's name
    cached: bool = False
    error: str | None = None
    finishReason: str | None = None  # noqa: N815


class _Named(BaseModel):
    id: str = ""
    label: str | None = None


class _Graded(BaseModel):
    reason: str | None = None


class _PromptfooRow(BaseModel):
    """One of results.results."""

    provider: _Named | str
    prompt: _Named
    vars: dict[str, Any] = {}
    response: _Response | None = None
    error: str | None = None
    success: bool
    score: float = 0.0
    namedScores: dict[str, float] | None = None  # noqa: N815
    gradingResult: _Graded | None = None  # noqa: N815
    latencyMs: float | None = None  # noqa: N815
    failureReason: int | None = None  # noqa: N815


class _PromptfooResults(BaseModel):
    """results of the file."""

    results: list[Any]


class _PromptfooFile(BaseModel):
    """The file."""

    results: _PromptfooResults


_PROMPTFOO_ERROR = 2  # a failed request; 1 is a failed assertion
_STOPS = {"stop": "stop", "length": "max_tokens", "max_tokens": "max_tokens", "content_filter": "content_filter"}


def _promptfoo(path: Path, rows: Sequence[Row]) -> Recorded:
    found = []
    results = validated(_PromptfooFile, rows[0].values, str(path), error=RunError).results.results
    for number, value in enumerate(results, start=1):
        where = f"{path}: result {number}"
        one = validated(_PromptfooRow, value, where, error=RunError)
        provider = one.provider if isinstance(one.provider, _Named) else _Named(id=one.provider)
        answer = one.response or _Response()
        usage = answer.tokenUsage or _Usage()
        failed = one.failureReason == _PROMPTFOO_ERROR or (answer.output is None and bool(answer.error or one.error))
        reused = answer.cached  # by promptfoo's own cache: nothing was sent, and the time is that of the cache
        found.append(
            Measurement(
                where=where,
                candidate=provider.label or provider.id,
                variant=one.prompt.label or one.prompt.id or None,
                model=_promptfoo_model(provider.id),
                ids=_ids(one.vars),
                texts=_texts(one.vars),
                completion=_said(answer.output),
                scores={"success": float(one.success), "score": one.score, **(one.namedScores or {})},
                reason=one.gradingResult.reason if one.gradingResult else None,
                error=(one.error or answer.error or "the request failed") if failed else None,
                stop_reason=_STOPS.get(answer.finishReason or ""),
                input_tokens=None if reused else usage.prompt,
                cached_tokens=None if reused else usage.completionDetails.cacheReadInputTokens,
                output_tokens=None if reused else usage.completion,
                seconds=None if reused or failed or one.latencyMs is None else one.latencyMs / 1000,
            )
        )
    return Recorded(path, "promptfoo", found, "success")


def _promptfoo_model(provider: str) -> str | None:
    """`openai:chat:gpt-5.4-mini` as `openai/gpt-5.4-mini`; None if it is no such name."""
    service, _, name = provider.partition(":")
    kind, colon, rest = name.partition(":")
    if kind in {"chat", "responses", "completion", "messages"} and colon:
        name = rest
    return f"{service}/{name}" if name and re.fullmatch(r"[a-z-]+", service) and service != "file" else None


# OpenAI Evals


class _Spec(BaseModel):
    completion_fns: list[str]
    eval_name: str = ""


class _Event(BaseModel):
    sample_id: str
    type: str
    data: dict[str, Any]


def _openai_evals(path: Path, rows: Sequence[Row]) -> Recorded:
    """A log of `oaieval`: a line for the run, one for each event, one for the report."""
    spec = validated(_Spec, rows[0].values["spec"], rows[0].where, error=RunError)
    model = spec.completion_fns[0] if spec.completion_fns else None
    found: dict[str, Measurement] = {}
    for row in rows[1:]:
        if "final_report" in row.values:
            continue
        event = validated(_Event, row.values, row.where, error=RunError)
        one = found.get(event.sample_id) or Measurement(
            where=row.where,
            candidate=model,
            variant=spec.eval_name or None,
            model=model,
            ids=(event.sample_id, event.sample_id.rpartition(".")[2]),
        )
        found[event.sample_id] = _with_event(one, event)
    return Recorded(path, "openai-evals", [*found.values()], "correct")


def _with_event(one: Measurement, event: _Event) -> Measurement:
    data = event.data
    match event.type:
        case "match":
            picked = data.get("picked")
            return replace(
                one,
                scores={**one.scores, "correct": to_score(data.get("correct")) or 0.0},
                target=_said(data.get("expected")),
                prediction=picked if isinstance(picked, str) else None,
                completion=_said(data.get("sampled")) or one.completion,
            )
        case "sampling":
            usage = data.get("usage") or {}
            return replace(
                one,
                texts=(*one.texts, *filter(None, [_messages(data.get("prompt"))])),
                completion=_said(_first(data.get("sampled"))),
                input_tokens=usage.get("prompt_tokens"),
                output_tokens=usage.get("completion_tokens"),
            )
        case "metrics":
            return replace(one, scores={**one.scores, **_scores(data)})
        case "error":
            return replace(one, error=f"{data.get('type', 'error')}: {data.get('message', '')}")
    return one


# Kiln


class _KilnUsage(BaseModel):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    total_llm_latency_ms: float | None = None


class _KilnRun(BaseModel):
    """An eval_run.kiln file, or a row of them."""

    id: str | None = None
    dataset_id: str | None = None
    eval_input_id: str | None = None
    task_run_config_id: str | None = None
    eval_config_eval: bool = False
    input: str
    output: str | None = None
    reference_answer: str | None = None
    scores: dict[str, float] = {}
    task_run_usage: _KilnUsage | None = None
    skipped_reason: str | None = None


def _kiln(path: Path, rows: Sequence[Row]) -> Recorded:
    found = []
    for row in rows:
        one = validated(_KilnRun, row.values, row.where, error=RunError)
        if one.eval_config_eval:  # it rates the judge, not a way to run the task
            continue
        usage = one.task_run_usage or _KilnUsage()
        found.append(
            Measurement(
                where=row.where,
                candidate=one.task_run_config_id,
                ids=tuple(filter(None, [one.dataset_id, one.eval_input_id])),
                texts=(one.input,),
                target=one.reference_answer,
                completion=one.output,
                scores=one.scores,
                error=f"skipped: {one.skipped_reason}" if one.skipped_reason else None,
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
                seconds=None if usage.total_llm_latency_ms is None else usage.total_llm_latency_ms / 1000,
            )
        )
    return Recorded(path, "kiln", found)


# NeMo Evaluator


class _NemoRow(BaseModel):
    """A line of results.jsonl."""

    problem_idx: int
    repeat: int = 0
    reward: float | None
    scorer_rewards: dict[str, float] = {}
    prompt: Any = None
    model_response: str | None = None
    extracted_answer: Any = None
    expected_answer: Any = None
    metadata: dict[str, Any] = {}
    latency_ms: float | None = None


def _nemo(path: Path, rows: Sequence[Row]) -> Recorded:
    model, benchmark = _nemo_bundle(path)
    found = []
    for row in rows:
        one = validated(_NemoRow, row.values, row.where, error=RunError)
        found.append(
            Measurement(
                where=row.where,
                candidate=model,
                variant=benchmark,
                model=model,
                ids=_ids(one.metadata),
                texts=_texts(one.metadata, _messages(one.prompt)),
                target=_said(one.expected_answer),
                completion=one.model_response,
                prediction=_said(one.extracted_answer),
                scores={"reward": math.nan if one.reward is None else one.reward, **one.scorer_rewards},
                epoch=one.repeat + 1,
                seconds=one.latency_ms / 1000 if one.latency_ms else None,
            )
        )
    return Recorded(path, "nemo", found, "reward")


def _nemo_bundle(path: Path) -> tuple[str | None, str | None]:
    """Model and benchmark, from the bundle beside the results."""
    for beside in sorted(path.parent.glob("eval-*.json")):
        found = parsed_json(beside.read_text("utf-8"), beside)
        if isinstance(found, dict) and isinstance(found.get("config"), dict):
            return found["config"].get("model"), (found.get("benchmark") or {}).get("name")
    return None, None


# Tables: our own columns, and those of MLflow, Braintrust and Langfuse

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "item": ("item", "item_id", "id", "test_id", "example_id", "sample_id", "dataset_item_id", "dataset_record_id"),
    "input": ("input", "inputs", "question", "text", "prompt", "query", "request"),
    "target": (
        *("target", "targets", "expected", "expected_output", "expected_response", "expected_response_value"),
        *("ground_truth", "reference", "ideal", "label", "answer"),
    ),
    "candidate": ("candidate", "experiment", "experiment_name", "dataset_run_name", "run_name"),
    "model": ("model", "model_name", "provided_model_name"),
    "prediction": ("prediction", "predicted"),
    "completion": ("completion", "output", "outputs", "response", "predictions", "generation"),
    "score": ("score", "correct", "is_correct", "passed"),
    "reason": ("reason", "rationale", "explanation", "justification"),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "cached_tokens": ("cached_tokens", "prompt_cached_tokens", "input_cached_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "prompt_cache_creation_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "reasoning_tokens": ("reasoning_tokens",),
    "seconds": ("seconds", "latency_s", "latency", "duration"),
    "milliseconds": ("latency_ms", "duration_ms", "execution_duration"),
    "epoch": ("epoch", "draw", "repeat", "trial"),
    "error": ("error", "error_message"),
    "stop_reason": ("stop_reason", "finish_reason"),
    "phase": ("phase",),
    "cold": ("cold",),
    "strategy": ("strategy",),
    "args": ("args",),
    "lever": ("lever",),
}
# The columns of a table of ours, in order, by the records' names: `export` writes it, `import` reads it.
OWN_COLUMNS = {
    "candidate": "candidate",
    "strategy": "strategy",
    "args": "args",
    "lever": "lever",
    "model": "model",
    "phase": "phase",
    "item_id": "item",
    "epoch": "epoch",
    "slice": "slice",
    "group": "group",
    "input": "input",
    "target": "target",
    "prediction": "prediction",
    "completion": "completion",
    "score": "score",
    "status": "status",
    "reason": "reason",
    "error": "error",
    "stop_reason": "stop_reason",
    "input_tokens": "input_tokens",
    "cached_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "latency_s": "seconds",
    "retrieval_s": "retrieval_s",
    "ttft_s": "ttft_s",
    "device_s": "device_s",
    "cold": "cold",
    "embedding_s": "embedding_s",
    "search_s": "search_s",
    "ranking_s": "ranking_s",
    "retrieval_usd": "retrieval_usd",
    "retrieved": "retrieved",
    "gold": "gold",
    "answer_rank": "answer_rank",
    "answer_passages": "answer_passages",
}
# By the same name in our own tables:
_AMOUNTS = ("retrieval_s", "ttft_s", "device_s", "embedding_s", "search_s", "ranking_s", "retrieval_usd")
_PLACES = ("answer_rank", "answer_passages")
_LISTS = ("retrieved", "gold")  # of ids, as JSON
_SCORED = re.compile(r"(?P<name>.+?)/(?:v\d+/)?(?:score|value)|scores?[./](?P<other>.+)", re.IGNORECASE)
_EXPECTED = re.compile(r"expect|guideline", re.IGNORECASE)  # what MLflow keeps beside its scorers' values
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NESTED = ("metrics", "usage_details", "usage")  # objects whose keys are columns: Braintrust's, Langfuse's
_LANGFUSE_USAGE = {"input": "input_tokens", "output": "output_tokens"}


def _table(path: Path, rows: Sequence[Row], fmt: Format = "table") -> Recorded:
    names = {name: _role(name) for row in rows[:1_000] for name in row.values}
    if not set(names.values()) & {"score", "prediction", "completion", "error", "scores"}:
        message = (
            f"{path}: no column holds results ({clipped(', '.join(names))}); name one completion, prediction or score"
        )
        raise RunError(message)
    roots = [row for row in rows if row.values.get("is_root") not in {False, "false", "False"}]  # Braintrust's spans
    found = [_of_row(row, _valued(row)) for row in roots]
    return Recorded(path, fmt, found, "score")


def _role(name: str) -> str | None:
    """What a column holds, by its name in any spelling: latencyMs is latency_ms."""
    plain = re.sub(r"\W+", "_", _HUMP.sub("_", name.strip())).casefold()
    known = next((role for role, names in _COLUMNS.items() if plain in names), None)
    if known is None and (plain == "scores" or (_SCORED.fullmatch(name) and not _EXPECTED.search(name))):
        return "scores"
    return known


def _valued(row: Row) -> dict[str, Any]:
    """Values by role, the first column of each that has one; scores by their names."""
    columns: dict[str, Any] = dict(row.values)
    for name in _NESTED:
        inner = _object(columns.pop(name, None))
        columns |= {_LANGFUSE_USAGE.get(key, key): value for key, value in inner.items() if key not in columns}
    found: dict[str, Any] = {"scores": {}}
    for name, value in columns.items():
        role = _role(name)
        if role == "scores":
            own = _SCORED.fullmatch(name)
            found["scores"] |= _object(value) if own is None else {own["name"] or own["other"]: value}
        elif role is not None and (role not in found or is_missing(found[role])):
            found[role] = value
    if "seconds" not in found and {"start", "end"} <= columns.keys() and columns["end"] is not None:
        found["seconds"] = float(columns["end"]) - float(columns["start"])  # Braintrust's times
    if str(columns.get("level", "")).upper() == "ERROR":  # Langfuse's
        found["error"] = columns.get("status_message") or "the request failed"
    return found


def _object(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """A JSON object, which tables hold as text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _of_row(row: Row, values: Mapping[str, Any]) -> Measurement:
    def text(role: str) -> str | None:
        found = _said(values.get(role))
        return None if found is None or (not found.strip() and role != "completion") else found

    def number(role: str, kind: type[int | float]) -> Any:  # noqa: ANN401 - of that kind
        return _number(values.get(role), kind, row.where, role)

    scores = dict(values["scores"])
    if "score" in values:
        scores["score"] = values["score"]
        if to_score(values["score"]) is None:
            message = f"{row.where}: the score {clipped(values['score'])} is no number; write 0 to 1, or true and false"
            raise RunError(message)
    milliseconds = number("milliseconds", float)
    further = {name: number(name, int) for name in ("cache_write_tokens", "reasoning_tokens") if name in values}
    if values.get("phase") == "latency":
        further |= {"phase": "latency", "cold": bool(to_score(values.get("cold")))}
    further |= {name: _number(row.values.get(name), float, row.where, name) for name in _AMOUNTS}
    further |= {name: _number(row.values.get(name), int, row.where, name) for name in _PLACES}
    further |= {name: _id_list(row.values.get(name)) for name in _LISTS}
    about: dict[str, Any] = {"lever": text("lever")} if text("lever") else {}
    if text("strategy") and text("args"):  # a table of ours; elsewhere, a strategy may be anything
        about |= {"strategy": _plain(text("strategy")), "args": _object(values["args"])}
    return Measurement(
        where=row.where,
        candidate=_plain(text("candidate") or text("model")),
        model=_plain(text("model")),
        ids=tuple(filter(None, [_plain(text("item"))])),
        texts=_texts(_object(values.get("input")) or _messages(values.get("input"))),
        target=text("target"),
        completion=text("completion"),
        prediction=text("prediction"),
        scores=_scores(scores),
        reason=text("reason"),
        error=text("error"),
        stop_reason=text("stop_reason"),
        epoch=number("epoch", int),
        input_tokens=number("input_tokens", int),
        cached_tokens=number("cached_tokens", int),
        output_tokens=number("output_tokens", int),
        seconds=milliseconds / 1000 if milliseconds is not None else number("seconds", float),
        further={name: value for name, value in further.items() if value is not None},
        about=about,
    )


def _id_list(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """A list of ids as the records have it; None for anything else, such as another tool's text under that name."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return json.dumps([str(each) for each in value]) if isinstance(value, list) else None


def _plain(text: str | None) -> str | None:
    return None if text is None else unescaped_csv(text)


def _number(value: Any, kind: type[int | float], where: str, role: str) -> Any:  # noqa: ANN401 - of that kind
    if is_missing(value) or value is None:
        return None
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    try:
        found = float(value)
        if not math.isfinite(found) or found < 0 or (kind is int and not found.is_integer()):
            raise ValueError  # noqa: TRY301 - as float() does
    except (TypeError, ValueError):
        expected = "a whole number" if kind is int else "a number"
        message = f"{where}: {role} is {clipped(value)}; expected {expected} of at least 0"
        raise RunError(message) from None
    return kind(found)


def _mlflow(path: Path, rows: Sequence[Row]) -> Recorded:
    """A table as MLflow logs it: the columns' names, and rows of values."""
    whole = rows[0].values
    columns, data = whole["columns"], whole["data"]
    made = [
        Row(f"{path}: row {number}", dict(zip(columns, values, strict=False)))
        for number, values in enumerate(_listed(data), start=1)
    ]
    return _table(path, made, "mlflow")


def _listed(data: Any) -> Iterable[list[Any]]:  # noqa: ANN401 - any JSON value
    return (row for row in data if isinstance(row, list)) if isinstance(data, list) else ()

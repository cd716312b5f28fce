"""Commands on damaged files: how many end in a traceback, a wrong exit code, a hang or a half-written file.

Makes a project with two runs, a curve, a baseline, results of other tools, prices, prompts and figures. Each input is
one command on a copy of it in which one file is truncated, has flipped bits, holds other bytes or the content of
another file, has a value changed, removed or added (JSON, JSONL, TOML, YAML, CSV, Parquet), or claims to be of a
newer version. Each command runs in a fork of one process that has loaded the libraries. Prints a Markdown table, and
the tracebacks, one of each kind.

    python benchmarks/fuzz.py [--inputs N] [--seconds S] [--seed N] [--only COMMAND …] [--jobs N] [--first N]

Exit code 1 if a command ended in a traceback, a signal or a hang, or left a half-written file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIBRARIES = (
    *("inspect_ai.model", "inspect_ai.solver", "inspect_ai.scorer", "inspect_ai.log", "pandas", "pyarrow.parquet"),
    *("matplotlib.pyplot", "sklearn.linear_model", "scipy.stats", "jinja2", "yaml", "pydantic", "openpyxl"),
    *("thirdlever.cli.main", "thirdlever.report.memo", "thirdlever.report.page", "thirdlever.report.decision"),
    *("thirdlever.lifecycle.regress", "thirdlever.lifecycle.history", "thirdlever.lifecycle.diff"),
    *("thirdlever.runner.runner", "thirdlever.runner.importing", "thirdlever.runner.exporting"),
    *("thirdlever.runner.curve", "thirdlever.runner.check", "thirdlever.runner.audit", "thirdlever.runner.plan"),
    *("thirdlever.suites.create", "thirdlever.suites.find", "thirdlever.analysis.scorecards"),
    *("thirdlever.decision.verdict", "thirdlever.evaluation.passes", "thirdlever.strategies.specs"),
    *("thirdlever.finetune.tune", "thirdlever.finetune.jobs", "thirdlever.lifecycle.stale"),
)
LONGEST_S = 60
MEMORY = 6 * 2**30  # bytes of address space above what the parent has
KEEP = {"run", "regress", "curve"}  # commands that keep what was paid for when they fail
SHOWN = 40  # lines of a traceback
CODES = {0, 1, 2, 3, 4}  # those that are documented
MODEL = "openai/gpt-4.1-mini"


class Target(NamedTuple):
    """A command, and the files that it reads, as patterns below the project."""

    command: str
    files: tuple[str, ...]
    weight: float = 1.0


RUN = ("results/a/run.json", "results/a/records.parquet")
SUITE = ("datasets/pay/*", "evals/pay.py", "prompts/own.jinja")
TARGETS = (
    Target("show results/a", (*RUN, "results/a/summary.csv")),
    Target("show results/a --by label", RUN),
    Target("show results/a --format json", RUN),
    Target("compare results/a", RUN),
    Target("compare results/a --items --all --format json", RUN),
    Target("decide results/a", RUN),
    Target("decide figures.toml", ("figures.toml",)),
    Target("memo results/a", RUN, 0.4),
    Target("memo results/a --curve results/curve", ("results/curve/*",), 0.4),
    Target("memo figures.toml", ("figures.toml",), 0.3),
    Target("report results/a", (*RUN, "results/a/logs/*"), 1.5),
    Target("reprice results/a --as openai/gpt-5.4-mini", (*RUN, "prices.toml")),
    Target("reprice results/a --device-usd-per-hour 2", (*RUN, "prices.toml")),
    Target("baseline set results/a --name new", RUN),
    Target("baseline list", ("results/baselines/pay.json",), 0.5),
    Target("baseline show pay", ("results/baselines/pay.json",)),
    Target("baseline diff pay results/a", (*RUN, "results/baselines/pay.json")),
    Target("regress pay --baseline pay --model null", ("results/baselines/pay.json", "datasets/pay/*"), 0.5),
    Target("diff results/a results/b", (*RUN, "results/b/run.json", "results/a/logs/*")),
    Target("replace results/a MODEL", RUN, 0.5),
    Target("history pay", (*RUN, "results/b/run.json")),
    Target("stale --snapshot models.json", ("models.json", "results/a/run.json", "results/baselines/pay.json")),
    Target("export results/a --to csv", RUN),
    Target("export results/a --to inspect", (*RUN, "results/a/logs/*"), 0.5),
    Target("import theirs.csv --suite pay --out results/i", ("theirs.csv",)),
    Target("import theirs.jsonl --suite pay --out results/i", ("theirs.jsonl",)),
    Target("import promptfoo.json --suite pay --out results/i", ("promptfoo.json",)),
    Target("import lm/samples_pay_2026.jsonl --suite pay --out results/i", ("lm/*",)),
    Target("import results/a/logs --suite pay --out results/i", ("results/a/logs/*",)),
    Target(
        "run pay --strategy null:method=majority --strategy zero_shot --model M --limit 6 --probe 2 --out results/a",
        ("results/a/journal/*", "results/a/run.json", *SUITE),
        0.6,
    ),
    Target(
        "curve pay --strategy null:method=majority --sizes 20,40 --seeds 0 --out results/curve",
        ("results/curve/**",),
        0.5,
    ),
    Target(
        "plan pay --strategy zero_shot --strategy null:method=majority --model M",
        (*SUITE, "prices.toml", "results/a/run.json"),
    ),
    Target("prompt pay --model M --prompt own", SUITE),
    Target("check", ("prompts/own.jinja", "evals/pay.py", "datasets/pay/*"), 0.5),
    Target("audit pay --quick", ("datasets/pay/*",)),
    Target("suites", ("evals/pay.py", "datasets/pay/card.yaml"), 0.3),
    Target("init other --train train.csv --yes", ("train.csv",)),
    Target("init other --train train.json --yes", ("train.json",)),
    Target("init other --train train.xlsx --yes", ("train.xlsx",)),
    Target("init other --train train.parquet --yes", ("train.parquet",)),
    Target("adapters", (".thirdlever/store/adapter/*/*",), 0.3),
    Target("jobs", (".thirdlever/jobs/*",), 0.3),
)

# Changing files


def truncated(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """A part from the start."""
    return data[: draw.choice([0, 1, draw.randrange(len(data) + 1), max(0, len(data) - draw.randrange(1, 40))])]


def flipped(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """One to sixteen bits are the other way round."""
    found = bytearray(data or b"\0")
    for _number in range(draw.choice([1, 1, 4, 16])):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def overwritten(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """Other bytes in one place, or between two bytes."""
    at, size = draw.randrange(len(data) + 1), draw.choice([1, 8, 64, 512])
    filler = draw.choice([draw.randbytes(size), bytes(size), b"\xff" * size, b'"' * size, b"{" * size, b"\n" * size])
    return data[:at] + filler + data[at + draw.choice([0, size]) :]


def swapped(_: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Another file's content."""
    return draw.choice(others)


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 10**30, -(2**63), float("nan"), float("inf"), "", "a", "\ud800", "x" * 10_000),
    *("\x1b[2J", "=1+1", "../../etc/passwd", "2026-13-45", "nan", [], {}, [None], [[]], [{}], {"": None}),
    *([1, 2], ["a"], [True], {"a": {}}, [[[[[[[[[[[[]]]]]]]]]]]], "{{ 1/0 }}", "{% for", "\0"),
)


def altered(value: Any, draw: random.Random, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """A JSON value in which one value, at any depth, is another, absent, or twice there."""
    if not isinstance(value, (dict, list)) or not value or draw.random() < 0.1 * (depth > 0):
        return draw.choice(VALUES)
    if isinstance(value, dict):
        key = draw.choice([*value])
        match draw.randrange(8):
            case 0:
                return {name: inner for name, inner in value.items() if name != key}
            case 1:
                return {draw.choice(["new", key.upper(), ""]) if name == key else name: v for name, v in value.items()}
            case 2:
                return value | {draw.choice(["new", "from a newer version", ""]): draw.choice(VALUES)}
            case 3:
                return value | {key: value[draw.choice([*value])]}
            case _:
                return value | {key: altered(value[key], draw, depth + 1)}
    at = draw.randrange(len(value))
    match draw.randrange(6):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return value[: at + 1] + value[at:]
        case 2:
            return [*value[:at], draw.choice(VALUES), *value[at:]]
        case _:
            return [*value[:at], altered(value[at], draw, depth + 1), *value[at + 1 :]]


def as_json(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """A JSON file with up to three values altered."""
    value = json.loads(data)
    for _number in range(draw.choice([1, 1, 1, 3])):
        value = altered(value, draw)
    return json.dumps(value, indent=draw.choice([None, 2])).encode()


def as_lines(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """A JSONL file with a line altered, removed or repeated."""
    lines = data.splitlines()
    at = draw.randrange(len(lines))
    match draw.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, draw.choice(lines))
        case 2:
            lines.insert(at, draw.choice([b"", b"null", b"[]", b"{}", b'"', b"\xff", b"1", b"NaN"]))
        case _:
            lines[at] = as_json(lines[at], draw, others)
    return b"\n".join(lines) + b"\n"


def as_text(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """A text file (TOML, YAML, CSV, Jinja) with a piece replaced, removed, moved or repeated."""
    import re

    pieces = re.findall(r"\w+|\s+|[^\w\s]", data.decode("utf-8", "replace")) or [""]
    at = draw.randrange(len(pieces))
    other = draw.choice(
        [
            *(
                '"',
                "'",
                "[",
                "]",
                "{",
                "}",
                "=",
                ",",
                ":",
                "\n",
                "\t",
                "-1",
                "1e999",
                "nan",
                "inf",
                "true",
                "null",
                "é",
            ),
            *(
                "2026-13-45",
                "[[x]]",
                "{{ item.nothing.more }}",
                "{{ 1/0 }}",
                "{% for x in range(10**9) %}",
                "{{ '' ~ x",
            ),
            *("{{ ''.__class__ }}", "{% include 'nothing' %}", "&a *a", "!!python/object:os.system", "\ud7ff", "\0"),
            *(draw.choice(pieces), "9" * 400, "0x1F", "''", '""', "---\n", "# "),
        ]
    )
    match draw.randrange(4):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(at, other)
        case 2:
            pieces.insert(at, draw.choice(pieces))
        case _:
            pieces[at] = other
    return "".join(pieces).encode("utf-8", "replace")


def as_parquet(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """A Parquet file with a column dropped, renamed, of another type or with strange values, or without rows."""
    import pandas as pd

    frame = pd.read_parquet(io.BytesIO(data))
    for _number in range(draw.choice([1, 1, 2])):
        name = draw.choice([*frame.columns])
        column = frame[name]
        values: dict[str, Callable[[], Any]] = {
            "absent": lambda: None,
            "text": lambda: column.astype("string").fillna("x"),
            "number": lambda: pd.Series(range(len(frame)), dtype="float64"),
            "missing": lambda: pd.Series([None] * len(frame), dtype=draw.choice(["object", "float64"])),
            "infinite": lambda: pd.Series([float(draw.choice(["inf", "nan", "-1", "1e308"]))] * len(frame)),
            "bytes": lambda: pd.Series([b"\xff\0"] * len(frame)),
            "lists": lambda: pd.Series([[1]] * len(frame)),
            "same": lambda: pd.Series([column.iloc[0] if len(column) else None] * len(frame), dtype=column.dtype),
            "shuffled": lambda: column.sample(frac=1, random_state=draw.randrange(99)).reset_index(drop=True),
            "strange": lambda: pd.Series(["\x1b[2J<script>=1+1{{ 1 }}|\n" + str(n % 3) for n in range(len(frame))]),
        }
        kind = draw.choice([*values, "few", "twice", "none", "new"])
        if kind == "absent":
            frame = frame.drop(columns=name) if len(frame.columns) > 1 else frame
        elif kind in values:
            frame = frame.assign(**{name: values[kind]()})
        elif kind == "new":
            frame = frame.assign(new=1).rename(columns={name: name if draw.random() < 0.5 else "renamed"})
        elif kind == "twice":
            frame = pd.concat([frame, frame.head(draw.randrange(1, 9))], ignore_index=True)
        else:
            frame = frame.head(0 if kind == "none" else draw.randrange(1, 9))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def as_zip(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """A log or a workbook with one member altered, absent or empty."""
    import zipfile

    import zipfile_zstd  # noqa: F401 - inspect's compression

    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as members, zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as new:
        names = members.namelist()
        chosen, kind = draw.choice(names), draw.choice(["absent", "empty", "altered", "altered", "altered", "cut"])
        for name in names:
            content = members.read(name)
            if name != chosen:
                new.writestr(name, content)
            elif kind != "absent":
                change = as_json if name.endswith(".json") else as_text
                cut = {"empty": b"", "cut": content[: len(content) // 2]}
                new.writestr(name, cut[kind] if kind in cut else change(content, draw, others))
    return into.getvalue()


def newer(data: bytes, draw: random.Random, _: list[bytes]) -> bytes:
    """A run.json or a baseline as a later release might write it."""
    value = json.loads(data)
    if isinstance(value, dict):
        value |= {"schema": 99, "version": 99} | ({"versions": {"thirdlever": "99.0"}} if draw.random() < 0.7 else {})
        value = altered(value, draw) if draw.random() < 0.5 else value
    return json.dumps(value).encode()


ANY = (truncated, flipped, overwritten, swapped)
BY_FORM: dict[str, tuple[Callable[..., bytes], ...]] = {
    ".json": (*ANY, as_json, as_json, as_json, as_json, newer, as_text),
    ".jsonl": (*ANY, as_lines, as_lines, as_lines, as_text),
    ".parquet": (*ANY, as_parquet, as_parquet, as_parquet, as_parquet),
    ".eval": (*ANY, as_zip, as_zip, as_zip),
    ".xlsx": (*ANY, as_zip, as_zip),
    ".toml": (*ANY, as_text, as_text, as_text),
    ".yaml": (*ANY, as_text, as_text, as_text),
    ".csv": (*ANY, as_text, as_text),
    ".jinja": (*ANY, as_text, as_text, as_text),
    ".py": (truncated, as_text),  # code of the user's own: only what an editor does to it
}


# The project

EVAL = """from thirdlever import Suite, load_suite, suite


@suite
def pay() -> Suite:
    return load_suite("pay", instruction="Name the kind.")
"""
CARD = """name: pay
title: Payments
source: made up
licence: CC0-1.0
monthly_volume: 10000
error_cost_usd: 0.5
stable: true
near_leaks: made up
"""
PRICES = """[[price]]
model = "openai/gpt-4.1-mini"
input = 0.4
cached_input = 0.1
output = 1.6
source = "our contract"
as_of = 2026-11-01
"""


def make_project(folder: Path) -> None:
    """Write the files, and have the commands write theirs."""
    import pandas as pd

    from thirdlever.cli.main import _run
    from thirdlever.testing import Behaviour, LoopbackProvider, TokenPrices

    os.chdir(folder)
    for name in ("datasets/pay", "evals", "prompts", "lm"):
        Path(name).mkdir(parents=True)
    Path("evals/pay.py").write_text(EVAL)
    Path("datasets/pay/card.yaml").write_text(CARD)
    Path("prices.toml").write_text(PRICES)
    Path("prompts/own.jinja").write_text("{{ instruction }}\n{{ examples }}\n{{ documents }}\nInput: {{ input }}\n")
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, size in (("train", 40), ("dev", 10), ("test", 20)):
        rows[split] = [
            {
                "id": f"{split}-{n}",
                "input": f"{split} paid {n * 37 % 101} at shop {n} {'pump' if n % 3 else 'bakery'}",
                "target": "fuel" if n % 3 else "food",
                "slice": "odd" if n % 2 else "even",
            }
            for n in range(size)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows[split])
        Path(f"datasets/pay/{split}.jsonl").write_text(text)
    frame = pd.DataFrame(rows["train"])[["input", "target"]]
    frame.to_csv("train.csv", index=False)
    frame.to_json("train.json", orient="records")
    frame.to_excel("train.xlsx", index=False)
    frame.to_parquet("train.parquet", index=False)
    theirs = [{"id": row["id"], "input": row["input"], "output": row["target"]} for row in rows["test"]]
    pd.DataFrame(theirs).to_csv("theirs.csv", index=False)
    Path("theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in theirs))
    Path("promptfoo.json").write_text(json.dumps(_promptfoo(rows["test"])))
    Path("lm/samples_pay_2026.jsonl").write_text("".join(json.dumps(_harness(row)) + "\n" for row in rows["test"]))
    models = [{"id": "gpt-4.1-mini", "object": "model", "created": 1, "owned_by": "system"}]
    Path("models.json").write_text(json.dumps({"object": "list", "data": models}))
    shipped = Path(__file__).parents[1] / "docs/examples/fintech.toml"
    Path("figures.toml").write_bytes(shipped.read_bytes())
    behaviour = Behaviour(answer=_answer, prices=TokenPrices(input=0.4, output=1.6))
    with LoopbackProvider({"gpt-4.1-mini": behaviour}) as provider:
        os.environ.update(provider.env)
        head = f"run pay --strategy null:method=majority --strategy zero_shot --model {MODEL} --probe 2 --out results"
        made = f"{head}/a --limit 6", f"{head}/a", f"{head}/b --seed 1", "baseline set results/a"
        for command in (*made, "curve pay --strategy null:method=majority --sizes 20,40 --seeds 0 --out results/curve"):
            if code := _run(command.split()):
                message = f"thirdlever {command} ended with {code}"
                raise SystemExit(message)


def _answer(prompt: str) -> str:
    return "fuel" if "pump" in prompt.rsplit("shop", 1)[-1] else "food"


def _promptfoo(rows: list[dict[str, Any]]) -> dict[str, Any]:
    results = [
        {
            "provider": {"id": "openai:gpt-4.1-mini"},
            "prompt": {"raw": row["input"], "label": "p"},
            "vars": {"input": row["input"]},
            "response": {"output": row["target"], "tokenUsage": {"prompt": 9, "completion": 1, "total": 10}},
            "success": True,
            "score": 1,
            "latencyMs": 12,
            "gradingResult": {"pass": True, "score": 1, "reason": "equal"},
        }
        for row in rows
    ]
    return {"evalId": "e", "results": {"version": 3, "timestamp": "2026-11-01T00:00:00Z", "results": results}}


def _harness(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "doc_id": int(row["id"].split("-")[1]),
        "doc": row,
        "target": row["target"],
        "arguments": {"gen_args_0": {"arg_0": row["input"], "arg_1": {"until": ["\n"]}}},
        "resps": [[row["target"]]],
        "filtered_resps": [row["target"]],
        "exact_match": 1.0,
    }


# One input


@dataclass
class Outcome:
    """How a command ended."""

    code: int  # negative: the signal
    error: str = ""  # the traceback
    said: str = ""  # standard error
    half: list[str] = field(default_factory=list)  # half-written files
    seconds: float = 0.0


def attempt(folder: Path, arguments: list[str]) -> Outcome:
    """Run a command in a fork, in that folder."""
    before = tree(folder)
    start = time.monotonic()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(folder, arguments, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        reply = pipe.read()
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - start
    if not reply:
        return Outcome(os.waitstatus_to_exitcode(status), "ended without a word", seconds=seconds)
    code, error, said = json.loads(reply)
    return Outcome(code, error, said, half_written(folder, before, code, keeps=arguments[0] in KEEP), seconds)


def _child(folder: Path, arguments: list[str], pipe: int) -> None:
    from thirdlever.cli.main import _run

    os.setsid()
    with Path(os.devnull).open("r+b") as null, tempfile.TemporaryFile() as said:
        for number, file in enumerate((null, null, said)):
            os.dup2(file.fileno(), number)
        signal.alarm(LONGEST_S)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        os.chdir(folder)
        code, error = -99, ""
        try:
            code = _run(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:  # noqa: BLE001 - every one is counted
            error = traceback.format_exc()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        said.seek(0)
        text = said.read()[-4000:].decode("utf-8", "replace")
        if not error and "Traceback (most recent call last)" in text:
            error = text
        os.write(pipe, json.dumps([code, error[-20_000:], text[-600:]]).encode()[:60_000])
    os._exit(0)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def half_written(folder: Path, before: dict[str, tuple[int, int]], code: int, *, keeps: bool) -> list[str]:
    """Partial files, and after an error every file that is new or changed, except the cache's, journals' and locks."""
    kept = (".thirdlever/", ".lock", "/journal/", "/logs/", "__pycache__", "/.partial/")
    changed = [name for name, state in tree(folder).items() if before.get(name) != state]
    partial = [name for name in changed if name.endswith(".partial") and not name.startswith(".thirdlever/")]
    if keeps:
        return partial
    return partial or [name for name in changed if code == 2 and not any(part in name for part in kept)]


class Case(NamedTuple):
    """One input."""

    number: int
    target: Target
    file: str
    change: str


def cases(project: Path, seed: int, targets: tuple[Target, ...]) -> Iterator[tuple[Case, bytes]]:
    """Inputs without an end; the same for the same seed and project."""
    numbers = range(sys.maxsize)
    contents = {path.relative_to(project): path.read_bytes() for path in sorted(project.rglob("*")) if path.is_file()}
    others = [data for name, data in contents.items() if len(data) < 200_000 and name.suffix != ".lock"]
    concerned = {
        target: [
            path
            for pattern in target.files
            for path in sorted(project.glob(pattern))
            if path.is_file() and path.suffix not in {".lock", ".png", ".svg"}
        ]
        for target in targets
    }
    usable = [target for target in targets if concerned[target]]
    for number in numbers:
        draw = random.Random(f"{seed}-{number}")  # noqa: S311 - a seeded draw is wanted
        target = draw.choices(usable, [each.weight for each in usable])[0]
        path = draw.choice(concerned[target])
        form = ".jsonl" if "journal" in path.parts else path.suffix
        change = draw.choice(BY_FORM.get(form, ANY))
        data = contents[path.relative_to(project)]
        try:
            changed = change(data, draw, others)
        except (ValueError, TypeError, IndexError, OverflowError, NotImplementedError, AttributeError):
            changed = truncated(data, draw, others)  # the change does not fit the file
        except Exception as error:
            if "arrow" not in type(error).__module__.lower():
                raise
            changed = truncated(data, draw, others)
        yield Case(number, target, str(path.relative_to(project)), change.__name__), changed


def kind_of(error: str) -> str:
    """What makes two tracebacks the same: the exception's type and our last frame."""
    frames = [line.strip() for line in error.splitlines() if "thirdlever" in line and line.strip().startswith("File")]
    last = error.strip().splitlines()[-1].split(":")[0] if error.strip() else ""
    return f"{last} at {frames[-1] if frames else '?'}"


def work(
    project: Path, seed: int, share: tuple[int, int], chosen: argparse.Namespace
) -> Iterator[tuple[Case, Outcome]]:
    """This process's share of the inputs."""
    targets = tuple(one for one in TARGETS if not chosen.only or one.command.split()[0] in chosen.only)
    end = time.monotonic() + chosen.seconds
    with tempfile.TemporaryDirectory(dir=project.parent) as place:
        for case, data in cases(project, seed, targets):
            if case.number >= chosen.first + chosen.inputs or time.monotonic() > end:
                return
            if case.number < chosen.first or case.number % share[1] != share[0]:
                continue
            copy = Path(place, "project")
            shutil.copytree(project, copy, symlinks=True)
            (copy / case.file).write_bytes(data)
            words = [MODEL if word in {"M", "MODEL"} else word for word in case.target.command.split()]
            if case.target.command.startswith("replace"):
                words[-1] = "zero_shot"
            if case.target.command.startswith("regress"):
                words[-1] = MODEL
            yield case, attempt(copy, words)
            if chosen.keep is not None:
                shutil.copytree(copy, chosen.keep, dirs_exist_ok=True)
            shutil.rmtree(copy)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop then, however many were tried")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", nargs="*", default=[], help="commands by their first word")
    parser.add_argument("--keep", type=Path, help="folder for the last input's project, to look at it")
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    for name in LIBRARIES:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        os.environ |= {"HOME": place, "XDG_CACHE_HOME": f"{place}/cache", "OMP_NUM_THREADS": "1"}
        project = Path(place, "project")
        project.mkdir()
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            made = os.fork()  # the provider's process and inspect's threads end with the fork
            if made == 0:
                try:
                    make_project(project)
                except BaseException:  # noqa: BLE001 - printed, in place of the interpreter
                    os.write(2, (output.getvalue() + traceback.format_exc()).encode("utf-8", "replace"))
                    os._exit(1)
                os._exit(0)
        if os.waitpid(made, 0)[1]:
            sys.exit("the project could not be made")
        os.environ |= {"OPENAI_API_KEY": "sk-canary", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
        sys.exit(report(project, chosen))


def report(project: Path, chosen: argparse.Namespace) -> int:
    """Try the inputs and print; the exit code."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, tuple[Case, Outcome, int]] = {}
    started = time.monotonic()
    for case, done in shared(project, chosen):
        row = counts[case.target.command.split()[0]]
        row["tried"] += 1
        row[f"exit {done.code}"] += done.code >= 0 and not done.error
        row["traceback"] += bool(done.error) and done.code != -signal.SIGALRM
        row["hang"] += done.code == -signal.SIGALRM
        row["half-written"] += bool(done.half)
        row["other"] += not done.error and done.code not in CODES
        problem = kind_of(done.error) if done.error else f"wrote {done.half[0]}" if done.half else ""
        problem = f"{problem} {case.target.command.split()[0]}" if done.half else problem
        if problem:
            earlier = kinds.get(problem)
            kinds[problem] = (case, done, 1) if earlier is None else (*earlier[:2], earlier[2] + 1)
    columns = ["tried", *(f"exit {code}" for code in sorted(CODES)), "traceback", "hang", "half-written", "other"]
    total: Counter[str] = sum(counts.values(), Counter())
    print(f"seed {chosen.seed}, {time.monotonic() - started:.0f} s\n")
    print("| command | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for name, row in [*sorted(counts.items()), ("all", total)]:
        print(f"| {name} | " + " | ".join(f"{row[column]:,}" for column in columns) + " |")
    for problem, (case, done, number) in sorted(kinds.items(), key=lambda each: -each[1][2]):
        print(f"\n=== {number} x {problem}\n{case.number}: {case.target.command}  <- {case.file} {case.change}")
        print(
            f"exit {done.code}, {done.seconds:.1f} s, half-written: {done.half}\n"
            f"{done.said[-400:] if done.half else ''}"
        )
        print("\n".join(done.error.splitlines()[-SHOWN:]))
    return int(any(total[name] for name in ("traceback", "hang", "half-written", "other")))


def shared(project: Path, chosen: argparse.Namespace) -> Iterator[tuple[Case, Outcome]]:
    """The outcomes, from as many processes as wanted."""
    if chosen.jobs == 1:
        yield from work(project, chosen.seed, (0, 1), chosen)
        return
    pipes = []
    for number in range(chosen.jobs):
        reader, writer = os.pipe()
        if os.fork() == 0:
            with os.fdopen(writer, "w") as pipe:
                for case, done in work(project, chosen.seed, (number, chosen.jobs), chosen):
                    pipe.write(json.dumps([*case, vars(done)]) + "\n")
                    pipe.flush()
            os._exit(0)
        os.close(writer)
        pipes.append(reader)
    for reader in pipes:
        with os.fdopen(reader) as lines:
            for line in lines:
                number, target, file, change, done = json.loads(line)
                yield Case(number, Target(*target), file, change), Outcome(**done)
    for _ in pipes:
        os.wait()


if __name__ == "__main__":
    main()

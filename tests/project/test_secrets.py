"""A run's keys are in no file and in no line that it leaves, even where a provider repeats them in its errors."""

from __future__ import annotations

import json
import secrets
import sys
import zipfile
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
import zipfile_zstd  # noqa: F401 - inspect's logs are compressed with zstd

from thirdlever.catalog import tuning
from thirdlever.cli import main
from thirdlever.evaluation import passes
from thirdlever.models import registry
from thirdlever.testing import Behaviour, Fault, LoopbackProvider

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVAL = """from thirdlever import Suite, load_suite, suite


@suite
def tiny() -> Suite:
    return load_suite("tiny", instruction="Name the kind.")
"""
MODELS = ("openai/gpt-4.1-mini", "anthropic/claude-sonnet-4-6", "openai-api/loopback/flaky", "openai-api/loopback/dead")
FAULTS = (
    Fault("forbidden", model="gpt-4.1-mini", requests=range(3, 5), repeats_key=True),  # two items fail alone
    Fault("server_error", model="claude-sonnet-4-6", requests=range(2, 6), repeats_key=True),  # sent again
    Fault("server_error", model="flaky", share=0.3, repeats_key=True),
    Fault("unauthorized", model="dead", repeats_key=True),
)
# Read by clients of providers, hubs and tracking servers, besides those that the catalog and the registry name.
FURTHER = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZUREAI_OPENAI_API_KEY",
    "AZURE_MANAGEMENT_TOKEN",
    "HF_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)


@pytest.fixture
def canaries(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A key made up for this test in every environment variable that a key is read from."""
    write_suite(project)
    monkeypatch.setattr(passes, "_backoff", lambda _: 0.01)
    profiles = (profile.key_variable for profile in tuning.profiles().values())
    names = {"LOOPBACK_API_KEY", *filter(None, profiles), *registry._HOSTED.values(), *FURTHER}  # noqa: SLF001
    keys = {name: f"sk-{secrets.token_hex(24)}" for name in names}
    served = ("LOOPBACK_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
    keys |= dict.fromkeys(served, keys["LOOPBACK_API_KEY"])  # the provider on this machine has one key
    for name, key in keys.items():
        monkeypatch.setenv(name, key)
    return keys


@pytest.mark.usefixtures("fast_runs")
def test_no_key_is_in_any_file_or_output_of_a_run(
    project: Path,
    canaries: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    password = secrets.token_hex(24)
    models = [word for model in MODELS for word in ("--model", model)]
    behaviours = {model.rpartition("/")[2]: Behaviour(answer=lambda _: "k1") for model in MODELS}
    key = canaries["LOOPBACK_API_KEY"]
    with LoopbackProvider(behaviours, key=key, faults=FAULTS) as provider:
        for name, value in provider.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("THIRDLEVER_CHROMA_URL", "")
        address = f"http://me:{password}@127.0.0.1:1"
        run = ["run", "tiny", "--strategy", "zero_shot", *models, "--probe", "1", "--out", "results/a"]
        codes = [call([*run, "--chroma-url", address], monkeypatch)]  # refused: it would be kept with the run
        codes.append(call([*run, "--max-failed", "0.5"], monkeypatch))
        commands = ("show", "compare", "decide", "memo", "report")
        codes += [call([command, "results/a"], monkeypatch) for command in commands]
        codes.append(call(["export", "results/a", "--to", "csv", "--out", "answers.csv"], monkeypatch))
        codes.append(call(["models"], monkeypatch))
    assert codes == [2, 2, 0, 0, 0, 0, 0, 0, 0]
    statuses = provider.requests.by_status
    assert statuses[401] == 1
    assert statuses[403] == 2
    assert statuses[500] >= 5
    shown = "".join(capfd.readouterr())
    assert "[key]" in shown  # the provider did repeat it
    records = pq.read_table(project / "results/a/records.parquet").to_pydict()
    assert sum(str(error).count("[key]") for error in records["error"]) == 2
    kept = dict(contents(project)) | {"output": shown.encode(), "records": json.dumps(records, default=str).encode()}
    assert sum(".eval!" in name for name in kept) > 20  # the logs were unpacked
    hidden = {value.encode() for value in {*canaries.values(), password}}
    assert [name for name, content in kept.items() if any(value in content for value in hidden)] == []


def test_a_key_in_a_file_would_be_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.eval", "w", compression=93) as log:  # zstd
        log.writestr("samples/1.json", "sk-" + "0" * 40)
    assert [name.rpartition("/")[2] for name, content in contents(tmp_path) if b"sk-000" in content] == ["1.json"]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and every member of those that are archives."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield str(path), path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield from ((f"{path}!{name}", archive.read(name)) for name in archive.namelist())


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["thirdlever", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def write_suite(project: Path) -> None:
    (project / "evals").mkdir()
    (project / "evals/tiny.py").write_text(EVAL)
    (project / "datasets/tiny").mkdir(parents=True)
    for split, size in (("train", 6), ("dev", 6), ("test", 12)):
        rows = [
            {"id": f"{split}-{n}", "input": f"{split} of {7919 * (n + 1)}", "target": f"k{n % 2}"} for n in range(size)
        ]
        (project / f"datasets/tiny/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

"""A run goes to a table, to inspect and to MLflow, and comes back with the same accuracies."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import thirdlever
from thirdlever.core.errors import RunError
from thirdlever.runner.exporting import export
from thirdlever.runner.importing import import_results
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project", "fast_runs")


def answer(prompt: str) -> str:
    return "=fuel()" if "number 3" in prompt else "fuel"


@pytest.fixture
def run(suite: Suite) -> Run:
    """Two candidates, one that is never parsed on an item; 3 requests timed."""
    return thirdlever.run(suite, ["plain:k=0", "plain:k=2"], models=[FakeModel(answer=answer)], out="run", probe=3)


def same(one: Run, other: Run) -> None:
    """Both runs have the same figures."""
    for name in ("accuracy", "macro_f1", "input_tokens", "output_tokens", "unparseable", "timed", "lever", "args"):
        before, after = (dict(zip(each.summary["candidate"], each.summary[name], strict=True)) for each in (one, other))
        assert after == pytest.approx(before, nan_ok=True) if name not in {"lever", "args"} else after == before, name


def test_a_table_comes_back(run: Run, suite: Suite) -> None:
    [line] = export(run, "csv", out=Path("results.csv"))
    assert line == "Results: results.csv"
    same(run, import_results(["results.csv"], suite, out="again").run)


def test_no_cell_of_the_table_is_a_formula(run: Run) -> None:
    export(run, "csv", out=Path("results.csv"))
    with Path("results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (12 + 4)
    assert {row["completion"] for row in rows} == {"fuel", "'=fuel()"}


@pytest.mark.parametrize("logs", [True, False])
def test_inspects_logs_come_back(run: Run, suite: Suite, logs: bool) -> None:  # noqa: FBT001 - a case
    from inspect_ai.log import read_eval_log

    if not logs:  # made of the records
        shutil.rmtree("run/logs")
    export(run, "inspect", out=Path("exported"))
    files = sorted(Path("exported").glob("*.eval"))
    assert len(files) == 4
    assert {read_eval_log(str(file)).status for file in files} == {"success"}
    same(run, import_results(["exported"], suite, out="again").run)
    with pytest.raises(RunError, match="'exported' is not empty"):
        export(run, "inspect", out=Path("exported"))


# MLflow


def test_mlflow_without_an_address_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RunError, match="give --uri"):
        export(run, "mlflow")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server on this machine: the first `mlflow` on the path whose environment has one."""
    program = next(filter(_serves, (Path(place, "mlflow") for place in os.environ["PATH"].split(os.pathsep))), None)
    if program is None:
        pytest.skip("needs a program `mlflow` with a server on the path (pip install mlflow in an environment)")
    folder, url = tmp_path_factory.mktemp("mlflow"), "http://127.0.0.1:5077"
    command = [str(program), "server", "--host", "127.0.0.1", "--port", "5077", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", f"{folder}/files"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            _wait(url, process)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.wait()


def _serves(program: Path) -> bool:
    """Whether a program's environment has what MLflow's server needs; the client's package has the program alone."""
    if not program.is_file():
        return False
    python = program.read_text("utf-8", errors="replace").partition("\n")[0].removeprefix("#!").strip()
    question = "import importlib.util as u; raise SystemExit(not (u.find_spec('flask') and u.find_spec('sqlalchemy')))"
    return Path(python).is_file() and subprocess.run([python, "-c", question], check=False).returncode == 0


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        assert process.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - on this machine
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the server does not answer")


def test_mlflows_table_comes_back(run: Run, suite: Suite, server: str) -> None:
    mlflow = pytest.importorskip("mlflow")
    *_, last = export(run, "mlflow", uri=server)
    assert last == f"MLflow: {server}"
    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("payments")
    logged = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    accuracy = {name: one.data.metrics["accuracy"] for name, one in logged.items()}
    assert accuracy == dict(zip(run.summary["candidate"], run.summary["accuracy"], strict=True))
    assert {one.data.params["lever"] for one in logged.values()} == {"prompt"}
    tables = []
    for one in logged.values():
        Path(one.info.run_id).mkdir()
        tables.append(client.download_artifacts(one.info.run_id, "eval_results_table.json", one.info.run_id))
    same(run, import_results(tables, suite, out="again").run)

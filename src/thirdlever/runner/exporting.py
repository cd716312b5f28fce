"""A run's results for other tools: a table, inspect's logs, or runs of an MLflow experiment."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from thirdlever.core import files
from thirdlever.core.errors import RunError, need
from thirdlever.core.text import counted, escape_csv, without_password
from thirdlever.runner.formats import OWN_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from thirdlever.analysis.run import Run


FOLDER = "export"


def export(
    run: Run, to: Literal["csv", "inspect", "mlflow"], *, out: Path | None = None, uri: str | None = None
) -> list[str]:
    """Write a run for another tool.

    Args:
        run: a finished run.
        to: the tool.
        out: file of the table, or folder of the logs; by default in the run's folder.
        uri: of MLflow's tracking server; by default that of the environment.

    Returns:
        What was written, in lines.

    Raises:
        ThirdleverError: nothing says where, or the server does not take it.
    """
    if to == "csv":
        return [f"Results: {_csv(run, out or run.folder / FOLDER / 'results.csv')}"]
    if to == "inspect":
        return list(_inspect(run, out or run.folder / FOLDER / "inspect"))
    if out is not None:
        message = f"--out {out} is not used by mlflow; give --uri, the address of its tracking server"
        raise RunError(message)
    return list(_mlflow(run, uri))


def _records(run: Run) -> pd.DataFrame:
    """The records with our names for their columns; texts that the records do not hold are read from the logs."""
    levers = {name: one.lever for name, one in run.figures.items()}
    args = {name: json.dumps(one.about.get("args") or {}, sort_keys=True) for name, one in run.figures.items()}
    name = run.records["candidate"]
    records = run.records.assign(lever=name.map(levers), args=name.map(args))
    if "input" not in records:
        records = records.assign(input=records["item_id"].map(run.inputs()))
    return records[[name for name in OWN_COLUMNS if name in records]].rename(columns=OWN_COLUMNS)


def _csv(run: Run, path: Path) -> Path:
    """One row for each request; no cell is a formula."""
    records = _records(run)
    for name in records:
        if records[name].dtype == object or str(records[name].dtype) in {"str", "string"}:
            records[name] = [escape_csv(cell) if isinstance(cell, str) else cell for cell in records[name]]
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, records.to_csv(index=False, lineterminator="\n").encode())
    return path


# inspect


def _inspect(run: Run, folder: Path) -> Iterator[str]:
    """The run's own logs, or logs made of its records."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and any(folder.iterdir()):
        message = f"{str(folder)!r} is not empty; give another --out, or remove it"
        raise RunError(message)
    written = []
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        for about in run.info["candidates"]:
            own = [run.folder / "logs" / Path(name).name for name in about.get("logs") or ()]
            if own and all(path.is_file() for path in own):
                written += [Path(shutil.copy(path, partial)).name for path in own]
            else:
                written += [path.name for path in _logs(run, about, Path(partial))]
        folder.mkdir(exist_ok=True)
        for name in written:
            Path(partial, name).replace(folder / name)
    yield f"Logs: {counted(len(written), 'file')} in {folder}; open them: inspect view --log-dir {folder}"


def _logs(run: Run, about: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """A log of a candidate for each phase that it has."""
    from inspect_ai.model import GenerateConfig

    from thirdlever.evaluation.logs import LogWriter
    from thirdlever.evaluation.records import Reply
    from thirdlever.suites.suite import Item

    suite = run.info["suite"]
    own = run.records[run.records["candidate"] == about["name"]]
    inputs = run.inputs(set(own["item_id"]))
    kept = ("name", "strategy", "args", "model", "prompt", "identity", "lever")
    for phase, rows in own.groupby("phase"):
        path = folder / f"{_in_a_filename(about['name'])}.{phase}.eval"
        writer = LogWriter(
            path,
            task=f"{suite['name']}-{phase}",
            items=rows["item_id"].nunique(),
            epochs=int(rows["epoch"].max()),
            model=about.get("model") or "none",
            config=GenerateConfig(),
            about={"phase": phase, **{name: about.get(name) for name in kept}, "suite_hash": suite["hash"]},
        )
        try:
            for row in _plain_rows(rows):
                item = Item(
                    row["item_id"],
                    inputs.get(row["item_id"], ""),
                    row["target"] or "",
                    row["slice"] or "",
                    row["group"] or "",
                )
                facts = {name: row[name] for name in Reply.__slots__ if name in row}
                facts |= {"completion": row["completion"] or "", "latency_s": row["latency_s"] or 0.0}
                writer.add_known(item, Reply(**facts))
            writer.finish()
        finally:
            writer.close()
        yield path


def _plain_rows(records: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows as Python values; missing is None."""
    frame = records.astype(object).where(records.notna(), None)
    yield from cast("list[dict[str, Any]]", frame.to_dict("records"))


def _in_a_filename(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


# MLflow

_METRICS = (
    *("accuracy", "accuracy_se", "macro_f1", "micro_f1", "latency_p50_s", "latency_p95_s", "latency_p99_s"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_per_1k_usd", "setup_usd"),
    *("n", "requests", "errors", "unparseable", "refused", "cut_off", "device_s_per_request"),
)
_LONGEST = 500  # characters of a parameter, which every server takes
TABLE = "eval_results_table.json"  # by this name MLflow's page of an experiment compares the runs item by item


def _mlflow(run: Run, uri: str | None) -> Iterator[str]:
    """A run of an experiment for each candidate."""
    address = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        message = (
            "no address of an MLflow server; give --uri, such as http://127.0.0.1:5000, or set MLFLOW_TRACKING_URI"
        )
        raise RunError(message)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its own seven take minutes
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    mlflow = need("mlflow", extra="mlflow")
    client = mlflow.MlflowClient(tracking_uri=address)
    suite = run.info["suite"]["name"]
    try:
        found = client.get_experiment_by_name(suite)
        experiment = found.experiment_id if found else client.create_experiment(suite)
        for about in run.info["candidates"]:
            run_id = _log_candidate(client, experiment, run, about)
            yield f"{about['name']}: run {run_id} of experiment {suite!r}"
    except mlflow.exceptions.MlflowException as error:
        where = without_password(address)
        message = f"MLflow at {where} cannot take the run ({_short(error)}); check the address, and that it runs"
        raise RunError(message) from error
    yield f"MLflow: {without_password(address)}"


def _log_candidate(client: Any, experiment: str, run: Run, about: Mapping[str, Any]) -> str:  # noqa: ANN401 - optional
    name = about["name"]
    made = client.create_run(experiment, run_name=name, tags={"thirdlever.run": run.folder.name})
    run_id: str = made.info.run_id
    try:
        from mlflow.entities import Metric, Param

        from thirdlever.analysis import scorecards

        card = next(row for row in scorecards.rows(run.summary) if row["candidate"] == name)
        at = made.info.start_time
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, at, 0) for key, value in _metrics(card).items()],
            params=[Param(key, value[:_LONGEST]) for key, value in _params(run, about).items()],
        )
        own = _records(run)
        own = own[own["candidate"] == name].reset_index(drop=True)
        client.log_table(run_id, own.astype(object).where(own.notna(), None), TABLE)
        for path in (*run.folder.glob("chart.*"), run.folder / "summary.csv", run.folder / "run.json"):
            if path.is_file():
                client.log_artifact(run_id, str(path))
        if (run.folder / "memo").is_dir():
            client.log_artifacts(run_id, str(run.folder / "memo"), "memo")
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return run_id


def _params(run: Run, about: Mapping[str, Any]) -> dict[str, str]:
    info = run.info
    found = {
        **{name: about.get(name) for name in ("strategy", "model", "base", "prompt", "scores")},
        "lever": run.figures[about["name"]].lever,
        **{f"args.{key}": value for key, value in (about.get("args") or {}).items()},
        "suite": info["suite"]["name"],
        "suite_hash": info["suite"].get("hash"),
        **{name: info.get(name) for name in ("limit", "epochs", "seed")},
    }
    return {key: _text(value) for key, value in found.items() if value is not None}


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _metrics(card: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a scorecard that are known."""
    low, high = card["accuracy_ci95"] or (math.nan, math.nan)
    found = {name: card[name] for name in _METRICS} | {"accuracy_ci95_low": low, "accuracy_ci95_high": high}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(float(value))}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

"""Where a memo's figures come from, so that somebody else can make them again."""

from __future__ import annotations

import datetime as dt
import hashlib
import shlex
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, RECORDS
from thirdlever.core.text import UNKNOWN
from thirdlever.report.memo_tables import Table, clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.analysis.run import Run

_OLD_DAYS = 90
_CHUNK = 1 << 20


def facts(run: Run) -> list[tuple[str, str]]:
    """Suite, measurement, machine and files, as (what, value)."""
    info = run.info
    suite = info["suite"]
    options = {name: info.get(name) for name in ("limit", "epochs", "seed", "probe", "constrain")}
    found: list[tuple[str, Any]] = [
        ("Command", shlex.join(info.get("command") or ())),
        ("Started", info.get("started")),
        ("Finished", info.get("finished")),
        ("Suite", suite["name"]),
        ("Suite hash", suite.get("hash")),
        *((f"{split} hash", digest) for split, digest in (suite.get("splits") or {}).items()),
        ("Options", ", ".join(f"{name} {_said(value)}" for name, value in options.items())),
        ("Hardware", _pairs(info.get("hardware"))),
        ("Machine, USD an hour", info.get("device_usd_per_hour")),
        ("Machine, share in use", info.get("utilisation")),
        ("Versions", _pairs(info.get("versions"))),
        *((f"sha256 of {name}", _sha256(run.folder / name)) for name in (RECORDS, INFO)),
    ]
    return [(clean(what), clean(_said(value), 4000)) for what, value in found]


def models(run: Run) -> Table:
    """Which model, at which revision, answered for whom."""
    cells = [
        [clean(_said(candidate.get(name)), 200) for name in ("name", "model", "revision", "identity")]
        for candidate in run.info.get("candidates", ())
    ]
    return Table(title="Models", columns=["Candidate", "Model", "Revision", "Identity"], rows=cells)


def prices(run: Run) -> Table:
    """The rates that the run used, with their dates."""
    finished = dt.date.fromisoformat(run.info["finished"][:10])
    cells = []
    for model, price in (run.info.get("prices") or {}).items():
        rates = [_rate(price, name) for name in ("input_per_m", "cached_input_per_m", "output_per_m")]
        source = clean(_said(price.get("source"))) if price else "none: device time, or unknown"
        cells.append([clean(str(model)), *rates, source, _dated(price, finished)])
    columns = ["Model", "Input", "Cached input", "Output", "Source", "As of"]
    note = "USD per 1M tokens."
    return Table(title="Prices", columns=columns, rows=cells, figures=frozenset({1, 2, 3}), note=note)


def commands(run: Run, given: Sequence[str]) -> list[str]:
    """What makes these figures again from the run's folder, with no model, key or network."""
    folder = str(run.folder)
    assumed = [part for one in given for part in ("--assume", one)]
    return [
        clean(shlex.join(["thirdlever", command, folder, *options]), 2000)
        for command, options in (("show", []), ("compare", []), ("decide", assumed), ("memo", assumed))
    ]


def _dated(price: Mapping[str, Any] | None, finished: dt.date) -> str:
    as_of = price.get("as_of") if price else None
    if not as_of:
        return UNKNOWN if price else "–"
    try:
        days = (finished - dt.date.fromisoformat(as_of)).days
    except ValueError:  # a month, or a user's own words
        return clean(str(as_of))
    return f"{as_of} ({days} days old when used)" if days > _OLD_DAYS else str(as_of)


def _rate(price: Mapping[str, Any] | None, name: str) -> str:
    value = price.get(name) if price else None
    return "–" if value is None else f"{value:g}"


def _pairs(table: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (table or {}).items())


def _said(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _sha256(path: Path) -> str | None:
    """In pieces: records may be large."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

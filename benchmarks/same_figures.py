"""Whether two installations of thirdlever find the same figures in the same stored run.

    python benchmarks/same_figures.py OLD_PYTHON RUN [NEW_RUN]

OLD_PYTHON is the interpreter of the other installation; the one that runs this script is the new. Each works on its own
copy of the run: `show`, `compare`, `decide`, `memo`, `report`, `reprice`, `baseline set` and, with NEW_RUN (a finished
run of the same suite), `baseline diff`, which compares as `regress` does and asks no model. Numbers must agree to nine
digits, codes and names exactly; a sentence must have every number of the old one, and the memo every number that the
old memo shows. A key that only the new output has is allowed. Exits with 1 on any difference.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
PRINTED = {
    "show": ("show", "RUN", "--format", "json"),
    "compare": ("compare", "RUN", "--all", "--format", "json"),
    "decide": ("decide", "RUN", "--format", "json"),
    "decide, given": ("decide", "RUN", "--assume", "monthly_volume=3000000", "--format", "json"),
    "reprice, model": ("reprice", "RUN", "--as", "openai/gpt-4.1-mini", "--format", "json"),
    "reprice, device": ("reprice", "RUN", "--device-usd-per-hour", "0.5", "--utilisation", "0.3", "--format", "json"),
}


def main() -> None:
    """Run every command with both, and print what differs."""
    old, run, *new_run = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        found = [
            outputs(python, Path(folder, name), Path(run), *map(Path, new_run))
            for python, name in ((old, "old"), (sys.executable, "new"))
        ]
    differing = 0
    for command, before in found[0].items():
        same, different = compared(before, found[1][command])
        print(f"{command:<16}{same:>9,} figures and codes the same, {len(different)} different")
        for line in different[:20]:
            print(f"    {line}")
        differing += len(different)
    sys.exit(differing > 0)


def outputs(python: str, folder: Path, run: Path, new_run: Path | None = None) -> dict[str, Any]:
    """What each command of one installation says of a copy of the run, as JSON."""
    copy = folder / "results" / run.name
    shutil.copytree(run, copy)
    found: dict[str, Any] = {}
    for name, arguments in PRINTED.items():
        found[name] = json.loads(called(python, folder, *(str(copy) if part == "RUN" else part for part in arguments)))
    called(python, folder, "memo", str(copy), "--out", "memo")
    found["memo"] = dict.fromkeys(NUMBER.findall((folder / "memo" / "memo.md").read_text()), "shown")
    called(python, folder, "report", str(copy))
    found["report"] = page((copy / "report.html").read_text())
    called(python, folder, "baseline", "set", str(copy), "--name", "pinned")
    found["baseline"] = json.loads((folder / "results" / "baselines" / "pinned.json").read_text())
    if new_run is not None:
        shutil.copytree(new_run, folder / "results" / new_run.name)
        held = ("baseline", "diff", "pinned", f"results/{new_run.name}", "--format", "json")
        found["baseline diff"] = json.loads(called(python, folder, *held))
    return found


def called(python: str, folder: Path, *arguments: str) -> str:
    """The standard output of a command; 1 and 3 are verdicts, not failures."""
    done = subprocess.run(  # noqa: S603 - both interpreters are named by whoever runs this
        [python, "-m", "thirdlever", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "") if python == sys.executable else ""},
        check=False,
    )
    if done.returncode not in {0, 1, 3} or not (done.stdout or arguments[0] in {"memo", "report"}):
        sys.exit(f"{python} {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def page(html: str) -> dict[str, Any]:
    """What a report page holds: its head, and its deflated blocks."""
    found: dict[str, Any] = {}
    for kind, name, text in re.findall(r'<script type="([^"]+)" id="([^"]+)">(.*?)</script>', html, re.DOTALL):
        packed = kind != "application/json"
        found[name] = json.loads(zlib.decompress(base64.b64decode(text)) if packed else text)
    return found


def compared(before: Any, after: Any) -> tuple[int, list[str]]:  # noqa: ANN401 - JSON
    """How many leaves agree, and a line for each that does not."""
    new = dict(leaves(after))
    same, different = 0, []
    for path, value in leaves(before):
        if path in new and equal(value, new[path]):
            same += 1
        else:
            different.append(f"{path}: {value!r} -> {new.get(path, 'missing')!r}")
    return same, different


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """Every number, boolean, null and string, with the path to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def equal(old: Any, new: Any) -> bool:  # noqa: ANN401 - JSON
    """Numbers to nine digits; sentences by their numbers; codes and names exactly."""
    if isinstance(old, str) and isinstance(new, str):
        sentence = " " in old.strip()
        return old == new or (sentence and Counter(NUMBER.findall(old)) <= Counter(NUMBER.findall(new)))
    if isinstance(old, float) and isinstance(new, (int, float)):
        return math.isclose(old, new, rel_tol=1e-9, abs_tol=1e-12)
    return bool(old == new)


if __name__ == "__main__":
    main()

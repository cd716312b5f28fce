"""Execute the notebook of the documentation in an empty folder, and store its outputs.

    python scripts/execute_notebook.py            # in docs/notebooks/compare.ipynb
    python scripts/execute_notebook.py OUT.ipynb  # in another file

Progress, which is printed to stderr, is left out.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "compare.ipynb"
SECONDS = 900  # for a cell


def main() -> None:
    """Execute it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            coalesce_streams=True,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    for cell in notebook.cells:
        cell["outputs"] = [output for output in cell.get("outputs", ()) if output.get("name") != "stderr"]
        if cell.cell_type != "code":
            del cell["outputs"]
    notebook.metadata["language_info"] = {"name": "python"}  # the rest is of the machine
    nbformat.write(notebook, Path(sys.argv[1]) if sys.argv[1:] else NOTEBOOK)


if __name__ == "__main__":
    main()

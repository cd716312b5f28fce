"""`python -m thirdlever`."""

import sys
from pathlib import Path

# `-m` puts the current folder first: a project's `datasets/` would stand in for the package of that name.
sys.path[:] = [path for path in sys.path if path and Path(path) != Path.cwd()]

from thirdlever.cli.main import main  # noqa: E402 - after the above

main()

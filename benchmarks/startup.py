"""How long `thirdlever --help` takes: the median of nine, after one to warm the disk. Bound: 0.5 s on 2 cores."""

import statistics
import subprocess
import sys
import time

BOUND_S = 0.5
COMMAND = (sys.executable, "-m", "thirdlever", "--help")


def main() -> None:
    """Measure, print, and fail past the bound."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - a constant
        times.append(time.perf_counter() - start)
    median = statistics.median(times[1:])
    print(f"thirdlever --help: {median:.3f} s (median of {len(times) - 1}, worst {max(times[1:]):.3f} s)")
    sys.exit(median >= BOUND_S)


if __name__ == "__main__":
    main()

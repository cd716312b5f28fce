"""OpenMP's threads end when they are given back, and come again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

OPENMP = "OpenMP" in torch.__config__.parallel_info()

# In a process of its own, where no other test's threads come and go. A thread that ends is listed a moment longer.
COUNTS = """
import json, os, time, torch
from thirdlever.models import threads

def running():
    return len(os.listdir("/proc/self/task"))

def settled(wanted):
    end = time.monotonic() + 30
    while running() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return running()

torch.set_num_threads(3)
matrix = torch.rand(400_000)
idle = running()
counts = []
for _ in range(2):
    matrix.sin()
    counts.append(running() - idle)
    threads.release()
    counts.append(settled(idle) - idle)
print(json.dumps(counts))
"""


@pytest.mark.skipif(not (Path("/proc/self/task").exists() and OPENMP), reason="needs Linux, and torch with OpenMP")
def test_threads_are_given_back_and_come_again() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [2, 0, 2, 0]

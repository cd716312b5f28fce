"""OpenMP's threads end when they are given back, and come again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from thirdlever.models import threads

TASKS = Path("/proc/self/task")
OPENMP = "OpenMP" in torch.__config__.parallel_info()


@pytest.mark.skipif(not (TASKS.exists() and OPENMP), reason="needs Linux, and a torch that uses OpenMP")
def test_threads_are_given_back_and_come_again() -> None:
    before = torch.get_num_threads()
    matrix = torch.rand(400_000)
    torch.set_num_threads(3)
    try:
        threads.release()
        idle = len(list(TASKS.iterdir()))
        for _ in range(2):
            matrix.sin()
            assert len(list(TASKS.iterdir())) == idle + 2
            threads.release()
            assert len(list(TASKS.iterdir())) == idle
    finally:
        torch.set_num_threads(before)

"""`thirdlever.testing.offline` downloads, trains and pays nothing."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import thirdlever
from thirdlever.core import project
from thirdlever.core.errors import StrategyError
from thirdlever.testing import FakeModel, example_suite, offline

pytestmark = pytest.mark.usefixtures("project")


def test_tuned_strategies_run_and_leave_the_projects_store_alone() -> None:
    with offline(FakeModel(answer=lambda _: "fuel")) as model:
        run = thirdlever.run(example_suite(), ["lora", "managed", "rag:k=2"], models=[model], out="out", probe=0)
    assert run.summary["accuracy"].to_list() == [0.5, 0.5, 0.5]
    assert set(run.records["model"]) == {"fake/model", "fake/model+tuned"}
    assert not Path(".thirdlever").exists()
    assert not str(project.STORE).startswith("/")


def test_a_connection_to_another_machine_is_refused_and_a_local_one_is_not() -> None:
    with offline():
        with pytest.raises(StrategyError, match=r"'example\.org'"):
            socket.create_connection(("example.org", 80))
        with pytest.raises(StrategyError, match=r"'192\.0\.2\.1'"), socket.socket() as other:
            other.connect(("192.0.2.1", 80))
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()

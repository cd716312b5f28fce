"""For every test: no keys, a home of its own, no network beyond this machine. And a small suite with a fake model."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
import pytest_socket
from helpers.chroma_servers import ChromaServer
from xdist.scheduler import LoadFileScheduling

from thirdlever import Item, Label, Split, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from xdist.remote import Producer

_FOREIGN = ("INSPECT_", "THIRDLEVER_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "AZURE", "HF_", "CHROMA_")

PLAIN = '''
from thirdlever import BaseModel, Context, Deployment, Prepare, Store, Suite, ask, strategy

@strategy
def plain(*, k: int = 0, seed: int = 0) -> Prepare:
    """k random demonstrations."""

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        shots = suite.train.sample(k, how="random", seed=seed)
        return Deployment(ask(suite, Context(shots)), model=model, given=shots)

    return prepare
'''


# Warnings are errors, ours; these are inspect's own, in every eval, and nothing that its users can mend.
_INSPECTS_OWN = (
    "ignore:The 'initial' parameter is deprecated:DeprecationWarning",  # of tenacity, at each model call
    "ignore:Unclosed <MemoryObject:ResourceWarning",  # of its event emitters, at the end of each sample
)
# chromadb's client of a server keeps its connections to the end of the process and offers no way to close them.
_CHROMADBS_OWN = ("ignore:unclosed <socket:ResourceWarning",)

# peft asks transformers by a name that transformers is about to drop.
_PEFTS_OWN = ("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",)


def pytest_configure(config: pytest.Config) -> None:
    for line in (*_INSPECTS_OWN, *_CHROMADBS_OWN, *_PEFTS_OWN):
        config.addinivalue_line("filterwarnings", line)


_MINUTES = "tests/project/test_tutorials.py"  # a test of these takes minutes and shares nothing with the others
_SLOW = (_MINUTES, "tests/finetune/", "tests/models/")


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist's is not typed
    """A file's tests share what is slow to set up, so a file stays with one process; tests of minutes are shared."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(_MINUTES) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    return _Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest first, so that no process is left with them alone at the end."""
    items.sort(key=lambda item: [not item.nodeid.startswith(slow) for slow in _SLOW])


@pytest.fixture(scope="session")
def model_info() -> object:
    """inspect's table of models, which it reads from YAML at every call."""
    from inspect_ai.model._model_data.model_data import read_model_info

    return read_model_info()


@pytest.fixture
def fast_runs(model_info: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the charts and reuse inspect's table of models, which take most of the time of a small run."""
    from thirdlever.charts import accuracy

    monkeypatch.setattr(accuracy, "draw", lambda *_, **__: None)
    monkeypatch.setattr("inspect_ai.model._model_data.model_data.read_model_info", lambda: model_info)


@pytest.fixture(autouse=True, scope="session")
def _shared_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What libraries build once per machine is built once per session."""
    os.environ["MPLCONFIGDIR"] = str(tmp_path_factory.mktemp("matplotlib"))
    yield
    gc.collect()  # what inspect left open warns now, while the filters above are in force


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither keys nor settings of whoever runs the tests; a home that nobody else writes to."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (("CACHE", ".cache"), ("DATA", ".local/share"), ("CONFIG", ".config"), ("STATE", ".state")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Loopback only: a test that reaches further fails."""
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    yield
    pytest_socket._remove_restrictions()  # noqa: SLF001 - its own teardown of exactly this


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project with the strategy `plain`."""
    monkeypatch.chdir(tmp_path)
    add_strategy(tmp_path, "plain", PLAIN)
    return tmp_path


@pytest.fixture
def base(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A local model, small enough to be tuned here."""
    from helpers import tiny

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return f"hf/{tiny.save(project / 'base')}"


@pytest.fixture
def add(project: Path) -> Callable[[str, str], None]:
    """Write a strategy into the project."""
    return lambda name, source: add_strategy(project, name, source)


@pytest.fixture
def suite() -> Suite:
    """Payments that are food or fuel: 12 to train on, 4 to choose on, 12 to measure on."""
    return make_suite()


def add_strategy(project: Path, name: str, source: str) -> None:
    folder = project / "strategies"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source, "utf-8")


def make_suite(test: int = 12) -> Suite:
    """The small suite, with `test` items to measure on."""

    def split(name: str, n: int) -> Split:
        items = (
            Item(
                id=f"{name}-{i}",
                input=f"POS {name} purchase at shop number {i}",
                target="fuel" if i % 3 else "food",
                slice="seen" if i % 2 else "unseen",
                group=f"shop {i // 2}",
            )
            for i in range(n)
        )
        return Split(name, tuple(items))

    return Suite(
        name="payments",
        instruction="Sort payments.",
        answer=Label(("food", "fuel")),
        train=split("train", 12),
        dev=split("dev", 4),
        test_split=split("test", test),
        input_name="Payment",
    )


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    server = ChromaServer(tmp_path_factory.mktemp("chroma"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(chroma_server: ChromaServer) -> str:
    """The URL of a Chroma server of our own."""
    return chroma_server.url

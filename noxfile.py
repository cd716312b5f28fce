"""Every task of the project. `nox -l` lists them; what follows `--` goes to the tool: `nox -s tests -- -k rag`."""

import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"  # uv does not look where pip is configured to
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml("pyproject.toml")
EVERYTHING = ".[all]"

USD_PER_HOUR = "0.09"  # about what two cores are rented for; the charts are then of money
DEMO = {  # a suite of behaviour with all strategies, and one of knowledge with those that may decide it
    "tickets": (
        ("--limit", "30", "--probe", "1", "--constrain"),
        (
            *("null", "zero_shot", "few_shot:k=4", "long_context:tokens=1000", "rag:k=3"),
            *("lora:examples=300,epochs=1", "managed:examples=12,epochs=1"),
            "distilled:teacher=rag:k=3,labelled=400,rows=12,epochs=1",
        ),
    ),
    "handbook": (
        ("--limit", "40", "--probe", "1"),
        ("null", "few_shot:k=4", "rag:k=0,documents=4,passage=25,worked=4", "lora:examples=60,epochs=1"),
    ),
}
REGRESSION = ("null", "few_shot:k=4", "rag:k=8")  # quick to repeat for each base model


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Decide two tasks, tickets and handbook, on the model that comes along; again resumes."""
    session.install(EVERYTHING)
    for suite, (options, strategies) in DEMO.items():
        _run(session, suite, f"results/{suite}", strategies, *options, *session.posargs)
    for command in ("report", "memo"):  # the memos last: each prints its verdict
        for suite in DEMO:
            session.run("thirdlever", command, f"results/{suite}")


@nox.session(default=False)
def regress(session: nox.Session) -> None:
    """Hold a base model against the baseline of `transactions`: `-- --model NAME`; without a baseline, pin one."""
    session.install(EVERYTHING)
    if not Path("results/baselines/transactions.json").exists():
        _run(session, "transactions", "results/transactions", REGRESSION, "--limit", "100", "--probe", "2")
        session.run("thirdlever", "baseline", "set", "results/transactions")
    wanted = session.posargs if "--model" in session.posargs else ["--model", "embedded", *session.posargs]
    session.run("thirdlever", "regress", "transactions", "--baseline", "transactions", *wanted)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the code, its format and its imports; `-- --fix` fixes what can be fixed."""
    session.install(*_group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.install(EVERYTHING, "nox", *_group("test"), *_group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.install(EVERYTHING, *_group("test"))
    # What nox has to say of the session it says before pytest: the last line is pytest's summary.
    logging.getLogger("nox").addFilter(lambda record: not record.getMessage().startswith(("Session", "Command")))
    # One thread a process: two, on cores that are shared, wait on each other most of the time. The tests' order and
    # their groups are conftest.py's.
    session.run(
        *("pytest", "--numprocesses", "logical", "--dist", "loadfile", "--no-loadscope-reorder", *session.posargs),
        env={"OMP_NUM_THREADS": "1"},
    )


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run the measurements in benchmarks/, or those named: `nox -s bench -- startup`. Two take arguments."""
    session.install(EVERYTHING)
    every = sorted({path.stem for path in Path("benchmarks").glob("*.py")} - {"same_figures", "published", "fuzz"})
    for name in session.posargs or every:
        session.run("python", f"benchmarks/{name}.py", env={"PYTHONPATH": "tests"})


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Run every command on damaged files, for at most 20 minutes: `-- --inputs 10000 --jobs 2` for the whole."""
    session.install(EVERYTHING)
    session.run("python", "benchmarks/fuzz.py", *(session.posargs or ("--seconds", "1200")))


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the tests that need a CUDA device."""
    session.install(EVERYTHING, *_group("test"))
    session.run("pytest", "-m", "gpu", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation site in .site/; `-- serve` shows it on this machine and follows changes."""
    session.install("-e", ".", *_group("docs"))
    command, *further = session.posargs or ("build",)
    session.run("mkdocs", command, "--strict", *further, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the distributions, and try the wheel as a stranger would: installed alone, in an empty folder."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", *session.posargs)
    files = [str(path.resolve()) for path in sorted(Path("dist").iterdir())]
    session.run("twine", "check", "--strict", *files)
    wheel = next(file for file in files if file.endswith(".whl"))
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "venv", f"{folder}/venv")
        session.run(f"{folder}/venv/bin/pip", "install", "--quiet", wheel, external=True)
        session.chdir(folder)
        for command in ("--help", "init", "suites", "strategies"):
            session.run(f"{folder}/venv/bin/thirdlever", command, external=True)
        session.chdir(session.invoked_from)


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, name)


def _run(session: nox.Session, suite: str, out: str, strategies: Sequence[str], *options: str) -> None:
    chosen = [option for strategy in strategies for option in ("--strategy", strategy)]
    session.run("thirdlever", "run", suite, "--device-usd-per-hour", USD_PER_HOUR, *chosen, "--out", out, *options)

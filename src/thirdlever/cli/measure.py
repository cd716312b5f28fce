"""Commands that create a suite, plan a run, make it and show it.

Typer reads the annotations when the module is loaded. Heavy modules are imported by the command that needs them.
"""

import datetime as dt
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thirdlever.analysis.statuses import MAX_FAILED, MAX_UNPARSED
from thirdlever.cli import options
from thirdlever.cli.options import argument, flag, option
from thirdlever.core.errors import PromptError, RunError
from thirdlever.core.text import aligned, clipped, counted, escape_terminal, listed, paragraph
from thirdlever.suites.detect import KINDS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.analysis.run import Run
    from thirdlever.suites.create import Made
    from thirdlever.suites.documents import Knowledge

_TARGET = 90  # characters of a target that `init` shows
_SENT = 600  # and of each message
_NAMES = 5  # ids that a list shows
_CONSTRAINED = {
    "label": "one of the labels",
    "labels": "a set of the labels",
    "json": "JSON that fits the schema",
}

_QUICKLY_FIXED = (
    "with --quick, reworded leaks and doubtful labels were not looked for: without it, --fix drops reworded leaks too"
)

models_app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)
data_app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


def init(
    name: Annotated[
        str | None,
        argument("NAME", "Name of the suite, or its file: tickets.csv. [default: copy the starter project]"),
    ] = None,
    train: Annotated[
        str | None, option("FILE", "Labelled rows: CSV, TSV, JSON, JSONL, XLSX, Parquet, a folder, hf:OWNER/NAME.")
    ] = None,
    dev: Annotated[str | None, option("FILE", "Rows for choosing settings. [default: a tenth of train]")] = None,
    test: Annotated[str | None, option("FILE", "Rows for measuring. [default: a fifth of train]")] = None,
    input_: Annotated[
        str | None, option("COLUMN", "Column with the model's input. [default: found]", "--input")
    ] = None,
    target: Annotated[
        list[str] | None,
        option("COLUMN", "Column with the right answer; repeat it for one-hot columns or JSON keys. [default: found]"),
    ] = None,
    delimiter: Annotated[str | None, option("CHARACTER", "Between the fields of a table. [default: found]")] = None,
    encoding: Annotated[str | None, option("NAME", "Such as cp1252. [default: UTF-8, or by the file's mark]")] = None,
    answer: Annotated[Kind | None, option("KIND", f"{', '.join(KINDS)}. [default: detected]")] = None,
    labels: Annotated[
        str | None, option("NAMES", "Names of labels that are numbers: a file of them, or 0=anger,1=joy.")
    ] = None,
    skip_unlabelled: Annotated[bool, flag("--skip-unlabelled", "Leave out rows without a right answer.")] = False,
    keep_unlabelled: Annotated[
        bool, flag("--keep-unlabelled", "Keep their inputs, for a teacher to label (distilled).")
    ] = False,
    documents: Annotated[
        str | None,
        option("PATH", "Documents for retrieval: a folder or file of MD, HTML, TXT, PDF, DOCX, JSONL, or a table."),
    ] = None,
    slice_: Annotated[
        str | None, option("COLUMN", "Column naming a subgroup; results are per subgroup.", "--slice")
    ] = None,
    group: Annotated[str | None, option("COLUMN", "Column naming a row's source; no source is split.")] = None,
    prompt: Annotated[
        list[Path] | None, option("FILE", "Your prompt; it can show every column by its name. Repeatable.")
    ] = None,
    yes: Annotated[bool, flag("--yes", "Accept the columns that were found, without asking.")] = False,
) -> None:
    """Create a suite from your data, or copy the starter project."""
    from thirdlever.suites.create import copy_starter, make_suite, suite_name
    from thirdlever.suites.sources import Dialect

    if train is None and name is not None and Path(name).suffix:
        name, train = None, name
    if name is None and train is not None:
        name = suite_name(train)
    if name is None:
        given = (train, dev, test, input_, target, answer, labels, documents, slice_, group, prompt)
        if skip_unlabelled or keep_unlabelled or any(option is not None for option in given):
            message = "the suite has no name; run: thirdlever init NAME --train FILE --input COLUMN --target COLUMN"
            raise typer.TyperException(message)
        copied, kept = copy_starter()
        done = f"{counted(len(copied), 'file')} copied, {counted(len(kept), 'existing file')} kept"
        typer.echo(f"{done}; next: thirdlever run transactions")
        return
    if train is None:
        message = f"data is missing; run: thirdlever init {name} --train FILE"
        raise typer.TyperException(message)
    asked = not (yes or (input_ and target)) and sys.stdin.isatty() and sys.stdout.isatty()
    made = make_suite(
        name,
        train=train,
        dev=dev,
        test=test,
        input=input_,
        target=target or (),
        reading=Dialect(delimiter, encoding),
        confirm=_confirm if asked else None,
        documents=documents,
        slice=slice_,
        group=group,
        prompts=prompt or (),
        answer=answer,
        labels=labels,
        skip_unlabelled=skip_unlabelled,
        keep_unlabelled=keep_unlabelled,
    )
    if not asked:
        _understood(made, _other_kinds(made))
    for remark in _remarks(name) if prompt else ():
        typer.echo(f"warning: {escape_terminal(remark)}")
    _next(
        made, f"read what is sent: thirdlever prompt {name}" if prompt else f"edit the instruction in evals/{name}.py"
    )


def _next(made: "Made", edit: str | None = None) -> None:
    """Print what to do with a new suite."""
    steps = [f"thirdlever audit {made.name}", *([edit] if edit else [])]
    typer.echo(f"next: {', '.join(steps)}, then: thirdlever plan {made.name}")
    if made.kind in _CONSTRAINED:
        only = f"with --constrain, models can only answer with {_CONSTRAINED[made.kind]}"
        typer.echo(f"{only}: thirdlever run {made.name} --constrain")


def _other_kinds(made: "Made") -> str:
    others = ", ".join(kind for kind in KINDS if kind != made.kind)
    remove = f"remove datasets/{made.name} and evals/{made.name}.py"
    return f"another kind: {remove}, and repeat with --answer KIND ({others})"


def _understood(made: "Made", *notes: str) -> None:
    """Print what a suite was made of, and what will be sent."""
    counts = (
        counted(count, part.removesuffix("s")) if part.endswith("s") else f"{count:,} {part}"  # documents and labels
        for part, count in made.counts.items()
        if count
    )
    lines = [
        f"datasets/{made.name}: {', '.join(counts)}",
        *(_described(made.knowledge) if made.knowledge else ()),
        f"answer kind: {made.answer}",
        *(f"- {clipped(text)} -> {clipped(read, _TARGET)}" for text, read in made.examples),
        *notes,
        *(f"- {change}" for change in made.changes),
        *(f"warning: {warning}" for warning in made.warnings),
    ]
    for line in [*lines, *_sent(made)]:
        typer.echo(escape_terminal(line))


def _described(found: "Knowledge") -> list[str]:
    """What a suite's documents are, and how the first begins."""
    kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(found.kinds.items()))
    size = f"{counted(found.words, 'word')} in {counted(found.count, 'document')} ({kinds})"
    return [
        f"documents: {size}, the longest of {counted(found.longest, 'word')}",
        f"- the first: {clipped(found.title)}: {clipped(found.beginning, _TARGET)}",
    ]


def documents(
    suite: Annotated[str, argument("SUITE", "A suite of this project.")],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="Folder or file of the new documents. [default: describe the current ones]"
        ),
    ] = None,
    encoding: Annotated[str | None, option("NAME", "Of texts that are not UTF-8, such as cp1252.")] = None,
) -> None:
    """Replace a suite's documents, or describe them."""
    from thirdlever.suites.documents import describe, replace_documents

    folder = Path("datasets", suite)
    if not folder.is_dir():
        message = f"this project has no {folder.as_posix()!r}; run: thirdlever init {suite} --train FILE"
        raise typer.TyperException(message)
    if path is None:
        for line in _described(describe(folder)):
            typer.echo(escape_terminal(line))
        return
    done = replace_documents(folder, path, encoding=encoding)
    groups = (("new", done.new), ("changed", done.changed), ("gone", done.gone))
    lines = [
        *_described(done.knowledge),
        *(f"{word}: {len(names):,}{_named(names)}" for word, names in groups),
        f"unchanged: {done.unchanged:,}",
        *(f"- {note}" for note in done.notes),
    ]
    if done.gold:
        which = f"{counted(len(done.gold), 'document')} that labelled rows name in 'gold'{_named(done.gold)}"
        lines.append(f"warning: there is no document any more for {which}; correct the rows, or recall is too low")
    for line in lines:
        typer.echo(escape_terminal(line))
    typer.echo(f"next: thirdlever audit {suite}; earlier runs were measured on the old documents")


def _named(names: "Sequence[str]") -> str:
    """The first few of some ids, in parentheses."""
    more = ", …" if len(names) > _NAMES else ""
    return f" ({', '.join(names[:_NAMES])}{more})" if names else ""


def _sent(made: "Made") -> list[str]:
    """The first test item as the instruction alone asks it, shortened."""
    from thirdlever.prompting.frame import messages

    try:
        turns = messages(made.draft, made.draft.test.items[0])
    except PromptError:  # of the user's prompt file: reported once the suite is there
        return []
    lines = ["the first test item, as it is sent without examples:"]
    for turn in turns:
        shown, left = turn.text[:_SENT], len(turn.text) - _SENT
        more = f" … ({left:,} more characters: thirdlever prompt {made.name})" if left > 0 else ""
        label = f"  {turn.role}: "
        first, *rest = f"{shown}{more}".split("\n")
        lines += [f"{label:<10}{first}", *(f"{'':<10}{line}" for line in rest)]
    return lines


def _confirm(made: "Made") -> None:
    """Ask at a terminal whether the data was understood."""
    _understood(made, _other_kinds(made))
    if not typer.confirm("Write this suite?", default=True):
        typer.echo("nothing was written")
        raise typer.Exit(1)


def _remarks(name: str) -> list[str]:
    """What is wrong with a new suite's prompt file, or was perhaps overlooked in it."""
    from thirdlever.prompting.frame import check_prompt, remarks
    from thirdlever.suites.find import find_suite

    suite = find_suite(name)
    if suite.prompt is None:
        return []
    try:
        check_prompt(suite.prompt, suite)
    except PromptError as error:
        return [str(error)]
    return [f"{suite.prompt.path} {remark}" for remark in remarks(suite.prompt, suite)]


@data_app.callback()
def list_data(context: typer.Context) -> None:
    """List public data sets, or make a suite of one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.suites.public import public_data

    for name, data in public_data().items():
        here = "made here" if Path("datasets", name).is_dir() else ""
        typer.echo(f"{name:<15}{data.size / 1e6:>4.1f} MB  {data.licence:<14}{here:<11}{data.task}")


@data_app.command("get")
def get_data(
    name: Annotated[str, argument("NAME", "Name of a data set; see `thirdlever data`.")],
    source: Annotated[
        Path | None, option("PATH", "Its files, if you have them: a file, a folder or an archive.", "--from")
    ] = None,
) -> None:
    """Download a public data set, verify it and make a suite of it."""
    from thirdlever.suites.public import get, public_data

    made = get(name, source)
    _understood(made)
    data = public_data()[name]
    typer.echo(f"licence: {data.licence} ({data.address}); please cite {data.cite}")
    _next(made)


def suites() -> None:
    """List the available suites."""
    from thirdlever.suites.find import available_suites

    for line in aligned([*available_suites().items()]):
        typer.echo(line)


def strategies() -> None:
    """List the strategies with their arguments."""
    from thirdlever.strategies import specs

    typer.echo(specs.describe())
    typer.echo("\nEach also takes prompt=NAME, a prompt in prompts/, as in lora:prompt=short.")


@models_app.callback()
def list_models(context: typer.Context) -> None:
    """List the available models, or download one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.models import registry

    for found in registry.available():
        state = {True: "ready", False: "not ready", None: ""}[found.ready]
        typer.echo(escape_terminal(f"{found.name:<24}{found.kind:<8}{state:<11}{found.where}"))


@models_app.command()
def pull(
    name: Annotated[str, argument("NAME", "Name of a local model; see `thirdlever models`.")],
) -> None:
    """Download a model's weights into your cache."""
    from thirdlever.models import registry

    registry.pull(name)


def check(
    name: Annotated[
        list[str] | None, argument("NAME", "Strategies, evals and prompts; rag:k=5 sets arguments. [default: all here]")
    ] = None,
) -> None:
    """Test your strategies, evals and prompts offline, at no cost."""
    from thirdlever.runner import check as checks

    findings = checks.check(name or ())
    rows = [(found.name, found.sentence) for found in findings]
    for found, line in zip(findings, aligned(rows, indent=len("failed  strategy  ")), strict=True):
        typer.echo(f"{found.status:<8}{found.kind:<10}{line}")
    raise typer.Exit(int(any(found.status == "failed" for found in findings)))


def audit(
    suite: Annotated[list[str], argument("SUITE", "Suites, or files of their data. See `thirdlever suites`.")],
    quick: Annotated[
        bool, flag("--quick", "Leave out reworded leaks and doubtful labels, which need minutes.")
    ] = False,
    fix: Annotated[str | None, option("NAME", "Write a cleaned copy of the suite under this name.")] = None,
    page: Annotated[Path | None, option("FILE", "Write a page with every item concerned, such as audit.html.")] = None,
    fmt: options.TextOrJson = "text",
) -> None:
    """Check data for leaks, conflicts, doubtful labels and secrets.

    Exit code 1 if a split has inputs of test.
    """
    from thirdlever.core import project
    from thirdlever.core.store import Store
    from thirdlever.report.tables import render_audit
    from thirdlever.runner import audit as auditing
    from thirdlever.suites.create import refuse
    from thirdlever.suites.find import find_suite

    names = list(dict.fromkeys(Path(name).parent.name if name.endswith(".jsonl") else name for name in suite))
    if (fix is not None or page is not None) and len(names) > 1:
        message = f"{'--page' if fix is None else '--fix'} takes one suite; audit the others in a command of their own"
        raise typer.TyperException(message)
    if page is not None and not page.parent.is_dir():
        message = f"folder {str(page.parent)!r} does not exist; create it, or give another path with --page"
        raise typer.TyperException(message)
    if fix is not None:
        refuse(fix, Path.cwd())
    failed = False
    for name in names:
        found = find_suite(name)
        concerns = auditing.audit(found, None if quick else Store(project.STORE))
        failed |= any(concern.level == "error" for concern in concerns)
        options.print_text(render_audit(found, concerns, fmt))
        if fix is not None:
            dropped = auditing.clean(found, concerns, fix)
            which = ", ".join(f"{number:,} from {file}" for file, number in dropped.items()) or "nothing"
            typer.echo(f"datasets/{fix}: dropped {which} (dropped.jsonl); next: thirdlever audit {fix}")
            if quick:
                typer.echo(_QUICKLY_FIXED)
        if page is not None:
            from thirdlever.core.files import write
            from thirdlever.report.audit_page import render

            write(page, render(found, concerns, dt.datetime.now(dt.UTC).date()).encode())
            typer.echo(f"page: {escape_terminal(str(page))}")
    raise typer.Exit(int(failed))


def plan(
    suite: options.Suite,
    train: options.Train = None,
    strategy: options.Strategies = None,
    model: options.Models = None,
    prompt: options.Prompts = None,
    limit: options.Limit = None,
    epochs: options.Epochs = 1,
    seed: options.Seed = 0,
    probe: options.Probe = None,
    device_usd_per_hour: options.DeviceRate = None,
    utilisation: options.Utilisation = 1.0,
    batch: options.Batch = False,
    max_connections: options.MaxConnections = None,
    grader: options.Grader = None,
    wanted: Annotated[float, option("SHARE", "Difference in accuracy to detect; 0.03 is 3 points.")] = 0.03,
    fmt: options.TextOrJson = "text",
) -> None:
    """Estimate a run's cost, duration and detectable difference."""
    from thirdlever.report.tables import render_plan
    from thirdlever.runner import plan as planning

    planned = planning.plan(
        suite,
        strategy or options.STRATEGIES,
        train=train,
        models=model or options.MODELS,
        prompts=prompt,
        limit=limit,
        epochs=epochs,
        seed=seed,
        probe=probe,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
        max_connections=max_connections,
        grader=grader,
        wanted=wanted,
    )
    options.print_text(render_plan(planned, fmt))


def prompt(
    suite: options.Suite,
    strategy: Annotated[str, option("SPEC", "Strategy, such as rag:k=20.")] = "zero_shot",
    model: Annotated[str, option("NAME", "Base model, such as openai/gpt-5.4-mini.")] = options.MODELS[0],
    prompt: Annotated[str | None, option("NAME", "Prompt in prompts/, or a file. [default: the suite's]")] = None,
    item: Annotated[str | None, option("ID", "Test item. [default: the first]")] = None,
    fmt: options.TextOrJson = "text",
) -> None:
    """Print exactly what a strategy sends for an item, with its tokens. Nothing is sent."""
    from thirdlever.report.tables import render_prompt
    from thirdlever.runner.prompt import show

    options.print_text(render_prompt(show(suite, strategy, model=model, prompt=prompt, item=item), fmt))


def run(
    suite: options.Suite,
    train: options.Train = None,
    strategy: options.Strategies = None,
    model: options.Models = None,
    prompt: options.Prompts = None,
    limit: options.Limit = None,
    epochs: options.Epochs = 1,
    seed: options.Seed = 0,
    budget: options.Budget = None,
    out: Annotated[
        Path | None, option("DIR", "Folder of the run, new or to resume. [default: results/SUITE-TIME]")
    ] = None,
    probe: options.Probe = None,
    constrain: Annotated[bool, flag("--constrain", "Restrict answers to those that the suite allows.")] = False,
    chroma_url: Annotated[str | None, option("URL", "Address of a Chroma server. [default: in-process]")] = None,
    device_usd_per_hour: options.DeviceRate = None,
    utilisation: options.Utilisation = 1.0,
    batch: options.Batch = False,
    max_failed: options.MostFailed = MAX_FAILED,
    max_unparsed: options.MostUnparsed = MAX_UNPARSED,
    max_connections: options.MaxConnections = None,
    grader: options.Grader = None,
    allow_near_leaks: options.AllowNearLeaks = False,
) -> None:
    """Run strategies on a suite and compare them in a table.

    Exit code 2 if a candidate is not measured because a provider's requests failed, were cut off or refused. A local
    model that talks on until it is cut off is only weak: a warning, and exit code 0.
    """
    from thirdlever.report import tables
    from thirdlever.retrieval import stores
    from thirdlever.runner import runner

    if chroma_url is not None:
        stores.address(chroma_url)  # refuses a password before the command line is kept
        os.environ[stores.SERVER] = chroma_url
    done = runner.run(
        suite,
        strategy or options.STRATEGIES,
        train=train,
        models=model or options.MODELS,
        prompts=prompt,
        limit=limit,
        epochs=epochs,
        seed=seed,
        budget=budget,
        out=out,
        probe=probe,
        constrain=constrain,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
        max_failed=max_failed,
        max_unparsed=max_unparsed,
        max_connections=max_connections,
        grader=grader,
        allow_near_leaks=allow_near_leaks,
    )
    options.print_text(tables.render_summary(done.summary))
    _print_facts(done)
    _print_searched(done)
    typer.echo(f"\nRecords, logs and chart: {done.folder}")
    for name, why in done.not_measured.items():
        broken = done.figures[name].broken
        typer.echo(escape_terminal(f"{'error' if broken else 'warning'}: {name}: {why}"), err=True)
    done.require_complete()
    if any(one.broken for one in done.figures.values()):
        raise typer.Exit(RunError.exit_code)
    if len(done.not_measured) < len(done.figures):
        typer.echo(f"next: thirdlever memo {shlex.quote(str(done.folder))}")


def curve(
    suite: options.Suite,
    strategy: options.Strategies = None,
    model: options.Models = None,
    sizes: Annotated[
        str, option("N,N,…", "Numbers of labels, of train and dev together; all is as many as there are.")
    ] = "100,300,1000",
    seeds: Annotated[str, option("N,N,…", "Seeds; each draws other labels.")] = "0,1",
    label_noise: Annotated[str, option("SHARE,…", "Shares of wrong labels to measure with, such as 0,0.2.")] = "0",
    limit: options.Limit = None,
    budget: options.Budget = None,
    out: Annotated[
        Path | None, option("DIR", "Folder of the curve, new or to resume. [default: results/curve-SUITE]")
    ] = None,
    probe: Annotated[int, option("N", "Number of items that each run times one by one.", min=0)] = 10,
    constrain: Annotated[bool, flag("--constrain", "Restrict answers to those that the suite allows.")] = False,
    device_usd_per_hour: options.DeviceRate = None,
    utilisation: options.Utilisation = 1.0,
    max_failed: options.MostFailed = MAX_FAILED,
    max_unparsed: options.MostUnparsed = MAX_UNPARSED,
    assume: options.Assume = None,
    allow_near_leaks: options.AllowNearLeaks = False,
    fmt: options.TextOrJson = "text",
) -> None:
    """Measure strategies with more and more labels: would more help?

    Writes curve.json, curve.csv, curve.png and curve.svg. Exit code 4 if the budget ended it.
    """
    from thirdlever.decision.verdict import pairs
    from thirdlever.report.more_labels import render_curve
    from thirdlever.runner import curve as curves

    made = curves.curve(
        suite,
        strategy or options.STRATEGIES,
        models=model or options.MODELS,
        sizes=sizes.split(","),
        seeds=curves.numbers(seeds, int, "--seeds 0,1,2"),
        label_noise=curves.numbers(label_noise, float, "--label-noise 0,0.2"),
        limit=limit,
        budget=budget,
        out=out,
        probe=probe,
        constrain=constrain,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        max_failed=max_failed,
        max_unparsed=max_unparsed,
        assumptions=pairs(assume or []),
        allow_near_leaks=allow_near_leaks,
    )
    options.print_text(render_curve(made.found, fmt))
    if fmt == "text":
        typer.echo(f"\nFigure, table and runs: {made.folder}")
    if made.ended is not None:
        raise made.ended


def show(
    run: options.Run,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
    by: Annotated[
        Literal["label", "field", "rule", "retrieval"] | None,
        option("PART", "Show figures of each label, field or rule of the answers, or of retrieval by slice."),
    ] = None,
    fmt: options.TableFormat = "table",
) -> None:
    """Show the table of a run."""
    from thirdlever.analysis.run import load
    from thirdlever.report import tables

    found = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    if by == "retrieval":
        options.print_text(tables.render_retrieval(found.require_retrieval(), fmt))
        return
    if by is not None:
        options.print_text(tables.render_parts(found.parts(by), fmt))
        return
    options.print_text(tables.render_summary(found.summary, fmt))
    if fmt == "table":
        _print_imported(found.info.get("imported"))
        _print_facts(found)
        _print_searched(found)


def _print_imported(about: "Mapping[str, Any] | None") -> None:
    """What was taken for what when results of another tool were imported, below a run's table."""
    if about:
        formats = listed(list(dict.fromkeys(one["format"] for one in about["files"])))
        typer.echo(f"\nImported ({formats}):")
        for note in about["notes"]:
            typer.echo(paragraph(note, first="- ", rest="  "))


def _print_facts(run: "Run") -> None:
    """What dev chose, how far the grader agrees with people, what near-leaks do to the accuracies: below the table."""
    from thirdlever.report.memo_content import chosen_facts, grader_facts, near_leak_facts

    for what, value in [*chosen_facts(run), *grader_facts(run), *near_leak_facts(run)]:
        typer.echo(paragraph(escape_terminal(f"{what}: {value}."), rest="  "))


def _print_searched(run: "Run") -> None:
    """What prompt searches found, below a run's table."""
    from thirdlever.report.memo_content import searched

    for one in run.info["candidates"]:
        if one.get("found"):
            text = f"{one['name']}: {searched(one['found'], run.figures[one['name']])}"
            typer.echo(f"\n{paragraph(text)}")


def import_(
    files: Annotated[list[str], argument("FILE…", "Files or folders of results; NAME=FILE names the candidate.")],
    suite: Annotated[str, option("NAME", "Suite whose test items were asked.")],
    out: Annotated[Path | None, option("DIR", "Folder of the run. [default: results/SUITE-import-TIME]")] = None,
    fmt: Annotated[
        Literal["inspect", "lm-eval", "promptfoo", "openai-evals", "kiln", "nemo", "mlflow", "table"] | None,
        typer.Option("--format", help="Format of the files. [default: found]"),
    ] = None,
    score: Annotated[str | None, option("NAME", "The score to take, where a file has several.")] = None,
    lever: Annotated[
        list[str] | None,
        option("NAME=LEVER", "What a candidate counts as: none, prompt, retrieval or tuned; repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None, option("NAME=MODEL", "A candidate's model, such as openai/gpt-5.4-mini; repeatable.")
    ] = None,
    strategy: Annotated[
        list[str] | None, option("NAME=SPEC", "The strategy that a candidate is, so that `regress` can run it.")
    ] = None,
) -> None:
    """Make a run of results that another tool measured."""
    from thirdlever.report import tables
    from thirdlever.runner.importing import import_results

    done = import_results(
        files,
        suite,
        out=out,
        fmt=fmt,
        score=score,
        levers=lever or (),
        models=model or (),
        strategies=strategy or (),
    )
    options.print_text(tables.render_summary(done.run.summary))
    _print_imported(done.run.info["imported"])
    for name, why in done.run.not_measured.items():
        typer.echo(escape_terminal(f"warning: {name}: {why}"), err=True)
    typer.echo(f"\nRecords and chart: {done.run.folder}")
    typer.echo(f"next: thirdlever compare {shlex.quote(str(done.run.folder))}")


def export(
    run: options.Run,
    to: Annotated[Literal["csv", "inspect", "mlflow"], typer.Option("--to", help="Format, or where to send it.")],
    out: Annotated[Path | None, option("PATH", "File for csv, folder for inspect. [default: RUN/export/]")] = None,
    uri: Annotated[str | None, option("URL", "MLflow's tracking server. [default: $MLFLOW_TRACKING_URI]")] = None,
) -> None:
    """Write a run's results for another tool."""
    from thirdlever.analysis.run import load
    from thirdlever.runner import exporting

    for line in exporting.export(load(run), to, out=out, uri=uri):
        typer.echo(escape_terminal(line))

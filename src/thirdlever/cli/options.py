"""Arguments and options that several commands share."""

from typing import Annotated, Any, Literal, TypeAlias

import typer

STRATEGIES = ("null", "zero_shot", "few_shot", "long_context", "rag")
MODELS = ("embedded",)


def print_text(text: str) -> None:
    """Print a command's output, whatever its format, with exactly one line break at its end."""
    typer.echo(text.rstrip("\n"))


def option(metavar: str, text: str, *names: str, **settings: Any) -> Any:  # noqa: ANN401 - typer's settings
    """An option that takes a value; `names` if not the parameter's own."""
    return typer.Option(*names, metavar=metavar, help=text, **settings)


def argument(metavar: str, text: str) -> Any:  # noqa: ANN401 - typer's type
    """An argument."""
    return typer.Argument(metavar=metavar, help=text)


def flag(name: str, text: str) -> Any:  # noqa: ANN401 - typer's type
    """A switch without a `--no-` form."""
    return typer.Option(name, help=text)


Suite: TypeAlias = Annotated[
    str, argument("SUITE", "Name of a suite, see `thirdlever suites`; or an inspect task: FILE.py@TASK, PACKAGE/TASK.")
]
Train: TypeAlias = Annotated[
    str | None,
    option("TASK", "Task whose samples strategies learn from, if SUITE is a task. [default: four fifths of its own]"),
]
Run: TypeAlias = Annotated[str, argument("RUN", "A run's folder, its name under results/, or latest.")]
Strategies: TypeAlias = Annotated[
    list[str] | None,
    option("SPEC", f"Strategy, such as rag:k=20; repeatable. [default: {', '.join(STRATEGIES)}]", "--strategy"),
]
Models: TypeAlias = Annotated[
    list[str] | None,
    option("NAME", f"Base model, such as openai/gpt-5.4-mini; repeatable. [default: {', '.join(MODELS)}]", "--model"),
]
Prompts: TypeAlias = Annotated[
    list[str] | None,
    option("NAME", "Prompt in prompts/, or a file; repeatable. [default: the suite's]", "--prompt"),
]
Limit: TypeAlias = Annotated[int | None, option("N", "Number of test items to measure on. [default: all]", min=1)]
Epochs: TypeAlias = Annotated[int, option("N", "Number of times to ask each item.", min=1)]
Seed: TypeAlias = Annotated[int, option("N", "Seed of all random choices.")]
Probe: TypeAlias = Annotated[
    int | None, option("N", "Number of items to time one by one. [default: 60, which a p95 needs, or --limit]", min=0)
]
AllowNearLeaks: TypeAlias = Annotated[
    bool, flag("--allow-near-leaks", "Run even if more than 1 % of test items are nearly in train or dev.")
]
Budget: TypeAlias = Annotated[float | None, option("USD", "Maximum to spend. [default: no maximum]", min=0)]
DeviceRate: TypeAlias = Annotated[
    float | None, option("USD", "Cost of this machine per hour. [default: unknown]", min=0)
]
Utilisation: TypeAlias = Annotated[float, option("SHARE", "Share of the time that the machine is busy.", min=0, max=1)]
Batch: TypeAlias = Annotated[bool, flag("--batch", "Use the providers' batch APIs for accuracy: cheaper, but slow.")]
MostFailed: TypeAlias = Annotated[
    float, option("SHARE", "Maximum share of failed, cut-off and refused requests.", min=0, max=1)
]
MostUnparsed: TypeAlias = Annotated[float, option("SHARE", "Maximum share of unparsed answers.", min=0, max=1)]
MaxFailed: TypeAlias = Annotated[
    float | None,
    option("SHARE", "Maximum share of failed, cut-off and refused requests. [default: the run's]", min=0, max=1),
]
MaxUnparsed: TypeAlias = Annotated[
    float | None, option("SHARE", "Maximum share of unparsed answers. [default: the run's]", min=0, max=1)
]
MaxConnections: TypeAlias = Annotated[
    int | None, option("N", "Requests in flight at once. [default: as many as the provider allows]", min=1)
]
Grader: TypeAlias = Annotated[str | None, option("NAME", "Model that judges the answers of a suite with a Judge.")]
Assume: TypeAlias = Annotated[
    list[str] | None, option("NAME=VALUE", "Assumption, such as monthly_volume=3000000; repeatable.")
]

Gate: TypeAlias = Literal["text", "md", "json", "junit"]
_FORMAT = typer.Option("--format", help="Output format.")
TextOrJson: TypeAlias = Annotated[Literal["text", "json"], _FORMAT]
TextFormat: TypeAlias = Annotated[Literal["text", "md", "json"], _FORMAT]
TableFormat: TypeAlias = Annotated[Literal["table", "md", "csv", "json"], _FORMAT]
GateFormat: TypeAlias = Annotated[Gate, _FORMAT]

"""Arguments and options that several commands share, each worded once."""

from typing import Annotated, TypeAlias

import typer

STRATEGIES = ("null", "zero_shot", "few_shot", "long_context", "rag")
MODELS = ("embedded",)

Suite: TypeAlias = Annotated[str, typer.Argument(metavar="SUITE", help="`thirdlever suites` lists them.")]
Run: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's folder, its name under results/, or latest.")
]
Strategies: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy", metavar="SPEC", help=f"Such as rag:k=20; again for more. [default: {', '.join(STRATEGIES)}]"
    ),
]
Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME", help=f"Such as openai/gpt-4o-mini; again for more. [default: {', '.join(MODELS)}]"
    ),
]
Limit: TypeAlias = Annotated[int | None, typer.Option(metavar="N", min=1, help="Measure on N test items.")]
Epochs: TypeAlias = Annotated[int, typer.Option(metavar="N", min=1, help="Ask each item N times.")]
Seed: TypeAlias = Annotated[int, typer.Option(metavar="N", help="The seed of every draw.")]
Probe: TypeAlias = Annotated[int, typer.Option(metavar="N", min=0, help="Time N items one by one.")]
Budget: TypeAlias = Annotated[float | None, typer.Option(metavar="USD", min=0, help="Stop before more is spent.")]
DeviceRate: TypeAlias = Annotated[
    float | None, typer.Option(metavar="X", min=0, help="What an hour of this machine costs.")
]
Utilisation: TypeAlias = Annotated[
    float, typer.Option(metavar="F", min=0, max=1, help="The share of its hours that the machine is in use.")
]
Batch: TypeAlias = Annotated[
    bool, typer.Option("--batch", help="Measure accuracy through the provider's batch API: cheaper, and slow.")
]
Assume: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Such as monthly_volume=3000000; again for more.")
]

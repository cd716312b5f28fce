"""A store that makes nothing dear: what is there is found, the rest is taken for made, or made of a sample."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.files import content_hash
from thirdlever.core.project import version
from thirdlever.core.store import Artefact, Store
from thirdlever.planning.rehearsal import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from thirdlever.models.base import BaseModel
    from thirdlever.planning.rehearsal import Spent
    from thirdlever.suites.suite import Suite

    Build = Callable[[Path], "Mapping[str, Any] | None"]

TEXTS = 128  # embedded for the speed of embedding; neighbours of sampled prompts are found among them
_FITTING = 0.25  # of the time that embedding takes: what fitting null's classifier took in runs of `transactions`


@dataclass(frozen=True, slots=True)
class RehearsalStore(Store):
    """Takes the place of a project's store.

    Attributes:
        into: a store that is thrown away; all candidates of a plan share it, as they share the real one in a run.
        suite: that is planned for.
        base: the candidate's base model.
        spent: where it is written down what building would take.
    """

    into: Store
    suite: Suite
    base: BaseModel
    spent: Spent

    def once(self, kind: str, *, of: Mapping[str, Any], build: Build, resume: bool = False) -> Artefact:
        """Find an artefact, or stand in for it."""
        if (self.root / kind / content_hash([version(), of])[:24] / "artefact.json").is_file():
            return Store.once(self, kind, of=of, build=build, resume=resume)

        cheaply: dict[str, Build] = {
            "adapter": lambda _: self._train(of),
            "embeddings": lambda folder: self._embed(of["texts"], folder),
            "index": lambda folder: self._timed(build, folder),
            "classifier": self._fit,
            "choice": lambda folder: self._choose(of["options"], build, folder),
            "inputs": lambda _: self._invent(of),
        }
        return self.into.once(kind, of=of, build=cheaply.get(kind, build))

    def _timed(self, build: Build, folder: Path) -> Mapping[str, Any] | None:
        start = time.perf_counter()
        facts = build(folder)
        self.spent.seconds += time.perf_counter() - start
        return facts

    def _choose(self, options: list[str], build: Build, folder: Path) -> dict[str, Any]:
        """What dev would choose is not known: the last option, for the cheapest comes first."""
        facts = dict(build(folder) or {})
        self.spent.notes.append(f"dev is taken to choose {options[-1]}")
        return facts | {"accuracy": {name: rank for rank, name in enumerate(options)}}

    def _train(self, of: Mapping[str, Any]) -> dict[str, Any]:
        from thirdlever.finetune.settings import MOST_EPOCHS

        settings = of["settings"]
        epochs = MOST_EPOCHS if settings["epochs"] == "auto" else settings["epochs"]
        each = example_tokens(self.suite, self.base)
        made = Training(
            method=settings["method"],
            where="local",
            examples=of["examples"],
            epochs=epochs,
            tokens=of["examples"] * each * epochs,
            dev_tokens=of["dev"] * each * epochs,
            here=True,
        )
        self.spent.trainings.append(made)
        none = {"trained_seconds": 0.0, "device_seconds": 0.0, "bytes": 0, "curve": []}
        return {"folder": "planned", "tokens": round(made.tokens), "epochs": epochs, **none}

    def _embed(self, texts: list[str], folder: Path) -> None:
        import numpy as np

        from thirdlever.retrieval.embedder import embed

        embed(texts[:1])  # the first one loads the weights
        start = time.perf_counter()
        vectors = embed(texts[:TEXTS])
        each = (time.perf_counter() - start) / len(vectors)
        np.save(folder / "vectors.npy", vectors, allow_pickle=False)
        self.spent.seconds += each * len(texts)
        self.spent.notes.append(f"{len(texts):,} texts are embedded, at the speed of {len(vectors)} here")

    def _fit(self, folder: Path) -> None:
        """The classifier of the strategy null, which asks no model: one that knows nothing stands in for it."""
        import numpy as np

        from thirdlever.retrieval.embedder import DIMENSIONS

        labels = np.array(sorted({item.target for item in self.suite.train}))
        rows = len(labels) if len(labels) > 2 else 1  # noqa: PLR2004 - as scikit-learn keeps two classes
        np.savez(folder / "fitted.npz", w=np.zeros((rows, DIMENSIONS)), b=np.zeros(rows), labels=labels)
        self.spent.seconds += _FITTING * self.spent.seconds
        self.spent.notes.append(f"fitting is taken for {_FITTING:.0%} of embedding")

    def _invent(self, of: Mapping[str, Any]) -> dict[str, Any]:
        seeds = self.suite.train.items
        inputs = [f"{seeds[i % len(seeds)].input} {i}" for i in range(of["n"])]
        self.spent.notes.append(f"writing {of['n']:,} inputs, in {len(of['shown']):,} requests, is left out")
        return {"inputs": inputs, "input_tokens": 0, "output_tokens": 0, "device_seconds": 0.0}


def example_tokens(suite: Suite, base: BaseModel, sample: int = 200) -> float:
    """Mean tokens of a training example, prompt and answer."""
    from thirdlever.finetune.conversations import conversations
    from thirdlever.planning.counting import example

    return statistics.fmean(example(base, turns) for turns in conversations(suite, suite.train.items[:sample]))

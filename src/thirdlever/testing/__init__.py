"""Test strategies and evals without network, weights or money.

    suite = example_suite()
    model = FakeModel(answer=lambda prompt: "fuel" if "SHELL" in prompt else "groceries")
    with offline():
        run = thirdlever.run(suite, ["few_shot:k=2"], models=[model])
    assert all("SHELL" in prompt or "MARKET" in prompt for prompt in model.prompts)

Import this module where you use it: it imports inspect.
"""

from __future__ import annotations

import inspect
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias
from unittest import mock

import numpy as np
from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, modelapi

import thirdlever
from thirdlever.core import project
from thirdlever.core.errors import StrategyError
from thirdlever.models.base import BaseModel
from thirdlever.retrieval import embedders
from thirdlever.suites.suite import Document, Item, Split, Suite
from thirdlever.testing.wire import word_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.tool import ToolChoice, ToolInfo
    from numpy.typing import NDArray

    from thirdlever.testing.loopback import Behaviour, Fault, LoopbackProvider, RateLimit, TokenPrices

__all__ = [
    "Behaviour",
    "FakeEmbedder",
    "FakeModel",
    "Fault",
    "LoopbackProvider",
    "RateLimit",
    "TokenPrices",
    "example_suite",
    "offline",
]

_SERVED = {"Behaviour", "Fault", "LoopbackProvider", "RateLimit", "TokenPrices"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any name of the module
    """The provider on this machine; its HTTP server is imported when it is asked for."""
    if name in _SERVED:
        from thirdlever.testing import loopback

        return getattr(loopback, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


Answer: TypeAlias = Callable[[str], str | ModelOutput | Awaitable[str | ModelOutput]]


@dataclass(frozen=True)
class FakeModel(BaseModel):
    """A base model that answers from a function.

    Attributes:
        answer: maps the whole prompt (messages joined by blank lines) to the completion, or to inspect's `ModelOutput`
            if the stop reason or the usage matters; may be async. If it raises, the request has failed.
        prompts: every prompt it received, in order.
        configs: the generation settings of each request.
    """

    name: str = "fake/model"
    inspect_name: str = "fake/model"
    revision: str = "1"
    answer: Answer = field(default=lambda _: "", kw_only=True, compare=False)
    prompts: list[str] = field(default_factory=list, kw_only=True, compare=False)
    configs: list[GenerateConfig] = field(default_factory=list, kw_only=True, compare=False)

    def connect(self) -> Model:
        """A new inspect model each time: inspect would otherwise give one fake's answers to another."""
        return Model(_FakeAPI(self.inspect_name.partition("/")[2], fake=self), GenerateConfig())


@modelapi(name="fake")
class _FakeAPI(ModelAPI):
    def __init__(self, model_name: str, *, fake: FakeModel) -> None:
        super().__init__(model_name)
        self._fake = fake

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's name
        tools: list[ToolInfo],  # noqa: ARG002 - a fake calls none
        tool_choice: ToolChoice,  # noqa: ARG002 - likewise
        config: GenerateConfig,
    ) -> ModelOutput:
        prompt = "\n\n".join(message.text for message in input)
        self._fake.prompts.append(prompt)
        self._fake.configs.append(config)
        answered = self._fake.answer(prompt)
        reply = await answered if inspect.isawaitable(answered) else answered
        output = reply if isinstance(reply, ModelOutput) else ModelOutput.from_content(self.model_name, reply)
        if output.usage is None:
            sent, came = self._fake.tokens(prompt), self._fake.tokens(output.completion)
            # Without usage inspect would count tokens itself, with a tokenizer that it fetches from the network.
            output.usage = ModelUsage(input_tokens=sent, output_tokens=came, total_tokens=sent + came)
        return output


class FakeEmbedder:
    """An embedder without weights: texts that share words are near each other.

    Attributes:
        texts: every text it received, in order.
    """

    def __init__(self) -> None:
        """Start with no texts."""
        self.texts: list[str] = []

    def encode(self, texts: list[str], **_: object) -> NDArray[np.float32]:
        """Unit vectors [len(texts), 384]; [0] for no texts, as sentence-transformers returns."""
        if not texts:
            return np.array([], np.float32)
        self.texts += texts
        return word_vectors(texts, embedders.DIMENSIONS)


def example_suite(*, train: int = 24) -> Suite:
    """Payments that are fuel or groceries: `train` items, 8 in dev, 8 in test, and two documents."""
    places = (("SHELL service station", "fuel"), ("MARKET hall", "groceries"))

    def split(name: str, n: int) -> Split:
        texts = [f"Card payment {name} {i} at {places[i % 2][0]}" for i in range(n)]
        return Split(name, tuple(Item(f"{name}-{i}", text, places[i % 2][1]) for i, text in enumerate(texts)))

    return Suite(
        name="example",
        instruction="Categorise the payment.",
        answer=thirdlever.Label(("fuel", "groceries")),
        train=split("train", train),
        dev=split("dev", 8),
        test_split=split("test", 8),
        documents=(
            Document("doc-1", "Fuel", "Whatever is bought at a service station is fuel."),
            Document("doc-2", "Groceries", "Whatever is bought in a market hall is groceries."),
        ),
        input_name="Payment",
        card={"near_leaks": "the payments of a place differ in a number only"},
    )


@contextmanager
def offline(model: FakeModel | None = None) -> Iterator[FakeModel]:
    """Inside the block nothing is downloaded, trained or paid for.

    Texts are embedded by a `FakeEmbedder`; `resolve` returns the fake model, and `tune` and `tune_managed` a copy of
    the model that they are given; a connection to another machine is a `StrategyError`. `run` keeps artefacts in a
    temporary store. Strategy files must be loaded inside the block, as `run` and `parse` do.

    Args:
        model: what every model name resolves to.
    """
    fake = model or FakeModel()

    def tuned(base: BaseModel, examples: Sequence[Any], dev: Sequence[Any]) -> thirdlever.Tuned:
        return thirdlever.Tuned(
            model=replace(base, name=f"{base.name}+tuned", revision=f"{base.revision}+tuned"),
            setup=thirdlever.SetupCost(labels=len(examples) + len(dev)),
            tuning=thirdlever.Tuning(method="fake", where="local", examples=len(examples), epochs=1.0, tokens=0),
            dev_loss=0.0,
        )

    def tune(
        suite: Suite,  # noqa: ARG001 - the signature of `tune`
        model: BaseModel,
        store: thirdlever.Store,  # noqa: ARG001 - likewise
        examples: Sequence[Item],
        *,
        dev: Sequence[Item] = (),
        settings: thirdlever.Settings | None = None,  # noqa: ARG001 - likewise
    ) -> thirdlever.Tuned:
        return tuned(model, examples, dev)

    def tune_managed(
        model: BaseModel, examples: Sequence[Any], *, dev: Sequence[Any] = (), **_: object
    ) -> thirdlever.Tuned:
        return tuned(model, examples, dev)

    encoder = FakeEmbedder()
    with ExitStack() as patches:
        folder = patches.enter_context(tempfile.TemporaryDirectory())
        for where, name, stand_in in (
            (project, "STORE", Path(folder, "store")),
            (embedders, "_model", lambda _: encoder),
            (thirdlever, "resolve", lambda _: fake),
            (thirdlever, "tune", tune),
            (thirdlever, "tune_managed", tune_managed),
            (socket, "getaddrinfo", _local_only(socket.getaddrinfo)),
            (socket.socket, "connect", _connect),
        ):
            patches.enter_context(mock.patch.object(where, name, stand_in))
        yield fake


_LOCAL = {None, "", "localhost", "127.0.0.1", "::1"}
_real_connect = socket.socket.connect


def _refuse(host: object) -> NoReturn:
    message = f"a connection to {host!r} was opened; call the model that prepare receives instead"
    raise StrategyError(message)


def _local_only(look_up: Callable[..., Any]) -> Callable[..., Any]:
    return lambda host, *args, **kwargs: look_up(host, *args, **kwargs) if host in _LOCAL else _refuse(host)


def _connect(self: socket.socket, address: Any) -> None:  # noqa: ANN401 - an address of any family
    if isinstance(address, tuple) and address[0] not in _LOCAL:
        _refuse(address[0])
    _real_connect(self, address)

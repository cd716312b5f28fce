"""A managed job whose process kills itself at a given moment; a separate module, for multiprocessing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from helpers.killed import die

from thirdlever.finetune import jobs
from thirdlever.finetune.jobs import Ledger
from thirdlever.finetune.managed import tune
from thirdlever.finetune.providers.openai import OpenAIProtocol
from thirdlever.models.base import BaseModel

KEY = "sk-secret-of-the-tests"
BASE = BaseModel(name="crusoe/meta-llama/Llama-3.1-8B-Instruct", inspect_name="crusoe/m", revision="1")
EXAMPLES = [
    [{"role": "user", "content": f"Payment {i}"}, {"role": "assistant", "content": "food" if i % 2 else "fuel"}]
    for i in range(12)
]


def order(folder: Path, url: str, moment: str = "") -> None:
    """The same order every time.

    Args:
        folder: the project.
        url: the provider's.
        moment: "ordered" (nothing is sent yet), "uploaded" (the file is, the job is not), "submitted" (the id is
            written, nothing was polled yet), "polled" (once); "" to live. "created" (the provider has the job and its
            answer was not read) is up to the provider.
    """
    os.chdir(folder)
    os.environ |= {"CRUSOE_BASE_URL": url, "CRUSOE_API_KEY": KEY}
    jobs.SETTLE_S, jobs.FIRST_POLL_S = 0.5, 0.02
    polls = 0

    def submit(tuner: OpenAIProtocol, wanted: Any) -> str:  # noqa: ANN401
        if moment == "uploaded":
            tuner._upload(wanted.training, f"{wanted.tag}.jsonl")  # noqa: SLF001
        die()
        return ""

    def poll(tuner: OpenAIProtocol, job_id: str) -> Any:  # noqa: ANN401
        nonlocal polls
        polls += 1
        if moment == "submitted" or polls > 1:
            die()
        return _poll(tuner, job_id)

    _poll = OpenAIProtocol.poll
    if moment in {"ordered", "uploaded"}:
        OpenAIProtocol.submit = submit  # type: ignore[method-assign, assignment]
    if moment in {"submitted", "polled"}:
        OpenAIProtocol.poll = poll  # type: ignore[method-assign, assignment]
    if moment == "cleared":
        for path in Ledger().root.glob("*"):
            path.unlink()
    made = tune(BASE, EXAMPLES, max_usd=1.0)
    Path("tuned.txt").write_text(f"{made.model.revision} {made.setup.usd}", "utf-8")

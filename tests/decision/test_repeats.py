"""Seeds are repeats of one recipe: the decision sees their mean, and no lucky one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers import costed, memos

from thirdlever.report import memo

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.analysis.run import Run

N = 400
SHARES = {"few_shot": 0.80, "lora(seed=1)": 0.80, "lora(seed=2)": 0.84, "lora(seed=3)": 0.88}


def seeded(folder: Path) -> Run:
    """A prompt, and a tune with three seeds that differ much in accuracy and cost."""
    records, candidates = [], []
    for place, (name, share) in enumerate(SHARES.items()):
        strategy, _, seed = name.rstrip(")").partition("(seed=")
        score = (np.random.default_rng(place).permutation(N) >= round((1 - share) * N)).astype(float)
        model = "tuned" if seed else "dear"
        tokens = 100 * int(seed or 1)
        row: dict[str, Any] = {
            "score": score,
            "prediction": "a",
            "model": model,
            "strategy": strategy,
            "output_tokens": tokens,
        }
        records.append(costed.requests(name, N, **row))
        tuning = {"tuning": costed.tuning(examples=1000)} if seed else {}
        args = {"seed": int(seed)} if seed else {}
        candidates.append(costed.candidate(name, model, strategy=strategy, args=args, **tuning))
    return memos.written(folder, candidates, records, prices={"dear": memos.DEAR, "tuned": costed.TUNED})


def test_seeds_are_one_candidate_with_their_mean(tmp_path: Path) -> None:
    d = memos.decided(seeded(tmp_path))
    assert set(d.standings) == set(d.costs) == {"few_shot", "lora × 3 seeds"}
    recipe = d.standings["lora × 3 seeds"]
    assert recipe.accuracy == pytest.approx(0.84)
    assert recipe.n == N
    assert recipe.requests == 3 * N
    assert d.evidence.comparisons["lora × 3 seeds"].difference == pytest.approx(0.04)
    assert d.evidence.comparisons["lora × 3 seeds"].method == "sign-flip test by cluster"
    one, three = ({1: 1, 2: 2, 3: 3}[seed] * 100 * costed.TUNED.output_per_m / 1e6 for seed in (1, 3))
    assert (d.costs["lora × 3 seeds"].per_request_usd or 0) > one
    assert d.costs["lora × 3 seeds"].accuracy == pytest.approx(0.84)
    low, high = d.costs["lora × 3 seeds"].low, d.costs["lora × 3 seeds"].high
    assert low is not None
    assert high is not None
    assert one < low <= high < three + low


def test_the_memo_of_seeds_shows_them_as_one_option(tmp_path: Path) -> None:
    run = seeded(tmp_path / "run")
    memo.write(memo.Subject(title="payments", source=run.folder, run=run), memos.decided(run), tmp_path / "memo")
    text = (tmp_path / "memo" / "memo.md").read_text("utf-8")
    assert "Fine-tuned, 1,000 examples, 3 seeds" in text
    assert "lora(seed=2)" in text  # in the appendix
    assert "None" not in text

"""A managed job with the fields that a test does not care about filled in."""

from __future__ import annotations

from thirdlever.finetune.jobs import Job


def job(identity: str = "a" * 64, **facts: object) -> Job:
    given = {
        "identity": identity,
        "provider": "crusoe",
        "base": "m",
        "model": "crusoe/m",
        "label": "payments",
        "examples": 12,
        "validation": 0,
        "epochs": 3,
        "seed": 0,
        "estimated_tokens": 100,
        "estimated_usd": None,
        "ordered": 1.0,
    }
    return Job(**(given | facts))  # type: ignore[arg-type]

"""Lists of models as their providers answer, in the shapes of their clients' own types."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TODAY = dt.date(2026, 11, 22)


def openai(**shutdown: str | None) -> dict[str, Any]:
    """OpenAI's; `shutdown` by id changes or adds a date."""
    rows = {
        "gpt-4o-mini-2024-07-18": "2024-07-16",
        "gpt-4o-mini": "2024-07-16",
        "gpt-5-mini": "2025-08-05",
        "gpt-5-mini-2025-08-07": "2025-08-05",
        "gpt-6-mini": "2026-09-01",
        "gpt-5": "2025-08-05",
        "ft:gpt-4o-mini-2024-07-18:acme::x": "2026-01-01",
    }
    dates = {"gpt-4o-mini": None, "gpt-5-mini": None} | shutdown
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": int(dt.datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()),
                "owned_by": "system",
                "shutdown_date": dates.get(name),
            }
            for name, day in rows.items()
        ],
    }


def anthropic() -> dict[str, Any]:
    def model(name: str, created: str, line: str | None, state: str, retires: str | None = None) -> dict[str, Any]:
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": f"{created}T00:00:00Z",
            "lifecycle": state,
            "deprecated_at": None if state == "active" else "2026-01-01T00:00:00Z",
            "retires_at": retires and f"{retires}T00:00:00Z",
            "line": line,
            "max_input_tokens": 200000,
            "max_tokens": 64000,
            "capabilities": None,
        }

    rows = [
        model("claude-b-2-20260901", "2026-09-01", "sonnet", "active"),
        model("claude-b-1-20250929", "2025-09-29", "sonnet", "deprecated", "2026-11-30"),
        model("claude-late-20250101", "2025-01-01", "haiku", "deprecated", "2026-11-01"),
        model("claude-gone-20240101", "2024-01-01", "opus", "retired", "2026-01-05"),
        model("claude-undated-1", "1970-01-01", None, "deprecated"),
    ]
    return {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}


def bedrock() -> dict[str, Any]:
    """As `aws bedrock list-foundation-models` prints it."""

    def model(name: str, status: str, start: str, end: str | None = None) -> dict[str, Any]:
        life = {"status": status, "startOfLifeTime": f"{start}T00:00:00+00:00"}
        return {
            "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{name}",
            "modelId": name,
            "modelLifecycle": life | ({"endOfLifeTime": f"{end}T00:00:00+00:00"} if end else {}),
        }

    return {
        "modelSummaries": [
            model("amazon.nova-micro-v1:0", "ACTIVE", "2024-12-03"),
            model("amazon.nova-micro-v2:0", "ACTIVE", "2026-06-01"),
            model("anthropic.claude-3-haiku-20240307-v1:0", "LEGACY", "2024-03-13", "2027-01-31"),
            model("meta.llama3-1-8b-instruct-v1:0", "LEGACY", "2024-07-23"),
        ]
    }


def save(folder: Path, body: object, name: str = "models.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(body), "utf-8")
    return path

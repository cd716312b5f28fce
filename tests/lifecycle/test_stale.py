"""Retiring, retired and superseded models in runs, baselines and tuning jobs; no test calls a provider."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from helpers import model_lists
from helpers.job import job
from helpers.model_lists import TODAY

from thirdlever.catalog import listings
from thirdlever.catalog.listings import family
from thirdlever.catalog.model_names import located, retirement
from thirdlever.cli.lifecycle import stale
from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.finetune.jobs import Ledger
from thirdlever.lifecycle.stale import ModelInUse, check, measured, models_in_use
from thirdlever.report.regression import stale_json, stale_text

if TYPE_CHECKING:
    from thirdlever.lifecycle.stale import CheckedModel

MINI = ModelInUse(name="openai/gpt-4o-mini", provider="openai", id="gpt-4o-mini", by=("run a: few_shot",))
ALL = {
    one.provider: one
    for one in (
        listings.listing(model_lists.openai(), source="o.json"),
        listings.listing(model_lists.anthropic(), source="a.json"),
        listings.listing(model_lists.bedrock(), source="b.json"),
    )
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def used(name: str, *, tuned: bool = False) -> ModelInUse:
    provider, model = located(name)
    return ModelInUse(name=name, provider=provider, id=model, tuned=tuned, by=("run a: few_shot",))


def checked(name: str, *, tuned: bool = False, within: int = 90, **options: Any) -> CheckedModel:  # noqa: ANN401 - check's
    [one] = check([used(name, tuned=tuned)], ALL, {}, within=within, today=TODAY, **options).models
    return one


def kinds(one: CheckedModel) -> list[str]:
    return [finding.kind for finding in one.findings]


def candidate(model: str | None = "openai/gpt-4o-mini", **facts: Any) -> dict[str, Any]:  # noqa: ANN401 - of run.json
    return {"name": "few_shot", "strategy": "few_shot", "model": model, "base": model, "tuning": None} | facts


def write(path: str, *candidates: dict[str, Any], **facts: Any) -> Path:  # noqa: ANN401 - of run.json
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"candidates": list(candidates), **facts}), "utf-8")
    return file


def run(*arguments: Any) -> int:  # noqa: ANN401 - the command's
    with pytest.raises(typer.Exit) as ended:
        stale(*arguments)
    return ended.value.exit_code


# Names


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai/azure/gpt-4o", ("azure", "gpt-4o")),
        ("azureai/gpt-4o", ("azure", "gpt-4o")),
        ("openai-api/nebius/meta-llama/L", ("nebius", "meta-llama/L")),
        ("openai/org/x", ("openai", "org/x")),
        ("anthropic/bedrock/us.anthropic.c-v1:0", ("bedrock", "anthropic.c-v1:0")),
        ("bedrock/arn:aws:bedrock:us-east-1::foundation-model/amazon.n-v1:0", ("bedrock", "amazon.n-v1:0")),
        ("bedrock/amazon.n-v1:0:128k", ("bedrock", "amazon.n-v1:0")),
        ("embedded", ("local", "embedded")),
        ("hf/a/b", ("local", "hf/a/b")),
    ],
)
def test_a_models_name_gives_its_provider(name: str, where: tuple[str, str]) -> None:
    assert located(name) == where


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-5-mini", True),
        ("gpt-4o-mini", "gpt-4.1-mini", True),
        ("gpt-4o", "gpt-5", True),
        ("gpt-4o", "gpt-5-mini", False),
        ("o3-mini", "o4-mini-2025-04-16", True),
        ("gemini-2.0-flash", "gemini-2.5-flash", True),
        ("gemini-2.0-flash", "gemini-2.0-flash-lite", False),
        ("meta.llama3-1-8b-instruct-v1:0", "meta.llama3-3-8b-instruct-v1:0", True),
        ("meta.llama3-1-8b-instruct-v1:0", "meta.llama3-1-70b-instruct-v1:0", False),
        ("gpt-4o", "gpt-6-luna", False),  # another naming scheme
    ],
)
def test_a_family_is_a_name_without_its_version(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a case
    assert (family(one) == family(other)) is same


# Findings


def test_a_model_that_retires_soon_is_stale() -> None:
    one = checked("bedrock/anthropic.claude-3-haiku-20240307-v1:0")
    assert kinds(one) == ["retiring"]
    assert one.findings[0].sentence == "It retires on 2027-01-31, in 70 days"


@pytest.mark.parametrize(("within", "stale"), [(69, []), (70, ["retiring"])])
def test_a_retirement_counts_only_within_the_given_days(within: int, stale: list[str]) -> None:
    assert kinds(checked("bedrock/anthropic.claude-3-haiku-20240307-v1:0", within=within)) == stale


def test_a_tuned_model_retires_with_its_base() -> None:
    one = checked("openai/gpt-4o-mini", tuned=True)
    assert kinds(one) == ["retiring", "newer"]
    assert "Its base gpt-4o-mini retires on 2027-01-14, in 53 days" in one.findings[0].sentence
    assert one.findings[0].remedy.endswith("thirdlever replace a few_shot")
    assert "2026-11-01" in one.source


def test_a_date_in_the_providers_list_overrides_the_table() -> None:
    listing = listings.listing(model_lists.openai(**{"gpt-4o-mini": "2027-12-31"}), source="o.json")
    [one] = check([MINI], {"openai": listing}, {}, today=TODAY).models
    assert (one.retires, one.source) == (dt.date(2027, 12, 31), "o.json")


def test_the_newest_usable_successor_is_named() -> None:
    one = checked("openai/gpt-4o-mini-2024-07-18")
    assert one.newer is not None
    # Neither the alias of the same snapshot, nor another size, nor a tuned model.
    assert one.newer == ("gpt-6-mini", "gpt-5-mini", "gpt-5-mini-2025-08-07")
    assert one.findings[-1].remedy.endswith("--model openai/gpt-6-mini")


def test_a_successor_that_retires_itself_is_ignored() -> None:
    listing = listings.listing(model_lists.openai(**{"gpt-6-mini": "2027-01-01"}), source="o.json")
    [one] = check([MINI], {"openai": listing}, {}, today=TODAY).models
    assert one.newer == ("gpt-5-mini", "gpt-5-mini-2025-08-07")


def test_a_measured_successor_is_not_reported() -> None:
    assert kinds(checked("openai/gpt-5-mini", within=0)) == ["newer"]
    assert kinds(checked("openai/gpt-5-mini", within=0, measured={("openai", "gpt-6-mini")})) == []
    assert kinds(checked("openai/gpt-4o-mini", within=0, measured={("openai", "gpt-5-mini")})) == ["newer"]


def test_anthropic_models_are_related_by_their_line() -> None:
    one = checked("anthropic/claude-b-1")
    assert kinds(one) == ["retiring", "newer"]
    assert one.newer == ("claude-b-2-20260901",)
    assert checked("anthropic/claude-undated-1").newer is None


def test_a_model_still_listed_after_its_date_is_not_retired() -> None:
    one = checked("anthropic/claude-late-20250101")
    assert one.findings[0].sentence == "It was due to retire on 2026-11-01, 21 days ago, and may stop at any time"
    assert kinds(checked("anthropic/claude-gone-20240101")) == ["retired"]


def test_a_listed_model_is_not_retired_by_the_table() -> None:
    listing = listings.listing(
        {"object": "list", "data": [{"id": "gpt-4.1-nano", "created": 1_744_000_000}]}, source="o"
    )
    [one] = check([used("openai/gpt-4.1-nano")], {"openai": listing}, {}, today=TODAY).models
    assert one.findings[0].sentence.startswith("It was due to retire on 2026-10-23, 30 days ago")
    [told] = check([used("openai/gpt-4.1-nano")], {}, {}, today=TODAY).models
    assert told.findings[0].sentence == "It retired on 2026-10-23"


def test_a_deprecated_model_without_a_date_is_stale() -> None:
    assert kinds(checked("bedrock/meta.llama3-1-8b-instruct-v1:0")) == ["deprecated"]


def test_bedrocks_next_version_is_newer() -> None:
    assert checked("bedrock/us.amazon.nova-micro-v1:0").newer == ("amazon.nova-micro-v2:0",)


def test_a_model_missing_from_its_list_is_retired() -> None:
    one = checked("openai/gpt-unheard")
    assert kinds(one) == ["retired"]
    assert one.findings[0].sentence.startswith("It is not in its provider's list")


def test_the_table_is_used_when_no_list_is_available() -> None:
    report = check([MINI], {}, {"openai": "no OPENAI_API_KEY"}, today=TODAY)
    assert kinds(report.models[0]) == ["retiring"]
    assert "Newer models not checked: no OPENAI_API_KEY." in stale_text(report)


def test_a_release_date_from_a_run_is_used_when_the_list_has_none() -> None:
    gone = ModelInUse(name="openai/gpt-4o-nine", provider="openai", id="gpt-5-nine-mini", created=dt.date(2025, 1, 1))
    [one] = check([gone], ALL, {}, today=TODAY).models
    assert (one.newer, one.created) == ((), dt.date(2025, 1, 1))


# Exit codes


def test_the_exit_code_is_0_when_nothing_needs_action() -> None:
    report = check([used("openai/gpt-6-mini"), used("embedded")], ALL, {}, today=TODAY)
    assert report.exit_code == 0
    assert "No retirement announced." in stale_text(report)
    assert "cannot be retired" in stale_text(report)


def test_the_exit_code_is_1_when_a_model_is_stale() -> None:
    assert check([used("google/gemini"), MINI], {}, {}, today=TODAY).exit_code == 1


def test_the_exit_code_is_2_when_nothing_could_be_checked() -> None:
    report = check([used("google/gemini"), used("x/y")], {}, {"google": "no list"}, today=TODAY)
    assert report.exit_code == 2
    assert "Not checked: no list." in stale_text(report)
    assert "2 not checked" in stale_text(report)
    assert check([used("google/gemini"), used("embedded")], {}, {}, today=TODAY).exit_code == 0


def test_json_has_every_field_and_null_for_unknown_values() -> None:
    body = json.loads(stale_json(check([MINI, used("x/y")], ALL, {}, today=TODAY)))
    assert (body["exit_code"], body["within_days"], body["today"]) == (1, 90, "2026-11-22")
    known, unknown = body["models"]
    assert (known["retires"], known["newer"][0]) == ("2027-01-14", "gpt-6-mini")
    assert (unknown["retires"], unknown["newer"], unknown["source"]) == (None, None, None)


def test_names_from_files_are_escaped() -> None:
    shown = stale_text(check([used("x/y\x1b[2J\u202e")], {}, {}, today=TODAY))
    assert "\x1b" not in shown
    assert "\u202e" not in shown


# Models in use


def test_all_baselines_are_checked_by_default_else_the_latest_run() -> None:
    write("results/a/run.json", candidate("openai/gpt-5"))
    assert [one.name for one in models_in_use()] == ["openai/gpt-5"]
    write("results/baselines/s.json", candidate("openai/gpt-4o-mini"))
    write("results/baselines/t.json", candidate("openai/gpt-4o-mini"), candidate("google/g", name="rag"))
    found = models_in_use()
    assert [one.name for one in found] == ["openai/gpt-4o-mini", "google/g"]
    assert found[0].by == ("baseline s: few_shot", "baseline t: few_shot")


@pytest.mark.parametrize(
    ("named", "by"),
    [
        ("a", "run a"),
        ("results/a", "run a"),
        ("results/a/run.json", "run a"),
        ("latest", "run a"),
        ("s", "baseline s"),
        ("results/baselines/s.json", "baseline s"),
    ],
)
def test_a_run_or_baseline_is_found_by_name_or_path(named: str, by: str) -> None:
    write("results/a/run.json", candidate())
    write("results/baselines/s.json", candidate())
    [one] = models_in_use([named])
    assert one.by == (f"{by}: few_shot",)


def test_tuned_models_are_tracked_by_their_base() -> None:
    ledger = Ledger()
    ledger.add(job(provider="openai", base="gpt-4o-mini-2024-07-18", model="openai/x", stage="succeeded"), "t", "")
    ledger.add(job("b" * 64, provider="openai", base="gpt-4o", stage="failed"), "t", "")
    ledger.add(job("c" * 64, provider="local", base="embedded", stage="succeeded"), "t", "")
    tune = candidate("OpenAI: ft:gpt-4o-mini-2024-07-18:aaaaaaaa", base="openai/gpt-4o-mini-2024-07-18")
    write("results/a/run.json", tune | {"tuning": {"where": "OpenAI"}})
    hosted, local = models_in_use()
    assert (hosted.provider, hosted.id, hosted.tuned) == ("openai", "gpt-4o-mini-2024-07-18", True)
    assert hosted.by == ("run a: few_shot", "job aaaaaaaa")  # one model, found in a run and in the ledger
    assert (local.provider, local.by) == ("local", ("job cccccccc",))


def test_local_models_cannot_retire() -> None:
    tune = candidate("embedded+1", base="embedded", tuning={"where": "local"})
    write("results/a/run.json", candidate(None), tune)
    [one] = models_in_use()
    assert (one.provider, one.name) == ("local", "embedded+1")


def test_a_release_date_recorded_by_a_run_is_kept() -> None:
    write("results/a/run.json", candidate(), snapshots=[{"name": "openai/gpt-4o-mini", "created": "2024-07-18"}])
    [one] = models_in_use()
    assert one.created == dt.date(2024, 7, 18)


def test_a_baselines_tuned_models_are_recognised() -> None:
    """A baseline stores neither the tuned models' names nor the tuning, only the strategy's arguments."""
    pinned = {"name": "managed", "strategy": "managed", "args": {"provider": "auto"}, "base": "openai/gpt-4o-mini"}
    local = {"name": "m", "strategy": "managed", "args": {"provider": "local"}, "base": "embedded", "revision": "ft:1"}
    null = {"name": "null", "strategy": "null", "base": None, "revision": None}
    write("results/baselines/s.json", pinned | {"revision": "ft:gpt-4o-mini:acme::x"}, local, null)
    hosted, own = models_in_use()
    assert (hosted.name, hosted.provider, hosted.id) == ("ft:gpt-4o-mini:acme::x", "openai", "gpt-4o-mini")
    assert (hosted.tuned, own.tuned, own.provider) == (True, True, "local")


def test_measured_models_come_from_every_run() -> None:
    write("results/a/run.json", candidate("openai/gpt-6-mini-2026-09-01"))
    write("results/b/run.json", candidate("embedded"))
    Path("results/c").mkdir()
    Path("results/c/run.json").write_text("{", "utf-8")
    assert measured() == {("openai", "gpt-6-mini"), ("local", "embedded")}


def test_a_project_without_models_fails_with_a_remedy() -> None:
    with pytest.raises(RunError, match="name a run"):
        models_in_use()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"candidates": [1]}', '{"candidates": [{"model": "x"}]}'])
def test_a_malformed_baseline_is_reported_with_its_path(content: str) -> None:
    path = write("results/baselines/s.json")
    path.write_text(content, "utf-8")
    with pytest.raises(RunError, match=r"s\.json"):
        models_in_use()


# The dated table


def test_the_users_table_overrides_the_shipped_one(folder: Path) -> None:
    row = '[[retirement]]\nprovider="azure"\nmodel="gpt-4o"\nretires=2027-06-01\nsource="s"\nas_of=2026-11-20\n'
    (folder / "retirements.toml").write_text(row, "utf-8")
    found = retirement("azure", "gpt-4o-2024-08-06")
    assert found is not None
    assert found.retires == dt.date(2027, 6, 1)
    row += '[[retirement]]\nprovider="openai"\nmodel="gpt-4o-2024-05-13"\nretires=2026-10-23\nsource="s"\n'
    row += 'as_of=2026-11-20\ninstead="gpt-9"\n'
    (folder / "retirements.toml").write_text(row, "utf-8")
    earlier = retirement("openai", "gpt-4o-2024-05-13")  # before the model of its name
    assert earlier is not None
    assert (earlier.retires, earlier.instead) == (dt.date(2026, 10, 23), "gpt-9")


RETIREMENT = '[[retirement]]\nprovider="p"\nsource="s"\nas_of=2026-11-01\n'


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("[[retirment]]\n", "did you mean 'retirement'"),
        ("retirement = 1\n", "invalid retirement 1; expected a list"),
        ('[[retirement]]\nmodle="x"\n', "did you mean 'model'"),
        ('[[retirement]]\nprovider="x"\n', "'model' is missing"),
        (RETIREMENT + 'retires="2027-01-01"\nmodel="m"\n', "expected a date without quotes"),
        (RETIREMENT + "retires=2027-01-01\nmodel=1\n", "expected text in quotes"),
        ("[[", "correct the file"),
    ],
)
def test_a_malformed_row_is_reported_with_its_cause(folder: Path, row: str, said: str) -> None:
    (folder / "retirements.toml").write_text(row, "utf-8")
    with pytest.raises(ThirdleverError, match=said):
        retirement("openai", "gpt-4o")


# The command


def test_a_saved_list_replaces_a_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("results/a/run.json", candidate("openai/gpt-6-mini"), candidate("embedded", name="rag"))
    saved = model_lists.save(folder, model_lists.openai())
    assert run(None, [saved]) == 0
    assert "0 stale" in capsys.readouterr().out
    write("results/a/run.json", candidate("openai/gpt-unheard"))
    assert run(["a"], [saved], 0, "json") == 1
    assert json.loads(capsys.readouterr().out)["models"][0]["alerts"][0]["kind"] == "retired"


def test_missing_keys_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    write("results/a/run.json", candidate("openai/gpt-6-mini"), candidate("anthropic/claude-b-1", name="rag"))
    assert run() == 2
    shown = capsys.readouterr().out
    assert "Not checked: no OPENAI_API_KEY." in shown
    assert "Not checked: no ANTHROPIC_API_KEY." in shown
    assert "Traceback" not in shown


def test_only_providers_in_use_are_contacted(monkeypatch: pytest.MonkeyPatch) -> None:
    write("results/a/run.json", candidate("embedded"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setitem(sys.modules, "openai", None)  # importing it would fail
    assert run() == 0

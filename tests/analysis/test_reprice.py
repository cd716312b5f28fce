from __future__ import annotations

import datetime as dt
import json
import socket
from typing import TYPE_CHECKING

import pytest
import typer
from helpers import costed
from typer.testing import CliRunner

from thirdlever.analysis.run import reprice
from thirdlever.catalog.price_lookup import price_of
from thirdlever.catalog.prices import Hour, Price, gpus, hour, in_batch
from thirdlever.cli.decide import reprice as command
from thirdlever.core.errors import ThirdleverError
from thirdlever.models.base import BaseModel
from thirdlever.report.tables import device_lines, price_lines

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.analysis.run import Run

TODAY = dt.date(2026, 11, 22)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse(*_: object) -> None:
        pytest.fail("repricing must not touch the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def local_run() -> Run:
    """A local run: nobody's tokens have a price, its device does."""
    about = [
        costed.candidate("null", None),
        costed.candidate("few_shot", "embedded"),
        costed.candidate(
            "lora", "embedded+1", base="embedded", tuning=costed.tuning(where="local"), setup={"usd": 0.0}
        ),
    ]
    about[2]["setup"]["device_seconds"] = 3600.0
    records = [costed.requests(one["name"], device_s=0.36) for one in about]
    records[0][["input_tokens", "output_tokens"]] = 0
    return costed.run(about, records, prices={"embedded": None, "embedded+1": None}, device_usd_per_hour=1.0)


def per_1k(run: Run) -> dict[str, float]:
    return dict(zip(run.summary["candidate"], run.summary["cost_per_1k_usd"], strict=True))


def set_up(run: Run) -> dict[str, float]:
    return dict(zip(run.summary["candidate"], run.summary["setup_usd"], strict=True))


def tokens(run: Run, name: str) -> float:
    return float(run.records.loc[run.records["candidate"] == name, "input_tokens"].mean())


# Other prices, the same tokens


def test_at_another_models_prices_a_tuned_candidate_takes_those_of_that_model_tuned() -> None:
    run = local_run()
    done = reprice(run, model="openai/gpt-4o-mini")
    found = per_1k(done.run)
    assert found["few_shot"] == pytest.approx((tokens(run, "few_shot") * 0.15 + 10 * 0.60) / 1e3)
    assert found["lora"] == pytest.approx((tokens(run, "lora") * 0.30 + 10 * 1.20) / 1e3)
    assert found["null"] == pytest.approx(1000 * 0.36 / 3600)
    assert set_up(done.run)["lora"] == pytest.approx(300_000 * 3 / 1e6)


def test_where_nobody_tunes_that_model_the_tuned_candidate_is_unknown() -> None:
    done = reprice(local_run(), model="anthropic/claude-3-5-haiku-latest")
    assert per_1k(done.run)["few_shot"] > 0
    assert per_1k(done.run)["lora"] != per_1k(done.run)["lora"]  # missing: its device's time is not what it would cost
    assert set_up(done.run)["lora"] != set_up(done.run)["lora"]


def test_the_run_is_left_as_it_is() -> None:
    run = local_run()
    before = per_1k(run), json.dumps(run.info)
    reprice(run, model="openai/gpt-4o-mini", device="9", utilisation=0.1)
    assert (per_1k(run), json.dumps(run.info)) == before


def test_device_time_at_another_rate() -> None:
    run = local_run()
    done = reprice(run, device="2", utilisation=0.5)
    assert per_1k(done.run) == {name: pytest.approx(4 * usd) for name, usd in per_1k(run).items()}


def test_nothing_given_takes_todays_prices(tmp_path: Path) -> None:
    run = costed.run([costed.candidate("a")], [costed.requests("a")], prices={"openai/gpt-4o-mini": costed.TUNED})
    assert per_1k(reprice(run).run)["a"] == pytest.approx((tokens(run, "a") * 0.15 + 10 * 0.60) / 1e3)
    row = '[[price]]\nmodel = "openai/gpt-4o-mini"\ninput = 1\noutput = 0\nsource = "contract"\nas_of = 2026-11-20\n'
    (tmp_path / "prices.toml").write_text(row)
    assert per_1k(reprice(run).run)["a"] == pytest.approx(tokens(run, "a") / 1e3)


def test_a_price_that_is_no_longer_listed_stays_the_frozen_one() -> None:
    own = Price("gone", 2.0, 2.0, 0.0, source="a list", as_of="2026-01-01")
    run = costed.run([costed.candidate("a", "acme/gone")], [costed.requests("a")], prices={"acme/gone": own})
    assert reprice(run).prices == {"acme/gone": own}


def test_a_model_that_had_no_listed_price_is_not_looked_up_by_its_name() -> None:
    # It was a server of one's own, under the name of another.
    run = costed.run([costed.candidate("a")], [costed.requests("a")], prices={"openai/gpt-4o-mini": None})
    assert reprice(run).prices == {"openai/gpt-4o-mini": None}


def test_a_model_without_a_price_is_refused() -> None:
    with pytest.raises(ThirdleverError, match="its price is unknown"):
        reprice(local_run(), model="acme/unheard-of")


# Batch


def test_batch_is_half_price_unless_the_row_says_otherwise(tmp_path: Path) -> None:
    listed = price_of(BaseModel("openai/gpt-4o-mini", "openai/gpt-4o-mini"))
    assert listed is not None
    halved = in_batch(listed)
    assert (halved.input_per_m, halved.cached_input_per_m, halved.output_per_m) == (0.075, 0.0375, 0.3)
    assert "batch" in halved.source
    (tmp_path / "prices.toml").write_text(
        '[[price]]\nmodel = "m"\ninput = 1\noutput = 2\nbatch = 0.4\nsource = "s"\nas_of = 2026-11-20\n'
    )
    own = price_of(BaseModel("m", "m"))
    assert own is not None
    assert (in_batch(own).input_per_m, in_batch(own).output_per_m) == (0.4, 0.8)


def test_a_batch_that_is_no_table_is_refused(tmp_path: Path) -> None:
    listed = price_of(BaseModel("openai/gpt-4o-mini", "openai/gpt-4o-mini"))
    assert listed is not None
    (tmp_path / "prices.toml").write_text("batch = 0.5\n")
    with pytest.raises(ThirdleverError, match=r"\[batch\]"):
        in_batch(listed)


@pytest.mark.parametrize("share", ["0", "1.5", "true", '"half"'])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: str) -> None:
    (tmp_path / "prices.toml").write_text(
        f'[[price]]\nmodel = "m"\ninput = 1\noutput = 2\nbatch = {share}\nsource = "s"\nas_of = 2026-11-20\n'
    )
    with pytest.raises(ThirdleverError, match=r"invalid batch .*expected a number"):
        price_of(BaseModel("m", "m"))


# GPUs by name


def test_a_gpu_has_a_rate_with_source_and_date() -> None:
    assert hour("2.5") == Hour(usd=2.5)
    assert hour("H200") == hour("h200@runpod")
    assert hour("h200").usd == 4.59
    assert hour("h100@azure").usd == 12.29
    assert all(one.source and one.as_of and one.confidence for one in gpus().values())
    assert all(one.least is None or one.least < one.usd for one in gpus().values())


def test_the_users_own_gpus_come_first(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(
        '[[gpu]]\nname = "H100"\nprovider = "us"\nusd_per_hour = 1.10\nsource = "our lease"\nas_of = 2026-11-20\n'
    )
    assert hour("h100").usd == 1.10
    assert hour("h100@aws").usd == 6.88
    assert per_1k(reprice(local_run(), device="h100").run)["few_shot"] == pytest.approx(1000 * 0.36 / 3600 * 1.10)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('[[gpu]]\nname = "x"', "is missing"),
        ('[[gpu]]\nname = "x"\nusd_an_hour = 1', "did you mean 'usd_per_hour'"),
        (
            '[[gpu]]\nname = "x"\nprovider = "p"\nusd_per_hour = "1"\nsource = "s"\nas_of = 2026-11-20',
            "expected a number",
        ),
        ("gpu = [1]", "table"),
        ("gpu = 3", "expected a list"),
    ],
)
def test_a_malformed_gpu_is_refused(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "prices.toml").write_text(row)
    with pytest.raises(ThirdleverError, match=said):
        hour("h100")


def test_an_unknown_gpu_is_told_its_near_match() -> None:
    with pytest.raises(ThirdleverError, match="did you mean 'h100'"):
        hour("h1000")


# Old prices


@pytest.mark.parametrize(("as_of", "old"), [("2026-08-24", False), ("2026-08-23", True), (None, False)])
def test_prices_older_than_90_days_are_flagged(as_of: str | None, old: bool) -> None:  # noqa: FBT001 - expected
    price = Price("m", 1.0, 1.0, 1.0, source="s", as_of=as_of)
    assert any("days old" in line for line in price_lines({"m": price, "n": None}, TODAY)) == old
    hours = Hour(usd=1.0, source="s", as_of=as_of)
    assert any("days old" in line for line in device_lines(hours, 1.0, TODAY)) == old


def test_an_invalid_price_date_is_reported() -> None:
    assert "invalid date 'spring'" in "".join(
        price_lines({"m": Price("m", 1.0, 1.0, 1.0, source="s", as_of="spring")}, TODAY)
    )


# The command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run, folder = local_run(), tmp_path / "results" / "demo"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run.info))
    run.records.to_parquet(folder / "records.parquet")
    return folder


def invoke(*arguments: str) -> tuple[str, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_the_table_and_the_prices_behind_it(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    out, _ = invoke(str(folder), "--as", "openai/gpt-4o-mini", "--device-usd-per-hour", "l4", "--utilisation", "0.5")
    assert "cost $" in out
    assert "$0.15 input, $0.075 cached, $0.60 output per 1M tokens" in out
    assert "OpenAI's price list, mirrored, 2026-05-01" in out
    assert "warning: the price of tuned gpt-4o-mini" in out
    assert "device time: $0.78 per hour" in out
    assert "50 % utilisation" in out
    assert before == {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("fmt", ["json", "csv"])
def test_for_other_tools_the_prices_go_to_stderr(folder: Path, fmt: str) -> None:
    out, told = invoke(str(folder), "--as", "openai/gpt-4o-mini", "--format", fmt)
    assert "cached, $0.60 output" in told
    assert "cached, $0.60 output" not in out
    if fmt == "json":
        rows = {row["candidate"]: row for row in json.loads(out)}
        assert rows["few_shot"]["cost_per_1k_usd"] == pytest.approx(0.156, rel=0.05)

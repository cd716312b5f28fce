from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thirdlever.decision.assumptions import Assumptions, assume
from thirdlever.decision.sensitivity import VerdictChange, VerdictOf, sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable


def flips(verdict: VerdictOf, **given: str) -> dict[str, list[VerdictChange]]:
    """By name, those that change the verdict."""
    found: dict[str, list[VerdictChange]] = {}
    for flip in sensitivity(verdict, assume({}, given)):
        if flip.becomes:
            found.setdefault(flip.name, []).append(flip)
    return found


def when(condition: Callable[[Assumptions], bool]) -> VerdictOf:
    return lambda a: "GO" if condition(a) else "NO-GO"


@pytest.mark.parametrize("volume", ["1000", "60000", "80000", "5e8"])
def test_the_value_at_which_the_verdict_changes_is_found(volume: str) -> None:
    found = flips(when(lambda a: (a.monthly_volume or 0) >= 70_000), monthly_volume=volume)
    assert list(found) == ["monthly_volume"]
    [flip] = found["monthly_volume"]
    assert flip.flips_at == pytest.approx(70_000, rel=2e-3)
    assert flip.becomes == ("GO" if float(volume) < 70_000 else "NO-GO")


def test_the_reported_value_has_the_reported_verdict() -> None:
    verdict = when(lambda a: a.margin >= 0.0731)
    [flip] = flips(verdict)["margin"]
    assert flip.flips_at is not None
    assert verdict(Assumptions(margin=flip.flips_at)) == flip.becomes == "GO"


def test_a_value_between_two_changes_has_both() -> None:
    found = flips(when(lambda a: 3 < a.horizon_months < 8), horizon_months="5")["horizon_months"]
    assert [flip.flips_at for flip in found] == pytest.approx([3, 8], rel=2e-3)
    assert {flip.becomes for flip in found} == {"NO-GO"}


def test_a_change_is_found_from_zero() -> None:
    [flip] = flips(when(lambda a: a.usd_per_label is not None and a.usd_per_label < 0.005))["usd_per_label"]
    assert (flip.value, flip.becomes) == (0, "NO-GO")
    assert flip.flips_at == pytest.approx(0.005, rel=2e-3)


def test_every_part_of_an_unknown_values_span_is_listed() -> None:
    def verdict(a: Assumptions) -> str:
        if a.monthly_volume is None:
            return "NEED-MORE-DATA"
        return "GO" if a.monthly_volume >= 70_000 else "NO-GO"

    below, above = flips(verdict)["monthly_volume"]
    assert (below.value, below.becomes, above.becomes) == (None, "NO-GO", "GO")
    assert (above.flips_at, below.until) == pytest.approx((70_000, 70_000), rel=2e-3)
    assert (below.at("{:,.0f}".format), above.at("{:,.0f}".format)[-7:]) == ("under 70,012", "or more")


def test_parts_with_the_current_verdict_are_left_out() -> None:
    found = flips(when(lambda a: a.monthly_volume is None or 5_000 < a.monthly_volume < 70_000))["monthly_volume"]
    assert [flip.becomes for flip in found] == ["NO-GO", "NO-GO"]
    assert [flip.at(lambda value: f"{value:.1e}") for flip in found] == ["under 5.0e+03", "7.0e+04 or more"]


def test_a_yes_or_no_is_tried_with_the_other_answer() -> None:
    [flip] = flips(when(lambda a: a.stable is True), stable="yes")["stable"]
    assert (flip.answer, flip.becomes) == (False, "NO-GO")
    [flip] = flips(when(lambda a: a.stable is True))["stable"]
    assert (flip.answer, flip.becomes) == (True, "GO")


def test_assumptions_that_change_nothing_come_last() -> None:
    found = sensitivity(when(lambda a: a.margin < 0.1), Assumptions())
    assert found[0].name == "margin"
    assert all(not flip.becomes for flip in found[1:])
    assert {"monthly_volume", "engineering_usd", "stable"} <= {flip.name for flip in found[1:]}
    assert "maintainer" not in {flip.name for flip in found}


def test_the_verdict_is_computed_fewer_than_300_times() -> None:
    asked = 0

    def verdict(a: Assumptions) -> str:
        nonlocal asked
        asked += 1
        return "GO" if (a.monthly_volume or 0) > 1e5 and a.margin < 0.1 and (a.engineering_usd or 0) < 1e4 else "NO-GO"

    sensitivity(verdict, assume({}, {"monthly_volume": "1e6"}))
    assert asked < 300

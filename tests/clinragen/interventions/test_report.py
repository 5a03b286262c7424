"""When a goal counts as reached."""

from __future__ import annotations

from typing import Any

import pytest

from clinragen.interventions.report import write_goal


def share(value: float | None, low: float | None = None, high: float | None = None, of: int = 100) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "of": of}


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (share(0.97, 0.91, 1.0), "reached"),
        (share(0.95, 0.85, 0.99), "open: the interval includes the goal"),
        (share(0.80, 0.70, 0.89), "not reached"),
        # The exact lower limit of 36 of 36 is 90.3 %, of 34 of 34 it is 89.7 %.
        (share(1.0, 1.0, 1.0, of=36), "reached"),
        (share(1.0, 1.0, 1.0, of=34), "open: the interval includes the goal"),
        (share(0.0, 0.0, 0.0, of=1), "open: the interval includes the goal"),
        (share(0.0, 0.0, 0.0, of=20), "not reached"),
        (share(None), "nothing to measure it by"),
    ],
)
def test_a_goal_is_reached_only_where_the_whole_interval_is(measured: dict[str, Any], verdict: str) -> None:
    *_, goal, said = write_goal(measured, 0.9)
    assert (goal, said) == ("90 %", verdict)


def test_a_quotient_without_a_count_has_its_own_interval() -> None:
    measured = {"value": 1.0, "low": 1.0, "high": 1.0}
    assert write_goal(measured, 0.98)[-1] == "reached"

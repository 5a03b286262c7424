"""A value without a time beside one that has it: supported only if it is so at that time as well."""

from __future__ import annotations

import pytest
from claim_cases import by_variable, series_of
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.claims.check import check_rationale

SERIES = series_of(
    {
        "hours": [0, 4, 8, 12, 16],
        "heart_rate": [84, 96, 112, 124, 130],
        "systolic_blood_pressure": [128, 110, 96, 84, 78],
        "mean_blood_pressure": [90, 80, 70, 60, 55],
        "respiratory_rate": [16, 20, 24, 28, 32],
    }
)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("The heart rate was 130 at hour 16 (MAP {0}).", "mean_blood_pressure"),
        ("HR 130, MAP of {0} and a systolic of 78 at hour 16.", "mean_blood_pressure"),
        ("On admission the HR was 84. At hour 16 the SBP was 78, and the MAP {0}.", "mean_blood_pressure"),
    ],
)
@pytest.mark.parametrize(("value", "right"), [(55, True), (90, False)])
def test_a_value_takes_the_time_beside_it(text: str, verdict: str, value: int, right: bool) -> None:
    found = by_variable(check_rationale(text.format(value), SERIES))[verdict]
    assert found == "S" if right else found in ("U", "C")


@pytest.mark.parametrize("value", [84, 55])
def test_of_two_times_beside_it_either_will_do(value: int) -> None:
    text = f"The SBP was 128 on admission, MAP {value}, and the heart rate was 130 at hour 16."
    expected = {84: "C", 55: "S"}[value]
    assert by_variable(check_rationale(text, SERIES))["mean_blood_pressure"] == expected


@pytest.mark.parametrize("end", [". The MAP was 55.", "; MAP 55.", ", then MAP 55."])
def test_a_time_does_not_reach_into_another_sentence(end: str) -> None:
    text = f"The heart rate was 84 at hour 0{end}"
    assert by_variable(check_rationale(text, SERIES)) == {"heart_rate": "S", "mean_blood_pressure": "S"}


@pytest.mark.parametrize("text", ["Now SBP {0}.", "Respirations 16 at first, SBP now {0}."])
@pytest.mark.parametrize(("value", "verdict"), [(78, "S"), (128, "U"), (190, "C")])
def test_a_value_that_is_so_now_is_the_last(text: str, value: int, verdict: str) -> None:
    assert by_variable(check_rationale(text.format(value), SERIES))["systolic_blood_pressure"] == verdict


@given(st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=50, deadline=None)
def test_a_bare_value_in_brackets_is_of_the_hour_before_it(hour: int, other: int) -> None:
    rates, pressures = ([84, 96, 112, 124, 130], [90, 80, 70, 60, 55])
    text = f"The heart rate was {rates[hour]} at hour {4 * hour} (MAP {pressures[other]})."
    verdict = by_variable(check_rationale(text, SERIES))["mean_blood_pressure"]
    assert (verdict == "S") == (hour == other)


def test_a_negation_is_of_the_whole_stay() -> None:
    text = "The heart rate was 130 at hour 16, and no MAP below 50."
    assert by_variable(check_rationale(text, SERIES)) == {"heart_rate": "S", "mean_blood_pressure": "S"}

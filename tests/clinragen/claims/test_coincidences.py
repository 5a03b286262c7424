"""Statements about two things at one time, changes that go one way, and what only asks or waits."""

from __future__ import annotations

import pytest
from claim_cases import by_variable, check, series_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clinragen.claims.check import check_rationale

PULSES = st.lists(st.integers(60, 140), min_size=4, max_size=9, unique=True)


@given(PULSES, st.data(), st.sampled_from(("when", "at the time that")))
@settings(max_examples=100, deadline=None)
def test_two_values_are_of_one_time_only_if_the_readings_are(
    pulses: list[int], data: st.DataObject, word: str
) -> None:
    count = len(pulses)
    pressures = data.draw(st.lists(st.integers(70, 180), min_size=count, max_size=count, unique=True))
    first, second = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count - 1))
    series = series_of(
        {"hours": list(range(0, 4 * count, 4)), "heart_rate": pulses, "systolic_blood_pressure": pressures}
    )
    text = f"The heart rate was {pulses[first]} {word} the SBP was {pressures[second]}."
    expected = {"heart_rate": "S" if first == second else "C", "systolic_blood_pressure": "S"}
    assert by_variable(check_rationale(text, series)) == expected


@given(PULSES, st.data())
@settings(max_examples=100, deadline=None)
def test_one_peak_is_before_another_only_if_it_is_earlier(pulses: list[int], data: st.DataObject) -> None:
    count = len(pulses)
    pressures = data.draw(st.lists(st.integers(70, 180), min_size=count, max_size=count, unique=True))
    series = series_of(
        {"hours": list(range(0, 4 * count, 4)), "heart_rate": pulses, "systolic_blood_pressure": pressures}
    )
    text = f"The heart rate peaked at {max(pulses)} before the SBP peaked at {max(pressures)}."
    earlier = pulses.index(max(pulses)) < pressures.index(max(pressures))
    expected = {"heart_rate": "S" if earlier else "C", "systolic_blood_pressure": "S"}
    assert by_variable(check_rationale(text, series)) == expected


@given(PULSES, st.data(), st.sampled_from(("at that time", "at that point", "at that hour")), st.booleans())
@settings(max_examples=60, deadline=None)
def test_that_time_is_the_one_named_last(pulses: list[int], data: st.DataObject, words: str, ended: bool) -> None:
    count, hours = len(pulses), [4 * place for place in range(len(pulses))]
    pressures = data.draw(st.lists(st.integers(70, 180), min_size=count, max_size=count, unique=True))
    first, second = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count - 1))
    series = series_of({"hours": hours, "heart_rate": pulses, "systolic_blood_pressure": pressures})
    joint = ". " if ended else "; "
    text = f"The heart rate was {pulses[first]} at hour {hours[first]}{joint}the SBP was {pressures[second]} {words}."
    expected = {"heart_rate": "S", "systolic_blood_pressure": "S" if first == second else "C"}
    assert by_variable(check_rationale(text, series)) == expected


def test_that_time_is_left_open_where_none_was_named() -> None:
    assert by_variable(check("The heart rate was 130 at that time.")) == {"heart_rate": "U"}


@given(PULSES, st.sampled_from(("with each reading", "at every check", "with every successive reading")), st.data())
@settings(max_examples=100, deadline=None)
def test_one_step_back_contradicts_a_rise_at_each_reading(pulses: list[int], words: str, data: st.DataObject) -> None:
    rising = sorted(pulses)
    assume(rising[-1] - rising[0] >= 20)
    place = data.draw(st.integers(0, len(rising) - 2))
    turned = [*rising[:place], rising[place + 1], rising[place], *rising[place + 2 :]]
    for values, expected in ((rising, "S"), (turned, "C")):
        series = series_of({"hours": [4 * at for at in range(len(values))], "heart_rate": values})
        plain = by_variable(check_rationale("The heart rate rose.", series))
        if plain == {"heart_rate": "S"}:
            text = f"The heart rate rose {words}."
            assert by_variable(check_rationale(text, series)) == {"heart_rate": expected}


@pytest.mark.parametrize("word", ["steadily", "gradually", "progressively", "continuously"])
@pytest.mark.parametrize(("dip", "verdict"), [(0, "S"), (10, "S"), (40, "C")])
def test_a_steady_rise_does_not_go_back_by_much(word: str, dip: int, verdict: str) -> None:
    values = [70, 90, 110, 110 - dip, 125, 140]
    series = series_of({"hours": [0, 4, 8, 12, 16, 20], "heart_rate": values})
    assert by_variable(check_rationale("The heart rate rose.", series)) == {"heart_rate": "S"}
    assert by_variable(check_rationale(f"The heart rate rose {word}.", series)) == {"heart_rate": verdict}


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(("by over {} bpm", "more than {} points")))
@settings(max_examples=60, deadline=None)
def test_a_limit_of_a_change_is_exact(drop: int, said: int, words: str) -> None:
    series = series_of({"hours": [0, 4, 8, 12], "heart_rate": [140, 140 - drop // 2, 140 - drop, 140 - drop]})
    text = f"The heart rate fell {words.format(said)}."
    assert by_variable(check_rationale(text, series)) == {"heart_rate": "S" if drop > said else "C"}


TRUE = ("Heart rate was 130", "She is febrile", "SBP fell to 78")


@pytest.mark.parametrize("text", TRUE)
def test_a_question_states_nothing(text: str) -> None:
    assert set(by_variable(check(f"{text}.")).values()) == {"S"}
    assert set(by_variable(check(f"{text}?")).values()) == {"U"}


@pytest.mark.parametrize("word", ["once", "when", "as soon as"])
@pytest.mark.parametrize("plan", ["Extubation", "Transfer planned", "Discharge", "Needs pressors"])
def test_what_is_waited_for_is_not_stated(plan: str, word: str) -> None:
    assert by_variable(check(f"{plan} {word} HR below 140 and RR below 25.")) == {
        "heart_rate": "U",
        "respiratory_rate": "U",
    }


@pytest.mark.parametrize("told", ["Intubated", "She was intubated"])
def test_what_was_done_at_a_value_is_stated(told: str) -> None:
    assert by_variable(check(f"{told} when the heart rate was 130.")) == {"heart_rate": "S"}
    assert by_variable(check(f"{told} when the heart rate was 180.")) == {"heart_rate": "C"}

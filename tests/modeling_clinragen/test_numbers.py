"""The numbers that a sentence may state: those of the statistic that its words name, in this patient's series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.numbers_clinragen import (
    MUCH,
    SeriesNumbers,
    VariableNames,
    direction_of,
    round_hour,
    round_to_step,
)

VOCABULARY = shipped_definitions().vocabulary
NAMES = VariableNames(VOCABULARY)
RANGES = VOCABULARY.range_set("clinical")
HOURS = [0.0, 4.2, 8.0, 12.0, 16.0, 20.0]
READ = {
    "heart_rate": [88, 94, 118, 131, 127, 122],
    "temperature": [38.92, 39.2, 38.7, math.nan, 36.9, 36.8],
    "systolic_blood_pressure": [118, 96, 84, 82, 104, 122],
    "fraction_inspired_oxygen": [0.21, math.nan, 0.4, 0.6, math.nan, 0.5],
    "ph": [7.38, math.nan, 7.35, 7.22, math.nan, 7.31],
}


def series_of(columns: dict[str, list[float]], hours: list[float] | None = None) -> dict[str, Any]:
    hours = HOURS if hours is None else hours
    values = np.full((len(hours), len(VOCABULARY.variables)), np.nan, dtype=np.float32)
    for key, read in columns.items():
        values[:, VOCABULARY.variable_keys.index(key)] = read
    return {"hours": np.array(hours), "values": values}


NUMBERS = SeriesNumbers(NAMES, RANGES, series_of(READ))


def following(sentence: str, numbers: SeriesNumbers = NUMBERS) -> set[str]:
    found = numbers.possible(sentence)
    assert found is not None
    return set(found)


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        # Extremes and mean, exact and about.
        ("Heart rate is high, peaking near ", {"130"}),
        ("Heart rate is high, peaking at ", {"131"}),
        ("Heart rate is high, up to ", {"131"}),
        ("Heart rate, with a maximum of ", {"131"}),
        ("Tachycardia (up to ", {"131"}),
        ("Heart rate, lowest ", {"88"}),
        ("Heart rate dips, down to about ", {"90"}),
        ("Heart rate, with a nadir of ", {"88"}),
        ("Heart rate has a mean of ", {"113"}),
        # From the first to the last, and between the least and the greatest.
        ("Heart rate rises from ", {"88"}),
        ("Heart rate rises from about ", {"90"}),
        ("Heart rate rises from 88 to ", {"122"}),
        ("Heart rate rises from about 90 to about ", {"120"}),
        ("Heart rate swings between ", {"88"}),
        ("Heart rate swings between 88 and ", {"131"}),
        ("Heart rate ranges from ", {"88"}),
        ("Heart rate ranges from 88 to ", {"131"}),
        # Hours: of an extreme, of a level's beginning and end, of a value.
        ("Heart rate peaks at 131 at hour ", {"12"}),
        ("Heart rate, highest at hour ", {"12"}),
        ("Heart rate, lowest at hour ", {"0"}),
        ("Heart rate is high from hour ", {"8"}),
        ("Heart rate is high from hours ", {"8"}),
        ("Temperature is high until hour ", {"8"}),
        ("Heart rate is 118 at hour ", {"8"}),
        ("Heart rate is 94 by hour ", {"4"}),
        ("Heart rate is high at hour ", {"8", "12", "16", "20"}),
        # A level that is there from the beginning has no hour at which it begins.
        ("Temperature is high from hour ", set()),
        ("Heart rate is high until hour ", set()),
        # Counts.
        ("Heart rate is high in ", {"4"}),
        ("Heart rate is high in 4 of ", {"6"}),
        ("Temperature is high in 3 of the ", {"5"}),
        ("Temperature is high in ", {"3"}),
        ("Heart rate is low in ", {"0"}),
        # Limits.
        ("Heart rate is above ", {"60", "100"}),
        ("pH is below ", {"7.35", "7.45"}),
        # Any reading, as charted.
        ("Heart rate was ", {"88", "94", "118", "131", "127", "122"}),
        ("pH is ", {"7.38", "7.35", "7.22", "7.31"}),
        # A share of one as a percentage too.
        ("FiO2 up to ", {"0.60", "0.6", "60"}),
        # The variable that was named last.
        ("Heart rate was 94 while SBP was ", {"118", "96", "84", "82", "104", "122"}),
        # Of what is not measured, not named or only quoted there are none.
        ("Glucose is ", set()),
        ("She received ", set()),
        ('"HR 120" and ', set()),
    ],
)
def test_the_words_choose_the_statistic_and_the_series_gives_the_digits(sentence: str, numbers: set[str]) -> None:
    assert following(sentence) == numbers


@pytest.mark.parametrize(
    ("sentence", "true"),
    [
        ("Heart rate is high in most", True),
        ("Heart rate is high in every", False),
        ("Heart rate is high in some", False),
        ("Heart rate is high in several", True),
        ("Heart rate is high in a few", False),
        ("Heart rate is high once", False),
        ("Heart rate is high", True),
        ("Heart rate is low", False),
        ("Temperature is high in most", True),
        ("Systolic blood pressure is low in some", True),
        ("Systolic blood pressure is low in most", False),
        # Nothing is known of what is not measured or not named; other rules forbid the first.
        ("Glucose is high", True),
        ("She is high", True),
        ("Heart rate is erratic in every", True),
    ],
)
def test_shares_and_levels_must_hold(sentence: str, true: bool) -> None:
    assert NUMBERS.overstates(sentence) != true


@pytest.mark.parametrize(
    ("sentence", "demand"),
    [
        ("Heart rate is high from hour", "yes"),
        ("Heart rate is high from hour ", "at once"),
        ("Temperature is high from hour ", "in vain"),
        ("Heart rate, peaking near", "yes"),
        ("Heart rate, peaking near ", "at once"),
        ("Heart rate was about ", "at once"),
        ("Glucose was about", "in vain"),
        ("Heart rate is", "no"),
        # Where no variable is named the words are words.
        ("She was seen at hour", "no"),
    ],
)
def test_some_words_ask_for_a_number(sentence: str, demand: str) -> None:
    assert NUMBERS.demand(sentence) == demand


def test_without_a_series_there_are_no_numbers_and_free_ones_are_unbound() -> None:
    none = SeriesNumbers(NAMES, RANGES, None)
    assert not any(none.measured)
    for sentence in ("Heart rate was ", "Heart rate is high from hour ", "Heart rate is high in ", ""):
        assert following(sentence, none) == set()
    free = SeriesNumbers(NAMES, RANGES, None, "free")
    assert free.possible("Heart rate was ") is None
    assert free.demand("Heart rate was about ") == "no"
    assert not free.overstates("Heart rate is high in every")


def test_readings_in_place_of_statistics() -> None:
    loose = SeriesNumbers(NAMES, RANGES, series_of(READ), "readings")
    assert following("Heart rate is high, peaking at ", loose) == {"88", "94", "118", "131", "127", "122"}
    assert following("Heart rate is high in ", loose) == {"4"}
    # Any hour of the variable's.
    assert following("Heart rate peaks at hour ", loose) >= {"8", "12"}


@pytest.mark.parametrize(
    ("said", "direction"),
    [
        (" is high", "high"),
        (" is low, then high", "high"),
        (" rises", "rising"),
        (" is elevated but falling", "falling"),
        (" swings", "erratic"),
        (" was measured", ""),
        (" of the highlands", ""),
    ],
)
def test_the_last_direction_counts(said: str, direction: str) -> None:
    assert direction_of(said) == direction


def test_names_are_found_by_whole_words_the_last_one_first() -> None:
    found = NAMES.last("HR of 90, and the systolic blood pressure of")
    assert found is not None
    assert VOCABULARY.variables[found[0].variable].key == "systolic_blood_pressure"
    assert NAMES.last("threshold and phase") is None
    febrile = NAMES.last("She is febrile")
    assert febrile is not None
    assert febrile[0].says == "high"
    # A word inside a disease's name would forbid the disease.
    words = NAMES.of(range(len(VOCABULARY.variables)))
    for name in VOCABULARY.disease_names:
        assert not {word for word in words if f" {word} " in f" {name.lower()} "}


@given(value=st.floats(1, 300), hours=st.floats(0, 400))
@settings(max_examples=200, deadline=None)
def test_rounded_numbers_are_the_nearest(value: float, hours: float) -> None:
    for variable in VOCABULARY.variables:
        if variable.scale is not None:
            step = variable.scale.step
            assert abs(float(round_to_step(variable.scale, value)) - value) <= step / 2 + 1e-6
    assert abs(round_hour(hours) - hours) <= 0.5 + 1e-9


@given(
    read=st.lists(st.integers(30, 200), min_size=1, max_size=12),
    gaps=st.lists(st.integers(1, 9), min_size=12, max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_statistics_are_those_of_any_series(read: list[int], gaps: list[int]) -> None:
    hours = np.cumsum(gaps[: len(read)]).astype(float).tolist()
    about = SeriesNumbers(NAMES, RANGES, series_of({"heart_rate": [float(value) for value in read]}, hours))
    assert following("Heart rate, up to ", about) == {str(max(read))}
    assert following("Heart rate, down to ", about) == {str(min(read))}
    assert following("Heart rate goes from ", about) == {str(read[0])}
    assert following(f"Heart rate goes from {read[0]} to ", about) == {str(read[-1])}
    assert following("Heart rate was ", about) == set(map(str, read))
    assert following("Heart rate is high in 1 of ", about) == {str(len(read))}
    low, high = RANGES.bounds["heart_rate"]
    level = [value > high for value in read]
    assert following("Heart rate is high in ", about) == {str(sum(level))}
    peaks = {str(round_hour(hour)) for hour, value in zip(hours, read, strict=True) if value == max(read)}
    assert following("Heart rate is highest at hour ", about) == peaks
    onset = following("Heart rate is high from hour ", about)
    first = level.index(True) if True in level else 0
    begins = True in level and first > 0 and sum(level[first:]) >= MUCH * len(level[first:])
    assert onset == ({str(round_hour(hours[first]))} if begins else set())
    assert low < high

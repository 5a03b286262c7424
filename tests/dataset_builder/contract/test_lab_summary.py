"""The summary in words against a count made value by value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_mimic import VOCABULARY

from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.lab_words_clinragen import number_in_words

VARIABLES = VOCABULARY.variables
KEYS = [variable.key for variable in VARIABLES]


def series_of(**columns: list[float | None]) -> LabSeries:
    steps = len(next(iter(columns.values())))
    values = np.full((steps, len(KEYS)), np.nan, dtype=np.float32)
    for key, column in columns.items():
        values[:, KEYS.index(key)] = [np.nan if value is None else value for value in column]
    return LabSeries.from_values(VOCABULARY, np.arange(steps), values)


def test_wording() -> None:
    series = series_of(
        heart_rate=[80, 70, None], glucose=[200, 60, 190], temperature=[35.0, None, None], weight=[300, 300, 300]
    )
    assert series.in_words(VOCABULARY.range_set("clinical")) == (
        "glucose is higher than normal two times and lower than normal one time; "
        "heart rate is normal all the time; temperature is lower than normal one time."
    )
    assert "weight is higher than normal three times" in series.in_words(VOCABULARY.range_set("paper"))


def test_what_was_never_measured_is_not_called_normal() -> None:
    assert LabSeries.empty(VOCABULARY).in_words(VOCABULARY.range_set("clinical")) == ""
    assert series_of(weight=[80.0]).in_words(VOCABULARY.range_set("clinical")) == ""


def test_bounds_follow_the_range_set() -> None:
    at_bounds = series_of(glucose=[43, 187, 43.5])
    assert at_bounds.in_words(VOCABULARY.range_set("paper")) == "glucose is lower than normal one time."
    at_bounds = series_of(glucose=[70, 180], temperature=[38.0, 36.0])
    assert at_bounds.in_words(VOCABULARY.range_set("clinical")) == (
        "glucose is normal all the time; temperature is normal all the time."
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (1, "one"), (13, "thirteen"), (20, "twenty"), (42, "forty-two"), (317, "three hundred seventeen")],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert number_in_words(number) == words


def test_numbers_in_words_are_all_different() -> None:
    assert len({number_in_words(number) for number in range(3000)}) == 3000


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 8), st.just(len(KEYS))), elements=st.floats(0, 300, width=32)),
    st.sampled_from(["clinical", "paper"]),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_counts_agree_with_the_range_set_value_by_value(values: np.ndarray, name: str, data: st.DataObject) -> None:
    values[data.draw(hnp.arrays(np.bool_, values.shape))] = np.nan
    ranges = VOCABULARY.range_set(name)
    clauses = []
    for column, variable in enumerate(VARIABLES):
        measured = [float(value) for value in values[:, column] if not np.isnan(value)]
        levels = [ranges.level(variable.key, value) for value in measured]
        if not levels or None in levels:
            continue
        parts = []
        for level, word in (("high", "higher"), ("low", "lower")):
            count = levels.count(level)
            if count:
                parts.append(f"{word} than normal {number_in_words(count)} time{'s' * (count > 1)}")
        clauses.append(f"{variable.name} is {' and '.join(parts) or 'normal all the time'}")
    expected = "; ".join(clauses) + "." * bool(clauses)
    assert LabSeries.from_values(VOCABULARY, np.arange(len(values)), values).in_words(ranges) == expected

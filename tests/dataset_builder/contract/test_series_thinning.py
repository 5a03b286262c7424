"""A monitor's long series keeps medians of equal intervals, and says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_mimic import VOCABULARY

from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_thinning import thin
from modeling_clinragen.errors import InputDataError

HR, PH = (VOCABULARY.variable_keys.index(key) for key in ("heart_rate", "ph"))


def minutes(count: int, every: float = 1.0) -> LabSeries:
    hours = np.arange(count, dtype=np.float64) * every / 60
    values = np.full((count, len(VOCABULARY.variables)), np.nan, dtype=np.float32)
    values[:, HR] = 60 + np.arange(count) % 5
    return LabSeries.from_values(VOCABULARY, hours.astype(np.float32), values)


@pytest.mark.parametrize("digits", [2, 3, 4, 10])
def test_two_days_of_minutes_become_five_minute_medians(tmp_path: Path, digits: int) -> None:
    path = tmp_path / "monitor.csv"
    rows = [f"{number / 60:.{digits}f},{60 + number % 5}" for number in range(2880)]
    path.write_text("\n".join(["hours,heart rate (bpm)", *rows]))
    found = read_lab_csv(path, VOCABULARY, at_most=1000)
    assert len(found) == 576
    assert found.hours == pytest.approx(np.arange(576) / 12, abs=0.02)
    if digits > 2:
        assert set(found.values[:, HR].tolist()) == {62}
    (remark,) = found.remarks
    assert remark.endswith(
        "2,880 rows and the model reads at most 1,000: it was thinned to 576, the median of each 5 minutes."
    )
    assert len(read_lab_csv(path, VOCABULARY)) == 2880


def test_a_series_that_fits_is_left_as_it_is() -> None:
    series = minutes(1000)
    assert thin(series, 1000) is series


def test_of_two_readings_in_the_middle_the_lower_one_is_kept_and_gaps_stay_gaps() -> None:
    series = minutes(10)
    values = series.values.copy()
    values[:, PH] = np.nan
    values[[6, 8], PH] = 7.3, 7.5
    found = thin(LabSeries.from_values(VOCABULARY, series.hours, values), 2)
    assert found.values[:, HR].tolist() == [62, 62]
    assert not found.observed[0, PH]
    assert found.values[1, PH] == np.float32(7.3)


@given(st.integers(1, 400), st.floats(0.2, 500), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_every_kept_value_was_measured_in_its_interval(count: int, every: float, at_most: int) -> None:
    series = minutes(count, every)
    try:
        found = thin(series, at_most)
    except InputDataError:
        # Not even a row a day is few enough.
        assert count * every / 1440 > at_most
        return
    assert len(found) <= max(at_most, 1)
    assert set(found.hours.tolist()) <= set(series.hours.tolist())
    assert set(found.values[:, HR].tolist()) <= set(series.values[:, HR].tolist())
    assert found.hours[0] == series.hours[0]

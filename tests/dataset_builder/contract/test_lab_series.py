"""LabSeries: what is a series and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_mimic import VOCABULARY

from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError

WIDTH = len(VOCABULARY.variables)


def arrays(steps: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hours = np.arange(steps, dtype=np.float32)
    values = np.full((steps, WIDTH), np.nan, dtype=np.float32)
    values[:, 3] = 80
    return hours, values, ~np.isnan(values)


def test_a_good_series_and_the_empty_one() -> None:
    series = LabSeries(VOCABULARY, *arrays())
    assert len(series) == 3
    assert len(LabSeries.empty(VOCABULARY)) == 0
    assert series == LabSeries.from_values(VOCABULARY, series.hours, series.values)
    assert series != LabSeries.empty(VOCABULARY)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda h, v, o: (h[:2], v, o), "do not fit"),
        (lambda h, v, o: (h, v[:, :10], o[:, :10]), "do not fit"),
        (lambda h, v, o: (h, v, o[:2]), "do not fit"),
        (lambda h, v, o: (h[:, None], v, o), "do not fit"),
        (lambda h, v, o: (h.astype(np.float64), v, o), "float32"),
        (lambda h, v, o: (h, v, o.astype(np.int8)), "float32"),
        (lambda h, v, o: (h[::-1].copy(), v, o), "rising"),
        (lambda h, v, o: (np.array([0, 1, 1], np.float32), v, o), "rising"),
        (lambda h, v, o: (np.array([0, 1, np.nan], np.float32), v, o), "finite"),
        (lambda h, v, o: (h, v, np.ones_like(o)), "NaN elsewhere"),
        (lambda h, v, o: (h, np.nan_to_num(v), o), "NaN elsewhere"),
        (lambda h, v, o: (h, np.where(o, np.inf, v).astype(np.float32), o), "finite where observed"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputDataError, match=message):
        LabSeries(VOCABULARY, *spoil(*arrays()))


def test_from_example_takes_none_for_a_missing_value() -> None:
    series = LabSeries(VOCABULARY, *arrays())
    row = {
        "lab_hours": series.hours.tolist(),
        "lab_values": [[None if np.isnan(v) else v for v in step] for step in series.values.tolist()],
        "lab_observed": series.observed.tolist(),
    }
    assert LabSeries.from_example(VOCABULARY, row) == series
    assert LabSeries.from_example(
        VOCABULARY, {"lab_hours": [], "lab_values": [], "lab_observed": []}
    ) == LabSeries.empty(VOCABULARY)
    row["lab_observed"][0][0] = True
    with pytest.raises(InputDataError):
        LabSeries.from_example(VOCABULARY, row)
    row["lab_values"][0] = row["lab_values"][0][:4]
    with pytest.raises(InputDataError, match="11 values"):
        LabSeries.from_example(VOCABULARY, row)

"""Thins a long series, such as a bedside monitor's, to as many rows as a model reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dataset_builder.contract.csv_file import csv_rules
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError


def thin(series: LabSeries, at_most: int) -> LabSeries:
    """The series itself, or with more than `at_most` rows one for each interval, with a remark that says so.

    A row has the time of its interval's first row, and of each variable the median of the interval's readings (of
    two in the middle the lower one, so that every value was measured): what eICU keeps of its monitors. The interval
    is the shortest of `thinned_to` in `resources/lab_csv.yaml` that leaves few enough rows.

    Raises:
        InputDataError: No interval leaves few enough rows.
    """
    if len(series) <= at_most:
        return series
    minutes = series.hours.astype(np.float64) * 60
    for length in csv_rules()["thinned_to"]:
        # Minute 5 may be written as 0.083 hours: a hundredth of an interval early still belongs to it.
        starts = np.flatnonzero(np.diff(np.floor(minutes / length + 0.01), prepend=-1.0))
        if len(starts) <= at_most:
            break
    else:
        raise InputDataError(f"the series has {len(series):,} rows, at most {at_most:,} are read; give fewer")
    values = np.stack([_lower_median(part) for part in np.split(series.values, starts[1:])])
    remark = (
        f"The series has {len(series):,} rows and the model reads at most {at_most:,}: it was thinned to "
        f"{len(starts):,}, the median of each {length} minutes."
    )
    thinned = LabSeries.from_values(series.vocabulary, series.hours[starts], values)
    return replace(thinned, remarks=(*series.remarks, remark))


def _lower_median(rows: np.ndarray) -> np.ndarray:
    """Of each column of (rows, variables) the median of what is not NaN, of two the lower; NaN where all is."""
    measured = np.count_nonzero(~np.isnan(rows), axis=0)
    middle = np.maximum(measured - 1, 0) // 2
    # NaN is sorted behind every number.
    return np.take_along_axis(np.sort(rows, axis=0), middle[None], axis=0)[0]

"""Bulk reading of example columns as numpy, for training and scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset


class SeriesArrays(TypedDict):
    """One stay's series: `hours` `(steps,)` and `values` `(steps, variables)`, NaN where nothing was measured."""

    hours: np.ndarray
    values: np.ndarray


def series_column(examples: Dataset) -> list[SeriesArrays]:
    """Read all series of a cohort split at once; row by row through Python lists would be a hundred times slower."""
    hours = examples.data.column("lab_hours").combine_chunks()
    values = examples.data.column("lab_values").combine_chunks()
    ends = np.cumsum(hours.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    all_hours = hours.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    flat = values.flatten().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    # Of the contract's type, the list of a step has the number of variables.
    all_values = flat.reshape(-1, values.type.value_type.list_size)
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    rows = zip(starts, ends, strict=True)
    series = [SeriesArrays(hours=all_hours[start:end], values=all_values[start:end]) for start, end in rows]
    if examples._indices is not None:
        order = examples._indices.column(0).to_numpy()
        series = [series[index] for index in order]
    return series


def label_matrix(examples: Dataset) -> np.ndarray:
    """Labels as `(examples, diseases)` int8."""
    return np.array(examples["labels"], dtype=np.int8)

"""Bulk reading of example columns as numpy, for training and scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from modeling_clinragen.errors import InputDataError

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
    """Labels as `(examples, diseases)` int8. Raises `InputDataError` where a label is unknown."""
    require_labels(examples)
    return np.array(examples["labels"], dtype=np.int8)


def require_labels(examples: Dataset) -> None:
    """Refuse examples with unknown labels, which would pass for diseases that the patients do not have.

    Raises:
        InputDataError: A label is null; the message counts the examples.
    """
    if "labels" not in examples.column_names:
        return
    column = examples.data.column("labels").combine_chunks()
    unknown = int(column.is_null().sum().as_py() or 0) or column.flatten().null_count
    refuse_unknown_labels(unknown, len(examples))


def refuse_unknown_labels(unknown: int, examples: int) -> None:
    """Raise `InputDataError` where `unknown`, the number of unknown labels of so many examples, is not 0."""
    if unknown:
        raise InputDataError(
            f"{unknown} labels of {examples} examples are unknown, because the source of the cohort has no codes of "
            "these diseases; use a cohort with codes, or a vocabulary of what the source records (docs/contract.md)"
        )

"""Joins stays, grid rows, labels and notes into tables of the data contract, without a loop over events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from dataset_builder.cohort.series_grid import Series
from dataset_builder.contract.schema import example_schema
from modeling_clinragen.lab_words_clinragen import count_levels, summary_text
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary


@dataclass(frozen=True, eq=False)
class Labels:
    """Which diseases stays have, as far as the source can say.

    Args:
        of_stay: By stay_id, a vector (diseases,) of 0 and 1; a stay without one has none.
        known: Which diseases the source can say something of, (diseases,); the labels of the others become null.
    """

    of_stay: Mapping[int, np.ndarray]
    known: np.ndarray


def assemble(
    source: str,
    stays: pa.Table,
    series: Series,
    *,
    labels: Labels,
    notes: Mapping[int, str],
    note_policy: str,
    vocabulary: Vocabulary,
    range_set: RangeSet,
) -> pa.Table:
    """Make examples, in the order of `stays`.

    Args:
        source: What every example's id begins with.
        stays: subject_id, hadm_id, stay_id and prediction_time of each stay.
        series: The series of exactly these stays.
        labels: Of the diseases.
        notes: By stay_id.
        note_policy: How the notes were made.
        vocabulary: Variables and diseases, in order.
        range_set: Normal ranges for the summaries.
    """
    diseases = vocabulary.diseases
    stay_ids = stays["stay_id"].to_numpy()
    offsets, values = series.offsets, series.values
    levels = count_levels(values, vocabulary, range_set)
    # Not in one reduceat over all stays, which takes a temporary array of eight times their size.
    counts = (np.count_nonzero(levels[:, first:end], axis=1) for first, end in pairwise(offsets))
    none = np.zeros(len(diseases), dtype=np.int8)
    label_rows = [labels.of_stay.get(stay_id, none) for stay_id in stay_ids.tolist()]
    names = [[disease.name for disease, present in zip(diseases, row, strict=True) if present] for row in label_rows]
    count = len(stay_ids)
    empty = [""] * count

    # Arrow marks nulls by the same bits that say which values were observed: neither array is copied.
    observed = pa.py_buffer(np.packbits(~np.isnan(values), bitorder="little"))
    flat_values = pa.Array.from_buffers(pa.float32(), values.size, [observed, pa.py_buffer(values)])
    flat_observed = pa.Array.from_buffers(pa.bool_(), values.size, [None, observed])
    filled = {
        "example_id": [f"{source}-{stay_id}" for stay_id in stay_ids],
        "subject_id": stays["subject_id"],
        "hadm_id": stays["hadm_id"],
        "stay_id": stays["stay_id"],
        "source": [source] * count,
        "note": [notes.get(stay_id, "") for stay_id in stay_ids.tolist()],
        "note_policy": [note_policy] * count,
        "lab_hours": pa.ListArray.from_arrays(offsets, pa.array(series.hours)),
        "lab_values": _nested(offsets, flat_values, values.shape[1]),
        "lab_observed": _nested(offsets, flat_observed, values.shape[1]),
        "lab_summary": [summary_text(counts_of_stay, vocabulary) for counts_of_stay in counts],
        "labels": pa.FixedSizeListArray.from_arrays(_flat_labels(label_rows, labels.known), len(diseases)),
        "diagnoses": pa.array(names, pa.list_(pa.string())),
        "rationale_note": empty,
        "rationale_lab": empty,
        "prediction_time": stays["prediction_time"].cast(pa.float32()),
    }
    schema = example_schema(vocabulary)
    return pa.table([pa.chunked_array([_array(filled[name.name])]).cast(name.type) for name in schema], schema=schema)


def _flat_labels(rows: list[np.ndarray], known: np.ndarray) -> pa.Array:
    flat = np.concatenate([*rows, np.zeros(0, dtype=np.int8)])
    return pa.array(flat, pa.int8(), mask=None if known.all() else np.tile(~known, len(rows)))


def _nested(offsets: np.ndarray, flat: pa.Array, width: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(flat, width))


def _array(column: list | pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return pa.array(column, pa.string()) if isinstance(column, list) else column

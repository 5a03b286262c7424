"""Puts stays, grid rows, labels and notes together into tables of the data contract, without a loop over events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from dataset_builder.lab_summary import count_levels, summary_text
from dataset_builder.schema import example_features
from dataset_builder.vocabulary import Disease, RangeSet


def assemble(
    source: str,
    stays: pa.Table,
    rows: pa.Table,
    *,
    labels: Mapping[int, np.ndarray],
    notes: Mapping[int, str],
    note_policy: str,
    diseases: Sequence[Disease],
    range_set: RangeSet,
) -> pa.Table:
    """Examples in the order of `stays` (ordered by stay_id).

    `rows` is the grid of exactly these stays, ordered by stay_id and hours: stay_id, hours, v0 ... `labels` and
    `notes` go by stay_id; `stays` has subject_id, hadm_id, stay_id and prediction_time.
    """
    stay_ids = stays["stay_id"].to_numpy()
    hours = rows["hours"].to_numpy().astype(np.float32)
    columns = [name for name in rows.column_names if name.startswith("v")]
    values = np.stack([rows[name].to_numpy().astype(np.float32) for name in columns], axis=1)
    observed = ~np.isnan(values)
    offsets = np.searchsorted(rows["stay_id"].to_numpy(), np.append(stay_ids, np.iinfo(np.int64).max)).astype(np.int32)

    per_stay = _sums(count_levels(values, range_set), offsets)
    none = np.zeros(len(diseases), dtype=np.int8)
    label_rows = [labels.get(stay_id, none) for stay_id in stay_ids.tolist()]
    names = [[disease.name for disease, present in zip(diseases, row, strict=True) if present] for row in label_rows]
    count = len(stay_ids)
    empty = [""] * count

    flat_values = pa.array(values.ravel(), mask=~observed.ravel())
    filled = {
        "example_id": [f"{source}-{stay_id}" for stay_id in stay_ids],
        "subject_id": stays["subject_id"],
        "hadm_id": stays["hadm_id"],
        "stay_id": stays["stay_id"],
        "source": [source] * count,
        "note": [notes.get(stay_id, "") for stay_id in stay_ids.tolist()],
        "note_policy": [note_policy] * count,
        "lab_hours": pa.ListArray.from_arrays(offsets, pa.array(hours)),
        "lab_values": _nested(offsets, flat_values, len(columns)),
        "lab_observed": _nested(offsets, pa.array(observed.ravel()), len(columns)),
        "lab_summary": [summary_text(per_stay[:, number]) for number in range(count)],
        "labels": pa.FixedSizeListArray.from_arrays(np.concatenate([*label_rows, none[:0]]), len(diseases)),
        "diagnoses": pa.array(names, pa.list_(pa.string())),
        "rationale_note": empty,
        "rationale_lab": empty,
        "prediction_time": stays["prediction_time"].cast(pa.float32()),
    }
    schema = example_features().arrow_schema
    return pa.table([pa.chunked_array([_array(filled[name.name])]).cast(name.type) for name in schema], schema=schema)


def _sums(levels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sums over each stay's steps: (kinds, steps, variables) to (kinds, stays, variables)."""
    sums = np.zeros((levels.shape[0], len(offsets) - 1, levels.shape[2]), dtype=np.int64)
    # reduceat would give a stay without a step the first step of the next one.
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        sums[:, filled] = np.add.reduceat(levels, offsets[filled], axis=1, dtype=np.int64)
    return sums


def _nested(offsets: np.ndarray, flat: pa.Array, width: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(flat, width))


def _array(column: list | pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    return pa.array(column, pa.string()) if isinstance(column, list) else column

"""Diagnosis labels from billing codes: ICD-9 and ICD-10 by each row's version, matched to the phenotypes' codes."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from dataset_builder.engine import count_rows, read_table, store
from dataset_builder.location import LocatedSource
from dataset_builder.vocabulary import Disease


def normalise_code(code: ibis.Column) -> ibis.Column:
    """A code without dots, spaces or other marks, upper-case. Leading zeros are part of an ICD-9 code and stay."""
    return code.upper().re_replace("[^0-9A-Z]", "")


def extract_labels(
    con: Any, located: LocatedSource, diseases: tuple[Disease, ...], admissions: ibis.Table
) -> tuple[dict[int, np.ndarray], dict[str, int]]:
    """Per admission of `admissions` (column hadm_id) with a label, an int8 vector (diseases,) of 0 and 1; and counts.

    An admission that is not in the result has none of the diseases.
    """
    rows = read_table(con, located, "diagnoses")
    rows = rows.semi_join(admissions, "hadm_id").select("hadm_id", "icd_version", code=normalise_code(rows.icd_code))
    rows = store(con, "cohort_codes", rows, located.paths["diagnoses"])
    listed = [
        (number, version, code)
        for number, disease in enumerate(diseases)
        for version, codes in sorted(disease.codes.items())
        for code in sorted(codes)
    ]
    codes = ibis.memtable(
        pa.table(
            {
                "disease": pa.array([number for number, _, _ in listed], pa.int64()),
                "icd_version": pa.array([version for _, version, _ in listed], pa.int64()),
                "code": [code for _, _, code in listed],
            }
        )
    )
    versions = sorted({version for _, version, _ in listed})
    found = rows.join(codes, ["icd_version", "code"]).select("hadm_id", "disease").distinct().to_pyarrow()
    labels: dict[int, np.ndarray] = {}
    for hadm_id, disease in zip(found["hadm_id"].to_pylist(), found["disease"].to_pylist(), strict=True):
        labels.setdefault(hadm_id, np.zeros(len(diseases), dtype=np.int8))[disease] = 1
    unknown_version = rows.icd_version.isnull() | rows.icd_version.notin(versions)
    unknown = rows.filter(unknown_version | (rows.code.fill_null("") == ""))
    counts = {
        "diagnosis_rows": count_rows(rows),
        "rows_without_code_or_known_version": count_rows(unknown),
        "labels": int(found.num_rows),
    }
    return labels, counts

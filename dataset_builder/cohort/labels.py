"""Diagnosis labels from billing codes: ICD-9 and ICD-10 by each row's version, matched to the diseases' codes."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from dataset_builder.cohort.lost_zeros import count_damaged_codes, warn_of_dictionary_without_zeros
from dataset_builder.cohort.rejects import Rejects
from dataset_builder.cohort.session import count_rows, read_table, store
from dataset_builder.contract.definitions import Definitions
from dataset_builder.sources.locate import LocatedSource
from modeling_clinragen.errors import InputDataError

BETWEEN_CODES = "[,;/ \t\r\n]+"
# Whole codes, with or without the dot. ICD-9-CM: digits, V, or E and three digits (E000 to E030 and E800 to E999,
# causes of injury). ICD-10-CM: a letter and a digit; E87.2 differs from ICD-9's E872 by its dot, E785 by its number.
# ICD-10's short V codes (traffic accidents) pass for ICD-9 and mean none of the diseases.
ICD_9 = "^(([0-9]{3}|V[0-9]{2})([.]?[0-9]{1,2})?|E(0[0-2][0-9]|030|[89][0-9]{2})([.]?[0-9])?)$"
ICD_10 = "^[A-Z][0-9][0-9A-Z]([.]?[0-9A-Z]{1,4})?$"


def normalise_code(code: ibis.Column) -> ibis.Column:
    """A code without dots, spaces or other marks, upper-case. Leading zeros are part of an ICD-9 code and stay."""
    return code.upper().re_replace("[^0-9A-Z]", "")


def known_diseases(located: LocatedSource, definitions: Definitions) -> np.ndarray:
    """Which diseases the source can say anything of, bool `(diseases,)`; the labels of the others are unknown.

    Without a table of diagnoses that is none; where all its codes are of one version, those with a code in it.
    """
    diseases = definitions.vocabulary.diseases
    if "diagnoses" not in located.paths:
        return np.zeros(len(diseases), dtype=bool)
    version = located.source.tables["diagnoses"].constants.get("icd_version")
    return np.array([version is None or bool(definitions.codes[one.key].get(int(version))) for one in diseases])


def extract_labels(
    con: Any,
    located: LocatedSource,
    definitions: Definitions,
    stays: ibis.Table,
    rejects: Rejects,
    *,
    all_codes: bool = False,
) -> tuple[dict[int, np.ndarray], dict[str, int]]:
    """Labels by stay_id, each an int8 vector (diseases,) of 0 and 1, and counts.

    A stay without an entry has none of the diseases that `known_diseases` names. Diagnoses go by stay where the source
    has them so, otherwise by admission.

    Args:
        con: The open engine.
        located: The source's tables.
        definitions: The diseases with their codes.
        stays: The cohort's stays (stay_id, hadm_id).
        rejects: Where rows without a code or a known version are counted, and codes that lost their zeros warned of.
        all_codes: Also count codes that the source's own dictionary of codes, where it has one, does not list.

    Raises:
        InputDataError: The dictionary is needed and missing.
    """
    diseases = definitions.vocabulary.diseases
    if "diagnoses" not in located.paths:
        return {}, {"diagnosis_rows": 0, "labels": 0}
    rows = read_table(con, located, "diagnoses")
    key = "stay_id" if "stay_id" in rows.columns else "hadm_id"
    rows = rows.join(stays.select(*{key, "stay_id"}), key)
    if located.source.tables["diagnoses"].several_codes:
        rows = _one_code_a_row(rows)
    rows = rows.select("stay_id", "icd_version", "icd_code", code=normalise_code(rows.icd_code))
    rows = store(con, "cohort_codes", rows, located.paths["diagnoses"])
    counts = {"diagnosis_rows": count_rows(rows)}
    counts["codes_without_their_zeros"] = count_damaged_codes(rows, definitions, located.paths["diagnoses"], rejects)
    if not all_codes and "code_dictionary" in located.source.tables:
        rows = _in_dictionary(con, located, rows, rejects)
        counts["rows_not_in_the_code_dictionary"] = counts["diagnosis_rows"] - count_rows(rows)
    listed = [
        (number, version, code)
        for number, disease in enumerate(diseases)
        for version, codes in sorted(definitions.codes[disease.key].items())
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
    found = (
        rows.filter(rows.code != "")
        .join(codes, ["icd_version", "code"])
        .select("stay_id", "disease")
        .distinct()
        .to_pyarrow()
    )
    labels: dict[int, np.ndarray] = {}
    for stay_id, disease in zip(found["stay_id"].to_pylist(), found["disease"].to_pylist(), strict=True):
        labels.setdefault(stay_id, np.zeros(len(diseases), dtype=np.int8))[disease] = 1
    empty = rows.icd_version.isnull() | (rows.code.fill_null("") == "")
    counts["rows_without_code_or_known_version"] = count_rows(rows.filter(empty | rows.icd_version.notin(versions)))
    # Codes of a version that no disease is defined in are readable. eICU leaves many cells empty: only a table without
    # one code is refused.
    unreadable = {"no_code": count_rows(rows.filter(empty))}
    all_lost = unreadable["no_code"] == counts["diagnosis_rows"]
    rejects.add(located.paths["diagnoses"], counts["diagnosis_rows"], unreadable, may_stop=all_lost)
    counts["labels"] = int(found.num_rows)
    return labels, counts


def _one_code_a_row(rows: ibis.Table) -> ibis.Table:
    """Split cells such as "401.9, I10"; a code's form gives the ICD version, null where it has the form of neither."""
    text = rows.icd_code.fill_null("").re_replace(BETWEEN_CODES, ",").re_replace("^,|,$", "")
    # A blank for an empty cell: some engines split an empty text into nothing, and the row would not be counted.
    rows = rows.mutate(icd_code=ibis.ifelse(text == "", " ", text).split(",").unnest())
    code = rows.icd_code.upper()
    version = ibis.cases((code.re_search(ICD_9), 9), (code.re_search(ICD_10), 10), else_=ibis.null("int64"))
    return rows.mutate(icd_version=version)


def _in_dictionary(con: Any, located: LocatedSource, rows: ibis.Table, rejects: Rejects) -> ibis.Table:
    if "code_dictionary" not in located.paths:
        raise InputDataError(
            f"{located.root}: has no table '{located.source.tables['code_dictionary'].file}', which lists the "
            "diagnosis codes that count; put it there, or count all codes (all_codes)"
        )
    listed = read_table(con, located, "code_dictionary")
    listed = listed.select("icd_version", code=normalise_code(listed.icd_code)).distinct()
    listed = store(con, "code_dictionary_read", listed, located.paths["code_dictionary"])
    warn_of_dictionary_without_zeros(listed, rows, located.paths["code_dictionary"], rejects)
    return store(con, "known_codes", rows.semi_join(listed, ["icd_version", "code"]), located.paths["code_dictionary"])

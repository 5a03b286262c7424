"""The model's text input: an admission's note under a note policy."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from dataset_builder.engine import read_table, store
from dataset_builder.sections import apply_policy, policies
from dataset_builder.source import LocatedSource
from modeling_clinragen.errors import SettingsError

STRUCTURED = "structured"


def check_note_policy(policy: str, located: LocatedSource) -> None:
    """Raises `SettingsError` for an unknown policy, or one that needs notes where the source has none."""
    if policy not in policies():
        raise SettingsError(f"note policy '{policy}' is unknown; choose one of {', '.join(policies())}")
    if policy != STRUCTURED and "notes" not in located.paths:
        raise SettingsError(
            f"{located.root}: holds no notes, which note policy '{policy}' needs; "
            f"use --note-policy {STRUCTURED}, or put the note module beside it"
        )


def is_retrospective(policy: str) -> bool:
    """Whether the policy shows text that was written after the diagnoses were known."""
    return bool(policies()[policy]["retrospective"])


def store_notes(con: Any, located: LocatedSource, stays: ibis.Table) -> ibis.Table:
    """The notes of the cohort's admissions, one each: hadm_id, text. Of several, the first by time and sequence."""
    notes = read_table(con, located, "notes").semi_join(stays, "hadm_id")
    notes = notes.filter(notes.text.notnull())
    order = [notes.time.asc(nulls_first=False), notes.sequence.asc(nulls_first=False), notes.text]
    notes = notes.mutate(place=ibis.row_number().over(group_by="hadm_id", order_by=order))
    return store(con, "cohort_notes", notes.filter(notes.place == 0).select("hadm_id", "text"), located.paths["notes"])


def read_notes(notes: ibis.Table, policy: str, stays: pa.Table) -> tuple[dict[int, str], dict[str, int]]:
    """Notes under `policy` by stay_id, and how many stays had no note, or none of the policy's sections.

    `stays` is a part of the cohort with the columns stay_id and hadm_id.
    """
    hadm_ids = stays["hadm_id"].to_pylist()
    rows = notes.filter(notes.hadm_id.isin(hadm_ids)).to_pyarrow()
    texts = {
        hadm_id: apply_policy(text, policy)
        for hadm_id, text in zip(rows["hadm_id"].to_pylist(), rows["text"].to_pylist(), strict=True)
    }
    counts = {
        "without_a_note": sum(hadm_id not in texts for hadm_id in hadm_ids),
        "without_the_policy_sections": sum(texts.get(hadm_id) == "" for hadm_id in hadm_ids),
    }
    return {s: texts.get(h, "") for s, h in zip(stays["stay_id"].to_pylist(), hadm_ids, strict=True)}, counts

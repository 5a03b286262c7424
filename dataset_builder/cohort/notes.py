"""The model's text input: an admission's note under a note policy."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from dataset_builder.cohort.note_sections import apply_policy, policies
from dataset_builder.cohort.rejects import Rejects
from dataset_builder.cohort.session import read_table, store
from dataset_builder.cohort.structured_notes import structured_notes
from dataset_builder.sources.locate import LocatedSource
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.note_clinragen import clean_note

STRUCTURED = "structured"


def check_note_policy(policy: str, located: LocatedSource) -> None:
    """Raises `SettingsError` for a policy that needs notes where the source has none."""
    if policy != STRUCTURED and "notes" not in located.paths:
        raise SettingsError(
            f"{located.root}: has no notes, which note policy '{policy}' needs; "
            f"use --note-policy {STRUCTURED}, or put the note module beside it"
        )


def is_retrospective(policy: str) -> bool:
    """Whether the policy shows text that was written after the diagnoses were known."""
    return bool(policies()[policy]["retrospective"])


class NoteReader:
    """Reads the notes of parts of a cohort, and counts the missing ones in `counts`."""

    def __init__(self, policy: str, stored: ibis.Table) -> None:
        self._policy = policy
        self._stored = stored
        self.counts = {"without_a_note": 0, "without_the_policy_sections": 0}

    def read(self, stays: pa.Table) -> dict[int, str]:
        """Cleaned notes by stay_id for `stays` (columns stay_id and hadm_id); "" where the admission has none."""
        hadm_ids = stays["hadm_id"].to_pylist()
        rows = self._stored.filter(self._stored.hadm_id.isin(hadm_ids)).to_pyarrow()
        texts = {
            hadm_id: apply_policy(text, self._policy)
            for hadm_id, text in zip(rows["hadm_id"].to_pylist(), rows["text"].to_pylist(), strict=True)
        }
        self.counts["without_a_note"] += sum(hadm_id not in texts for hadm_id in hadm_ids)
        self.counts["without_the_policy_sections"] += sum(texts.get(hadm_id) == "" for hadm_id in hadm_ids)
        return {stay: texts.get(hadm, "") for stay, hadm in zip(stays["stay_id"].to_pylist(), hadm_ids, strict=True)}


class StructuredNoteReader:
    """Gives notes that were written from tables; nothing can be missing."""

    def __init__(self, notes: dict[int, str]) -> None:
        self._notes = notes
        self.counts: dict[str, int] = {}

    def read(self, stays: pa.Table) -> dict[int, str]:
        """Cleaned notes by stay_id for `stays`."""
        return {stay_id: clean_note(self._notes[stay_id]) for stay_id in stays["stay_id"].to_pylist()}


def make_note_reader(
    con: Any, located: LocatedSource, policy: str, stays: ibis.Table, rejects: Rejects
) -> NoteReader | StructuredNoteReader:
    """The notes of the cohort `stays`: one per admission, of several the first by time and sequence.

    Notes that their table marks as errors are left out. Times that cannot be read are added to `rejects`.
    """
    if policy == STRUCTURED:
        return StructuredNoteReader(structured_notes(con, located, stays, rejects))
    notes = read_table(con, located, "notes").semi_join(stays, "hadm_id")
    notes = notes.filter(notes.text.notnull())
    if "error" in notes.columns:
        notes = notes.filter(notes.error.fill_null(0) != 1)
    order = [notes.time.asc(nulls_first=False), notes.sequence.asc(nulls_first=False), notes.text]
    notes = notes.mutate(index=ibis.row_number().over(group_by="hadm_id", order_by=order))
    notes = notes.filter(notes["index"] == 0).select("hadm_id", "text")
    return NoteReader(policy, store(con, "cohort_notes", notes, located.paths["notes"], looked_up_by="hadm_id"))

"""The patient without a note."""

from __future__ import annotations

from dataclasses import replace

from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Case, Group, Shown


def _change(case: Case, group: Group) -> Shown | None:
    if not case.shown.measured.any() or not case.sentences:
        return None
    return replace(case.shown, note="")


NOTE_REMOVED = Intervention("note_removed", "Note removed", _change)

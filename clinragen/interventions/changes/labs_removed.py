"""The patient without any measurement."""

from __future__ import annotations

from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Case, Group, Shown


def _change(case: Case, group: Group) -> Shown | None:
    if not case.shown.measured.any() or not case.sentences:
        return None
    return case.shown.with_variables(range(case.shown.values.shape[1]), kept=False)


LABS_REMOVED = Intervention("labs_removed", "Labs removed", _change)

"""The patient without one variable: an intervention for each of them."""

from __future__ import annotations

from clinragen.interventions.intervention import Change, Intervention
from clinragen.interventions.patient import Case, Group, Shown
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def _remove(column: int) -> Change:
    def change(case: Case, group: Group) -> Shown | None:
        if not case.shown.measured[column]:
            return None
        changed = case.shown.with_variables([column], kept=False)
        return None if changed.empty else changed

    return change


def remove_each_variable(vocabulary: Vocabulary) -> tuple[Intervention, ...]:
    """One intervention for each variable, in order, by its key."""
    return tuple(
        Intervention(variable.key, f"{variable.name} removed", _remove(column))
        for column, variable in enumerate(vocabulary.variables)
    )

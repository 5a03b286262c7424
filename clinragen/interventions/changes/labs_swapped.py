"""The labs of the patient who is the least like this one: another person whose diseases have the least in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Case, Group, Shown


def opposite(case: Case, group: Group) -> Case | None:
    """The case of another person, with measurements, that differs from this one in the most diseases."""
    measured = np.array([one.shown.measured.any() for one in group.cases])
    others = np.flatnonzero(measured & (group.subjects != case.subject))
    if not len(others):
        return None
    apart = (group.labels[others] != case.labels).sum(axis=1)
    return group.cases[int(group.draw(case).choice(others[apart == apart.max()]))]


def _change(case: Case, group: Group) -> Shown | None:
    donor = opposite(case, group)
    return None if donor is None else replace(donor.shown, note=case.shown.note)


LABS_SWAPPED = Intervention("labs_swapped", "Labs of the most unlike patient swapped in", _change)

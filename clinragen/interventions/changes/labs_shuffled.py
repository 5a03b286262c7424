"""The labs of all patients dealt out anew, so that each series is used once and nobody has their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Case, Group, Shown


def deal(group: Group) -> list[int] | None:
    """For each case whose labs it gets: another person's. None where one person has more than half of the cases."""
    cases = group.cases
    most = max(Counter(case.subject for case in cases).values(), default=0)
    if not 0 < 2 * most <= len(cases):
        return None
    rank = np.random.default_rng(group.seed).permutation(len(cases))
    first: dict[int, int] = {}
    for number, case in enumerate(cases):
        first[case.subject] = min(first.get(case.subject, len(cases)), int(rank[number]))
    # The cases of a person lie together, so that so many steps further on lies nobody's own.
    order = sorted(range(len(cases)), key=lambda number: (first[cases[number].subject], int(rank[number])))
    dealt = [0] * len(cases)
    for place, number in enumerate(order):
        dealt[number] = order[(place + most) % len(order)]
    return dealt


def _change(case: Case, group: Group) -> Shown | None:
    dealt = deal(group)
    if dealt is None:
        return None
    donor = group.cases[dealt[case.number]].shown
    changed = replace(donor, note=case.shown.note)
    return None if changed.empty else changed


LABS_SHUFFLED = Intervention("labs_shuffled", "Labs shuffled between patients", _change)

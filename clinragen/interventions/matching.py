"""Uncited evidence that is as much as the cited: as many pieces, each of about the same size."""

from __future__ import annotations

from collections.abc import Sequence

from clinragen.interventions.patient import SENTENCE, Case, Group, Unit


def size_of(case: Case, unit: Unit) -> int:
    """Characters of a sentence, or readings of a variable."""
    if unit.kind == SENTENCE:
        start, end = case.sentences[unit.number]
        return len(case.shown.note[start:end].strip())
    return int((case.shown.values[:, unit.number] == case.shown.values[:, unit.number]).sum())


def uncited_like(case: Case, group: Group, cited: Sequence[Unit]) -> list[Unit] | None:
    """For each cited piece an uncited one of the same kind, whose size is nearest; None where there are too few.

    The largest pieces choose first, and equally near ones are drawn.
    """
    known = set(case.cited_units())
    kinds = {unit.kind for unit in cited}
    free = [unit for unit in case.units if unit.kind in kinds and unit not in known]
    if len(free) < len(cited):
        return None
    order = group.draw(case, len(cited)).permutation(len(free))
    free = [free[number] for number in order]
    chosen = []
    for unit in sorted(cited, key=lambda one: -size_of(case, one)):
        wanted = size_of(case, unit)
        nearest = min(free, key=lambda one: abs(size_of(case, one) - wanted))
        free.remove(nearest)
        chosen.append(nearest)
    return chosen

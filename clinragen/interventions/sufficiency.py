"""Is the cited evidence enough for the diagnoses, and are they lost without it? Against other choices of evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clinragen.interventions.asking import Answers, Ask
from clinragen.interventions.attributions import Weights
from clinragen.interventions.effects import contrast, effect
from clinragen.interventions.patient import SENTENCE, VARIABLE, Case, Group, Unit

CITED, ALL_CITED, RANDOM, ATTENTION, GRADIENT = "cited", "all_cited", "random", "attention", "gradient"
CITED_NOTE, CITED_SERIES = "cited_note", "cited_series"
"""The note reduced and the series whole, and the other way round: which of the two is not enough."""
AS_MANY = "_as_many"
"""Behind the name of a choice: as many pieces as the rationale's, where that has fewer than allowed."""
TITLES = {
    CITED: "Cited by the rationale",
    ALL_CITED: "Cited by the rationale, all of it",
    CITED_NOTE: "All cited sentences, and the whole series",
    CITED_SERIES: "All cited variables, and the whole note",
    RANDOM: "Random",
    ATTENTION: "Most attention of the disease head",
    GRADIENT: "Largest gradient times input",
}


def cited_first(case: Case, count: int) -> list[Unit]:
    """At most so many of the cited pieces: first those that are cited for the most diseases not yet covered.

    Equal ones are taken in the order of the rationale; where every disease is covered, so are the rest.
    """
    by_unit: dict[Unit, set[int]] = {}
    for unit, disease in case.cited or ():
        by_unit.setdefault(unit, set()).add(disease)
    left = list(by_unit)
    chosen: list[Unit] = []
    covered: set[int] = set()
    while left and len(chosen) < count:
        # The first of equal ones.
        best = max(left, key=lambda unit: len(by_unit[unit] - covered))
        left.remove(best)
        chosen.append(best)
        covered |= by_unit[best]
    return chosen


def heaviest(weights: Weights, count: int) -> list[Unit]:
    """So many pieces of the greatest weight."""
    return sorted(weights, key=lambda unit: (-weights[unit], unit))[:count]


def drawn(case: Case, group: Group, count: int) -> list[Unit]:
    """So many random pieces; of more of the same case the first are the same."""
    units = case.units
    return [units[number] for number in group.draw(case, 5).permutation(len(units))[:count]]


def choices(group: Group, weights: Mapping[str, Sequence[Weights]], count: int) -> dict[str, list[list[Unit]]]:
    """By name of the choice, the chosen pieces of every case.

    Args:
        group: The cases, with what their rationales cite.
        weights: Of the pieces of every case, by `ATTENTION` and `GRADIENT`; those that there are.
        count: At most so many.
    """
    cited = [cited_first(case, count) for case in group.cases]
    found = {CITED: cited, ALL_CITED: [case.cited_units() for case in group.cases]}
    for suffix, counts in (("", [count] * len(cited)), (AS_MANY, [len(one) for one in cited])):
        pairs = list(zip(group.cases, counts, strict=True))
        found[RANDOM + suffix] = [drawn(case, group, many) for case, many in pairs]
        for name, weighed in weights.items():
            found[name + suffix] = [heaviest(one, many) for one, many in zip(weighed, counts, strict=True)]
    return found


def _halves(group: Group) -> dict[str, list[list[Unit]]]:
    """The choices that reduce one of the two sources only."""
    return {
        name: [case.cited_units(kind) + [unit for unit in case.units if unit.kind != kind] for case in group.cases]
        for name, kind in ((CITED_NOTE, SENTENCE), (CITED_SERIES, VARIABLE))
    }


def run_sufficiency(
    group: Group, before: Answers, ask: Ask, weights: Mapping[str, Sequence[Weights]], count: int
) -> dict[str, Any]:
    """Patients reduced to some pieces of evidence, and patients without these.

    Returns:
        `sufficiency` and `necessity`, by choice: the `effect`, the mean number of `units`, and, where the choice is
        another one than the rationale's, `cited_minus_this`: how much more the rationale's choice keeps (or costs).
    """
    labels, subjects = group.labels, group.subjects
    chosen = choices(group, weights, count)
    found: dict[str, Any] = {}
    for name, reduce in (("sufficiency", Case.only), ("necessity", Case.without)):
        first = {choice: chosen[choice] for choice in (CITED, ALL_CITED)}
        asked = {**first, **_halves(group), **chosen} if name == "sufficiency" else chosen
        answers = {
            choice: ask([reduce(case, own) for case, own in zip(group.cases, units, strict=True)])
            for choice, units in asked.items()
        }
        found[name] = {
            choice: {
                **effect(labels, before, after, subjects),
                "units": sum(map(len, asked[choice])) / len(group.cases),
                "cited_minus_this": None
                if choice == CITED
                else _more(name, contrast(labels, before, answers[CITED], after, subjects)),
            }
            for choice, after in answers.items()
        }
    return found


def _more(question: str, cost: dict[str, Any]) -> dict[str, Any]:
    """The contrast of costs, or for sufficiency that of what is kept."""
    if question == "necessity":
        return cost
    turned = {"low": "high", "high": "low", "value": "value"}
    return {
        name: {end: None if one[other] is None else 0.0 - one[other] for end, other in turned.items()}
        for name, one in cost.items()
    }

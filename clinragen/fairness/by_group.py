"""Scores of each group, and how far they are from those of all other patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap, interval
from clinragen.evaluation.paired_test import holm
from clinragen.fairness.members import Group

Counts = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class GroupScore:
    """A quotient of sums over examples.

    Args:
        title: How reports call it.
        numerator, denominator: Names of the counts by example that are added up, with their factors.
    """

    title: str
    numerator: Mapping[str, int]
    denominator: Mapping[str, int]


SCORES: Mapping[str, GroupScore] = {
    "micro_f1": GroupScore("Micro F1", {"hits": 2}, {"hits": 2, "misses": 1, "false_alarms": 1}),
    "recall": GroupScore("Present diseases that are listed", {"hits": 1}, {"hits": 1, "misses": 1}),
    "precision": GroupScore("Listed diseases that are present", {"hits": 1}, {"hits": 1, "false_alarms": 1}),
    "contradicted": GroupScore("Claims contradicted, as written", {"contradicted": 1}, {"claims": 1}),
    "withheld": GroupScore("Sentences withheld", {"withheld": 1}, {"sentences": 1}),
    "cited": GroupScore("Listed diseases with a sentence", {"cited": 1}, {"listed": 1}),
}
"""By name in groups.json. The last three are about the explained patients alone."""


def decisions_by_example(labels: np.ndarray, predictions: np.ndarray) -> dict[str, np.ndarray]:
    """True positives, false positives and false negatives of each example, `(examples,)`."""
    truth, given = np.asarray(labels) > 0, np.asarray(predictions) > 0
    return {
        "hits": (truth & given).sum(axis=1),
        "false_alarms": (~truth & given).sum(axis=1),
        "misses": (truth & ~given).sum(axis=1),
    }


def compare_groups(
    groups: Sequence[Group], counts: Counts, subject_ids: Sequence[int] | np.ndarray, least: int
) -> list[dict[str, Any]]:
    """One entry for each group and score.

    An entry has `kind`, `group`, `score`, `patients` (of the group), `value` with its interval, `difference` (the
    group minus all other patients whose group of this kind is known, on the same resamples of subjects), `p`
    (two-sided, normal, with the standard error of the resampled differences) and `p_holm` (Holm's correction over all
    entries). The last three are None, and `why` says why, where there are fewer than `least` patients on one side, a
    score has nothing to count there, or it is the comparison of the other one of two groups.

    Args:
        groups: Who belongs to them.
        counts: By name, a number for each example; those that `SCORES` needs. What is missing is not scored.
        subject_ids: The patient of each example.
        least: Patients that both sides need.
    """
    bootstrap = Bootstrap(subject_ids)
    subjects = np.asarray(subject_ids)
    scores = {name: score for name, score in SCORES.items() if {*score.numerator, *score.denominator} <= counts.keys()}
    by_kind = {group.kind: [one for one in groups if one.kind == group.kind] for group in groups}
    found = []
    for group in groups:
        # Of two groups, the second one's comparison is that of the first.
        again = len(by_kind[group.kind]) == 2 and group is by_kind[group.kind][1]
        sides = [np.unique(subjects[side]).size for side in (group.members, group.others)]
        for name, score in scores.items():
            own, other = (_quotients(score, counts, side, bootstrap) for side in (group.members, group.others))
            entry: dict[str, Any] = {"kind": group.kind, "group": group.name, "score": name, "patients": sides[0]}
            entry |= {"value": _interval(own), "difference": None, "p": None, "p_holm": None, "why": None}
            if again:
                entry["why"] = f"it is the comparison of {by_kind[group.kind][0].name}"
            elif min(sides) < least:
                side = "the group" if sides[0] < least else "the others"
                entry["why"] = f"{min(sides)} patients in {side} are too few: it takes {least}"
            elif not (np.isfinite(own).all() and np.isfinite(other).all()):
                entry["why"] = "there is nothing to count on one side"
            else:
                entry["difference"] = interval(own - other)
                entry["p"] = _p_value(own - other)
            found.append(entry)
    tested = [entry for entry in found if entry["p"] is not None]
    for entry, corrected in zip(tested, holm([entry["p"] for entry in tested]), strict=True):
        entry["p_holm"] = corrected
    return found


def _quotients(score: GroupScore, counts: Counts, side: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    def summed(factors: Mapping[str, int]) -> np.ndarray:
        values = sum(factor * np.asarray(counts[name], dtype=float) for name, factor in factors.items())
        return bootstrap.sums(values * side)

    below = summed(score.denominator)
    return np.divide(summed(score.numerator), below, out=np.full_like(below, np.nan), where=below > 0)


def _interval(values: np.ndarray) -> dict[str, float] | None:
    return dict(interval(values)) if np.isfinite(values).all() else None


def _p_value(differences: np.ndarray) -> float:
    error = float(np.std(differences[1:], ddof=1))
    if error == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return math.erfc(abs(float(differences[0])) / error / math.sqrt(2))

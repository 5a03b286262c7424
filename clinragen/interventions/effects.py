"""The effect of an intervention: scores before and after on the same patients, with paired intervals by subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap, defined_interval
from clinragen.evaluation.scores.micro import MICRO
from clinragen.interventions.asking import Answers, Ask
from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Group, Shown

_F1 = next(score for score in MICRO if score.name == "micro_f1")


def micro_f1(labels: np.ndarray, listed: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """Micro F1 on the patients themselves and on every resample, `(resamples + 1,)`."""
    return np.asarray(_F1.compute(bootstrap.decisions(labels, listed)))


def effect(
    labels: np.ndarray, before: Answers, after: Answers, subjects: Sequence[int] | np.ndarray
) -> dict[str, Any]:
    """How two answers about the same patients differ.

    Args:
        labels: bool `(patients, diseases)`.
        before, after: The answers about the patients as they are and as they are changed.
        subjects: Whose stay each is.

    Returns:
        `cases`; micro F1 `before` and `after`, their `difference` (after minus before) and what is `kept` of it (their
        quotient); `changed`, the share of all decisions that are others; `lost`, of the diseases listed before, the
        share that is not listed any more; `gained`, of those not listed before, the share that is listed now; and
        `moved`, the mean distance of the probabilities, or None without any.
    """
    bootstrap = Bootstrap(subjects)
    one, other = micro_f1(labels, before.listed, bootstrap), micro_f1(labels, after.listed, bootstrap)
    was, now = before.listed, after.listed
    moved = None
    if before.probabilities is not None and after.probabilities is not None:
        distances = np.abs(after.probabilities - before.probabilities).mean(axis=1)
        moved = defined_interval(bootstrap.sums(distances) / bootstrap.sums(np.ones(len(distances))))
    return {
        "cases": len(was),
        "before": defined_interval(one),
        "after": defined_interval(other),
        "difference": defined_interval(other - one),
        "kept": defined_interval(np.divide(other, one, out=np.full_like(one, np.nan), where=one > 0)),
        "changed": bootstrap.quotient((was != now).sum(axis=1), np.full(len(was), was.shape[1])),
        "lost": bootstrap.quotient((was & ~now).sum(axis=1), was.sum(axis=1)),
        "gained": bootstrap.quotient((~was & now).sum(axis=1), (~was).sum(axis=1)),
        "moved": moved,
    }


def contrast(
    labels: np.ndarray, before: Answers, one: Answers, other: Answers, subjects: Sequence[int] | np.ndarray
) -> dict[str, Any]:
    """How much more one change costs than another on the same patients, with paired intervals.

    Returns:
        `f1`: micro F1 lost by `one` minus that lost by `other`; `lost`: of the diseases listed before, the share that
        `one` removes minus that which `other` removes.
    """
    bootstrap = Bootstrap(subjects)
    first, second = (micro_f1(labels, answers.listed, bootstrap) for answers in (one, other))
    listed = bootstrap.sums(before.listed.sum(axis=1).astype(float))
    gone = [bootstrap.sums((before.listed & ~answers.listed).sum(axis=1).astype(float)) for answers in (one, other)]
    more = np.divide(gone[0] - gone[1], listed, out=np.full_like(listed, np.nan), where=listed > 0)
    return {"f1": defined_interval(second - first), "lost": defined_interval(more)}


def apply(intervention: Intervention, group: Group) -> tuple[list[int], list[Shown]]:
    """The cases that an intervention applies to, and the changed patients."""
    found = [(case.number, intervention.change(case, group)) for case in group.cases]
    changed = [(number, shown) for number, shown in found if shown is not None]
    return [number for number, _ in changed], [shown for _, shown in changed]


def run_intervention(
    intervention: Intervention, group: Group, before: Answers, ask: Ask
) -> tuple[dict[str, Any] | None, list[int], Answers]:
    """The effect of one intervention (None where it applies to no case), its cases, and the answers about them."""
    rows, shown = apply(intervention, group)
    after = ask(shown)
    if not rows:
        return None, rows, after
    return effect(group.labels[rows], before.of(rows), after, group.subjects[rows]), rows, after

"""The scores of an intervention, computed anew from the resamples' own definition."""

from __future__ import annotations

import numpy as np
import pytest

from clinragen.evaluation.bootstrap import RESAMPLES, SEED
from clinragen.evaluation.metrics import paired_difference, system_scores
from clinragen.interventions.asking import Answers
from clinragen.interventions.effects import Bootstrap, contrast, effect

SUBJECTS = np.array([4, 4, 9, 2, 2, 2, 7, 1, 8, 8])


def answers(seed: int) -> Answers:
    probabilities = np.random.default_rng(seed).random((len(SUBJECTS), 6))
    return Answers(probabilities > 0.6, probabilities)


LABELS = np.random.default_rng(9).random((len(SUBJECTS), 6)) > 0.5


def resampled(score: object) -> tuple[float, float]:
    """Limits of a score over resamples of the subjects, drawn as the evaluation documents it, one by one."""
    subjects = np.unique(SUBJECTS)
    drawn = np.random.default_rng(SEED).multinomial(len(subjects), [1 / len(subjects)] * len(subjects), size=RESAMPLES)
    values = []
    for times in drawn:
        rows = [
            row
            for subject, count in zip(subjects, times, strict=True)
            for row in np.flatnonzero(subject == SUBJECTS)
            for _ in range(count)
        ]
        values.append(score(np.array(rows)))  # type: ignore[operator]
    low, high = np.nanpercentile(np.array(values, dtype=float), [2.5, 97.5])
    return float(low), float(high)


def f1(labels: np.ndarray, listed: np.ndarray) -> float:
    return float(2 * (labels & listed).sum() / max(labels.sum() + listed.sum(), 1))


def test_micro_f1_and_its_difference_are_those_of_the_evaluation() -> None:
    before, after = answers(0), answers(1)
    found = effect(LABELS, before, after, SUBJECTS)
    bootstrap = Bootstrap(SUBJECTS)
    assert found["before"] == system_scores(LABELS, before.listed, bootstrap)["micro_f1"]
    assert found["after"] == system_scores(LABELS, after.listed, bootstrap)["micro_f1"]
    assert found["difference"] == paired_difference(LABELS, after.listed, before.listed, bootstrap)["micro_f1"]


def test_every_share_and_interval_again_one_resample_at_a_time() -> None:
    before, after = answers(2), answers(3)
    was, now = before.listed, after.listed
    assert before.probabilities is not None
    assert after.probabilities is not None
    moved = np.abs(after.probabilities - before.probabilities)
    found = effect(LABELS, before, after, SUBJECTS)
    expected = {
        "kept": lambda rows: f1(LABELS[rows], now[rows]) / f1(LABELS[rows], was[rows]),
        "changed": lambda rows: (was[rows] != now[rows]).mean(),
        "lost": lambda rows: (was[rows] & ~now[rows]).sum() / was[rows].sum(),
        "gained": lambda rows: (~was[rows] & now[rows]).sum() / (~was[rows]).sum(),
        "moved": lambda rows: moved[rows].mean(),
    }
    for name, score in expected.items():
        low, high = resampled(score)
        assert found[name]["value"] == pytest.approx(score(np.arange(len(SUBJECTS)))), name
        assert (found[name]["low"], found[name]["high"]) == (pytest.approx(low), pytest.approx(high)), name


def test_the_contrast_of_two_changes_is_paired() -> None:
    before, one, other = answers(4), answers(5), answers(6)
    found = contrast(LABELS, before, one, other, SUBJECTS)

    def lost(rows: np.ndarray) -> float:
        was = before.listed[rows]
        gone = [(was & ~answer.listed[rows]).sum() for answer in (one, other)]
        return float((gone[0] - gone[1]) / was.sum())

    def cost(rows: np.ndarray) -> float:
        return f1(LABELS[rows], other.listed[rows]) - f1(LABELS[rows], one.listed[rows])

    for name, score in (("lost", lost), ("f1", cost)):
        low, high = resampled(score)
        assert found[name]["value"] == pytest.approx(score(np.arange(len(SUBJECTS))))
        assert (found[name]["low"], found[name]["high"]) == (pytest.approx(low), pytest.approx(high))
    same = contrast(LABELS, before, one, one, SUBJECTS)
    assert same == {"f1": {"value": 0, "low": 0, "high": 0}, "lost": {"value": 0, "low": 0, "high": 0}}


def test_nothing_listed_is_undefined_not_zero() -> None:
    nothing = Answers(np.zeros_like(LABELS))
    found = effect(LABELS, nothing, nothing, SUBJECTS)
    assert found["kept"]["value"] is None
    assert found["lost"]["value"] is None
    assert found["moved"] is None
    assert found["changed"]["value"] == 0.0

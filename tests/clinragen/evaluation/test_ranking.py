"""AUROC and AUPRC equal scikit-learn's, the calibration error plain loops', on the split and on every resample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from clinragen.evaluation import steps
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.metrics import system_scores
from clinragen.evaluation.ranking import Ranked
from clinragen.evaluation.scores import RANKING_SCORES
from modeling_clinragen.errors import InputDataError

TOLERANCE = {"calibration_error": 1e-6, "brier": 1e-6}
JUDGES = {"auroc": roc_auc_score, "auprc": average_precision_score}


def random_case(seed: int, examples: int, diseases: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities with many ties, and subjects."""
    rng = np.random.default_rng(seed)
    labels = rng.random((examples, diseases)) < rng.choice([0.05, 0.3, 0.8], size=diseases)
    probabilities = np.round(np.where(labels, rng.beta(3, 2, labels.shape), rng.beta(2, 3, labels.shape)), 1)
    return labels, probabilities, rng.integers(0, max(examples // 2, 1), size=examples)


def calibration_error(truth: np.ndarray, given: np.ndarray) -> float:
    """Bin by bin, decision by decision."""
    bins: dict[int, list[tuple[bool, float]]] = {}
    for true, probability in zip(truth.ravel(), given.ravel(), strict=True):
        bins.setdefault(min(int(probability * 15), 14), []).append((true, probability))
    distances = [
        abs(np.mean([true for true, _ in own]) - np.mean([probability for _, probability in own])) * len(own)
        for own in bins.values()
    ]
    return float(sum(distances) / truth.size)


def independently(labels: np.ndarray, probabilities: np.ndarray, rows: np.ndarray) -> dict[str, float | None]:
    """The scores by scikit-learn and plain loops on some rows; macro over the diseases that are defined."""
    truth, given = labels[rows], probabilities[rows]
    found: dict[str, float | None] = {
        "calibration_error": calibration_error(truth, given),
        "brier": float(brier_score_loss(truth.ravel(), given.ravel(), pos_label=True)),
    }
    for name, judge in JUDGES.items():

        def score(one: np.ndarray, other: np.ndarray, name: str = name, judge: object = judge) -> float | None:
            defined = one.any() and (name == "auprc" or not one.all())
            return float(judge(one, other)) if defined else None  # type: ignore[operator]

        each = [score(*columns) for columns in zip(truth.T, given.T, strict=True)]
        known = [value for value in each if value is not None]
        found[f"micro_{name}"] = score(truth.ravel(), given.ravel())
        found[f"macro_{name}"] = float(np.mean(known)) if known else None
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 8))
def test_the_scores_equal_independent_ones(seed: int, examples: int, diseases: int) -> None:
    labels, probabilities, subjects = random_case(seed, examples, diseases)
    scores = system_scores(labels, labels, Bootstrap(subjects, resamples=100), probabilities)
    for name, expected in independently(labels, probabilities, np.arange(examples)).items():
        assert scores[name]["value"] == (
            None if expected is None else pytest.approx(expected, abs=TOLERANCE.get(name, 1e-12))
        )
        if expected is not None:
            assert 0 <= scores[name]["low"] <= scores[name]["high"] <= 1


@pytest.mark.parametrize("at_once", [1, 2**18])
def test_the_intervals_equal_explicit_resampling(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "COUNTS_AT_ONCE", at_once)
    labels, probabilities, subjects = random_case(5, examples=50, diseases=6)
    bootstrap = Bootstrap(subjects, resamples=100, seed=7)
    drawn: dict[str, list[float]] = {score.name: [] for score in RANKING_SCORES}
    for weights in bootstrap.weights[1:]:
        rows = np.repeat(np.arange(len(subjects)), weights[bootstrap.membership].astype(int))
        for name, value in independently(labels, probabilities, rows).items():
            assert value is not None
            drawn[name].append(value)
    scores = system_scores(labels, labels, bootstrap, probabilities)
    for name, values in drawn.items():
        low, high = np.percentile(values, [2.5, 97.5])
        assert (scores[name]["low"], scores[name]["high"]) == pytest.approx(
            (low, high), abs=TOLERANCE.get(name, 1e-12)
        )


def test_a_constant_ranks_nothing_and_a_perfect_ranking_everything() -> None:
    labels, _, subjects = random_case(1, examples=60, diseases=4)
    bootstrap = Bootstrap(subjects, resamples=100)
    constant = Ranked(labels, np.full(labels.shape, 0.3), bootstrap)
    assert constant.pooled.auroc[0] == pytest.approx(0.5)
    assert constant.pooled.auprc[0] == pytest.approx(labels.mean())
    assert constant.calibration_error[0] == pytest.approx(abs(labels.mean() - 0.3), abs=1e-6)
    perfect = Ranked(labels, labels.astype(float), bootstrap)
    assert perfect.calibration_error == pytest.approx(0.0)
    assert perfect.pooled.auroc == pytest.approx(1.0)
    assert perfect.by_disease.auprc[0] == pytest.approx(1.0)


def test_a_disease_without_cases_is_left_out_of_the_mean() -> None:
    labels, probabilities, subjects = random_case(2, examples=80, diseases=3)
    bootstrap = Bootstrap(subjects, resamples=100)
    none = np.hstack([labels, np.zeros((80, 1), dtype=bool)])
    more = np.hstack([probabilities, probabilities[:, :1]])
    scores, alone = (
        system_scores(*case) for case in ((none, none, bootstrap, more), (labels, labels, bootstrap, probabilities))
    )
    for name in ("macro_auroc", "macro_auprc"):
        assert scores[name] == alone[name]
    nobody = system_scores(np.zeros((2, 2)), np.zeros((2, 2)), Bootstrap([1, 2]), np.full((2, 2), 0.5))
    assert nobody["micro_auroc"] == nobody["macro_auprc"] == {"value": None, "low": None, "high": None}


def test_probabilities_that_do_not_fit_are_refused() -> None:
    labels, probabilities, subjects = random_case(3, examples=10, diseases=2)
    bootstrap = Bootstrap(subjects, resamples=100)
    with pytest.raises(InputDataError, match=r"\(9, 2\) do not fit 10 examples"):
        system_scores(labels, labels, bootstrap, probabilities[:9])
    probabilities[0, 0] = np.nan
    with pytest.raises(InputDataError, match="not finite"):
        system_scores(labels, labels, bootstrap, probabilities)

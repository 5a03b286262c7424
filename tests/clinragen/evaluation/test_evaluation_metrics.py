"""Scores against scikit-learn, intervals against explicit resampling and against theory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.metrics import compare_systems, disease_scores, paired_difference, system_scores
from clinragen.evaluation.scores import DIAGNOSIS_SCORES
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import InputDataError, SettingsError

# Those that scikit-learn has, too.
SCORES = (
    *("micro_f1", "micro_precision", "micro_recall", "macro_f1", "macro_precision", "macro_recall"),
    *("weighted_f1", "exact_match"),
)
JUDGES = {"f1": f1_score, "precision": precision_score, "recall": recall_score}


def random_case(seed: int, examples: int = 40, diseases: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and subjects; some diseases come out without a case or a prediction."""
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.0, 0.02, 0.3, 0.6], size=diseases)
    labels = (rng.random((examples, diseases)) < rate).astype(int)
    predictions = np.where(rng.random(labels.shape) < 0.7, labels, rng.random(labels.shape) < rate).astype(int)
    return labels, predictions, rng.integers(0, examples // 2, size=examples)


def by_sklearn(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The scores by scikit-learn; macro over the diseases that somebody has or is given."""
    kept = np.flatnonzero((labels.sum(axis=0) + predictions.sum(axis=0)) > 0)
    result = {
        "weighted_f1": f1_score(labels, predictions, average="weighted", zero_division=0),
        "exact_match": accuracy_score(labels, predictions),
    }
    for name, judge in JUDGES.items():
        each = [judge(labels[:, column], predictions[:, column], zero_division=0) for column in kept]
        result[f"micro_{name}"] = judge(labels.ravel(), predictions.ravel(), zero_division=0)
        result[f"macro_{name}"] = float(np.mean(each)) if each else 0.0
    return result


def test_every_score_of_the_list_is_measured_and_compared() -> None:
    labels, predictions, subjects = random_case(6)
    bootstrap = Bootstrap(subjects, resamples=100)
    names = [score.name for score in DIAGNOSIS_SCORES]
    assert set(SCORES) <= set(names)
    assert len(set(names)) == len(names)
    assert list(system_scores(labels, predictions, bootstrap)) == [*names, "undefined_diseases"]
    assert list(paired_difference(labels, predictions, 1 - predictions, bootstrap)) == names


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 25))
def test_scores_equal_sklearn(seed: int, examples: int, diseases: int) -> None:
    labels, predictions, subjects = random_case(seed, examples, diseases)
    scores = system_scores(labels, predictions, Bootstrap(subjects, resamples=100))
    for name, expected in by_sklearn(labels, predictions).items():
        assert scores[name]["value"] == pytest.approx(expected, abs=1e-12)
        assert 0 <= scores[name]["low"] <= scores[name]["high"] <= 1
    assert scores["undefined_diseases"] == int(((labels + predictions).sum(axis=0) == 0).sum())


def test_intervals_equal_explicit_resampling() -> None:
    labels, predictions, subjects = random_case(3, examples=60, diseases=6)
    bootstrap = Bootstrap(subjects, resamples=100, seed=7)
    assert (bootstrap.weights[1:].sum(axis=1) == len(np.unique(subjects))).all()
    drawn: dict[str, list[float]] = {name: [] for name in SCORES}
    for weights in bootstrap.weights[1:]:
        # Every example of a subject comes along as often as the subject was drawn.
        times = weights[np.searchsorted(np.unique(subjects), subjects)].astype(int)
        rows = np.repeat(np.arange(len(subjects)), times)
        for name, value in by_sklearn(labels[rows], predictions[rows]).items():
            drawn[name].append(value)
    scores = system_scores(labels, predictions, bootstrap)
    for name in SCORES:
        low, high = np.percentile(drawn[name], [2.5, 97.5])
        assert (scores[name]["low"], scores[name]["high"]) == pytest.approx((low, high), abs=1e-12)


def test_a_mean_over_examples_equals_explicit_resampling() -> None:
    labels, predictions, subjects = random_case(4, examples=50, diseases=5)
    bootstrap = Bootstrap(subjects, resamples=100, seed=3)
    exact = (labels == predictions).all(axis=1)
    found = bootstrap.decisions(labels, predictions).mean(exact)
    expected = [exact.mean()]
    for weights in bootstrap.weights[1:]:
        times = weights[np.searchsorted(np.unique(subjects), subjects)].astype(int)
        expected.append(np.repeat(exact, times).mean())
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_interval_covers_a_known_proportion_as_often_as_it_says() -> None:
    # One disease, given to everybody: micro precision is the share of cases, a binomial proportion.
    rng = np.random.default_rng(1)
    people, truth, runs = 200, 0.4, 200
    covered, widths = 0, []
    for _ in range(runs):
        labels = (rng.random((people, 1)) < truth).astype(int)
        scores = system_scores(labels, np.ones_like(labels), Bootstrap(range(people), resamples=200))
        interval = scores["micro_precision"]
        covered += interval["low"] <= truth <= interval["high"]
        widths.append(interval["high"] - interval["low"])
    assert 0.90 <= covered / runs <= 0.985
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(truth * (1 - truth) / people), rel=0.06)


def test_several_stays_of_one_person_are_not_independent_evidence() -> None:
    labels, predictions, _ = random_case(5, examples=50)
    single = system_scores(labels, predictions, Bootstrap(range(50)))
    labels, predictions = np.repeat(labels, 4, axis=0), np.repeat(predictions, 4, axis=0)
    grouped = system_scores(labels, predictions, Bootstrap(np.repeat(np.arange(50), 4)))
    assert grouped == single
    naive = system_scores(labels, predictions, Bootstrap(range(200)))["micro_f1"]
    width = single["micro_f1"]["high"] - single["micro_f1"]["low"]
    assert (naive["high"] - naive["low"]) / width == pytest.approx(0.5, abs=0.1)


def test_a_paired_difference_is_exact_and_narrower_than_an_unpaired_one() -> None:
    labels, first, subjects = random_case(11, examples=300)
    second = first.copy()
    rng = np.random.default_rng(0)
    spoiled = rng.random(labels.shape) < 0.03
    second[spoiled] = 1 - second[spoiled]
    bootstrap = Bootstrap(subjects)
    scores = [system_scores(labels, matrix, bootstrap) for matrix in (first, second)]
    difference = paired_difference(labels, first, second, bootstrap)
    for name in SCORES:
        assert difference[name]["value"] == pytest.approx(scores[0][name]["value"] - scores[1][name]["value"])
    paired = difference["micro_f1"]["high"] - difference["micro_f1"]["low"]
    alone = [score["micro_f1"]["high"] - score["micro_f1"]["low"] for score in scores]
    assert paired < 0.7 * np.hypot(*alone)
    backwards = paired_difference(labels, second, first, bootstrap)["micro_f1"]
    assert (backwards["low"], backwards["high"]) == pytest.approx(
        (-difference["micro_f1"]["high"], -difference["micro_f1"]["low"])
    )
    same = paired_difference(labels, first, first, bootstrap)
    assert all(interval == {"value": 0.0, "low": 0.0, "high": 0.0} for interval in same.values())


def test_f1_per_disease() -> None:
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 0]])
    predictions = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 0, 0]])
    found, absent, invented = disease_scores(labels, predictions, Bootstrap(range(4)))
    assert found["value"] == pytest.approx(2 / 3)
    assert found["low"] <= found["value"] <= found["high"]
    assert (found["positives"], found["predicted"]) == (3, 3)
    assert absent == {"value": None, "low": None, "high": None, "positives": 0, "predicted": 0}
    assert (invented["value"], invented["positives"], invented["predicted"]) == (0.0, 0, 1)


def test_an_undefined_disease_neither_helps_nor_hurts_the_macro_mean() -> None:
    labels, predictions = np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]])
    alone = system_scores(labels[:, :1], predictions[:, :1], Bootstrap([1, 2]))
    both = system_scores(labels, predictions, Bootstrap([1, 2]))
    assert both["macro_f1"] == alone["macro_f1"]
    assert (alone["undefined_diseases"], both["undefined_diseases"]) == (0, 1)
    nothing = system_scores(np.zeros((2, 3)), np.zeros((2, 3)), Bootstrap([1, 2]))
    assert nothing["micro_f1"]["value"] == nothing["macro_f1"]["value"] == 0.0


def test_the_seed_alone_decides_the_resamples() -> None:
    subjects = [5, 5, 9, 1]
    assert np.array_equal(Bootstrap(subjects, seed=4).weights, Bootstrap(subjects, seed=4).weights)
    assert not np.array_equal(Bootstrap(subjects, seed=4).weights, Bootstrap(subjects, seed=5).weights)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputDataError, match="no example"):
        Bootstrap([])
    with pytest.raises(SettingsError, match="resamples"):
        Bootstrap([1, 2], resamples=10)
    bootstrap = Bootstrap([1, 2])
    with pytest.raises(InputDataError, match="do not fit 2 examples"):
        system_scores(np.zeros((3, 2)), np.zeros((3, 2)), bootstrap)
    with pytest.raises(InputDataError, match="do not fit"):
        system_scores(np.zeros((2, 2)), np.zeros((2, 3)), bootstrap)
    with pytest.raises(InputDataError, match="threshold"):
        system_scores(np.zeros((2, 2)), np.full((2, 2), 0.5), bootstrap)


def test_compare_systems_has_the_shape_of_metrics_json() -> None:
    labels, full, subjects = random_case(2)
    guess = np.ones_like(full)
    diseases = shipped_definitions().vocabulary.diseases
    metrics = compare_systems(labels, {"full": full, "prevalence": guess}, subjects, diseases, resamples=200, seed=3)
    bootstrap = Bootstrap(subjects, resamples=200, seed=3)
    assert metrics["systems"]["prevalence"] == system_scores(labels, guess, bootstrap)
    assert metrics["differences"] == {"full_minus_prevalence": paired_difference(labels, full, guess, bootstrap)}
    assert list(metrics["per_disease"]["full"]) == [disease.key for disease in diseases]
    assert metrics["held_out"] == {
        "examples": 40,
        "subjects": len(set(subjects.tolist())),
        "diagnoses": labels.sum(),
        "examples_without_diagnosis": sum(not row.any() for row in labels),
    }
    with pytest.raises(SettingsError, match="full"):
        compare_systems(labels, {"prevalence": guess}, subjects, diseases)


def test_every_model_is_compared_with_the_strongest_baseline_that_reads_the_same() -> None:
    labels, _, subjects = random_case(2)
    rng = np.random.default_rng(0)

    def right_in(share: float) -> np.ndarray:
        return np.where(rng.random(labels.shape) < share, labels, 1 - labels)

    predictions = {
        "full": right_in(0.8),
        "note_only": right_in(0.7),
        "joint": right_in(0.6),
        "gradient_boosting": right_in(0.9),
        # It reads the note alone: stronger than what the full model is compared with, but not on the same input.
        "gradient_boosting_note": right_in(0.99),
        "logistic_regression": right_in(0.85),
        "prevalence": right_in(0.1),
    }
    given = {"gradient_boosting": rng.random(labels.shape), "logistic_regression": rng.random(labels.shape)}
    diseases = shipped_definitions().vocabulary.diseases
    metrics = compare_systems(labels, predictions, subjects, diseases, probabilities=given, resamples=200)
    assert metrics["strongest"] == {"full": "gradient_boosting", "note_only": "gradient_boosting_note"}
    pair = predictions["note_only"], predictions["gradient_boosting_note"]
    paired = paired_difference(labels, *pair, Bootstrap(subjects, resamples=200))
    assert metrics["differences"]["note_only_minus_gradient_boosting_note"] == paired
    assert len(metrics["differences"]) == len(predictions)
    assert {name for name, scores in metrics["systems"].items() if "macro_auprc" in scores} == set(given)


def test_differences_of_probabilities_are_paired() -> None:
    labels, full, subjects = random_case(4)
    rng = np.random.default_rng(1)
    given = {name: rng.random(labels.shape) for name in ("full", "gradient_boosting")}
    diseases = shipped_definitions().vocabulary.diseases
    predictions = {"full": full, "gradient_boosting": full}
    metrics = compare_systems(labels, predictions, subjects, diseases, probabilities=given, resamples=200)
    difference = metrics["differences"]["full_minus_gradient_boosting"]["micro_auroc"]
    one, other = (metrics["systems"][name]["micro_auroc"]["value"] for name in given)
    assert difference["value"] == pytest.approx(one - other)
    assert difference["low"] < difference["value"] < difference["high"]
    equal = dict.fromkeys(given, given["full"])
    metrics = compare_systems(labels, predictions, subjects, diseases, probabilities=equal, resamples=200)
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    assert metrics["differences"]["full_minus_gradient_boosting"]["micro_auroc"] == nothing


def test_the_evaluate_metric_agrees(tmp_path: Path) -> None:
    from clinragen.evaluation.diagnosis_metric import DiagnosisMetric

    labels, predictions, _ = random_case(8)
    expected = by_sklearn(labels, predictions)
    metric = DiagnosisMetric(cache_dir=str(tmp_path))
    scores = metric.compute(predictions=predictions, references=labels)
    assert set(scores) == {score.name for score in DIAGNOSIS_SCORES}
    assert {name: scores[name] for name in SCORES} == pytest.approx(expected)
    for start in (0, 20):
        rows = slice(start, start + 20)
        metric.add_batch(predictions=predictions[rows], references=labels[rows])
    assert metric.compute() == pytest.approx(scores)


def test_the_evaluate_metric_loads_from_its_file_without_a_network(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    code = (
        "import evaluate;"
        "metric = evaluate.load('clinragen/evaluation/diagnosis_metric.py');"
        "scores = metric.compute(predictions=[[1, 0, 1], [0, 0, 1]], references=[[1, 1, 0], [0, 0, 1]]);"
        "print(scores['micro_f1'])"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert float(done.stdout) == pytest.approx(2 / 3)

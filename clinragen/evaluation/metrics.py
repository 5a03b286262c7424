"""The numbers of metrics.json: every score of every system with its interval, and paired differences between systems.

Which scores there are says `clinragen.evaluation.scores`; the exact formulas are in docs/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import LEVEL, RESAMPLES, SEED, Bootstrap, Decisions, defined_interval
from clinragen.evaluation.paired_test import paired_tests
from clinragen.evaluation.ranking import Ranked
from clinragen.evaluation.score_types import WrittenRationales
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RANKING_SCORES, RATIONALE_SCORES
from clinragen.evaluation.scores.macro import defined_diseases, f1_by_disease
from clinragen.evaluation.systems import MAIN, baselines_beside
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Disease


def system_scores(
    labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap, probabilities: np.ndarray | None = None
) -> dict[str, Any]:
    """Scores of one system from 0/1 matrices `(examples, diseases)`, and from its probabilities where it gives them.

    Returns:
        `{"micro_f1": {"value", "low", "high"}, ...}` for each of `DIAGNOSIS_SCORES` and, with probabilities, of
        `RANKING_SCORES` (None where one is undefined); and `undefined_diseases`, the number of diseases that the macro
        scores of decisions leave out.
    """
    return _Scored.of(labels, predictions, bootstrap, probabilities).scores()


def paired_difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, bootstrap: Bootstrap
) -> dict[str, dict[str, float]]:
    """`first` minus `second` in each of `DIAGNOSIS_SCORES`, on the same resamples, so that the interval is paired."""
    return _Scored.of(labels, first, bootstrap).minus(_Scored.of(labels, second, bootstrap))


@dataclass(frozen=True, eq=False)
class _Scored:
    """The scores of one system by name, on the split and on every resample: `(resamples + 1,)` each."""

    values: Mapping[str, np.ndarray]
    decisions: Decisions

    @classmethod
    def of(
        cls, labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap, probabilities: np.ndarray | None = None
    ) -> _Scored:
        decisions = bootstrap.decisions(labels, predictions)
        values = {score.name: score.compute(decisions) for score in DIAGNOSIS_SCORES}
        if probabilities is not None:
            ranked = Ranked(decisions.labels, np.asarray(probabilities, dtype=float), bootstrap)
            values |= {score.name: score.compute(ranked) for score in RANKING_SCORES}
        return cls(values, decisions)

    def scores(self) -> dict[str, Any]:
        found: dict[str, Any] = {name: defined_interval(values) for name, values in self.values.items()}
        found["undefined_diseases"] = int((~defined_diseases(self.decisions)[0]).sum())
        return found

    def minus(self, other: _Scored) -> dict[str, Any]:
        """The paired differences in the scores that both have."""
        return {
            name: defined_interval(values - other.values[name])
            for name, values in self.values.items()
            if name in other.values
        }


def disease_scores(labels: np.ndarray, predictions: np.ndarray, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """F1 of each disease with its interval, and how many examples have it and are given it.

    `value`, `low` and `high` are None where F1 is undefined. Resamples in which it is undefined do not count for the
    interval, so intervals of very rare diseases are approximate.
    """
    decisions = bootstrap.decisions(labels, predictions)
    f1 = np.where(defined_diseases(decisions), f1_by_disease(decisions), np.nan)
    positives, predicted = decisions.labels.sum(axis=0), decisions.predictions.sum(axis=0)
    return [
        {**defined_interval(values), "positives": int(positives[column]), "predicted": int(predicted[column])}
        for column, values in enumerate(f1.T)
    ]


def rationale_scores(written: WrittenRationales) -> dict[str, Any]:
    """The entries of all `RATIONALE_SCORES` for one system."""
    return {name: value for score in RATIONALE_SCORES for name, value in score.compute(written).items()}


def teacher_scores(written: WrittenRationales) -> dict[str, Any]:
    """The entries of the teacher's own rationales, which `written` has as answers, in the scores that are of use."""
    scores = [score for score in RATIONALE_SCORES if score.of_teacher]
    return {name: value for score in scores for name, value in score.compute(written).items()}


def compare_systems(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    subject_ids: Sequence[int] | np.ndarray,
    diseases: Sequence[Disease],
    *,
    probabilities: Mapping[str, np.ndarray] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    bootstrap: Bootstrap | None = None,
) -> dict[str, Any]:
    """Score every system on the same examples and the same resamples.

    Args:
        labels, predictions: 0/1 matrices `(examples, diseases)`, rows in the order of `subject_ids`; predictions by
            system.
        subject_ids: The patient of each example.
        diseases: The columns.
        probabilities: `(examples, diseases)` by system, of the systems that give any. The others have no
            `RANKING_SCORES`.
        resamples, seed: Number of resamples of the patients, and their seed.
        bootstrap: The resamples themselves, where they are drawn already.

    Returns:
        The keys of metrics.json: `systems`; `strongest`, by model the baseline with the highest micro F1 of those that
        read the same; `differences`, "<model>_minus_<other>" of the full model and every other system, and of each
        other model and its strongest baseline; `tests`, the p values of these differences (`paired_tests`);
        `per_disease` (by system, then by disease key); `held_out`; `bootstrap`.

    Raises:
        SettingsError: There is no system "full".
        InputDataError: The matrices do not fit each other or the subjects, or a probability is not finite.
    """
    if MAIN not in predictions:
        raise SettingsError(f"there is no system '{MAIN}' to compare with; score the full model")
    bootstrap = bootstrap if bootstrap is not None else Bootstrap(subject_ids, resamples=resamples, seed=seed)
    truth, given = np.asarray(labels), probabilities or {}
    keys = [disease.key for disease in diseases]
    scored = {name: _Scored.of(truth, matrix, bootstrap, given.get(name)) for name, matrix in predictions.items()}
    systems = {name: one.scores() for name, one in scored.items()}
    strongest = _strongest(systems)
    pairs = [(MAIN, name) for name in predictions if name != MAIN]
    pairs += [(model, baseline) for model, baseline in strongest.items() if model != MAIN]
    return {
        "systems": systems,
        "strongest": strongest,
        "differences": {f"{one}_minus_{other}": scored[one].minus(scored[other]) for one, other in pairs},
        "tests": paired_tests(truth, predictions, pairs, subject_ids),
        "per_disease": {
            name: dict(zip(keys, disease_scores(truth, matrix, bootstrap), strict=True))
            for name, matrix in predictions.items()
        },
        "held_out": {
            "examples": bootstrap.examples,
            "subjects": bootstrap.subjects,
            "diagnoses": int(truth.sum()),
            "examples_without_diagnosis": int((truth.sum(axis=1) == 0).sum()),
        },
        "bootstrap": {"resamples": bootstrap.resamples, "seed": bootstrap.seed, "level": LEVEL, "unit": "subject"},
    }


def _strongest(systems: Mapping[str, Any]) -> dict[str, str]:
    """For every model the baseline on the same inputs with the highest micro F1."""
    found = {}
    for model in systems:
        beside = [name for name in baselines_beside(model) if name in systems]
        if beside:
            found[model] = max(beside, key=lambda name: systems[name]["micro_f1"]["value"])
    return found

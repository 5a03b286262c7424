"""All systems on one held-out split: scores, paired differences to the main system, and F1 per disease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from dataset_builder.contract.vocabulary import Disease

from clinragen.evaluation.metrics import (
    LEVEL,
    RESAMPLES,
    SEED,
    Bootstrap,
    disease_scores,
    paired_difference,
    system_scores,
)
from modeling_clinragen.errors import SettingsError

MAIN = "full"

SYSTEM_NAMES = {
    "full": "Full model",
    "note_only": "Note only",
    "labs_only": "Labs only",
    "logistic_regression": "Logistic regression",
    "prevalence": "Prevalence guess",
}


def system_name(key: str) -> str:
    """The readable name of a system; an unlisted key is shown as it is."""
    return SYSTEM_NAMES.get(key, key.replace("_", " ").capitalize())


def in_order(systems: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The systems as readers expect them: as listed in `SYSTEM_NAMES`, others behind, whatever order JSON gave."""
    listed = list(SYSTEM_NAMES)
    return sorted(systems.items(), key=lambda item: listed.index(item[0]) if item[0] in listed else len(listed))


def compare_systems(
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    subject_ids: Sequence[int] | np.ndarray,
    diseases: Sequence[Disease],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Any]:
    """Score every system on the same examples and the same resamples.

    `labels` and each of `predictions` are 0/1 matrices (examples, diseases), rows in the order of `subject_ids`.
    Returns the keys `systems`, `differences` (`full_minus_<other>`), `per_disease` (by system, then by disease key),
    `held_out` and `bootstrap` of `metrics.json`. Raises `SettingsError` when there is no system "full" and
    `InputDataError` when the matrices do not fit.
    """
    if MAIN not in predictions:
        raise SettingsError(f"there is no system '{MAIN}' to compare with; score the full model")
    bootstrap = Bootstrap(subject_ids, resamples=resamples, seed=seed)
    truth = np.asarray(labels)
    keys = [disease.key for disease in diseases]
    return {
        "systems": {name: system_scores(truth, matrix, bootstrap) for name, matrix in predictions.items()},
        "differences": {
            f"{MAIN}_minus_{name}": paired_difference(truth, predictions[MAIN], matrix, bootstrap)
            for name, matrix in predictions.items()
            if name != MAIN
        },
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
        "bootstrap": {"resamples": resamples, "seed": seed, "level": LEVEL, "unit": "subject"},
    }

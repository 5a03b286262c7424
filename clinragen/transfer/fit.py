"""Whether a cohort can be read by a model, and what it has little or nothing of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset_builder.contract.arrays import label_matrix, series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def misfit(model: Vocabulary, cohort: Vocabulary) -> str | None:
    """Why a model of one vocabulary cannot read a cohort of another one, in words; None where it can."""
    pairs: tuple[tuple[str, Sequence[tuple[str, str]], Sequence[tuple[str, str]]], ...] = (
        (
            "variables",
            [(one.key, one.unit) for one in model.variables],
            [(one.key, one.unit) for one in cohort.variables],
        ),
        (
            "diseases",
            [(one.key, one.name) for one in model.diseases],
            [(one.key, one.name) for one in cohort.diseases],
        ),
    )
    faults = [fault for what, own, theirs in pairs if (fault := _fault(what, own, theirs)) is not None]
    return "; ".join(faults) or None


def _fault(what: str, own: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]) -> str | None:
    if own == theirs:
        return None
    mine, others = dict(own), dict(theirs)
    parts = [f"no {key}" for key in mine if key not in others]
    parts += [f"{key} besides" for key in others if key not in mine]
    parts += [
        f"{key} as '{others[key]}', not '{mine[key]}'" for key in mine if key in others and mine[key] != others[key]
    ]
    return f"its {what} are not the model's: {', '.join(parts) or 'they are in another order'}"


def other_ranges(model: Vocabulary, cohort: Vocabulary, range_set: str) -> list[str]:
    """Keys of the variables whose normal range the cohort has otherwise than the model.

    Raises:
        SettingsError: One of them has no range set of this name.
    """
    own, theirs = model.range_set(range_set).bounds, cohort.range_set(range_set).bounds
    return [key for key in model.variable_keys if own.get(key) != theirs.get(key)]


def coverage(cohort: CohortSplits) -> dict[str, Any]:
    """Properties of the test split that may explain scores elsewhere; medians are over examples.

    Returns:
        `variables`, by key the share of the examples in which it was `measured`, how `often`, and the median of its
        values in the vocabulary's unit (None without any); `diseases`, by key the share of the examples that have it;
        `notes`, the share with a note, and `note_words`, the median number of words of these; `never_measured` and
        `nobody_has`, the keys of what does not occur at all.
    """
    test, vocabulary = cohort["test"], cohort.vocabulary
    series = [one["values"] for one in series_column(test)]
    times = np.array([(~np.isnan(one)).sum(axis=0) for one in series]).reshape(len(series), -1)
    values = np.concatenate([*series, np.empty((0, len(vocabulary.variables)), dtype=np.float32)])
    variables = {}
    for column, key in enumerate(vocabulary.variable_keys):
        counts, own = times[:, column], values[:, column]
        own = own[~np.isnan(own)]
        variables[key] = {
            "measured": round(float((counts > 0).mean()), 4),
            "often": float(np.median(counts[counts > 0])) if own.size else 0.0,
            "median": round(float(np.median(own)), 3) if own.size else None,
        }
    shares = label_matrix(test).mean(axis=0)
    diseases = {one.key: round(float(share), 4) for one, share in zip(vocabulary.diseases, shares, strict=True)}
    words = [len(note.split()) for note in test["note"] if note]
    return {
        "variables": variables,
        "diseases": diseases,
        "notes": round(len(words) / len(test), 4),
        "note_words": float(np.median(words)) if words else None,
        "never_measured": [key for key, one in variables.items() if not one["measured"]],
        "nobody_has": [key for key, share in diseases.items() if not share],
    }

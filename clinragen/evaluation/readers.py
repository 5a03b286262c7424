"""How generated lists of diseases are read, and how much two ways of reading them disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.config import ScoreConfig
from clinragen.evaluation.diagnosis import EmbeddingMatcher, MatchedDiagnoses, match_diagnoses
from clinragen.evaluation.predictions import Predictions
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Disease
from trainers.thresholds import micro_f1


def read_diagnoses(
    predictions: Predictions, diseases: Sequence[Disease], config: ScoreConfig
) -> dict[str, MatchedDiagnoses]:
    """The decisions of every system, in the order of the report: models, the other list of the full one, baselines.

    Generated lists are read by the chosen reader, those of the baselines by name.

    Raises:
        InputDataError: A baseline gives a disease that the vocabulary has not.
        SettingsError: The encoder of the reader cannot be loaded.
    """
    chosen = EmbeddingMatcher(config.encoder) if config.encoder is not None else None
    found = {}
    for name, lists in predictions.diagnoses.items():
        generated = name not in predictions.baselines
        found[name] = match_diagnoses(lists, diseases, chosen if generated else None)
        # A model may make a disease up. A baseline gives those that it was fitted on.
        if not generated and (unknown := found[name].unmatched):
            raise InputDataError(
                f"the predictions of {name} hold {sum(unknown.values())} names of diseases that the cohort's "
                "vocabulary has not; give the cohort that was evaluated"
            )
    places = (predictions.systems, set(found) - {*predictions.systems, *predictions.baselines}, predictions.baselines)
    return {name: found[name] for group in places for name in group}


def disagreement(
    labels: np.ndarray,
    predictions: Predictions,
    matched: Mapping[str, MatchedDiagnoses],
    diseases: Sequence[Disease],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """The difference between reading by cosine and reading by name, by system with a generated list.

    Args:
        labels: 0/1 `(examples, diseases)`.
        predictions: The lists.
        matched: The decisions as the reader cosine found them.
        diseases: The columns.
        bootstrap: Resamples of the examples' subjects.

    Returns:
        By system `micro_f1` by each reader ("exact", "cosine"); `examples`, the share of examples whose diseases
        differ (`Bootstrap.quotient`); and how many diseases `added` and `removed`.
    """
    found = {}
    for name, lists in predictions.diagnoses.items():
        if name in predictions.baselines:
            continue
        exact, cosine = match_diagnoses(lists, diseases).predictions, matched[name].predictions
        found[name] = {
            "micro_f1": {"exact": micro_f1(labels, exact), "cosine": micro_f1(labels, cosine)},
            "examples": bootstrap.quotient((exact != cosine).any(axis=1), np.ones(len(exact))),
            "added": int((cosine > exact).sum()),
            "removed": int((cosine < exact).sum()),
        }
    return found

"""Weighted F1: the mean of the F1 of the diseases, each weighted by how many examples have it."""

from __future__ import annotations

import numpy as np

from clinragen.evaluation.bootstrap import Decisions, ratio
from clinragen.evaluation.score_types import DiagnosisScore
from clinragen.evaluation.scores.macro import f1_by_disease


def _f1(decisions: Decisions) -> np.ndarray:
    support = decisions.hits + decisions.misses
    return ratio((f1_by_disease(decisions) * support).sum(axis=-1), support.sum(axis=-1))


WEIGHTED = (DiagnosisScore("weighted_f1", "weighted F1", _f1),)

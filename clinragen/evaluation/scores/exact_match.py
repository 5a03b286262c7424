"""Exact match: the share of examples whose list of diseases is right, with none missing and none too many."""

from __future__ import annotations

import numpy as np

from clinragen.evaluation.bootstrap import Decisions
from clinragen.evaluation.score_types import DiagnosisScore


def _exact_match(decisions: Decisions) -> np.ndarray:
    right = (decisions.labels == decisions.predictions).all(axis=1)
    return decisions.mean(right.astype(float))


EXACT_MATCH = DiagnosisScore("exact_match", "exact match", _exact_match)

"""Micro scores: the decisions of all diseases are pooled; 0 when nothing is true and nothing is predicted."""

from __future__ import annotations

import numpy as np

from clinragen.evaluation.bootstrap import Decisions, ratio
from clinragen.evaluation.score_types import DiagnosisScore


def _f1(decisions: Decisions) -> np.ndarray:
    hits, false_alarms, misses = _pooled(decisions)
    return ratio(2 * hits, 2 * hits + false_alarms + misses)


def _precision(decisions: Decisions) -> np.ndarray:
    hits, false_alarms, _ = _pooled(decisions)
    return ratio(hits, hits + false_alarms)


def _recall(decisions: Decisions) -> np.ndarray:
    hits, _, misses = _pooled(decisions)
    return ratio(hits, hits + misses)


def _pooled(decisions: Decisions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        decisions.hits.sum(axis=-1),
        decisions.false_alarms.sum(axis=-1),
        decisions.misses.sum(axis=-1),
    )


MICRO = (
    DiagnosisScore("micro_f1", "micro F1", _f1, in_terminal=True),
    DiagnosisScore("micro_precision", "micro precision", _precision),
    DiagnosisScore("micro_recall", "micro recall", _recall),
)

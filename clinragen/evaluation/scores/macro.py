"""Macro scores: the mean over the diseases.

A disease that nobody has and nobody is given says nothing about the system: it is left out of the mean. A disease that
is only predicted, or only present, scores 0 and stays in. Every resample applies the rule anew.
"""

from __future__ import annotations

import numpy as np

from clinragen.evaluation.bootstrap import Decisions, ratio
from clinragen.evaluation.score_types import DiagnosisScore


def defined_diseases(decisions: Decisions) -> np.ndarray:
    """Whether anybody has or is given each disease: bool `(resamples + 1, diseases)`."""
    return decisions.hits + decisions.false_alarms + decisions.misses > 0


def f1_by_disease(decisions: Decisions) -> np.ndarray:
    """F1 of each disease, `(resamples + 1, diseases)`; 0 where it is undefined."""
    hits = decisions.hits
    return ratio(2 * hits, 2 * hits + decisions.false_alarms + decisions.misses)


def _f1(decisions: Decisions) -> np.ndarray:
    return _mean(f1_by_disease(decisions), decisions)


def _precision(decisions: Decisions) -> np.ndarray:
    return _mean(ratio(decisions.hits, decisions.hits + decisions.false_alarms), decisions)


def _recall(decisions: Decisions) -> np.ndarray:
    return _mean(ratio(decisions.hits, decisions.hits + decisions.misses), decisions)


def _mean(by_disease: np.ndarray, decisions: Decisions) -> np.ndarray:
    # An undefined disease scores 0, so summing all and dividing by the number of defined ones leaves it out.
    return by_disease.sum(axis=-1) / np.maximum(defined_diseases(decisions).sum(axis=-1), 1)


MACRO = (
    DiagnosisScore("macro_f1", "macro F1", _f1, in_terminal=True),
    DiagnosisScore("macro_precision", "macro precision", _precision),
    DiagnosisScore("macro_recall", "macro recall", _recall),
)

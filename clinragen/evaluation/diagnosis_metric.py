"""Micro and macro F1 of multi-label diagnoses as a metric of the `evaluate` library; works without a network."""

import datasets
import evaluate
import numpy as np

from clinragen.evaluation.bootstrap import MIN_RESAMPLES, Bootstrap
from clinragen.evaluation.metrics import system_scores

_DESCRIPTION = "Micro and macro F1, precision and recall of multi-label diagnoses (rows of 0 and 1, one per disease)."
_INPUTS = """
    predictions: one list of 0/1 per example, one entry per disease
    references: the true list of 0/1 per example, same order
Returns micro_f1, micro_precision, micro_recall, macro_f1, macro_precision, macro_recall and every other score of
clinragen.evaluation.scores. Diseases without a case and without a prediction are left out of the macro means.
"""


class DiagnosisMetric(evaluate.Metric):
    """`DiagnosisMetric().compute(predictions=..., references=...)` -> `{"micro_f1": 0.61, "macro_f1": ...}`.

    For intervals use `clinragen.evaluation.metrics`, which needs the subjects.
    """

    def _info(self) -> evaluate.MetricInfo:
        rows = datasets.Sequence(datasets.Value("int32"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": rows, "references": rows}),
        )

    def _compute(self, predictions: list[list[int]], references: list[list[int]]) -> dict[str, float]:
        # Point values need no resample; the smallest allowed number keeps the rules in one place.
        bootstrap = Bootstrap(range(len(references)), resamples=MIN_RESAMPLES)
        scores = system_scores(np.array(references), np.array(predictions), bootstrap)
        return {name: score["value"] for name, score in scores.items() if isinstance(score, dict)}

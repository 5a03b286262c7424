"""The measured results of a model for the head of its card, as the Hub's `model-index` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CONFIDENCE = 0.95
SCORES = {
    "micro_f1": ("f1", "Micro F1"),
    "macro_f1": ("f1", "Macro F1"),
    "micro_auroc": ("roc_auc", "Micro AUROC"),
    "macro_auroc": ("roc_auc", "Macro AUROC"),
    "calibration_error": ("expected_calibration_error", "Expected calibration error"),
}
"""By score of metrics.json, the metric's id and name; those that were not measured are left out."""
TEXTS = {"shown": "as shown", "raw": "as written"}


def eval_results(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[EvalResult]:
    """Scores of the diagnoses, and rates of contradicted claims and of omitted evidence, each with its interval.

    Args:
        metrics: The evaluation's metrics.json.
        provenance: The cohort's provenance.json; names the data set.

    Returns:
        Results with a value; the interval is in `metric_args`, as `low` and `high` at `confidence_level`.
    """
    from huggingface_hub import EvalResult

    about: dict[str, Any] = {
        # Of a source's releases one may be synthetic.
        "dataset_type": str(provenance.get("release", provenance.get("source", "unknown"))),
        "dataset_name": str(provenance.get("title", "a source that is not recorded")),
        "dataset_split": "test",
    }

    def result(task: tuple[str, str], metric: tuple[str, str], score: Mapping[str, Any]) -> EvalResult:
        return EvalResult(
            **about,
            task_type=task[0],
            task_name=task[1],
            metric_type=metric[0],
            metric_name=metric[1],
            metric_value=score["value"],
            metric_args={"confidence_level": CONFIDENCE, "low": score["low"], "high": score["high"]},
        )

    diagnosis = ("text-classification", "Diagnosis from a note and a series, several diseases each")
    rationale = ("text-generation", "Rationale from a note and a series")
    full = metrics["systems"]["full"]
    found = [
        result(diagnosis, metric, full[name])
        for name, metric in SCORES.items()
        if full.get(name) is not None and full[name]["value"] is not None
    ]
    rates = _rates(metrics.get("rationale", {}).get("full", {}))
    return found + [result(rationale, metric, rate) for metric, rate in rates.items() if rate["value"] is not None]


def _rates(entries: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for text, said in TEXTS.items():
        if "claims" in entries:
            contradicted = entries["claims"][text]["data"]["contradicted"]
            found[f"claims_contradicted_{text}", f"Claims that the data contradict, {said}"] = contradicted
        for source in ("note", "series") if entries.get("evidence") is not None else ():
            cited = entries["evidence"][text][source]["present"]
            name = f"Present diseases whose evidence in the {source} is not cited, {said}"
            found[f"omission_{source}_{text}", name] = _rest(cited)
    return found


def _rest(share: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of a whole."""
    if share["value"] is None:
        return {"value": None, "low": None, "high": None}
    return {"value": 1 - share["value"], "low": 1 - share["high"], "high": 1 - share["low"]}

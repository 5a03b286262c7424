"""Stage `rescore`: the scores of an evaluation, computed anew from its saved predictions, without a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.evaluation.config import RescoreConfig
from clinragen.pipeline.scored_cohort import SAVED_ANSWERS, read_scored_cohort
from clinragen.pipeline.stage import StageKind
from dataset_builder.contract.truth import TRUTH
from dataset_builder.storage.progress import Report

logger = logging.getLogger(__name__)

RESCORE = StageKind(
    "rescore",
    RescoreConfig,
    "clinragen.pipeline.rescore",
    reads={"evaluation": SAVED_ANSWERS, "truth": (f"*{TRUTH}",)},
)


def run(config: RescoreConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Score the predictions of the input `evaluation` on the inputs `cohort`, `knowledge` and `truth`.

    With the same inputs and settings as in the evaluation, metrics, report and figures are the same to the byte.
    """
    from clinragen.evaluation.predictions import read_predictions
    from clinragen.evaluation.scoring import score_predictions
    from dataset_builder.storage.governance import carry_provenance, read_provenance, write_provenance

    folder = Path(inputs["evaluation"])
    predictions = read_predictions(folder)
    scored = read_scored_cohort(inputs, rationales=not config.diagnosis_only)
    predictions.require_cohort(scored.cohort, str(folder))
    if predictions.truth and scored.truth is None and not config.diagnosis_only:
        logger.warning("%s: was scored with a truth; without --truth, omissions are not counted against it", folder)
    parents = [scored.cohort.provenance, read_provenance(folder)]
    write_provenance(output, carry_provenance(parents, "rescore", {}))
    score_predictions(
        output,
        scored.cohort,
        predictions,
        config,
        checking=scored.checking,
        truth=scored.truth,
        diagnosis_only=config.diagnosis_only,
        report=report,
    )

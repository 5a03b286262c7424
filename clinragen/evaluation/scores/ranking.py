"""AUROC and AUPRC of probabilities, pooled (micro) and as mean over the diseases (macro), and how true they are."""

from __future__ import annotations

import numpy as np

from clinragen.evaluation.score_types import RankingScore


def _mean(by_disease: np.ndarray) -> np.ndarray:
    """The mean over the diseases for which a score is defined, anew in each resample; NaN where there is none."""
    defined = ~np.isnan(by_disease)
    counted = defined.sum(axis=-1)
    total = np.where(defined, by_disease, 0.0).sum(axis=-1)
    return np.divide(total, counted, out=np.full(len(total), np.nan), where=counted > 0)


RANKING = (
    RankingScore("micro_auroc", "micro AUROC", lambda ranked: ranked.pooled.auroc),
    RankingScore("macro_auroc", "macro AUROC", lambda ranked: _mean(ranked.by_disease.auroc)),
    RankingScore("micro_auprc", "micro AUPRC", lambda ranked: ranked.pooled.auprc),
    RankingScore("macro_auprc", "macro AUPRC", lambda ranked: _mean(ranked.by_disease.auprc)),
    RankingScore("calibration_error", "calibration error", lambda ranked: ranked.calibration_error),
    RankingScore("brier", "Brier score", lambda ranked: ranked.brier),
)

"""Mean and standard deviation of the summary statistics over the training split."""

from __future__ import annotations

import torch

from dataset_builder.contract.arrays import series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.summary_encoder_clinragen import MISSING, summary_statistics

_BATCH = 256
_LEAST_DEVIATION = 1e-3
"""Below it a statistic is the same for every patient, and dividing by it would only enlarge rounding."""


def summary_scaling(
    cohort: CohortSplits, extractor: ClinRaGenLabFeatureExtractor, bounds: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How to standardise the summary statistics of each variable.

    Args:
        cohort: Of which the training split is read.
        extractor: Makes the lab features.
        bounds: Normal ranges, see `summary_statistics`.

    Returns:
        Centre and scale, each `(variables, len(SUMMARY_STATISTICS))`: mean and standard deviation over the patients
        for whom the variable was measured; 0 and 1 for the flag "missing", and a scale of 1 where all are equal.
    """
    all_series = series_column(cohort["train"])
    tables = []
    for start in range(0, len(all_series), _BATCH):
        features = extractor(all_series[start : start + _BATCH], return_tensors="pt")
        tables.append(summary_statistics(features["lab_features"].float(), features["lab_mask"], bounds))
    table = torch.cat(tables)
    measured = (1 - table[..., MISSING, None]).double()
    count = measured.sum(0).clamp(min=1)
    centre = (table * measured).sum(0) / count
    scale = (((table - centre) ** 2 * measured).sum(0) / count).sqrt()
    centre[:, MISSING], scale[:, MISSING] = 0.0, 1.0
    return centre.float(), torch.where(scale < _LEAST_DEVIATION, 1.0, scale).float()

"""From measurements in physical units to what the lab encoder reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.feature_extraction_utils import FeatureExtractionMixin

from .errors import ModelInputError, SettingsError

STEP_FEATURES = 4
CLIP = 8.0


class ClinRaGenLabFeatureExtractor(FeatureExtractionMixin):
    r"""Describes every variable at every step by four numbers, and says how many positions a series takes.

    For each step and variable: the last value measured so far, normalised by fixed statistics so that levels stay
    comparable between patients (0 before the first measurement); whether it was measured at this very step; its
    freshness `exp(-age / freshness_hours)` (0 before the first measurement); and the time since ICU admission in days.
    Nothing is imputed in the data itself: a value that was never measured is never seen.

    Args:
        variables: Keys of the variables, in order.
        units: Their units, in order (kept with the model so that nobody has to guess them).
        means, stds: Fixed normalisation statistics, in those units, from the training split.
        max_steps: Longest series accepted.
        patch_steps: Steps per lab-encoder patch.
        freshness_hours: Hours after which a value's freshness has fallen to 1/e.
    """

    model_input_names = ["lab_features", "lab_mask"]  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        variables: Sequence[str] = (),
        units: Sequence[str] = (),
        means: Sequence[float] = (),
        stds: Sequence[float] = (),
        max_steps: int = 1000,
        patch_steps: int = 8,
        freshness_hours: float = 6.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        lengths = {len(variables), len(units), len(means), len(stds)}
        if len(lengths) != 1:
            raise SettingsError(
                f"{len(variables)} variables, {len(units)} units, {len(means)} means and {len(stds)} standard "
                "deviations are given; give one of each per variable"
            )
        if any(not std > 0 for std in stds):
            raise SettingsError("every standard deviation must be greater than 0")
        self.variables = list(variables)
        self.units = list(units)
        self.means = [float(mean) for mean in means]
        self.stds = [float(std) for std in stds]
        self.max_steps = max_steps
        self.patch_steps = patch_steps
        self.freshness_hours = freshness_hours

    def num_positions(self, steps: int) -> int:
        """Language-model positions that a series of `steps` steps takes."""
        return math.ceil(steps / self.patch_steps)

    def describe(self, hours: Any, values: Any) -> np.ndarray:
        """Describe one series.

        Args:
            hours: `(steps,)` hours since ICU admission, not falling.
            values: `(steps, variables)` in `units`; NaN or None where nothing was measured.

        Returns:
            `(steps, variables, 4)` float32.

        Raises:
            ModelInputError: Shapes disagree, hours fall or are not numbers, values are infinite, or too many steps.
        """
        hours = np.asarray(hours, dtype=np.float64)
        values = np.asarray(values, dtype=np.float64)
        width = len(self.variables)
        if hours.size == 0 and values.size == 0:
            return np.zeros((0, width, STEP_FEATURES), dtype=np.float32)
        if values.ndim != 2 or values.shape != (hours.shape[0], width):
            raise ModelInputError(
                f"values have the shape {values.shape}; expected ({hours.shape[0]} steps, {width} variables)"
            )
        if values.shape[0] > self.max_steps:
            raise ModelInputError(f"the series has {values.shape[0]} steps; the model takes at most {self.max_steps}")
        if not np.isfinite(hours).all() or (np.diff(hours) < 0).any():
            raise ModelInputError("hours must be numbers that do not fall; sort the series by time")
        if np.isinf(values).any():
            raise ModelInputError("values must be finite; leave out what was not measured")
        observed = ~np.isnan(values)
        scaled = np.clip((values - np.array(self.means)) / np.array(self.stds), -CLIP, CLIP)
        # Index of the step at which each variable was last measured, -1 before its first measurement.
        steps = np.arange(len(hours))[:, None]
        last = np.maximum.accumulate(np.where(observed, steps, -1), axis=0)
        seen = last >= 0
        source = np.maximum(last, 0)
        described = np.zeros((*values.shape, STEP_FEATURES), dtype=np.float32)
        described[..., 0] = np.where(seen, np.take_along_axis(scaled, source, axis=0), 0.0)
        described[..., 1] = observed
        described[..., 2] = np.where(seen, np.exp(-(hours[:, None] - hours[source]) / self.freshness_hours), 0.0)
        described[..., 3] = hours[:, None] / 24.0
        return described

    def __call__(self, series: Sequence[Mapping[str, Any] | None], return_tensors: str | None = None) -> BatchFeature:
        """Describe and pad a batch.

        Args:
            series: For each stay a mapping with `hours` and `values` (see `describe`), or None for no series at all.
            return_tensors: As everywhere in transformers ("pt", "np").

        Returns:
            `lab_features` `(batch, steps, variables, 4)` and boolean `lab_mask` `(batch, steps)`.
        """
        described = [
            self.describe((), ()) if one is None else self.describe(one["hours"], one["values"]) for one in series
        ]
        longest = max((len(one) for one in described), default=0)
        shape = (len(described), longest, len(self.variables), STEP_FEATURES)
        features, mask = np.zeros(shape, dtype=np.float32), np.zeros(shape[:2], dtype=bool)
        for row, one in enumerate(described):
            features[row, : len(one)] = one
            mask[row, : len(one)] = True
        return BatchFeature({"lab_features": features, "lab_mask": mask}, tensor_type=return_tensors)


__all__ = ["ClinRaGenLabFeatureExtractor"]

ClinRaGenLabFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")

"""From measurements in physical units to the lab encoder's features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import BatchFeature
from transformers.feature_extraction_utils import FeatureExtractionMixin

from .configuration_clinragen import STEP_FEATURES
from .errors import ModelInputError, SettingsError
from .hub_guard_clinragen import refuse_hub_writes
from .provenance_clinragen import credentialed_folder
from .vocabulary_clinragen import Vocabulary

CLIP = 8.0


def last_measured(observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every step whether a variable has been measured by then, and the step of its last measurement, else 0.

    Args:
        observed: Whether it was measured at the step, `(steps, variables)`.
    """
    last = np.maximum.accumulate(np.where(observed, np.arange(len(observed))[:, None], -1), axis=0)
    return last >= 0, np.maximum(last, 0)


class ClinRaGenLabFeatureExtractor(FeatureExtractionMixin):
    r"""Describes every variable at every step by four numbers, and gives the number of positions of a series.

    For each step and variable: the last value measured so far, normalised by fixed statistics so that levels stay
    comparable between patients (0 before the first measurement); whether it was measured at this very step; its
    freshness `exp(-age / freshness_hours)` (0 before the first measurement); and the time since ICU admission in days.
    No value is imputed: a variable that was never measured has none.

    In the layout "paper" a variable at a step is one number, its normalised value, and every stay has `max_steps`
    steps, none of them masked: missing values are replaced by `fills`, a longer series is truncated at its end, and
    the last step of a shorter one is repeated. (The authors' code; its normalisation is not published.)

    Args:
        variables: Keys of the variables, in order.
        units: Their units, in order; the saved model documents them.
        means, stds: Fixed normalisation statistics, in those units, from the training split.
        max_steps: Maximum length of a series, in steps.
        patch_steps: Steps per lab-encoder patch.
        freshness_hours: Hours after which a value's freshness has fallen to 1/e.
        lab_layout: "patches" or "paper".
        fills: For the layout "paper", the replacement of a missing value of each variable, in its unit.
    """

    model_input_names = ["lab_features", "lab_mask"]  # noqa: RUF012 (transformers' convention)

    def __init__(  # noqa: PLR0913 (configs of transformers' kind)
        self,
        variables: Sequence[str] = (),
        units: Sequence[str] = (),
        means: Sequence[float] = (),
        stds: Sequence[float] = (),
        max_steps: int = 1000,
        patch_steps: int = 8,
        freshness_hours: float = 6.0,
        lab_layout: str = "patches",
        fills: Sequence[float] = (),
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
        if lab_layout not in STEP_FEATURES:
            raise SettingsError(f"unknown lab_layout '{lab_layout}'; choose one of {', '.join(STEP_FEATURES)}")
        if lab_layout == "paper" and len(fills) != len(variables):
            raise SettingsError(f"{len(variables)} variables but {len(fills)} fills are given; give one for each")
        self.variables = list(variables)
        self.units = list(units)
        self.means = [float(mean) for mean in means]
        self.stds = [float(std) for std in stds]
        self.max_steps = max_steps
        self.patch_steps = patch_steps
        self.freshness_hours = freshness_hours
        self.lab_layout = lab_layout
        self.fills = [float(fill) for fill in fills]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers. One from credentialed data keeps the process off the Hub (see `refuse_hub_writes`)."""
        if Path(pretrained_model_name_or_path).is_dir() and credentialed_folder(pretrained_model_name_or_path):
            refuse_hub_writes()
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def require_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Raise `SettingsError` where a vocabulary's variables or units are other ones, with both lists."""
        own = [f"{variable.key} ({variable.unit})" for variable in vocabulary.variables]
        read = [f"{key} ({unit})" for key, unit in zip(self.variables, self.units, strict=True)]
        if own != read:
            raise SettingsError(
                f"the processor's vocabulary has the variables {', '.join(own)} but its feature extractor reads "
                f"{', '.join(read)}; make both from one vocabulary"
            )

    @property
    def step_features(self) -> int:
        """Numbers that describe one variable at one step."""
        return STEP_FEATURES[self.lab_layout]

    def num_positions(self, steps: int) -> int:
        """Language-model positions that a series of `steps` steps takes."""
        return math.ceil((self.max_steps if self.lab_layout == "paper" else steps) / self.patch_steps)

    def patch_hours(self, hours: Any) -> np.ndarray:
        """The hours since ICU admission of the first and the last step in each patch, `(patches, 2)`.

        Where the layout "paper" repeats the last step, its hour is repeated; without any step the hours are NaN.
        """
        hours = np.asarray(hours, dtype=np.float64)
        patches = self.num_positions(len(hours))
        if not hours.size:
            return np.full((patches, 2), np.nan)
        first = np.arange(patches) * self.patch_steps
        steps = np.stack((first, first + self.patch_steps - 1), axis=1)
        return hours[np.minimum(steps, min(len(hours), self.max_steps) - 1)]

    def describe(self, hours: Any, values: Any) -> np.ndarray:
        """Describe one series, as `checked` takes it: `(steps, variables, step_features)` float32.

        Raises:
            ModelInputError: As `checked`.
        """
        hours, values = self.checked(hours, values)
        if self.lab_layout == "paper":
            return self._filled(values)
        observed = ~np.isnan(values)
        scaled = self._scaled(values)
        seen, source = last_measured(observed)
        described = np.zeros((*values.shape, self.step_features), dtype=np.float32)
        described[..., 0] = np.where(seen, np.take_along_axis(scaled, source, axis=0), 0.0)
        described[..., 1] = observed
        described[..., 2] = np.where(seen, np.exp(-(hours[:, None] - hours[source]) / self.freshness_hours), 0.0)
        described[..., 3] = hours[:, None] / 24.0
        return described

    def checked(self, hours: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
        """One series as arrays of float64, `(steps,)` and `(steps, variables)`.

        Args:
            hours: `(steps,)` hours since ICU admission, in ascending order.
            values: `(steps, variables)` in `units`; NaN or None where not measured.

        Raises:
            ModelInputError: Shapes disagree, hours are not ascending numbers, values are infinite, or there are too
                many steps.
        """
        hours = np.asarray(hours, dtype=np.float64)
        values = np.asarray(values, dtype=np.float64)
        width = len(self.variables)
        if hours.size == 0 and values.size == 0:
            values = values.reshape(0, width)
        if values.ndim != 2 or values.shape != (hours.shape[0], width):
            raise ModelInputError(
                f"values have the shape {values.shape}; expected ({hours.shape[0]} steps, {width} variables)"
            )
        if values.shape[0] > self.max_steps and self.lab_layout != "paper":
            raise ModelInputError(f"the series has {values.shape[0]} steps; the model reads at most {self.max_steps}")
        if not np.isfinite(hours).all() or (np.diff(hours) < 0).any():
            raise ModelInputError("hours must be numbers in ascending order; sort the series by time")
        if np.isinf(values).any():
            raise ModelInputError("values must be finite; give NaN or None where nothing was measured")
        return hours, values

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return np.clip((values - np.array(self.means)) / np.array(self.stds), -CLIP, CLIP)

    def _filled(self, values: np.ndarray) -> np.ndarray:
        # A stay without any step consists of fill values.
        rows = values[: self.max_steps] if len(values) else np.full((1, len(self.variables)), np.nan)
        scaled = self._scaled(np.where(np.isnan(rows), self.fills, rows))
        return np.pad(scaled, ((0, self.max_steps - len(rows)), (0, 0)), mode="edge")[..., None].astype(np.float32)

    def __call__(self, series: Sequence[Mapping[str, Any] | None], return_tensors: str | None = None) -> BatchFeature:
        """Describe and pad a batch.

        Args:
            series: For each stay a mapping with `hours` and `values` (see `checked`), or None for no series.
            return_tensors: As everywhere in transformers ("pt", "np").

        Returns:
            `lab_features` `(batch, steps, variables, step_features)` and boolean `lab_mask` `(batch, steps)`.
        """
        return self.pad([self.describe_one(one) for one in series], return_tensors)

    def describe_one(self, series: Mapping[str, Any] | None) -> np.ndarray:
        """Describe a series with `hours` and `values`, or the absence of one (see `checked`)."""
        return self.describe((), ()) if series is None else self.describe(series["hours"], series["values"])

    def pad(self, described: Sequence[np.ndarray], return_tensors: str | None = None) -> BatchFeature:
        """Pad series that have been described; the result is that of `__call__`."""
        longest = max((len(one) for one in described), default=0)
        shape = (len(described), longest, len(self.variables), self.step_features)
        features, mask = np.zeros(shape, dtype=np.float32), np.zeros(shape[:2], dtype=bool)
        for row, one in enumerate(described):
            features[row, : len(one)] = one
            mask[row, : len(one)] = True
        return BatchFeature({"lab_features": features, "lab_mask": mask}, tensor_type=return_tensors)


__all__ = ["ClinRaGenLabFeatureExtractor", "last_measured"]

ClinRaGenLabFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")

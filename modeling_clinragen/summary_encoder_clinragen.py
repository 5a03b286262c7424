"""Summary tokens: one vector per variable that keeps its levels, extremes and times, which patches average out."""

from __future__ import annotations

import torch
from torch import nn
from transformers import initialization as init

from .configuration_clinragen import ClinRaGenConfig

SUMMARY_STATISTICS = (
    "log_count",
    "share_observed",
    "missing",
    "first",
    "last",
    "minimum",
    "maximum",
    "mean",
    "deviation",
    "slope",
    "share_low",
    "share_high",
    "day_first",
    "day_last",
    "day_minimum",
    "day_maximum",
)
"""Of one variable's series: values in standard deviations of the training split, times in days since admission."""
SLOPE_LIMIT = 8.0
NO_BOUND = 1e4
"""Farther than any normalised value: the bound of a variable without a range, finite as all weights must be."""


def summary_statistics(lab_features: torch.Tensor, lab_mask: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Statistics of every variable's readings, from the features that the lab encoder reads.

    Args:
        lab_features: `(batch, steps, variables, 4)` of the layout "patches": the last value so far, whether it was
            measured at this step, its freshness, and days since admission.
        lab_mask: `(batch, steps)`, true where a step belongs to the stay.
        bounds: Normal range of each variable, `(variables, 2)`, normalised as the values are; `NO_BOUND` without one.

    Returns:
        `(batch, variables, len(SUMMARY_STATISTICS))`, in the order of `SUMMARY_STATISTICS`; 0 where a variable was
        not measured, but for "missing", which is then 1.
    """
    # One more padded step, so that there is one also where no patient of the batch has a series.
    lab_features, lab_mask = nn.functional.pad(lab_features, (0, 0, 0, 0, 0, 1)), nn.functional.pad(lab_mask, (0, 1))
    values, days = lab_features[..., 0], lab_features[..., 3]
    seen = lab_features[..., 1].bool() & lab_mask.bool()[:, :, None]
    weight = seen.to(values.dtype)
    count = weight.sum(1)
    some = count > 0
    total = count.clamp(min=1)
    steps = lab_mask.to(values.dtype).sum(1, keepdim=True).clamp(min=1)
    mean = (values * weight).sum(1) / total
    spread = (values - mean[:, None]) * weight
    mean_day = (days * weight).sum(1) / total
    centred = (days - mean_day[:, None]) * weight
    variance = (centred**2).sum(1)
    slope = torch.where(variance > 1e-6, (centred * spread).sum(1) / variance.clamp(min=1e-6), 0.0)
    infinite = torch.finfo(values.dtype).max
    least, at_least = values.masked_fill(~seen, infinite).min(1)
    greatest, at_greatest = values.masked_fill(~seen, -infinite).max(1)
    # The first of equal positions is the first reading; flipped, it is the last one.
    at_first = weight.argmax(1)
    at_last = weight.shape[1] - 1 - weight.flip(1).argmax(1)

    def at(source: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        return source.gather(1, place[:, None]).squeeze(1)

    columns = (
        torch.log1p(count),
        count / steps,
        (~some).to(values.dtype),
        at(values, at_first),
        at(values, at_last),
        least,
        greatest,
        mean,
        ((spread**2).sum(1) / total).sqrt(),
        slope.clamp(-SLOPE_LIMIT, SLOPE_LIMIT),
        ((values < bounds[:, 0]) & seen).to(values.dtype).sum(1) / total,
        ((values > bounds[:, 1]) & seen).to(values.dtype).sum(1) / total,
        at(days, at_first),
        at(days, at_last),
        at(days, at_least),
        at(days, at_greatest),
    )
    table = torch.stack(columns, dim=-1)
    missing = torch.zeros(len(SUMMARY_STATISTICS), device=table.device, dtype=table.dtype)
    missing[SUMMARY_STATISTICS.index("missing")] = 1.0
    return torch.where(some[..., None], table, missing)


class ClinRaGenSummaryEncoder(nn.Module):
    """Turns the statistics of each variable into one language-model-width vector.

    Every variable has its own first layer, since a level means something else in each; the second layer is shared.

    Attributes:
        bounds: Normal range of each variable, `(variables, 2)`, normalised as its values are.
    """

    bounds: torch.Tensor

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__()
        variables, hidden = config.lab_config.num_input_channels, config.lab_summary_width
        self.register_buffer("bounds", torch.zeros(variables, 2))
        self.weight = nn.Parameter(torch.empty(variables, len(SUMMARY_STATISTICS), hidden))
        self.bias = nn.Parameter(torch.empty(variables, hidden))
        self.output = nn.Linear(hidden, config.text_width)
        self.variable = nn.Parameter(torch.empty(variables, config.text_width))

    def reset_parameters(self) -> None:
        """Initialise all but the linear layer; without ranges no reading is low or high."""
        init.normal_(self.weight, mean=0.0, std=self.weight.shape[1] ** -0.5)
        init.zeros_(self.bias)
        init.normal_(self.variable, mean=0.0, std=1.0)
        init.copy_(self.bounds, torch.tensor([-NO_BOUND, NO_BOUND]).expand_as(self.bounds))

    def forward(self, lab_features: torch.Tensor, lab_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Summarise a batch of series.

        Args:
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.

        Returns:
            Vectors `(batch, variables, width)` and their mask `(batch, variables)`: false only where there is no step.
        """
        statistics = summary_statistics(lab_features.float(), lab_mask, self.bounds.float())
        hidden = torch.einsum("bvs,vsh->bvh", statistics.to(self.weight.dtype), self.weight) + self.bias
        vectors = self.output(nn.functional.gelu(hidden)) + self.variable
        return vectors, lab_mask.bool().any(1, keepdim=True).expand(-1, vectors.shape[1])


__all__ = ["NO_BOUND", "SUMMARY_STATISTICS", "ClinRaGenSummaryEncoder", "summary_statistics"]

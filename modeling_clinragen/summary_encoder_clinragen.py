"""Summary tokens: one vector per variable that keeps its levels, extremes and times, which patches average out."""

from __future__ import annotations

import torch
from torch import nn
from transformers import initialization as init

from .configuration_clinragen import ClinRaGenConfig

QUARTERS = 4
QUARTER_STATISTICS = ("share", "mean", "minimum", "maximum", "deviation")
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
    "step_mean",
    "step_maximum",
    *(f"{name}_{quarter}" for quarter in range(1, QUARTERS + 1) for name in QUARTER_STATISTICS),
)
"""Of one variable's series: values in standard deviations of the training split, times in days since admission.

A step is the distance from one reading to the next. The quarters of the time from admission to the stay's last
reading have statistics of their own, as sub-periods have in Harutyunyan et al. 2019 (mimic3-benchmarks): "share" is
that of the readings that lie in the quarter; mean, minimum and maximum are distances from the mean of the whole
series, so that a course shows however small it is beside the differences between patients.
"""
MISSING = SUMMARY_STATISTICS.index("missing")
SLOPE_LIMIT = 8.0
STATISTIC_LIMIT = 6.0
"""Beyond as many standard deviations of the training split a statistic says no more."""
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
    # Two more padded steps, so that there are two also where no patient of the batch has a series.
    lab_features, lab_mask = nn.functional.pad(lab_features, (0, 0, 0, 0, 0, 2)), nn.functional.pad(lab_mask, (0, 2))
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

    columns = [
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
    ]
    # Where a variable was not measured, its last value stands on: from step to step it changes with a reading only.
    again = seen[:, 1:] & (weight.cumsum(1)[:, :-1] > 0)
    steps_taken = (values[:, 1:] - values[:, :-1]).abs() * again
    columns += [steps_taken.sum(1) / again.sum(1).clamp(min=1), steps_taken.amax(1)]
    columns += _of_quarters(values - mean[:, None], seen, days, total)
    table = torch.stack(columns, dim=-1)
    missing = torch.zeros(len(SUMMARY_STATISTICS), device=table.device, dtype=table.dtype)
    missing[MISSING] = 1.0
    return torch.where(some[..., None], table, missing)


def _of_quarters(
    values: torch.Tensor, seen: torch.Tensor, days: torch.Tensor, total: torch.Tensor
) -> list[torch.Tensor]:
    """`QUARTER_STATISTICS` of each quarter; values (their mean is 0), seen and days `(batch, steps, variables)`."""
    last = (days * seen.any(-1, keepdim=True)).amax((1, 2), keepdim=True).clamp(min=1e-6)
    quarters = (days * QUARTERS / last).long().clamp(max=QUARTERS - 1)
    infinite = torch.finfo(values.dtype).max
    columns: list[torch.Tensor] = []
    for quarter in range(QUARTERS):
        here = seen & (quarters == quarter)
        count = here.to(values.dtype).sum(1)
        divisor = count.clamp(min=1)
        mean = (values * here).sum(1) / divisor
        squares = ((values - mean[:, None]) ** 2 * here).sum(1)
        extremes = (values.masked_fill(~here, infinite).amin(1), values.masked_fill(~here, -infinite).amax(1))
        low, high = (torch.where(count > 0, extreme, 0.0) for extreme in extremes)
        columns += [count / total, mean, low, high, (squares / divisor).sqrt()]
    return columns


class ClinRaGenSummaryEncoder(nn.Module):
    """Turns the statistics of each variable into one language-model-width vector.

    Every variable has its own first layer, since a level means something else in each; the second layer is shared.
    Each statistic is standardised: a gain of two kilograms is a tenth of the differences in weight between patients,
    but several standard deviations of what patients gain.

    Attributes:
        bounds: Normal range of each variable, `(variables, 2)`, normalised as its values are.
        centre, scale: Mean and standard deviation of each statistic over the training split, `(variables,
            len(SUMMARY_STATISTICS))`.
    """

    bounds: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__()
        variables, hidden = config.lab_config.num_input_channels, config.lab_summary_width
        statistics = len(SUMMARY_STATISTICS)
        self.register_buffer("bounds", torch.zeros(variables, 2))
        self.register_buffer("centre", torch.zeros(variables, statistics))
        self.register_buffer("scale", torch.ones(variables, statistics))
        self.weight = nn.Parameter(torch.empty(variables, statistics, hidden))
        self.bias = nn.Parameter(torch.empty(variables, hidden))
        self.output = nn.Linear(hidden, config.text_width)
        self.variable = nn.Parameter(torch.empty(variables, config.text_width))

    def reset_parameters(self) -> None:
        """Initialise all but the linear layer; without ranges no reading is low or high, no statistic is scaled."""
        init.normal_(self.weight, mean=0.0, std=self.weight.shape[1] ** -0.5)
        init.zeros_(self.bias)
        init.normal_(self.variable, mean=0.0, std=1.0)
        init.copy_(self.bounds, torch.tensor([-NO_BOUND, NO_BOUND]).expand_as(self.bounds))
        init.zeros_(self.centre)
        init.ones_(self.scale)

    def standardised(self, statistics: torch.Tensor) -> torch.Tensor:
        """The first layer's input, `(batch, variables, len(SUMMARY_STATISTICS))`: 0 where nothing was measured.

        The flag "missing" stays as it is.
        """
        missing = statistics[..., MISSING, None]
        scaled = ((statistics - self.centre) / self.scale).clamp(-STATISTIC_LIMIT, STATISTIC_LIMIT)
        scaled = torch.where(missing > 0, 0.0, scaled)
        return torch.cat([scaled[..., :MISSING], missing, scaled[..., MISSING + 1 :]], dim=-1)

    def forward(self, lab_features: torch.Tensor, lab_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Summarise a batch of series.

        Args:
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.

        Returns:
            Vectors `(batch, variables, width)` and their mask `(batch, variables)`: false only where there is no step.
        """
        statistics = self.standardised(summary_statistics(lab_features.float(), lab_mask, self.bounds.float()))
        hidden = torch.einsum("bvs,vsh->bvh", statistics.to(self.weight.dtype), self.weight) + self.bias
        vectors = self.output(nn.functional.gelu(hidden)) + self.variable
        return vectors, lab_mask.bool().any(1, keepdim=True).expand(-1, vectors.shape[1])


__all__ = ["MISSING", "NO_BOUND", "SUMMARY_STATISTICS", "ClinRaGenSummaryEncoder", "summary_statistics"]

"""The disease head: one query per disease reads the hidden states and answers how probable the disease is."""

from __future__ import annotations

import torch
from torch import nn
from transformers import initialization as init

from .configuration_clinragen import ClinRaGenConfig

MODALITIES = ("both", "note", "labs")
"""What a patient may be given by; each has its own calibration."""


class ClinRaGenDiseaseHead(nn.Module):
    """Queries of the diseases attend to the hidden states of a note and a series; each gives one logit.

    With `disease_head_pooled` a linear layer adds its logits. It reads how far the highest and lowest state of each
    dimension lie from the mean, in standard deviations of the patient's own states. The states of pretrained language
    models have a few dimensions that are far larger than all others and nearly constant; among these the queries take
    many examples to find what tells a disease, a linear layer on such ranges a few hundred.

    Not in the paper, whose decoder alone lists the diseases.

    Attributes:
        temperatures: What logits are divided by, `(modalities,)`, in the order of `MODALITIES`.
        thresholds: From which probability on a disease is listed, `(modalities, diseases)`.
    """

    temperatures: torch.Tensor
    thresholds: torch.Tensor

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__()
        width, diseases = config.text_width, len(config.diseases)
        self.heads = config.disease_heads
        self.queries = nn.Parameter(torch.empty(diseases, width))
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.up_proj = nn.Linear(width, 2 * width)
        self.down_proj = nn.Linear(2 * width, width)
        self.last_norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.empty(diseases, width))
        self.bias = nn.Parameter(torch.empty(diseases))
        self.pooled = nn.Parameter(torch.empty(diseases, 2 * width)) if config.disease_head_pooled else None
        self.register_buffer("temperatures", torch.ones(len(MODALITIES)))
        self.register_buffer("thresholds", torch.full((len(MODALITIES), diseases), 0.5))

    def reset_parameters(self) -> None:
        """Initialise all but the linear layers and norms."""
        init.normal_(self.queries, mean=0.0, std=1.0)
        init.zeros_(self.weight)
        init.zeros_(self.bias)
        if self.pooled is not None:
            init.zeros_(self.pooled)
        init.ones_(self.temperatures)
        init.constant_(self.thresholds, 0.5)

    @torch.no_grad()
    def start_from(self, queries: torch.Tensor, prevalence: torch.Tensor) -> None:
        """Begin the training with something known of each disease.

        Args:
            queries: The mean embedding of a disease's name and terms, `(diseases, width)`; its scale is set to 1.
            prevalence: Share of the training patients who have the disease, `(diseases,)`.
        """
        spread = queries.std(dim=-1, keepdim=True).clamp(min=1e-6)
        self.queries.copy_((queries - queries.mean(dim=-1, keepdim=True)) / spread)
        self.bias.copy_(torch.logit(prevalence.clamp(1e-3, 1 - 1e-3)))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the diseases, `(batch, diseases)`, before any calibration; see `read`."""
        return self.read(states, mask)[0]

    def read(self, states: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the diseases before any calibration, and what each disease's query attends to.

        Args:
            states: Hidden states `(batch, positions, width)`.
            mask: Which of the positions are not padding, `(batch, positions)`.

        Returns:
            Logits `(batch, diseases)` and attention weights `(batch, heads, diseases, positions)`.
        """
        states = states.to(self.q_proj.weight.dtype)
        query = self._split(self.q_proj(self.queries)[None])
        scores = query @ self._split(self.k_proj(states)).transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = scores.float().masked_fill(~mask.bool()[:, None, None, :], -torch.inf).softmax(-1)
        attended = weights.to(states.dtype) @ self._split(self.v_proj(states))
        hidden = self.norm(self.queries + self.out_proj(attended.transpose(1, 2).flatten(2)))
        hidden = self.last_norm(hidden + self.down_proj(nn.functional.gelu(self.up_proj(hidden))))
        logits = (hidden * self.weight).sum(-1) + self.bias
        if self.pooled is not None:
            logits = logits + nn.functional.linear(ranges(states, mask.bool()), self.pooled)
        return logits.float(), weights

    def _split(self, vectors: torch.Tensor) -> torch.Tensor:
        # (batch, positions, width) -> (batch, heads, positions, head_width)
        return vectors.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def ranges(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How far the highest and the lowest state of each dimension lie from the mean, in standard deviations.

    Neither a dimension's offset nor its scale counts.

    Args:
        states: Hidden states `(batch, positions, width)`.
        mask: Which of the positions are not padding, boolean `(batch, positions)`.

    Returns:
        Both of every dimension, `(batch, 2 * width)`, with mean 0 and standard deviation 1 within each row.
    """
    there, count = mask[..., None], mask.sum(dim=1)[:, None]
    exact = states.float()
    mean = exact.masked_fill(~there, 0).sum(dim=1) / count
    variance = ((exact - mean[:, None]) ** 2).masked_fill(~there, 0).sum(dim=1) / count
    deviation = (variance + 1e-6).sqrt()
    highest = exact.masked_fill(~there, -torch.inf).amax(dim=1) - mean
    lowest = mean - exact.masked_fill(~there, torch.inf).amin(dim=1)
    both = torch.cat([highest / deviation, lowest / deviation], dim=-1)
    return nn.functional.layer_norm(both, both.shape[-1:]).to(states.dtype)


__all__ = ["MODALITIES", "ClinRaGenDiseaseHead"]

"""Probabilities of diseases, from the likelihood of the texts that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .errors import ModelInputError, SettingsError
from .processing_clinragen import IGNORED, ClinRaGenProcessor


@torch.no_grad()
def score_diseases(
    model: Any,
    processor: ClinRaGenProcessor,
    inputs: dict[str, torch.Tensor],
    lists: Sequence[Sequence[str]],
    *,
    sequences: int = 1024,
) -> torch.Tensor:
    """How probable each disease is, given the patient and the other diseases of a list.

    For every disease two lists are scored with teacher forcing: the given one with the disease and the given one
    without it. Their likelihood ratio is the disease's odds, given the others: the model's own conditional
    probability, whatever the order of the list and however many tokens a name has. One batched pass scores all of a
    patient's lists; the patient is read once.

    Args:
        model: A ClinRaGen model of the diagnosis-first layout whose config names the diseases.
        processor: Its processor.
        inputs: What the processor made of the patients, without labels.
        lists: For every patient the diseases that are taken as given, for instance those it generated.
        sequences: How many lists are scored at once; only memory and time depend on it.

    Returns:
        Probabilities `(batch, diseases)`, in the order of `model.config.diseases`.

    Raises:
        ModelInputError: A listed disease is not one of the configuration's.
        SettingsError: The configuration names no disease, or the layout is rationale-first: what then stands before
            the list is a rationale for one particular list.
    """
    diseases = model.config.diseases
    if not diseases:
        raise SettingsError("config.diseases is empty; a model needs named diseases to score them")
    if processor.layout != "diagnosis-first":
        raise SettingsError(
            f"scoring diseases needs the layout diagnosis-first, this processor's is {processor.layout}"
        )
    place = {name: at for at, name in enumerate(diseases)}
    unknown = next((name for names in lists for name in names if name not in place), None)
    if unknown is not None:
        raise ModelInputError(f"'{unknown}' is not one of the model's {len(diseases)} diseases; see config.diseases")
    rows = []
    for names in lists:
        given = {place[name] for name in names}
        toggled = [given, *(given ^ {at} for at in range(len(diseases)))]
        rows.append([processor.list_ids([diseases[at] for at in sorted(kept)]) for kept in toggled])
    longest = max(len(ids) for row in rows for ids in row)
    candidates = torch.full((len(rows), len(diseases) + 1, longest), IGNORED)
    for at, row in enumerate(rows):
        for candidate, ids in enumerate(row):
            candidates[at, candidate, : len(ids)] = torch.tensor(ids)
    scores = model.score_targets(candidates.to(model.device), **inputs, sequences=sequences)
    listed = torch.zeros(len(rows), len(diseases), dtype=torch.bool, device=scores.device)
    for at, names in enumerate(lists):
        listed[at, [place[name] for name in names]] = True
    gain = scores[:, 1:] - scores[:, :1]
    return torch.sigmoid(torch.where(listed, -gain, gain))


__all__ = ["score_diseases"]

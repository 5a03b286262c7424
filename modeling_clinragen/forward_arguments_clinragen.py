"""Arguments of a forward pass that other libraries give: those that are not supported are refused, never swallowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .errors import ModelInputError

NOTHING_TO_SCORE = (
    "forward needs labels to score; call generate to produce text. A Trainer with a label_smoothing_factor takes the "
    "labels out of the batch: label smoothing works with an encoder-decoder whose batches also have decoder_input_ids "
    "(see prepare_decoder_input_ids_from_labels); otherwise set label_smoothing_factor to 0"
)


def refuse_others(others: Mapping[str, Any]) -> None:
    """Refuse arguments that a forward pass does not know.

    PEFT passes everything that some transformers model takes, most of it None, whatever was given.

    Raises:
        ModelInputError: One of them is set.
    """
    for name, value in others.items():
        if value is not None and value is not False:
            raise ModelInputError(f"forward does not take {name}; leave it out")


def require_targets(
    labels: torch.Tensor | None,
    decoder_input_ids: torch.Tensor | None,
    target_weights: torch.Tensor | None,
    *,
    batch: int,
    is_encoder_decoder: bool,
) -> None:
    """Refuse targets that can't be scored.

    Args:
        labels, decoder_input_ids, target_weights: As `ClinRaGenForConditionalGeneration.forward` takes them.
        batch: Number of examples.
        is_encoder_decoder: The kind of language model.

    Raises:
        ModelInputError: There are neither labels nor an encoder-decoder's inputs, or shapes differ.
    """
    if decoder_input_ids is not None and not is_encoder_decoder:
        raise ModelInputError("decoder_input_ids are for encoder-decoders; give a decoder-only model labels")
    if labels is None and (decoder_input_ids is None or target_weights is not None):
        raise ModelInputError(NOTHING_TO_SCORE)
    for name, value in (("labels", labels), ("decoder_input_ids", decoder_input_ids)):
        if value is not None and (value.ndim != 2 or value.shape[0] != batch):
            raise ModelInputError(f"{name} have the shape {tuple(value.shape)} but the batch has {batch}")
    for name, value in (("target_weights", target_weights), ("decoder_input_ids", decoder_input_ids)):
        if value is not None and labels is not None and value.shape != labels.shape:
            raise ModelInputError(
                f"{name} have the shape {tuple(value.shape)} but labels {tuple(labels.shape)}; make them equal"
            )


__all__ = ["refuse_others", "require_targets"]

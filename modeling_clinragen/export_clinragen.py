"""A model as two programs of `torch.export`: one encodes a patient, the other one scores the next tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput


def checks_values() -> bool:
    """Whether code may look at values, to refuse some or to drop padding.

    Not while a program is traced for export: it must do the same with all values.
    """
    return not torch.compiler.is_exporting()


class ExportableEncoder(nn.Module):
    """The part of a model that `torch.export` makes a program of once for each patient.

    Args:
        model: A `ClinRaGenForConditionalGeneration`, which is set to evaluation.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `ClinRaGenForConditionalGeneration.encode`; the program keeps padding, and checks no values."""
        return self.model.encode(input_ids, attention_mask, lab_features, lab_mask)


class ExportableDecoder(nn.Module):
    """The part of a model that `torch.export` makes a program of for every step of writing.

    Args:
        model: A `ClinRaGenForConditionalGeneration`, which is set to evaluation.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, states: torch.Tensor, mask: torch.Tensor, target_ids: torch.Tensor) -> torch.Tensor:
        """The scores of the tokens that come next.

        Args:
            states, mask: As `ExportableEncoder` gives them.
            target_ids: The first tokens of the targets, `(batch, tokens)`. Tokens do not depend on later ones, so
                shorter targets may be filled up with any token.

        Returns:
            Logits of the first token, and of the token after each given one, `(batch, tokens + 1, vocabulary)`.
        """
        model, config = self.model, self.model.config
        if config.is_encoder_decoder:
            start = target_ids.new_full((target_ids.shape[0], 1), config.decoder_start_token_id)
            return model.language_model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=torch.cat((start, target_ids), dim=1),
                use_cache=False,
            ).logits
        inputs, _ = model.continued(states, mask, target_ids)
        logits = model.language_model(**inputs, use_cache=False).logits
        # Packed without gaps, so the targets begin behind the positions that are not padding.
        steps = torch.arange(target_ids.shape[1] + 1, device=mask.device)
        at = mask.sum(dim=1, keepdim=True) - 1 + steps
        return logits.gather(1, at[:, :, None].expand(-1, -1, logits.shape[-1]))


__all__ = ["ExportableDecoder", "ExportableEncoder", "checks_values"]

"""How the authors of ClinRaGen train and generate, reimplemented for comparison; nothing here is their code.

What their public code (github.com/FINNNCS/ClinRaGen) does in the third phase: every note is padded to 1,600 tokens
and attention runs over the padding; every series is padded to 1,000 rows, and its 125 patches, whose rows are
reshaped without a transposition, follow these tokens; a frozen PatchTST of width 768 encodes them; the prototypes are
computed in every step; the whole language model is trained in single precision; the padding of the targets, up to the
longest of a batch, counts in the loss; generation has two beams and no attention mask, and begins with a forward pass
whose loss is only reported.

In their favour, reading and tokenising the files of every example in every step is omitted. Their PatchTST is not
public: three layers of 256 inner units, averaged over the variables, give the 84 to 87 million parameters of the
paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from drawn_examples import Example, padded
from torch import nn
from transformers import PatchTSTConfig, PatchTSTModel, PreTrainedModel

from modeling_clinragen import ClinRaGenConfig, ClinRaGenKnowledgeAttention, ClinRaGenLabFeatureExtractor

SOURCE_TOKENS = 1600
BEAMS = 2
PATCH_STEPS = 8
LEARNING_RATE = 2e-5
WEIGHT_DECAY = 0.05
LAB_ENCODER = {
    "patch_length": PATCH_STEPS,
    "patch_stride": PATCH_STEPS,
    "d_model": 768,
    "ffn_dim": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 16,
    "scaling": None,
    "do_mask_input": False,
}


class AuthorsModel(nn.Module):
    """A language model that reads a padded note and the patches of a padded series.

    Args:
        language_model: Flan-T5, or another encoder-decoder.
        config: Gives the numbers of variables, prototypes, heads and knowledge tokens.
        steps: Rows of every series.
        lab_encoder: Settings of its PatchTST that differ from the authors'; for tests.
    """

    def __init__(
        self, language_model: PreTrainedModel, config: ClinRaGenConfig, steps: int, **lab_encoder: Any
    ) -> None:
        super().__init__()
        self.language_model = language_model
        variables = config.lab_config.num_input_channels
        settings = {**LAB_ENCODER, "num_input_channels": variables, "context_length": steps, **lab_encoder}
        self.lab_encoder = PatchTSTModel(PatchTSTConfig(**settings)).requires_grad_(False)
        self.lab_projection = nn.Linear(settings["d_model"], config.text_width)
        self.knowledge_attention = ClinRaGenKnowledgeAttention(config)
        # A copy that is not trained.
        table = language_model.get_input_embeddings().weight.detach()
        self.register_buffer("knowledge", table[: config.num_knowledge_tokens].clone())

    def read(self, input_ids: torch.Tensor, series: torch.Tensor) -> torch.Tensor:
        """Embeddings of note `(batch, tokens)` and series `(batch, steps, variables)`, one after the other."""
        batch, steps, variables = series.shape
        # The rows of a patch, (8, variables), are reshaped to (variables, 8).
        mixed = series.view(batch, -1, variables, PATCH_STEPS).transpose(2, 3).reshape(batch, steps, variables)
        patches = self.lab_encoder(past_values=mixed).last_hidden_state.mean(dim=1)
        labs, _ = self.knowledge_attention(self.lab_projection(patches), self.knowledge)
        return torch.cat((self.language_model.get_input_embeddings()(input_ids), labs), dim=1)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, series: torch.Tensor, labels: torch.Tensor
    ) -> Any:
        """The language model's output; the loss is a mean over all of `labels`, padding included."""
        embeds = self.read(input_ids, series)
        patches = attention_mask.new_ones(len(embeds), embeds.shape[1] - attention_mask.shape[1])
        mask = torch.cat((attention_mask, patches), dim=1)
        return self.language_model(inputs_embeds=embeds, attention_mask=mask, labels=labels)

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        series: torch.Tensor,
        labels: torch.Tensor | None = None,
        **settings: Any,
    ) -> torch.Tensor:
        """Tokens, generated with `BEAMS` beams; padding is attended to like text.

        The authors' code obtains the embeddings from a complete forward pass; without `labels` it is omitted.
        """
        if labels is not None:
            self(input_ids, attention_mask, series, labels)
        embeds = self.read(input_ids, series)
        return self.language_model.generate(inputs_embeds=embeds, num_beams=BEAMS, **settings)


def authors_batch(
    examples: Sequence[Example], extractor: ClinRaGenLabFeatureExtractor, note_tokens: int | None
) -> dict[str, torch.Tensor]:
    """The inputs of `AuthorsModel.forward`.

    Args:
        examples: The patients.
        extractor: One of the layout "paper", which imputes values and repeats rows.
        note_tokens: Padded length of every note; None for that of the longest one.
    """
    ids = padded([example.note for example in examples], 0, note_tokens)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "series": extractor([example.series for example in examples], return_tensors="pt")["lab_features"][..., 0],
        "labels": padded([example.target for example in examples], 0),
    }

"""ClinRaGen: a LoRA-adapted language model that reads a note and knowledge-augmented lab vectors (ACL 2025)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput, can_return_tuple

from .errors import ModelInputError
from .generation_clinragen import DiseaseListConstraint, score_diseases
from .grounded_clinragen import GroundedConstraint, TargetReader
from .knowledge_map_clinragen import map_knowledge
from .packing_clinragen import MULTIPLE, pack
from .prefix_clinragen import generate_behind
from .pretrained_clinragen import ClinRaGenPreTrainedModel
from .processing_clinragen import IGNORED
from .series_statistics_clinragen import series_statistics, statistic_names

HEAD_MULTIPLE = 512


@dataclass
class ClinRaGenOutput(ModelOutput):
    """Output of a forward pass: loss and logits of the generating class, hidden states and their mask of the body.

    Args:
        loss: Mean negative log-likelihood of the labels that are not -100.
        logits: Encoder-decoder: `(batch, target_tokens, vocabulary)`. Decoder-only: over context and target. None in
            training mode, where only the positions that count are ever computed.
        last_hidden_state: `(batch, positions, width)` over the note's tokens and the lab vectors, without gaps.
        attention_mask: Which of these positions are not padding, `(batch, positions)`.
        knowledge_weights: `(batch, heads, patches, prototypes)` where requested.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    attention_mask: torch.Tensor | None = None
    knowledge_weights: torch.Tensor | None = None


class ClinRaGenModel(ClinRaGenPreTrainedModel):
    """Encodes a note, lab and vital series, or both, to hidden states; it generates nothing.

    `config.text_config` alone decides the language model: an encoder-decoder reads `[note][lab vectors]` in its
    encoder; a decoder-only model reads them as the beginning of a text. The parts are packed without gaps, so that
    neither the amount nor the side of padding changes anything. With `knowledge_fusion="tokens"` the embeddings of the
    knowledge vocabulary follow the lab vectors.
    """

    def get_lab_vectors(
        self, lab_features: torch.Tensor, lab_mask: torch.Tensor, return_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Knowledge-augmented lab vectors (the paper's H, section 3.3).

        Returns:
            `(batch, patches, width)`, their mask `(batch, patches)`, and attention weights where requested.
        """
        vectors, mask = self.lab_encoder(lab_features, lab_mask)
        weights = None
        if self.knowledge_attention is not None:
            knowledge = self.get_input_embeddings()(self.knowledge_token_ids)
            vectors, weights = self.knowledge_attention(vectors, knowledge, return_weights)
        return vectors, mask, weights

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        *,
        return_knowledge_weights: bool = False,
    ) -> ClinRaGenOutput:
        """Encode notes and series.

        Args:
            input_ids, attention_mask: Note and prompt, `(batch, tokens)`, padded on either side.
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.
            return_knowledge_weights: Also return the attention over the prototypes.

        Raises:
            ModelInputError: Neither a note nor a series is given, or shapes do not fit together.
        """
        embeds, mask, weights = self._embed_inputs(
            input_ids, attention_mask, lab_features, lab_mask, return_knowledge_weights
        )
        hidden, mask = self._encode(embeds, mask)
        return ClinRaGenOutput(last_hidden_state=hidden, attention_mask=mask, knowledge_weights=weights)

    def _encode(self, embeds: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # The hidden states of the encoder, or of a decoder-only model's body without its head.
        embeds, mask = pack(embeds, mask, padding_side="right")
        if self.config.is_encoder_decoder:
            output = self.get_encoder()(inputs_embeds=embeds, attention_mask=mask)
        else:
            output = self.get_decoder()(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
        return output.last_hidden_state, mask

    def _embed_inputs(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        lab_features: torch.Tensor | None,
        lab_mask: torch.Tensor | None,
        return_weights: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        # Note tokens, then lab vectors: (batch, tokens + patches, width) and a boolean mask.
        embeds, masks, weights = [], [], None
        if input_ids is not None:
            if attention_mask is None:
                attention_mask = torch.ones_like(input_ids)
            if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape:
                raise ModelInputError(
                    f"attention_mask has the shape {tuple(attention_mask.shape)} and input_ids "
                    f"{tuple(input_ids.shape)}; both are (batch, tokens)"
                )
            embeds.append(self.get_input_embeddings()(input_ids))
            masks.append(attention_mask.bool())
        if lab_features is not None:
            if lab_mask is None:
                raise ModelInputError("lab_features are given without lab_mask (batch, steps); give both")
            vectors, patch_mask, weights = self.get_lab_vectors(lab_features, lab_mask, return_weights)
            embeds.append(vectors)
            masks.append(patch_mask)
            if self.config.knowledge_fusion == "tokens":
                knowledge = self.get_input_embeddings()(self.knowledge_token_ids)
                embeds.append(knowledge.expand(len(vectors), -1, -1))
                masks.append(patch_mask.new_ones(len(vectors), len(knowledge)))
        if not embeds:
            raise ModelInputError("give input_ids (a note), lab_features (a series), or both")
        if len({len(part) for part in embeds}) > 1:
            raise ModelInputError(f"{len(embeds[0])} notes but {len(embeds[1])} series are in the batch")
        mask = torch.cat(masks, dim=1)
        empty = int((~mask.any(dim=1)).sum())
        if empty:
            raise ModelInputError(f"{empty} of {len(mask)} examples are empty: they have neither a token nor a step")
        self._check_length(mask)
        return torch.cat([part.to(embeds[0].dtype) for part in embeds], dim=1), mask, weights

    def _check_length(self, mask: torch.Tensor) -> None:
        limit = self.config.text_max_positions
        if limit is not None and (longest := int(mask.sum(dim=1).max())) > limit:
            raise ModelInputError(
                f"an example needs {longest} positions but this language model has {limit}; lower the processor's "
                "max_source_tokens"
            )


class ClinRaGenForConditionalGeneration(ClinRaGenModel, GenerationMixin):
    """Generates diagnoses and their rationale from a note, lab and vital series, or both (see `ClinRaGenModel`).

    An encoder-decoder writes them in its decoder; a decoder-only model continues its input.
    """

    # The Trainer divides a sum over all accumulated micro-batches by `num_items_in_batch`; forward honours it.
    accepts_loss_kwargs = True

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        target_weights: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        return_knowledge_weights: bool = False,
    ) -> ClinRaGenOutput:
        """Score targets, given notes and series.

        Args:
            input_ids, attention_mask: Note and prompt, `(batch, tokens)`, padded on either side.
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.
            labels: Target tokens `(batch, target_tokens)`, padding as -100.
            target_weights: Loss weight of each target token, `(batch, target_tokens)`; 1 by default.
            num_items_in_batch: Number of target tokens that the loss is averaged over; by default those in `labels`.
            return_knowledge_weights: Also return the attention over the prototypes.

        Raises:
            ModelInputError: Neither a note nor a series is given, or shapes do not fit together.
        """
        if labels is None:
            raise ModelInputError("forward needs labels to score; call generate to produce text")
        embeds, mask, weights = self._embed_inputs(
            input_ids, attention_mask, lab_features, lab_mask, return_knowledge_weights
        )
        if labels.ndim != 2 or labels.shape[0] != embeds.shape[0]:
            raise ModelInputError(f"labels have the shape {tuple(labels.shape)} but the batch has {embeds.shape[0]}")
        if target_weights is not None and target_weights.shape != labels.shape:
            raise ModelInputError(
                f"target_weights have the shape {tuple(target_weights.shape)} but labels {tuple(labels.shape)}"
            )
        if self.config.is_encoder_decoder:
            embeds, mask = pack(embeds, mask, padding_side="right")
            inputs, targets = self._decoder_inputs(labels), labels
            inputs |= {"inputs_embeds": embeds, "attention_mask": mask}
        else:
            inputs, targets = self._continued(embeds, mask, labels)
        # Only counted positions: with targets of different lengths, more than half of the logits would be padding.
        counted = targets != IGNORED
        count = num_items_in_batch if num_items_in_batch is not None else counted.sum().clamp(min=1)
        if self.training:
            logits, losses = None, self._losses(inputs, targets)[counted]
        else:
            logits = self.language_model(**inputs, use_cache=False).logits
            losses = nn.functional.cross_entropy(logits[counted].float(), targets[counted], reduction="none")
        if target_weights is not None:
            # Packing keeps the order of the counted targets.
            losses = losses * target_weights[labels != IGNORED]
        total = losses.sum()
        return ClinRaGenOutput(loss=total / count, logits=logits, knowledge_weights=weights)

    def _decoder_inputs(self, labels: torch.Tensor) -> dict[str, Any]:
        return {"decoder_input_ids": self.language_model.prepare_decoder_input_ids_from_labels(labels=labels)}

    def _continued(
        self, embeds: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
    ) -> tuple[dict[str, Any], torch.Tensor]:
        # Decoder-only: context, then target, without a gap; and the target of every position.
        token_mask = labels != IGNORED
        target_embeds = self.get_input_embeddings()(labels.masked_fill(~token_mask, 0))
        targets = torch.cat((labels.new_full(mask.shape, IGNORED), labels), dim=1)
        mask = torch.cat((mask, token_mask), dim=1)
        self._check_length(mask)
        embeds = torch.cat((embeds, target_embeds.to(embeds.dtype)), dim=1)
        embeds, targets, mask = pack(embeds, targets, mask, padding_side="right")
        targets = torch.cat((targets[:, 1:], targets.new_full((targets.shape[0], 1), IGNORED)), dim=1)
        return {"inputs_embeds": embeds, "attention_mask": mask}, targets

    def _losses(self, inputs: dict[str, Any], targets: torch.Tensor) -> torch.Tensor:
        # Negative log-likelihood of every target `(batch, positions)`, 0 where ignored. Logits are by far the largest
        # tensor of a step, so only counted positions are computed. Language models differ in how they get from hidden
        # states to logits (T5 scales, BART adds a bias, Gemma caps), but all of them call the head: a hook in front
        # of the head selects the positions.
        flat = targets.flatten()
        order = torch.sort((flat != IGNORED).to(torch.uint8), descending=True, stable=True).indices
        counted = int((flat != IGNORED).sum())
        # Rounded up with uncounted positions, so that few different sizes occur: see `pack`.
        chosen = order[: min(-(-counted // HEAD_MULTIPLE) * HEAD_MULTIPLE, len(flat))]
        handle = self.language_model.get_output_embeddings().register_forward_pre_hook(
            lambda _, hidden: (hidden[0].flatten(0, 1)[chosen], *hidden[1:])
        )
        try:
            logits = self.language_model(**inputs, use_cache=False).logits
        finally:
            handle.remove()
        losses = nn.functional.cross_entropy(
            logits.float().flatten(0, -2), flat[chosen], ignore_index=IGNORED, reduction="none"
        )
        return losses.new_zeros(flat.shape).index_put((chosen,), losses).view(targets.shape)

    @torch.no_grad()
    def encode(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The states that generation starts from, so that several texts of a patient need them only once.

        Args:
            input_ids, attention_mask, lab_features, lab_mask: As in `forward`.

        Returns:
            An encoder's hidden states, or a decoder-only model's input embeddings, `(batch, positions, width)`, and
            their mask `(batch, positions)`.
        """
        embeds, mask, _ = self._embed_inputs(input_ids, attention_mask, lab_features, lab_mask, False)
        return self._encode(embeds, mask) if self.config.is_encoder_decoder else (embeds, mask)

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        encoded: tuple[torch.Tensor, torch.Tensor] | None = None,
        target_prefix: torch.Tensor | None = None,
        target_prefix_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Generate target tokens. Takes `forward`'s inputs and every option of transformers' `generate`.

        Args:
            input_ids, attention_mask, lab_features, lab_mask: As in `forward`.
            encoded: The outcome of `encode`, instead of the inputs.
            target_prefix, target_prefix_mask: The first tokens of the targets, `(batch, prefix_tokens)`, which
                generation goes on from, and their mask, padded on the left (see `generate_behind`).
            kwargs: Options of transformers' `generate`.

        Note and series are encoded once; the language model's own `generate` does the rest, so everything that it
        supports (beams, sampling, streaming, static caches) works here. Only generated tokens are returned, and
        `max_length` and `min_length` count only these, with every kind of language model.

        Raises:
            ModelInputError: Prefixes are padded that can't be (see `prefixes_can_be_padded`).
        """
        # transformers' name for the first argument of every model.
        input_ids = kwargs.pop("inputs", input_ids)
        # The Trainer's batches have these beside the inputs.
        for name in ("labels", "target_weights"):
            kwargs.pop(name, None)
        if encoded is None:
            encoded = self.encode(input_ids, attention_mask, lab_features, lab_mask)
        # One merged configuration: transformers accepts either a configuration or single options, not both.
        settings = copy.deepcopy(kwargs.pop("generation_config", None) or self.generation_config)
        kwargs = settings.update(**kwargs)
        kwargs["generation_config"] = settings
        if not self.config.is_encoder_decoder:
            # The language model would count the input embeddings in max_length and min_length.
            settings.max_new_tokens = settings.max_new_tokens or settings.max_length
            settings.min_new_tokens = settings.min_new_tokens or settings.min_length
            settings.max_length = settings.min_length = None
        if target_prefix is not None:
            known = torch.ones_like(target_prefix) if target_prefix_mask is None else target_prefix_mask
            return generate_behind(self.language_model, encoded, target_prefix, known, **kwargs)
        states, mask = encoded
        if self.config.is_encoder_decoder:
            states = BaseModelOutput(last_hidden_state=states)
            return self.language_model.generate(encoder_outputs=states, attention_mask=mask, **kwargs)
        embeds, mask = pack(states, mask, padding_side="left")
        return self.language_model.generate(inputs_embeds=embeds, attention_mask=mask, **kwargs)

    @torch.no_grad()
    def score_targets(
        self,
        candidates: torch.Tensor,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        sequences: int = 1024,
    ) -> torch.Tensor:
        """Log-likelihood of several texts for each patient; note and series are encoded once.

        Args:
            candidates: `(batch, candidates, tokens)`, padding as -100.
            input_ids, attention_mask, lab_features, lab_mask: As in `forward`.
            sequences: Candidates per forward pass.

        Returns:
            Sums of the tokens' log-probabilities, `(batch, candidates)`.
        """
        embeds, mask, _ = self._embed_inputs(input_ids, attention_mask, lab_features, lab_mask, False)
        batch, count, _ = candidates.shape
        if batch != embeds.shape[0]:
            raise ModelInputError(f"candidates are for {batch} patients but the batch has {embeds.shape[0]}")
        context = embeds
        if self.config.is_encoder_decoder:
            context, mask = self._encode(embeds, mask)
        patient = torch.arange(batch, device=candidates.device).repeat_interleave(count)
        flat = candidates.flatten(0, 1)
        scores = []
        for rows in torch.arange(len(flat), device=flat.device).split(sequences):
            labels, own, own_mask = flat[rows], context[patient[rows]], mask[patient[rows]]
            if self.config.is_encoder_decoder:
                inputs, targets = self._decoder_inputs(labels), labels
                inputs |= {"encoder_outputs": BaseModelOutput(last_hidden_state=own), "attention_mask": own_mask}
            else:
                inputs, targets = self._continued(own, own_mask, labels)
            scores.append(-self._losses(inputs, targets).sum(dim=1))
        return torch.cat(scores).view(batch, count)


# Generation helpers, grounded decoding, knowledge map and series statistics are not used here: an imported module
# travels with a saved model, so that they work wherever the model does.
__all__ = [
    "IGNORED",
    "MULTIPLE",
    "ClinRaGenForConditionalGeneration",
    "ClinRaGenModel",
    "ClinRaGenOutput",
    "ClinRaGenPreTrainedModel",
    "DiseaseListConstraint",
    "GroundedConstraint",
    "TargetReader",
    "map_knowledge",
    "pack",
    "score_diseases",
    "series_statistics",
    "statistic_names",
]

# One auto class can be registered for each class; `pretrained_clinragen.AUTO_MAP` has all of them.
ClinRaGenModel.register_for_auto_class("AutoModelForTextEncoding")
ClinRaGenForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")

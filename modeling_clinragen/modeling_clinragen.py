"""ClinRaGen: a LoRA-adapted language model that reads a note and knowledge-augmented lab vectors (ACL 2025)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import can_return_tuple

from .diagnosing_clinragen import WithDiseaseHead
from .disease_head_clinragen import MODALITIES
from .errors import ModelInputError
from .export_clinragen import ExportableDecoder, ExportableEncoder
from .forward_arguments_clinragen import refuse_others, require_targets
from .generation_clinragen import DiseaseListConstraint, score_diseases
from .generation_settings_clinragen import generation_settings
from .grounded_clinragen import GroundedConstraint, TargetReader
from .input_embeddings_clinragen import WithInputEmbeddings
from .knowledge_map_clinragen import map_knowledge
from .loss_clinragen import share_of_step, target_logits, target_losses
from .output_clinragen import ClinRaGenOutput
from .own_adapters_clinragen import WithOwnAdapters, with_idle_adapters
from .packing_clinragen import MULTIPLE, pack
from .prefix_clinragen import generate_behind
from .pretrained_clinragen import ClinRaGenPreTrainedModel
from .processing_clinragen import IGNORED
from .series_statistics_clinragen import series_statistics, statistic_names


class ClinRaGenModel(WithInputEmbeddings, WithOwnAdapters, ClinRaGenPreTrainedModel):
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
            `(batch, vectors, width)`, their mask `(batch, vectors)`, and attention weights where requested. The
            vectors are those of the patches, then with `lab_summary` those of the variables.
        """
        vectors, mask = self.lab_encoder(lab_features, lab_mask)
        if self.summary_encoder is not None:
            summaries, summary_mask = self.summary_encoder(lab_features, lab_mask)
            vectors = torch.cat((vectors, summaries.to(vectors.dtype)), dim=1)
            mask = torch.cat((mask, summary_mask), dim=1)
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
        inputs_embeds: torch.Tensor | None = None,
        return_knowledge_weights: bool = False,
        **others: Any,
    ) -> ClinRaGenOutput:
        """Encode notes and series.

        Args:
            input_ids, attention_mask: Note and prompt, `(batch, tokens)`, padded on either side.
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.
            inputs_embeds: The embeddings of `input_ids`, instead of these.
            return_knowledge_weights: Also return the attention over the prototypes.
            num_examples_in_batch: Number of examples that the head's loss is averaged over (see `share_of_step`).
            others: What PEFT passes to every model; only None and False are allowed.

        Raises:
            ModelInputError: Neither a note nor a series is given, shapes do not fit together, or another one is set.
        """
        refuse_others(others)
        embeds, mask, weights = self._embed_inputs(
            input_ids, attention_mask, lab_features, lab_mask, inputs_embeds, return_weights=return_knowledge_weights
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


class ClinRaGenForConditionalGeneration(WithDiseaseHead, ClinRaGenModel, GenerationMixin):
    """Generates diagnoses and their rationale from a note, lab and vital series, or both (see `ClinRaGenModel`).

    An encoder-decoder writes them in its decoder; a decoder-only model continues its input.
    """

    # The Trainer divides a sum over all accumulated micro-batches by `num_items_in_batch`; forward honours it.
    accepts_loss_kwargs = True

    @can_return_tuple
    def forward(  # noqa: PLR0913 (a forward pass of transformers' kind)
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        target_weights: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        return_knowledge_weights: bool = False,
        *,
        inputs_embeds: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        disease_targets: torch.Tensor | None = None,
        disease_evidence: torch.Tensor | None = None,
        num_examples_in_batch: int | None = None,
        **others: Any,
    ) -> ClinRaGenOutput:
        """Score targets, given notes and series.

        Args:
            input_ids, attention_mask: Note and prompt, `(batch, tokens)`, padded on either side.
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.
            labels: Target tokens `(batch, target_tokens)`, padding as -100; an example may have none.
            target_weights: Loss weight of each target token, `(batch, target_tokens)`; 1 by default.
            num_items_in_batch: Number of target tokens that the loss is averaged over; by default those in `labels`.
            return_knowledge_weights: Also return the attention over the prototypes.
            inputs_embeds: The embeddings of `input_ids`, instead of these.
            decoder_input_ids: Encoder-decoder only: the labels, moved by one (see
                `prepare_decoder_input_ids_from_labels`), which are made of them by default. Without labels there is no
                loss, only the logits, which the Trainer's label smoothing starts from.
            disease_targets: Which diseases each patient has, `(batch, diseases)`, for the disease head's loss.
            disease_evidence: Whether a token of the note, or a variable, is evidence for a disease, `(batch, tokens +
                variables, diseases)` or without the variables, for the loss of what the head attends to. That of
                variables counts where the model has summary tokens.
            others: What PEFT passes to every model; only None and False are allowed.

        Raises:
            ModelInputError: Neither a note nor a series is given, or no targets are, shapes do not fit together, or
                another argument is set.
            SettingsError: There are `disease_targets` but no disease head.
        """
        refuse_others(others)
        embeds, mask, weights = self._embed_inputs(
            input_ids, attention_mask, lab_features, lab_mask, inputs_embeds, return_weights=return_knowledge_weights
        )
        both = self.config.is_encoder_decoder
        require_targets(labels, decoder_input_ids, target_weights, batch=embeds.shape[0], is_encoder_decoder=both)
        evidence = disease_evidence
        if evidence is not None:
            placed = self._place_evidence(evidence, mask, input_ids, inputs_embeds)
            evidence = pack(placed, mask, padding_side="right")[0]
        disease_logits = head_loss = None
        if both:
            states, mask = self._encode(embeds, mask)
            if disease_targets is not None:
                disease_logits, head_loss = self._head_loss(states, mask, disease_targets, evidence)
            if decoder_input_ids is None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels=labels)
            inputs = {"attention_mask": mask, "decoder_input_ids": decoder_input_ids}
            if self.training and labels is not None:
                # Examples without a target only have diseases; nothing is decoded of them.
                rows = (labels != IGNORED).any(dim=1)
                if not rows.all():
                    inputs = {name: value[rows] for name, value in inputs.items()}
                    states, labels = states[rows], labels[rows]
                    target_weights = None if target_weights is None else target_weights[rows]
            inputs["encoder_outputs"] = BaseModelOutput(last_hidden_state=states)
        if labels is None:
            logits = self.language_model(**inputs, use_cache=False).logits
            return ClinRaGenOutput(logits=logits, knowledge_weights=weights)
        targets, context = labels, mask
        if not both:
            inputs, targets = self.continued(embeds, mask, labels)
        # Only counted positions: with targets of different lengths, more than half of the logits would be padding.
        counted = targets != IGNORED
        own = counted.sum()
        count = num_items_in_batch if num_items_in_batch is not None else own
        logits = None
        if not len(targets):
            losses = states.flatten()[:0]
        elif self.training:
            losses, states = target_losses(self.language_model, inputs, targets)
            losses = losses[counted]
        else:
            logits, states = target_logits(self.language_model, inputs)
            losses = nn.functional.cross_entropy(logits[counted].float(), targets[counted], reduction="none")
        if target_weights is not None:
            # Packing keeps the order of the counted targets.
            losses = losses * target_weights[labels != IGNORED]
        loss = losses.sum() / max(count, 1)
        if disease_targets is not None:
            if head_loss is None:
                # A decoder-only model's context comes first, without gaps; it sees nothing of what follows.
                positions = torch.arange(states.shape[1], device=states.device)
                context = positions < context.sum(dim=1, keepdim=True)
                disease_logits, head_loss = self._head_loss(states, context, disease_targets, evidence)
            loss = loss + head_loss * share_of_step(disease_targets, own, num_examples_in_batch, num_items_in_batch)
        return ClinRaGenOutput(loss=loss, logits=logits, disease_logits=disease_logits, knowledge_weights=weights)

    def as_pipeline(self, processor: Any, **settings: Any) -> Any:
        """A `ClinicalRationalePipeline` of this model; `settings` are options of it, or of `generate`."""
        from .pipeline_clinragen import ClinicalRationalePipeline  # so it travels with a saved model, too

        return ClinicalRationalePipeline(model=self, processor=processor, **settings)

    @property
    def prepare_decoder_input_ids_from_labels(self) -> Any:
        """Makes an encoder-decoder's `decoder_input_ids`, which `DataCollatorForSeq2Seq` puts into every batch.

        Only encoder-decoders have it: the collator looks whether a model does.
        """
        return self.language_model.prepare_decoder_input_ids_from_labels

    def continued(
        self, embeds: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
    ) -> tuple[dict[str, Any], torch.Tensor]:
        """A decoder-only model's inputs, context and then target without a gap, and the target of every position."""
        token_mask = labels != IGNORED
        target_embeds = self.get_input_embeddings()(labels.masked_fill(~token_mask, 0))
        targets = torch.cat((labels.new_full(mask.shape, IGNORED), labels), dim=1)
        mask = torch.cat((mask, token_mask), dim=1)
        self._check_length(mask)
        embeds = torch.cat((embeds, target_embeds.to(embeds.dtype)), dim=1)
        embeds, targets, mask = pack(embeds, targets, mask, padding_side="right")
        targets = torch.cat((targets[:, 1:], targets.new_full((targets.shape[0], 1), IGNORED)), dim=1)
        return {"inputs_embeds": embeds, "attention_mask": mask}, targets

    @torch.no_grad()
    @with_idle_adapters
    def encode(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The states that generation starts from, so that several texts of a patient need them only once.

        Args:
            input_ids, attention_mask, lab_features, lab_mask, inputs_embeds: As in `forward`.

        Returns:
            An encoder's hidden states, or a decoder-only model's input embeddings, `(batch, positions, width)`, and
            their mask `(batch, positions)`.
        """
        return self.context(input_ids, attention_mask, lab_features, lab_mask, inputs_embeds)

    def context(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `encode`, with the gradient: for losses of several texts of a patient (see `losses_behind`)."""
        embeds, mask, _ = self._embed_inputs(input_ids, attention_mask, lab_features, lab_mask, inputs_embeds)
        return self._encode(embeds, mask) if self.config.is_encoder_decoder else (embeds, mask)

    @torch.no_grad()
    @with_idle_adapters
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
            kwargs: Options of transformers' `generate`, which win over a given `generation_config`, and this over the
                saved one; also `inputs_embeds`, as in `forward`.

        Note and series are encoded once; the language model's own `generate` does the rest, so everything that it
        supports (beams, sampling, streaming, static caches) works here. Only generated tokens are returned, and
        `max_length` and `min_length` count only these, with every kind of language model.

        Raises:
            ModelInputError: Prefixes are padded that can't be (see `prefixes_can_be_padded`), or an option needs a
                prompt of text alone, as an assistant model does.
        """
        # transformers' name for the first argument of every model.
        input_ids = kwargs.pop("inputs", input_ids)
        inputs_embeds = kwargs.pop("inputs_embeds", None)
        # The Trainer's batches have these beside the inputs.
        for name in ("labels", "target_weights", "disease_targets", "disease_evidence"):
            kwargs.pop(name, None)
        both = self.config.is_encoder_decoder
        settings, kwargs = generation_settings(self.generation_config, kwargs, is_encoder_decoder=both)
        kwargs["generation_config"] = settings
        if encoded is None:
            encoded = self.encode(input_ids, attention_mask, lab_features, lab_mask, inputs_embeds)
        if target_prefix is not None:
            known = torch.ones_like(target_prefix) if target_prefix_mask is None else target_prefix_mask
            return generate_behind(self.language_model, encoded, target_prefix, known, **kwargs)
        states, mask = encoded
        if both:
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
        states, mask = self.context(input_ids, attention_mask, lab_features, lab_mask)
        batch, count, _ = candidates.shape
        if batch != states.shape[0]:
            raise ModelInputError(f"candidates are for {batch} patients but the batch has {states.shape[0]}")
        patient = torch.arange(batch, device=candidates.device).repeat_interleave(count)
        flat = candidates.flatten(0, 1)
        scores = []
        for rows in torch.arange(len(flat), device=flat.device).split(sequences):
            context = states[patient[rows]], mask[patient[rows]]
            scores.append(-self.losses_behind(context, flat[rows]).sum(dim=1))
        return torch.cat(scores).view(batch, count)

    def losses_behind(self, context: tuple[torch.Tensor, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of each token of targets `(batch, target_tokens)`, 0 where the label is -100.

        Args:
            context: The outcome of `context`, or without its gradient of `encode`, one row for each target.
            labels: `(batch, target_tokens)`, padding as -100.
        """
        states, mask = context
        if self.config.is_encoder_decoder:
            inputs = {"encoder_outputs": BaseModelOutput(last_hidden_state=states), "attention_mask": mask}
            inputs["decoder_input_ids"] = self.prepare_decoder_input_ids_from_labels(labels=labels)
            return target_losses(self.language_model, inputs, labels)[0]
        inputs, targets = self.continued(states, mask, labels)
        losses = target_losses(self.language_model, inputs, targets)[0]
        return losses.new_zeros(labels.shape).masked_scatter(labels != IGNORED, losses[targets != IGNORED])


# Generation helpers, grounded decoding, export, knowledge map and series statistics are not used here: an imported
# module travels with a saved model, so that they work wherever the model does.
__all__ = [
    "IGNORED",
    "MODALITIES",
    "MULTIPLE",
    "ClinRaGenForConditionalGeneration",
    "ClinRaGenModel",
    "ClinRaGenOutput",
    "ClinRaGenPreTrainedModel",
    "DiseaseListConstraint",
    "ExportableDecoder",
    "ExportableEncoder",
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

"""ClinRaGen: a LoRA-adapted language model that reads a note and knowledge-augmented lab vectors (ACL 2025)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationMixin
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_clinragen import LORA_TASK_FIELDS, ClinRaGenConfig
from .errors import GovernanceError, ModelInputError, SettingsError
from .knowledge_attention_clinragen import ClinRaGenKnowledgeAttention
from .lab_encoder_clinragen import ClinRaGenLabEncoder

IGNORED = -100
MULTIPLE = 16
HEAD_MULTIPLE = 512


@dataclass
class ClinRaGenOutput(ModelOutput):
    """What a forward pass returns.

    Args:
        loss: Mean negative log-likelihood of the labels that are not -100; None without labels.
        logits: Encoder-decoder: `(batch, target_tokens, vocabulary)`. Decoder-only: over context and target. None in
            training mode, where only the positions that count are ever computed.
        knowledge_weights: `(batch, heads, patches, prototypes)` where they were asked for.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    knowledge_weights: torch.Tensor | None = None


class ClinRaGenPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving shared by ClinRaGen's models."""

    config_class = ClinRaGenConfig
    base_model_prefix = "clinragen"
    main_input_name = "input_ids"
    input_modalities = ("text", "time")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ("PatchTSTEncoderLayer", "T5Block")

    def require_publishable(self, destination: str) -> None:
        """Raise `GovernanceError` when the model learned from credentialed data, or when that is not recorded."""
        # Only a recorded "no" is a no.
        if self.config.credentialed is not False:
            raise GovernanceError(
                f"{destination}: this model learned from credentialed data (or its config does not say from what), "
                "which binds its weights too; keep it on this machine, or submit it to PhysioNet under that licence"
            )

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, for models that learned from open data alone.

        Raises `GovernanceError` for all others, private repositories included: `private` does not change a
        repository that exists, and a private one is one click from being public.
        """
        self.require_publishable(f"the Hub repository {repo_id}")
        return super().push_to_hub(repo_id, *args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The language model and PatchTST initialise themselves. What is ours keeps the scale of what passes through:
        # transformers' default of 0.02 would hand the language model lab vectors far smaller than its embeddings.
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5 if module.in_features else 0.0)
            if module.bias is not None:
                init.zeros_(module.bias)


class ClinRaGenForConditionalGeneration(ClinRaGenPreTrainedModel, GenerationMixin):
    """Generates diagnoses and their rationale from a note, lab and vital series, or both.

    The language model is chosen by `config.text_config` alone: an encoder-decoder reads `[note][lab vectors]` in its
    encoder; a decoder-only model continues them. The parts are packed without gaps, so that neither the amount nor
    the side of padding changes anything.
    """

    # The Trainer divides a sum over all accumulated micro-batches by `num_items_in_batch`; forward honours it.
    accepts_loss_kwargs = True

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__(config)
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        self.language_model = auto.from_config(config.text_config)
        if not config.tie_word_embeddings:
            self._separate_head()
        self.lab_encoder = ClinRaGenLabEncoder(config)
        self.knowledge_attention = None
        if config.knowledge_fusion != "none" and config.num_knowledge_tokens:
            self.knowledge_attention = ClinRaGenKnowledgeAttention(config)
        self.register_buffer("knowledge_token_ids", torch.zeros(config.num_knowledge_tokens, dtype=torch.long))
        self.post_init()
        # After post_init: before it, LoRA's B matrices would be initialised to something other than zero.
        if config.lora is not None:
            self._inject_lora()

    @classmethod
    def from_backbone(
        cls, backbone: str | PreTrainedModel, config: ClinRaGenConfig | None = None, **settings: Any
    ) -> ClinRaGenForConditionalGeneration:
        """Build a model around a pretrained language model.

        Args:
            backbone: A Hub id or folder of a language model, or the loaded model itself.
            config: Complete configuration; or give its fields, other than `text_config`, as keywords.
        """
        if isinstance(backbone, str):
            found = AutoConfig.from_pretrained(backbone)
            auto = AutoModelForSeq2SeqLM if found.is_encoder_decoder else AutoModelForCausalLM
            backbone = auto.from_pretrained(backbone)
        head, embedding = backbone.get_output_embeddings(), backbone.get_input_embeddings()
        # T5Config always claims to be tied, also for checkpoints (Flan-T5) whose head differs from the embedding.
        tied = head is None or head.weight is embedding.weight
        if config is None:
            lora = settings.pop("lora", None)
            config = ClinRaGenConfig(
                text_config=backbone.config.to_dict(), tie_word_embeddings=tied, lora=None, **settings
            )
        else:
            lora, config.lora = config.lora, None
        model = cls(config)
        model.language_model.load_state_dict(backbone.state_dict())
        if backbone.generation_config is not None:
            model.generation_config = backbone.generation_config
        if lora is not None:
            model.add_lora(lora)
        return model

    def _separate_head(self) -> None:
        # Only the head is freed: T5's encoder and decoder keep sharing their embedding. (Telling the inner config
        # that nothing is tied would untie those as well, and their copies are not in the checkpoint.)
        inner = self.language_model
        head = inner.get_output_embeddings()
        name = next(name for name, module in inner.named_modules() if module is head)
        inner._tied_weights_keys = {
            target: source
            for target, source in (inner._tied_weights_keys or {}).items()
            if not target.startswith(f"{name}.")
        }
        inner.all_tied_weights_keys = inner.get_expanded_tied_weights_keys(all_submodels=False)
        head.weight = nn.Parameter(head.weight.detach().clone())

    def add_lora(self, lora: dict[str, Any]) -> None:
        """Put LoRA adapters into the language model; the output does not change until they are trained."""
        if self.config.lora is not None:
            raise SettingsError("the language model already has LoRA adapters; load a checkpoint without them")
        if set(lora) != set(LORA_TASK_FIELDS):
            raise SettingsError(f"lora needs exactly the settings {', '.join(LORA_TASK_FIELDS)}")
        self.config.lora = dict(lora)
        self._inject_lora()

    def _inject_lora(self) -> None:
        inject_adapter_in_model(LoraConfig(**self.config.lora), self.language_model)

    def merge_adapters(self) -> None:
        """Add what the adapters learned into the weights that they adapt, and remove them; the output stays the same.

        Raises:
            SettingsError: There is no adapter.
        """
        if self.config.lora is None:
            raise SettingsError("there is no adapter to merge: this model has no LoRA")
        for name, module in list(self.language_model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                module.merge(safe_merge=True)
                parent, _, child = name.rpartition(".")
                setattr(self.language_model.get_submodule(parent), child, module.get_base_layer())
        self.config.lora = None

    def set_trainable(self, *, backbone: bool, adapter: bool, lab_encoder: bool, knowledge_attention: bool) -> None:
        """Say which parts learn; all others are frozen. Loading a checkpoint unfreezes everything, so call it after.

        Raises:
            SettingsError: The adapter shall learn but the model has none.
        """
        if adapter and self.config.lora is None:
            raise SettingsError("the adapter cannot learn: this model has no LoRA; give LoRA settings")
        for name, parameter in self.language_model.named_parameters():
            parameter.requires_grad_(adapter if "lora_" in name else backbone)
        for name, parameter in self.lab_encoder.named_parameters():
            # PatchTST's sine positions are constants kept as a parameter.
            parameter.requires_grad_(lab_encoder and not name.endswith("position_enc"))
        if self.knowledge_attention is not None:
            self.knowledge_attention.requires_grad_(knowledge_attention)

    def set_knowledge_tokens(self, token_ids: Sequence[int]) -> None:
        """Set V_k, the knowledge vocabulary, as unique token ids of the language model's tokenizer."""
        if len(token_ids) != self.config.num_knowledge_tokens:
            raise SettingsError(
                f"{len(token_ids)} knowledge tokens are given but num_knowledge_tokens is "
                f"{self.config.num_knowledge_tokens}; make them equal"
            )
        self.knowledge_token_ids.copy_(torch.tensor(token_ids, dtype=torch.long))

    def get_input_embeddings(self) -> nn.Module:
        """The language model's token embeddings."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embeddings."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The language model's head."""
        return self.language_model.get_output_embeddings()

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """The language model's encoder, which reads the note and the lab vectors."""
        return self.language_model.get_encoder()

    def get_decoder(self) -> nn.Module:
        """The language model's decoder."""
        return self.language_model.get_decoder()

    def get_lab_vectors(
        self, lab_features: torch.Tensor, lab_mask: torch.Tensor, return_weights: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Knowledge-augmented lab vectors (the paper's H, section 3.3).

        Returns:
            `(batch, patches, width)`, their mask `(batch, patches)`, and attention weights where asked for.
        """
        vectors, mask = self.lab_encoder(lab_features, lab_mask)
        weights = None
        if self.knowledge_attention is not None:
            knowledge = self.get_input_embeddings()(self.knowledge_token_ids)
            vectors, weights = self.knowledge_attention(vectors, knowledge, return_weights)
        return vectors, mask, weights

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_weights: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        return_knowledge_weights: bool = False,
        return_dict: bool | None = None,
    ) -> ClinRaGenOutput:
        """Score targets, given notes and series.

        Args:
            input_ids, attention_mask: Note and prompt, `(batch, tokens)`, padded on either side.
            lab_features, lab_mask: See `ClinRaGenLabEncoder`.
            labels: Target tokens `(batch, target_tokens)`, padding as -100.
            label_weights: How much each target token counts, `(batch, target_tokens)`; all alike by default.
            num_items_in_batch: Number of target tokens that the loss is a mean over; by default those in `labels`.
            return_knowledge_weights: Also return the attention over the prototypes.

        Raises:
            ModelInputError: Neither a note nor a series is given, or shapes do not fit together.
        """
        if labels is None:
            raise ModelInputError("forward needs labels to score; call generate to produce text")
        embeds, mask, weights = self._read(input_ids, attention_mask, lab_features, lab_mask, return_knowledge_weights)
        if labels.ndim != 2 or labels.shape[0] != embeds.shape[0]:
            raise ModelInputError(f"labels have the shape {tuple(labels.shape)} but the batch has {embeds.shape[0]}")
        if label_weights is not None and label_weights.shape != labels.shape:
            raise ModelInputError(
                f"label_weights have the shape {tuple(label_weights.shape)} but labels {tuple(labels.shape)}"
            )
        if self.config.is_encoder_decoder:
            embeds, mask = pack(embeds, mask, padding_side="right")
            inputs, targets = self._decoder_inputs(labels), labels
            inputs |= {"inputs_embeds": embeds, "attention_mask": mask}
        else:
            inputs, targets = self._continued(embeds, mask, labels)
        # Only positions that count: in a batch of targets of many lengths, more than half of the logits are padding.
        counted = targets != IGNORED
        count = num_items_in_batch if num_items_in_batch is not None else counted.sum().clamp(min=1)
        if self.training:
            logits, losses = None, self._losses(inputs, targets)[counted]
        else:
            logits = self.language_model(**inputs, use_cache=False).logits
            losses = nn.functional.cross_entropy(logits[counted].float(), targets[counted], reduction="none")
        if label_weights is not None:
            # In the order of the counted targets, which packing does not change.
            losses = losses * label_weights[labels != IGNORED]
        total = losses.sum()
        return ClinRaGenOutput(loss=total / count, logits=logits, knowledge_weights=weights)

    def _decoder_inputs(self, labels: torch.Tensor) -> dict[str, Any]:
        return {"decoder_input_ids": self.language_model.prepare_decoder_input_ids_from_labels(labels=labels)}

    def _continued(
        self, embeds: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor
    ) -> tuple[dict[str, Any], torch.Tensor]:
        # Decoder-only: context, then target, without a gap; and what every position has to predict.
        token_mask = labels != IGNORED
        target_embeds = self.get_input_embeddings()(labels.masked_fill(~token_mask, 0))
        targets = torch.cat((labels.new_full(mask.shape, IGNORED), labels), dim=1)
        mask = torch.cat((mask, token_mask), dim=1)
        embeds = torch.cat((embeds, target_embeds.to(embeds.dtype)), dim=1)
        embeds, targets, mask = pack(embeds, targets, mask, padding_side="right")
        targets = torch.cat((targets[:, 1:], targets.new_full((targets.shape[0], 1), IGNORED)), dim=1)
        return {"inputs_embeds": embeds, "attention_mask": mask}, targets

    def _losses(self, inputs: dict[str, Any], targets: torch.Tensor) -> torch.Tensor:
        # Negative log-likelihood of every target `(batch, positions)`, 0 where it is ignored. Logits are by far the
        # largest tensor of a step, so only those that count are computed. Every kind of language model has its own
        # way from hidden states to logits (T5 scales, BART adds a bias, Gemma caps); they all meet at the head's
        # door, and the choice is made there.
        flat = targets.flatten()
        order = torch.sort((flat != IGNORED).to(torch.uint8), descending=True, stable=True).indices
        counted = int((flat != IGNORED).sum())
        # A few sizes instead of one for every batch, with positions that do not count: see `pack`.
        chosen = order[: min(-(-counted // HEAD_MULTIPLE) * HEAD_MULTIPLE, len(flat))]
        handle = self.language_model.get_output_embeddings().register_forward_pre_hook(
            lambda _, hidden: (hidden[0].flatten(0, 1)[chosen], *hidden[1:])
        )
        try:
            logits = self.language_model(**inputs, use_cache=False).logits
        finally:
            handle.remove()
        losses = nn.functional.cross_entropy(
            logits.float().view(len(chosen), -1), flat[chosen], ignore_index=IGNORED, reduction="none"
        )
        return losses.new_zeros(flat.shape).index_put((chosen,), losses).view(targets.shape)

    @torch.no_grad()
    def generate(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lab_features: torch.Tensor | None = None,
        lab_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Generate target tokens. Takes `forward`'s inputs and every option of transformers' `generate`.

        The note and the series are read once; the language model's own `generate` does the rest, so whatever its
        kind supports (beams, sampling, streaming, static caches) works here.
        """
        embeds, mask, _ = self._read(input_ids, attention_mask, lab_features, lab_mask, False)
        # One merged configuration: transformers takes either it or single options, not both.
        settings = copy.deepcopy(kwargs.pop("generation_config", None) or self.generation_config)
        kwargs = settings.update(**kwargs)
        kwargs["generation_config"] = settings
        if self.config.is_encoder_decoder:
            embeds, mask = pack(embeds, mask, padding_side="right")
            encoded = self.get_encoder()(inputs_embeds=embeds, attention_mask=mask)
            return self.language_model.generate(encoder_outputs=encoded, attention_mask=mask, **kwargs)
        embeds, mask = pack(embeds, mask, padding_side="left")
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
        """Log-likelihood of several texts for each patient; note and series are read once.

        Args:
            candidates: `(batch, candidates, tokens)`, padding as -100.
            input_ids, attention_mask, lab_features, lab_mask: As in `forward`.
            sequences: How many candidates are scored at once.

        Returns:
            Sums of the tokens' log-probabilities, `(batch, candidates)`.
        """
        embeds, mask, _ = self._read(input_ids, attention_mask, lab_features, lab_mask, False)
        batch, count, _ = candidates.shape
        if batch != embeds.shape[0]:
            raise ModelInputError(f"candidates are for {batch} patients but the batch has {embeds.shape[0]}")
        read = embeds
        if self.config.is_encoder_decoder:
            embeds, mask = pack(embeds, mask, padding_side="right")
            read = self.get_encoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
        patient = torch.arange(batch, device=candidates.device).repeat_interleave(count)
        flat = candidates.flatten(0, 1)
        scores = []
        for rows in torch.arange(len(flat), device=flat.device).split(sequences):
            labels, own, own_mask = flat[rows], read[patient[rows]], mask[patient[rows]]
            if self.config.is_encoder_decoder:
                inputs, targets = self._decoder_inputs(labels), labels
                inputs |= {"encoder_outputs": BaseModelOutput(last_hidden_state=own), "attention_mask": own_mask}
            else:
                inputs, targets = self._continued(own, own_mask, labels)
            scores.append(-self._losses(inputs, targets).sum(dim=1))
        return torch.cat(scores).view(batch, count)

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save one self-contained folder: weights with adapters, configuration, and the code that loads them.

        Raises `GovernanceError` as `push_to_hub` does, where it is asked to push.
        """
        if kwargs.get("push_to_hub"):
            self.require_publishable("the Hub")
        # transformers notes one auto class per model; the Hub's AutoModel must find the generating class too.
        self.config.auto_map = {"AutoModel": f"{type(self).__module__.rpartition('.')[2]}.{type(self).__name__}"}
        super().save_pretrained(save_directory, *args, **kwargs)

    def _read(
        self,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        lab_features: torch.Tensor | None,
        lab_mask: torch.Tensor | None,
        return_weights: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        # Note tokens, then lab vectors, side by side: (batch, tokens + patches, width) and a boolean mask.
        embeds, masks, weights = [], [], None
        if input_ids is not None:
            if attention_mask is None:
                attention_mask = torch.ones_like(input_ids)
            if attention_mask.shape != input_ids.shape:
                raise ModelInputError(
                    f"attention_mask has the shape {tuple(attention_mask.shape)} but input_ids "
                    f"{tuple(input_ids.shape)}"
                )
            embeds.append(self.get_input_embeddings()(input_ids))
            masks.append(attention_mask.bool())
        if lab_features is not None:
            if lab_mask is None:
                raise ModelInputError("lab_features need their lab_mask (batch, steps)")
            vectors, patch_mask, weights = self.get_lab_vectors(lab_features, lab_mask, return_weights)
            embeds.append(vectors)
            masks.append(patch_mask)
        if not embeds:
            raise ModelInputError("give input_ids (a note), lab_features (a series), or both")
        if len(embeds) == 2 and embeds[0].shape[0] != embeds[1].shape[0]:
            raise ModelInputError(f"{embeds[0].shape[0]} notes but {embeds[1].shape[0]} series are in the batch")
        return torch.cat([part.to(embeds[0].dtype) for part in embeds], dim=1), torch.cat(masks, dim=1), weights


def pack(*tensors: torch.Tensor, padding_side: str) -> tuple[torch.Tensor, ...]:
    """Move every row's valid positions together, in order, and drop positions that are padding in all rows.

    Args:
        tensors: `(batch, positions, ...)` each; the last one is the boolean mask `(batch, positions)`.
        padding_side: Where the remaining padding goes. Its length is rounded up to a multiple of `MULTIPLE`, where
            there are as many positions: kernels and memory are then reused from batch to batch.
    """
    mask = tensors[-1]
    right = padding_side == "right"
    order = torch.sort(mask.to(torch.uint8), dim=1, descending=right, stable=True).indices
    longest = int(mask.sum(dim=1).max())
    longest = min(-(-longest // MULTIPLE) * MULTIPLE, mask.shape[1])
    order = order[:, :longest] if right else order[:, order.shape[1] - longest :]
    packed = []
    for tensor in tensors:
        index = order.view(*order.shape, *(1,) * (tensor.ndim - 2)).expand(*order.shape, *tensor.shape[2:])
        packed.append(tensor.gather(1, index))
    return tuple(packed)


__all__ = [
    "ClinRaGenForConditionalGeneration",
    "ClinRaGenOutput",
    "ClinRaGenPreTrainedModel",
]

ClinRaGenForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")

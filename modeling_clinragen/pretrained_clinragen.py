"""The base of all ClinRaGen models: their parts, and how weights are initialised, frozen, saved and published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GenerationConfig
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import cached_file

from .configuration_clinragen import ATTENDING, SPECIAL_TOKENS, ClinRaGenConfig
from .custom_tasks_clinragen import CUSTOM_PIPELINES
from .disease_head_clinragen import ClinRaGenDiseaseHead
from .errors import InputDataError, SettingsError
from .governed_clinragen import GovernedModel
from .hub_guard_clinragen import refuse_hub_writes
from .knowledge_attention_clinragen import ClinRaGenKnowledgeAttention
from .lab_encoder_clinragen import ClinRaGenLabEncoder
from .language_model_clinragen import (
    backbone_digest,
    build_language_model,
    has_tied_head,
    inject_lora,
    is_adapter_parameter,
    load_language_model,
    merge_lora,
    reorder_written,
    save_peft_adapter,
)
from .loading_clinragen import HUB, is_gguf, load_part, locate
from .low_bits_clinragen import with_whole_parts
from .provenance_clinragen import recorded_in
from .summary_encoder_clinragen import ClinRaGenSummaryEncoder

ADAPTER_FILE = "clinragen_adapter.safetensors"
LANGUAGE_MODEL = "language_model."
AUTO_MAP = {
    "AutoModel": "modeling_clinragen.ClinRaGenForConditionalGeneration",
    "AutoModelForSeq2SeqLM": "modeling_clinragen.ClinRaGenForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_clinragen.ClinRaGenForConditionalGeneration",
    "AutoModelForTextEncoding": "modeling_clinragen.ClinRaGenModel",
}


def require_whole(folder: str | Path, loading_info: Mapping[str, Any]) -> None:
    """Raise `InputDataError` where a checkpoint lacks weights, which `from_pretrained` only warns of.

    Args:
        folder: The folder that the model was loaded from.
        loading_info: The second result of `from_pretrained(..., output_loading_info=True)`.
    """
    missing = sorted(loading_info["missing_keys"])
    if missing:
        raise InputDataError(
            f"{folder}: the checkpoint lacks {len(missing)} of the model's tensors, such as {missing[0]}, which would "
            "be random numbers; copy the whole folder again, or train the model again"
        )


class ClinRaGenPreTrainedModel(GovernedModel, PreTrainedModel):
    """A language model, a lab side, the knowledge attention between them, and a disease head, under one set of names.

    All subclasses read and write the same checkpoints.
    """

    config_class = ClinRaGenConfig
    base_model_prefix = "clinragen"
    main_input_name = "input_ids"
    input_modalities = ("text", "time")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ("ClinRaGenLabEncoder",)

    def __init__(self, config: ClinRaGenConfig) -> None:
        super().__init__(config)
        # By the class's name the Trainer would assume that first labels are not predicted, and count one less each.
        self.loss_type = None
        self.language_model = build_language_model(config.text_config, tied=config.tie_word_embeddings)
        if config.is_encoder_decoder:
            # transformers uses a method of this name where there is one instead of its own reordering.
            self.language_model._reorder_cache = reorder_written
        self.lab_encoder = ClinRaGenLabEncoder(config)
        self.summary_encoder = ClinRaGenSummaryEncoder(config) if config.lab_summary else None
        self.disease_head = ClinRaGenDiseaseHead(config) if config.disease_head else None
        self.knowledge_attention = None
        if config.knowledge_fusion in ATTENDING and config.num_knowledge_tokens:
            self.knowledge_attention = ClinRaGenKnowledgeAttention(config)
        self.register_buffer("knowledge_token_ids", torch.zeros(config.num_knowledge_tokens, dtype=torch.long))
        self.post_init()
        # After post_init, which would initialise LoRA's B matrices to something other than zero.
        if config.lora is not None:
            inject_lora(self.language_model, config.lora)
        if config.credentialed is not False:
            refuse_hub_writes()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # The language model and PatchTST initialise themselves. Our own layers keep the scale of their input:
        # transformers' default of 0.02 would give lab vectors far smaller than the language model's embeddings.
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5 if module.in_features else 0.0)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, ClinRaGenSummaryEncoder | ClinRaGenDiseaseHead):
            module.reset_parameters()
        elif isinstance(module, ClinRaGenPreTrainedModel):
            # Where a checkpoint has no knowledge tokens, loading would leave uninitialised memory.
            init.zeros_(module.knowledge_token_ids)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, from safetensors only; parts that were frozen in the checkpoint are frozen again.

        A `quantization_config` of bitsandbytes is for the language model alone (see `WHOLE_PARTS`).
        """
        kwargs.setdefault("use_safetensors", True)
        if "quantization_config" in kwargs:
            kwargs["quantization_config"] = with_whole_parts(kwargs["quantization_config"])
        loaded = super().from_pretrained(*args, **kwargs)
        # With output_loading_info the model is the first of two.
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if model.config.trainable is not None:
            model.set_trainable(**model.config.trainable)
        folder = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        if folder is not None:
            model.set_provenance(recorded_in(folder))
            if model.config.credentialed is not False:
                model.mark_credentialed()
        return loaded

    @classmethod
    def from_backbone(
        cls, backbone: str | Path | PreTrainedModel, config: ClinRaGenConfig | None = None, **settings: Any
    ) -> Self:
        """Build a model around a pretrained language model.

        Args:
            backbone: Folder of a language model, or `hf://owner/name`, which is loaded in single precision, or the
                loaded model itself, whose precision all parts get.
            config: Complete configuration; or give its fields, other than `text_config`, as keywords.
        """
        backbone = load_language_model(backbone)
        if config is None:
            lora = settings.pop("lora", None)
            tied = has_tied_head(backbone)
            config = ClinRaGenConfig(text_config=backbone.config.to_dict(), tie_word_embeddings=tied, **settings)
        else:
            lora, config.lora = config.lora, None
        config.base_model_name_or_path = backbone.name_or_path or None
        config.base_model_digest = backbone_digest(backbone)
        # Part of a model that learned from credentialed data, which nothing around it makes open.
        if backbone.config.to_dict().get("credentialed", False) is not False:
            config.credentialed = True
        model = cls._from_config(config, dtype=backbone.dtype)
        model.language_model.load_state_dict(backbone.state_dict())
        if model.can_generate() and backbone.generation_config is not None:
            # Its special tokens, but not its style: sampling, penalties or forced tokens of a chat model.
            theirs = {name: getattr(backbone.generation_config, name) for name in SPECIAL_TOKENS}
            model.generation_config.update(**{name: token for name, token in theirs.items() if token is not None})
        if lora is not None:
            model.add_lora(lora)
        return model.eval()

    def add_lora(self, lora: dict[str, Any]) -> None:
        """Add LoRA adapters to the language model; the output does not change until they are trained.

        Raises `SettingsError` where there are adapters already, or as `inject_lora`.
        """
        if self.config.lora is not None:
            raise SettingsError("the language model already has LoRA adapters; load a checkpoint without them")
        inject_lora(self.language_model, lora)
        self.config.lora = dict(lora)

    def merge_adapters(self) -> None:
        """Merge the adapters into the weights and remove them; the output stays the same.

        Raises:
            SettingsError: There is no adapter.
        """
        if self.config.lora is None:
            raise SettingsError("there is no adapter to merge: this model has no LoRA adapters")
        merge_lora(self.language_model)
        self.config.lora = None
        if self.config.trainable is not None:
            self.config.trainable["adapter"] = False

    def set_trainable(
        self,
        *,
        backbone: bool,
        adapter: bool,
        lab_encoder: bool,
        knowledge_attention: bool,
        disease_head: bool = False,
    ) -> None:
        """Set which parts learn; all others are frozen. A checkpoint records it.

        The summary encoder learns with the lab encoder.

        Weights in four or eight bits (`quantization_config`) can't learn and stay frozen.

        Raises:
            SettingsError: The adapter is to learn but the model has none.
        """
        if adapter and self.config.lora is None:
            raise SettingsError("the adapter cannot learn: this model has no LoRA adapters; give LoRA settings")
        for name, parameter in self.language_model.named_parameters():
            learns = adapter if is_adapter_parameter(name) else backbone
            parameter.requires_grad_(learns and parameter.is_floating_point())
        for name, parameter in self.lab_encoder.named_parameters():
            # PatchTST's sine positions are constants although stored as a parameter.
            parameter.requires_grad_(lab_encoder and not name.endswith("position_enc"))
        for part, learns in (
            (self.summary_encoder, lab_encoder),
            (self.knowledge_attention, knowledge_attention),
            (self.disease_head, disease_head),
        ):
            if part is not None:
                part.requires_grad_(learns)
        self.config.trainable = {
            "backbone": backbone,
            "adapter": adapter,
            "lab_encoder": lab_encoder,
            "knowledge_attention": knowledge_attention,
            "disease_head": disease_head,
        }

    def set_knowledge_tokens(self, token_ids: Sequence[int]) -> None:
        """Set V_k, the knowledge vocabulary, as unique token ids of the language model's tokenizer.

        Raises `SettingsError` where their number is not the configured one, or some are outside the vocabulary.
        """
        vocabulary = self.get_input_embeddings().get_parameter("weight").shape[0]
        outside = sum(not 0 <= token < vocabulary for token in token_ids)
        if outside:
            raise SettingsError(
                f"{outside} of {len(token_ids)} knowledge tokens are outside the language model's vocabulary of "
                f"{vocabulary}; take them from its own tokenizer"
            )
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

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the language model's head."""
        self.language_model.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """As in transformers. The language model resizes everything that it has per token (BART: also a bias)."""
        embeddings = self.language_model.resize_token_embeddings(*args, **kwargs)
        # T5Gemma has the size in both halves, of which transformers changes one.
        text = self.config.text_config
        for config in (text, *(getattr(text, name) for name in text.sub_configs)):
            config.vocab_size = embeddings.num_embeddings
        return embeddings

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """The language model's encoder, which encodes the note and the lab vectors."""
        return self.language_model.get_encoder()

    def get_decoder(self) -> nn.Module:
        """The language model's decoder."""
        return self.language_model.get_decoder()

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save one self-contained folder: weights with adapters, configuration, and the code that loads them.

        What counts as credentialed is saved for its owner alone (folder 0700, files 0600), with its provenance.

        Raises `GovernanceError` as `push_to_hub` does, where `push_to_hub` is set.
        """
        if kwargs.get("push_to_hub"):
            self.require_publishable("the Hub")
        # transformers records one auto class; the folder can be loaded through more of them.
        self.config.auto_map = dict(AUTO_MAP)
        self.config.custom_pipelines = deepcopy(CUSTOM_PIPELINES)
        with self.recorded(save_directory):
            super().save_pretrained(save_directory, *args, **kwargs)

    def save_adapter(self, folder: str | Path) -> None:
        """Save the trained parts around a frozen backbone: adapters, lab side, head, knowledge attention and V_k.

        The folder is a fraction of the whole model's size and names its base model; `from_adapter` combines the two
        again. The language model's adapters are in it a second time in PEFT's format. It is as private as the whole
        model, carries the same provenance, and may be shared only where `require_publishable` allows.

        Raises:
            SettingsError: The backbone has no name by which it could be found, or its own weights have changed.
        """
        name, expected = self.config.base_model_name_or_path, self.config.base_model_digest
        if name is None or expected is None:
            raise SettingsError(
                "this model has no named pretrained backbone that an adapter could be added to; use save_pretrained"
            )
        found = backbone_digest(self.language_model)
        if found != expected:
            raise SettingsError(
                f"the backbone itself was trained, resized or merged: its weights are {found[:12]}, those of '{name}' "
                f"are {expected[:12]}, and an adapter does not contain them; use save_pretrained"
            )
        folder = Path(folder)
        with self.recorded(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.config.save_pretrained(folder)
            if self.can_generate():
                self.generation_config.save_pretrained(folder)
            partial = folder / f"{ADAPTER_FILE}.partial"
            save_file({name: value.contiguous() for name, value in self._adapter().items()}, partial, {"format": "pt"})
            partial.replace(folder / ADAPTER_FILE)
            if self.config.lora is not None:
                save_peft_adapter(self.language_model, folder, name)

    @classmethod
    def from_adapter(cls, folder: str | Path, backbone: str | Path | PreTrainedModel | None = None) -> Self:
        """Load the output of `save_adapter` around its base model.

        Args:
            folder: The adapter's folder, or `hf://owner/name`.
            backbone: Folder of the base model, or `hf://owner/name`, or the loaded model itself; by default the
                recorded one, where that is a folder.

        Raises:
            InputDataError: The folder has no adapter, or an incomplete one, or its base model is not a folder here.
            SettingsError: The base model's weights are not those that the adapter was trained on.
        """
        source, where = locate(folder)
        weights = cached_file(source, ADAPTER_FILE, _raise_exceptions_for_missing_entries=False, **where)
        if weights is None:
            raise InputDataError(f"{folder}: has no {ADAPTER_FILE}; give a folder made by save_adapter")
        config = load_part(ClinRaGenConfig, folder)
        name, expected = config.base_model_name_or_path, config.base_model_digest
        if backbone is None and not (Path(name).is_dir() or is_gguf(name)):
            # Whoever made the folder does not decide what is downloaded.
            raise InputDataError(
                f"{folder}: its base model '{name}' is not a folder here; give its folder as the backbone, or "
                f"backbone='{HUB}{name}' to load it from the Hub"
            )
        base = load_language_model(backbone if backbone is not None else name)
        found = backbone_digest(base)
        if found != expected:
            raise SettingsError(
                f"{folder}: was trained on '{name}' with the weights {expected[:12]}, but the backbone "
                f"'{base.name_or_path}' has the weights {found[:12]}; give the one that it was trained on"
            )
        model = cls.from_backbone(base, config)
        # The recorded name, not the local path of the base model.
        model.config.base_model_name_or_path = name
        state = load_file(weights)
        if state.keys() != model._adapter().keys():
            raise InputDataError(
                f"{weights}: has {len(state)} tensors, not the {len(model._adapter())} that its config.json requires; "
                "save the adapter again"
            )
        model.load_state_dict(state, strict=False)
        if model.can_generate():
            model.generation_config = GenerationConfig.from_pretrained(source, **where)
        model.set_provenance(recorded_in(source))
        if config.credentialed is not False:
            model.mark_credentialed()
        return model

    def _adapter(self) -> dict[str, torch.Tensor]:
        return {
            name: value
            for name, value in self.state_dict().items()
            if not name.startswith(LANGUAGE_MODEL) or is_adapter_parameter(name)
        }


__all__ = ["ClinRaGenPreTrainedModel", "require_whole"]

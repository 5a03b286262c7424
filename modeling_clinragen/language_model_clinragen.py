"""The language model inside a ClinRaGen model: how it is loaded, adapted by LoRA, and recognised again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, EncoderDecoderCache
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from .errors import SettingsError

LORA_FIELDS = ("r", "lora_alpha", "lora_dropout", "target_modules")


def build_language_model(config: PreTrainedConfig, *, tied: bool) -> PreTrainedModel:
    """A random language model of the kind that `config` names; `tied` is whether its head is its embedding."""
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    # In the precision of what it is a part of, whatever its own config says of the weights it was published with.
    language_model = auto.from_config(config, dtype=torch.get_default_dtype())
    if not tied:
        _separate_head(language_model)
    return language_model


def load_language_model(backbone: str | Path | PreTrainedModel) -> PreTrainedModel:
    """A pretrained language model from its Hub id or folder, in single precision; a loaded one is returned as it is.

    Most decoder-only models are published in bfloat16, in which a small step of the optimizer is lost.

    Raises:
        SettingsError: There is no language model.
    """
    if isinstance(backbone, PreTrainedModel):
        return backbone
    try:
        found = AutoConfig.from_pretrained(backbone)
        auto = AutoModelForSeq2SeqLM if found.is_encoder_decoder else AutoModelForCausalLM
        return auto.from_pretrained(backbone, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"backbone '{backbone}': no language model could be loaded; give the Hub id or folder of one"
        ) from error


def has_tied_head(language_model: PreTrainedModel) -> bool:
    """Whether the head's weight is also an embedding's.

    T5Config always claims that it is, also for checkpoints (Flan-T5) whose head differs from the embedding; so it is
    looked up whether anything else holds the head's weight (in T5Gemma it is the decoder's embedding).
    """
    head = language_model.get_output_embeddings()
    everywhere = language_model.named_parameters(remove_duplicate=False)
    return head is None or sum(parameter is head.weight for _, parameter in everywhere) > 1


def _separate_head(language_model: PreTrainedModel) -> None:
    # Only the head is freed: T5's encoder and decoder keep sharing their embedding. (Telling the inner config that
    # nothing is tied would untie those as well, and their copies are not in the checkpoint.)
    head = language_model.get_output_embeddings()
    name = next(name for name, module in language_model.named_modules() if module is head)
    language_model._tied_weights_keys = {
        target: source
        for target, source in (language_model._tied_weights_keys or {}).items()
        if not target.startswith(f"{name}.")
    }
    language_model.all_tied_weights_keys = language_model.get_expanded_tied_weights_keys(all_submodels=True)
    head.weight = nn.Parameter(head.weight.detach().clone())


def reorder_written(cache: EncoderDecoderCache, beams: torch.Tensor) -> EncoderDecoderCache:
    """Let beams change places in a cache: what they wrote moves; what a patient's beams read is the same for all.

    transformers moves both, although note and series are most of an encoder-decoder's cache.
    """
    cache.self_attention_cache.reorder_cache(beams)
    return cache


def is_adapter_parameter(name: str) -> bool:
    """Whether a parameter of this name belongs to a LoRA adapter."""
    return "lora_" in name


def inject_lora(language_model: PreTrainedModel, lora: dict[str, Any]) -> None:
    """Put untrained LoRA adapters, which change nothing, into the layers that `lora["target_modules"]` names.

    Raises:
        SettingsError: Settings are missing or unknown, no layer has one of these names, or peft refuses a value.
    """
    if set(lora) != set(LORA_FIELDS):
        raise SettingsError(f"lora needs exactly the settings {', '.join(LORA_FIELDS)}")
    kind, targets = language_model.config.model_type, lora["target_modules"]
    modules = dict(language_model.named_modules())
    # A string is a pattern; of several names peft accepts those that are nowhere, as long as one is somewhere.
    for target in [] if isinstance(targets, str) else targets:
        if not any(f".{name}".endswith(f".{target}") for name in modules):
            layers = {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, nn.Linear)}
            raise SettingsError(
                f"lora's target_modules name '{target}', but no layer of this {kind} is called so; its linear layers "
                f"are {', '.join(sorted(layers))}"
            )
    try:
        inject_adapter_in_model(LoraConfig(**lora), language_model)
    except ValueError as error:
        raise SettingsError(f"lora's settings do not fit this {kind}: {error}") from error


def merge_lora(language_model: PreTrainedModel) -> None:
    """Add the adapters to the weights that they adapt, and put the plain layers back."""
    for name, module in list(language_model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(language_model.get_submodule(parent), child, module.get_base_layer())


def backbone_digest(language_model: PreTrainedModel) -> str:
    """SHA-256 of the pretrained weights, by name; adapters do not count.

    The weights are read as bfloat16, so that a model has one digest in whatever precision it is held.
    """
    digest = hashlib.sha256()
    for name, parameter in language_model.named_parameters():
        if not is_adapter_parameter(name):
            digest.update(name.replace(".base_layer.", ".").encode())
            values = parameter.detach().to("cpu", torch.bfloat16).flatten().view(torch.uint8)
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()

"""The language model inside a ClinRaGen model: loading, LoRA adapters, and a digest of its weights."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, EncoderDecoderCache
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from .errors import InputDataError, SettingsError
from .loading_clinragen import is_gguf, load_part, load_weights
from .own_adapters_clinragen import forget_adapters, keep_own_adapters, require_no_adapters
from .provenance_clinragen import is_credentialed, recorded_in

PARTS = {"gemma3": {r"^language_model\.lm_head": "lm_head", r"^(model\.)?language_model\.(model\.)?": "model."}}
"""Types of models that also see, such as MedGemma: names of their language model's weights, and what it calls them."""
LORA_FIELDS = ("r", "lora_alpha", "lora_dropout", "target_modules")


def build_language_model(config: PreTrainedConfig, *, tied: bool) -> PreTrainedModel:
    """A randomly initialised language model of the type in `config`; `tied`: whether its head is its embedding."""
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    # In the precision of the whole model, not in that of the published weights, which its own config names.
    language_model = auto.from_config(config, dtype=torch.get_default_dtype())
    if not tied:
        _separate_head(language_model)
    return language_model


def load_language_config(backbone: str | Path) -> PreTrainedConfig:
    """The configuration of a pretrained language model; where that is a part of a model that also sees, of this part.

    Raises:
        InputDataError: There is no such folder or file, or it is damaged.
        OSError, ValueError: It cannot be loaded, or only with foreign code.
    """
    return _language_part(load_part(AutoConfig, backbone))


def _language_part(config: PreTrainedConfig) -> PreTrainedConfig:
    return config.text_config if config.model_type in PARTS else config


def load_language_model(backbone: str | Path | PreTrainedModel) -> PreTrainedModel:
    """A pretrained language model from its folder, `hf://owner/name` or GGUF file; a loaded one is returned unchanged.

    It is loaded in single precision: most decoder-only models are published in bfloat16, which loses small steps of
    the optimizer. One whose folder records credentialed data is marked so in its config.

    Raises:
        SettingsError: There is no such folder, or no language model could be loaded from it: there is none, or it
            needs foreign code or pickled weights.
    """
    if isinstance(backbone, PreTrainedModel):
        return backbone
    try:
        whole = load_part(AutoConfig, backbone)
        found = _language_part(whole)
        auto = AutoModelForSeq2SeqLM if found.is_encoder_decoder else AutoModelForCausalLM
        part = {} if found is whole else {"config": found, "key_mapping": PARTS[whole.model_type]}
        model = load_weights(auto, backbone, dtype=torch.float32, **part)
        if is_gguf(backbone):
            model = _dequantised(model)
    except InputDataError as error:
        raise SettingsError(f"backbone '{backbone}'{str(error).removeprefix(str(backbone))}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"backbone '{backbone}': no language model could be loaded; give the folder, or hf://owner/name, of one "
            "that transformers knows, with safetensors weights"
        ) from error
    record = recorded_in(backbone)
    if record is not None and is_credentialed(record):
        model.config.credentialed = True
    return model


def _dequantised(model: PreTrainedModel) -> PreTrainedModel:
    """An ordinary model with the weights of one that was read from a GGUF file, which could not be saved otherwise."""
    content = model.config.to_dict()
    content.pop("quantization_config", None)
    fresh = type(model)(type(model.config).from_dict(content))
    fresh.load_state_dict(model.state_dict())
    fresh.generation_config = model.generation_config
    return fresh


def has_tied_head(language_model: PreTrainedModel) -> bool:
    """Whether the head's weight is also an embedding's.

    T5Config always claims so, also for checkpoints (Flan-T5) whose head differs from the embedding. So this checks
    whether another module has the head's weight (in T5Gemma the decoder's embedding).
    """
    head = language_model.get_output_embeddings()
    everywhere = language_model.named_parameters(remove_duplicate=False)
    return head is None or sum(parameter is head.weight for _, parameter in everywhere) > 1


def _separate_head(language_model: PreTrainedModel) -> None:
    # Only the head is untied: T5's encoder and decoder keep sharing their embedding. (Untying in the inner config
    # would untie those as well, and their copies are not in the checkpoint.)
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
    """Reorder beams in a cache: only their own tokens, since all beams of a patient share the encoder's output.

    transformers reorders both, although note and series are most of an encoder-decoder's cache.
    """
    cache.self_attention_cache.reorder_cache(beams)
    return cache


def is_adapter_parameter(name: str) -> bool:
    """Whether a parameter of this name belongs to a LoRA adapter."""
    return "lora_" in name


def inject_lora(language_model: PreTrainedModel, lora: dict[str, Any]) -> None:
    """Add untrained LoRA adapters, which have no effect yet, to the layers named by `lora["target_modules"]`.

    These are names, a pattern, or "all-linear" for every linear layer but the head.

    Raises:
        SettingsError: Settings are missing or unknown, no layer has one of these names, peft refuses a value, or there
            are adapters already.
    """
    require_no_adapters(language_model)
    if set(lora) != set(LORA_FIELDS):
        raise SettingsError(f"lora needs exactly the settings {', '.join(LORA_FIELDS)}")
    kind, targets = language_model.config.model_type, lora["target_modules"]
    modules = dict(language_model.named_modules())
    # A string is a pattern, or "all-linear". Of several names, peft ignores those that match nothing as long as one
    # matches.
    names = [] if isinstance(targets, str) else targets
    unknown = [target for target in names if not any(f".{name}".endswith(f".{target}") for name in modules)]
    if unknown:
        layers = {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, nn.Linear)}
        named = ", ".join(f"'{target}'" for target in unknown)
        raise SettingsError(
            f"lora's target_modules name {named}, but no layer of this {kind} has "
            f"{'that name' if len(unknown) == 1 else 'these names'}; its linear layers are {', '.join(sorted(layers))}"
        )
    try:
        inject_adapter_in_model(LoraConfig(**lora), language_model)
    except ValueError as error:
        raise SettingsError(f"lora's settings do not fit this {kind}: {error}") from error
    keep_own_adapters(language_model)


def save_peft_adapter(language_model: PreTrainedModel, folder: Path, base: str) -> None:
    """Write the language model's own adapters in PEFT's format, for `PeftModel.from_pretrained` around its backbone.

    Args:
        language_model: The language model with adapters.
        folder: Where adapter_config.json and adapter_model.safetensors go.
        base: Name of the backbone.
    """
    (name, config), *_ = language_model.peft_config.items()
    config = deepcopy(config)
    config.base_model_name_or_path, config.inference_mode = base, True
    config.task_type = "SEQ_2_SEQ_LM" if language_model.config.is_encoder_decoder else "CAUSAL_LM"
    config.save_pretrained(str(folder))
    state = get_peft_model_state_dict(language_model, adapter_name=name, save_embedding_layers=False)
    # As PEFT's wrapper around a model calls them.
    tensors = {f"base_model.model.{key}": value.contiguous() for key, value in state.items()}
    save_file(tensors, folder / SAFETENSORS_WEIGHTS_NAME, {"format": "pt"})


def merge_lora(language_model: PreTrainedModel) -> None:
    """Merge the adapters into the weights and restore the plain layers."""
    for name, module in list(language_model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(language_model.get_submodule(parent), child, module.get_base_layer())
    forget_adapters(language_model)


def backbone_digest(language_model: PreTrainedModel) -> str:
    """SHA-256 of the pretrained weights, by name; without adapters.

    The weights are read as bfloat16, so that the digest does not depend on the precision in memory.
    """
    digest = hashlib.sha256()
    for name, parameter in language_model.named_parameters():
        if not is_adapter_parameter(name):
            digest.update(name.replace(".base_layer.", ".").encode())
            values = parameter.detach().to("cpu", torch.bfloat16).flatten().view(torch.uint8)
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()

"""Whether a model of a configuration could be built at all: its size is counted without a byte of memory for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.memory import MORE_MEMORY, in_words, machine_memory
from trainers.model_config import MOST_LAYERS

CURES = {
    "language_model": "the sizes in the language model's own config, or lora_r",
    "lab_encoder": "lab_width, lab_layers or lab_max_steps",
    "summary_encoder": "lab_summary_width",
    "disease_head": "the language model's width",
    "knowledge_attention": "num_prototypes, knowledge_heads or knowledge_head_dim",
}
"""For each part of a model, what makes it smaller."""


def possible_layout(config: ClinRaGenConfig) -> ClinRaGenForConditionalGeneration:
    """A model of a configuration as `laid_out` gives it, of which the weights could be on this machine.

    Nothing is built: the parts are laid out on PyTorch's meta device, which takes a second or two.

    Raises:
        SettingsError: As `laid_out`, or the weights alone, in single precision, are more than this machine's memory;
            the message names the setting to lower.
        ValueError, TypeError, RuntimeError, ArithmeticError: As the library of a part refuses its settings.
    """
    layout = laid_out(config)
    sizes = part_sizes(layout)
    needed, there = sum(sizes.values()), machine_memory()
    if needed > there:
        largest = max(sizes, key=lambda name: sizes[name])
        raise SettingsError(
            f"the model's weights need {in_words(needed)} of memory, and this machine has {in_words(there)}; "
            f"most is for the {largest.replace('_', ' ')}: lower {CURES[largest]}"
        )
    return layout


def part_sizes(layout: ClinRaGenForConditionalGeneration) -> dict[str, int]:
    """The bytes of each part of a model, by its name in it."""
    return {name: _bytes(part) for name, part in layout.named_children()}


def require_free_memory(sizes: Mapping[str, int], there: int, *, pretrained: bool = True) -> None:
    """Refuse to load a model for which there is no memory at present, before a byte of it is loaded.

    Args:
        sizes: Bytes of each part, as `part_sizes` counts them.
        there: Bytes of the machine's memory that are free.
        pretrained: Whether the language model is loaded: it is in memory twice until its weights are copied.

    Raises:
        SettingsError: There is too little memory.
    """
    weights = sum(sizes.values())
    needed = weights + (sizes["language_model"] if pretrained else 0)
    if needed > there:
        raise SettingsError(
            f"to load the model takes {in_words(needed)} of memory (its weights are {in_words(weights)}), and "
            f"{in_words(there)} are free; {MORE_MEMORY}"
        )


def laid_out(config: ClinRaGenConfig) -> ClinRaGenForConditionalGeneration:
    """A model of a configuration on PyTorch's meta device: names and shapes without weights.

    Raises:
        SettingsError: There are too many layers, the adapters fit no layer (see `inject_lora`), or their rank is above
            that of every layer.
        ValueError, TypeError, RuntimeError, ArithmeticError: As the library of a part refuses its settings.
    """
    if config.text_width < 1:
        raise SettingsError(f"the language model's width is {config.text_width}; give at least 1")
    # Each is made of Python objects: to lay out very many would take minutes.
    for name, value in _counts_of_layers(config.text_config.to_dict()):
        if value > MOST_LAYERS:
            raise SettingsError(f"the language model's {name} is {value}; give at most {MOST_LAYERS}")
    plain = copy.deepcopy(config)
    plain.lora = None
    # A model that is only counted keeps no process off the Hub.
    plain.credentialed = False
    # Initialisation draws no number on this device, but that is PyTorch's to change.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = ClinRaGenForConditionalGeneration(plain)
        if config.lora is not None:
            model.add_lora(config.lora)
            _require_useful_rank(model.language_model, config.lora)
    return model


def _counts_of_layers(content: Mapping[Any, Any]) -> Iterator[tuple[str, int]]:
    """The numbers of layers that a language model's config gives, in its halves as well."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _counts_of_layers(value)
        elif str(name).endswith(("layers", "layer")) and isinstance(value, int) and not isinstance(value, bool):
            yield str(name), value


def _bytes(part: nn.Module) -> int:
    tensors = [*part.parameters(), *part.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _require_useful_rank(language_model: nn.Module, lora: Mapping[str, Any]) -> None:
    """Refuse a rank above every adapted layer's own: what it changes has at most that, the rest is memory."""
    layers = [module.get_base_layer() for module in language_model.modules() if isinstance(module, LoraLayer)]
    largest = max(min(layer.weight.shape) for layer in layers)
    if lora["r"] > largest:
        targets = lora["target_modules"]
        named = targets if isinstance(targets, str) else ", ".join(targets)
        raise SettingsError(
            f"lora_r is {lora['r']}, but no layer of lora_targets ({named}) has a rank above {largest}; give at most "
            f"{largest}"
        )

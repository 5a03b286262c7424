"""Whether a model of a configuration could be built at all: its size is counted without a byte of memory for it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from modeling_clinragen.configuration_clinragen import ClinRaGenConfig
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.model_config import MOST_LAYERS

CURES = {
    "language_model": "the sizes in the language model's own config, or lora_r",
    "lab_encoder": "lab_width, lab_layers or lab_max_steps",
    "summary_encoder": "lab_summary_width",
    "disease_head": "the language model's width",
    "knowledge_attention": "num_prototypes, knowledge_heads or knowledge_head_dim",
}
"""For each part of a model, what makes it smaller."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_THOUSAND = 1000


def require_possible_size(config: ClinRaGenConfig) -> None:
    """Refuse a configuration of which no model could be built on this machine, or whose adapters are absurd.

    Nothing is built: the parts are laid out on PyTorch's meta device, which takes less than a second.

    Raises:
        SettingsError: There are too many layers, the adapters fit no layer (see `inject_lora`) or their rank is above
            that of every layer, or the weights alone, in single precision, are more than this machine's memory; the
            message names the setting to lower.
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
        _require_useful_rank(model.language_model, config.lora)
        with torch.device("meta"):
            model.add_lora(config.lora)
    sizes = {name: _bytes(part) for name, part in model.named_children()}
    needed, there = sum(sizes.values()), machine_memory()
    if needed > there:
        largest = max(sizes, key=lambda name: sizes[name])
        raise SettingsError(
            f"the model's weights need {_in_words(needed)} of memory, and this machine has {_in_words(there)}; "
            f"most is for the {largest.replace('_', ' ')}: lower {CURES[largest]}"
        )


def machine_memory() -> int:
    """The physical memory of this machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
    targets = tuple(f".{name}" for name in lora["target_modules"])
    ranks = [
        min(module.weight.shape)
        for name, module in language_model.named_modules()
        if f".{name}".endswith(targets) and isinstance(module, nn.Linear | nn.Embedding | Conv1D)
    ]
    # `inject_lora` refuses names that no layer has.
    if ranks and lora["r"] > max(ranks):
        raise SettingsError(
            f"lora_r is {lora['r']}, but no layer of lora_targets ({', '.join(lora['target_modules'])}) has a rank "
            f"above {max(ranks)}; give at most {max(ranks)}"
        )


def _in_words(number: int) -> str:
    value, unit = float(number), 0
    while value >= _THOUSAND and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return f"{value:,.0f} {_UNITS[unit]}"

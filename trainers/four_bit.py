"""QLoRA (Dettmers et al. 2023): while adapters learn, the frozen layers around them are held in four bits.

Only the memory of the training is smaller. The layers' own weights wait in the machine's memory and are put back
before anything is saved, so that checkpoints and the trained model are ordinary ones, in full precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from modeling_clinragen.errors import SettingsError

BITS = 4.13
"""Of a weight, with its share of the scales: one byte for a block, and a number for 256 of these."""
BLOCK = 64
"""Weights that have one scale. On the CPU, bitsandbytes 0.50 mixes up the blocks of rows that they don't fill."""


class FourBitLayers:
    """The frozen linear layers of a language model, in four bits or as they were.

    Args:
        language_model: Its adapters learn, and nothing else of it.
        device: Where it is trained.
        dtype: The precision in which layers compute.

    Raises:
        SettingsError: bitsandbytes is not installed.
    """

    def __init__(self, language_model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        library = _bitsandbytes()
        self._language_model = language_model
        self._whole = dict(frozen_layers(language_model))
        self._small = {}
        for name, layer in self._whole.items():
            made = library.nn.Linear4bit(
                layer.in_features, layer.out_features, bias=False, compute_dtype=dtype, quant_type="nf4", device="meta"
            )
            made.weight = library.nn.Params4bit(layer.weight.detach().clone(), requires_grad=False, quant_type="nf4")
            if layer.bias is not None:
                made.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
            # On some CPUs it would pack its weights anew in the first evaluation, and no gradient goes through these.
            made.support_avx512bf16_for_cpu = False
            # Quantised by being moved.
            self._small[name] = made.to(device)
            layer.to("cpu")
        self._put(self._small)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The layers as they were; in four bits again afterwards."""
        self._put(self._whole)
        try:
            yield
        finally:
            self._put(self._small)

    def give_back(self) -> None:
        """Put the layers back as they were, on the device where the model is."""
        for layer in self._whole.values():
            layer.to(next(self._language_model.parameters()).device)
        self._put(self._whole)

    def _put(self, layers: dict[str, Any]) -> None:
        for name, layer in layers.items():
            parent, _, child = name.rpartition(".")
            setattr(self._language_model.get_submodule(parent), child, layer)


def frozen_layers(language_model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers that can be held in four bits, by name.

    All but adapters, the head, what its type keeps in single precision (T5's `wo`, of which its own code asks the
    precision), and those whose rows are not made of whole blocks.
    """
    head = language_model.get_output_embeddings()  # type: ignore[operator]
    kept = set(language_model._keep_in_fp32_modules or ())  # type: ignore[arg-type]
    for name, module in language_model.named_modules():
        plain = type(module) is nn.Linear and module is not head and not kept & set(name.split("."))
        if plain and module.in_features % BLOCK == 0:
            yield name, module


def bytes_saved(language_model: nn.Module) -> int:
    """By how much a language model is smaller in four bits; it may lie on PyTorch's meta device."""
    return sum(
        layer.weight.numel() * layer.weight.element_size() - int(layer.weight.numel() * BITS / 8)
        for _, layer in frozen_layers(language_model)
    )


def _bitsandbytes() -> ModuleType:
    try:
        import bitsandbytes
    except ImportError as error:
        raise SettingsError(
            "load_in_4bit needs bitsandbytes; install it (pip install 'bitsandbytes>=0.49'), or leave the setting out"
        ) from error
    return bitsandbytes


__all__ = ["FourBitLayers", "bytes_saved", "frozen_layers"]

"""A model's own LoRA adapters, which PEFT must neither replace nor switch off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn

from peft import PeftConfig
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from .errors import SettingsError
from .export_clinragen import checks_values

REFUSED = (
    "this model has LoRA adapters of its own, which PEFT's would replace or switch off; call model.merge_adapters() "
    "first, which keeps the output, or train its own adapters"
)


class OwnAdapters(Mapping[str, PeftConfig]):
    """The `peft_config` of a model with adapters of its own.

    PEFT adds to the `peft_config` of a model before it changes anything else in it, so whatever would add adapters
    (`get_peft_model`, `PeftModel.from_pretrained`, `add_adapter`, ...) is refused there.
    """

    def __init__(self, configs: Mapping[str, PeftConfig]) -> None:
        self._configs = dict(configs)

    def __getitem__(self, name: str) -> PeftConfig:
        return self._configs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._configs)

    def __len__(self) -> int:
        return len(self._configs)

    def __setitem__(self, name: str, config: PeftConfig) -> NoReturn:
        raise SettingsError(REFUSED)

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `SettingsError`."""
        raise SettingsError(REFUSED)


class AdapterLinear(nn.Linear):
    """A matrix of an adapter.

    Dynamic quantization replaces `nn.Linear` itself, so it leaves these as they are: peft reads their precision.
    """


def keep_own_adapters(language_model: Any) -> None:
    """Make the adapters that have been injected into a language model its own."""
    language_model.peft_config = OwnAdapters(language_model.peft_config)
    for module in language_model.modules():
        if isinstance(module, LoraLayer):
            for matrices in (module.lora_A, module.lora_B):
                for name, matrix in matrices.items():
                    # On "meta", no random number is drawn for weights that are replaced at once.
                    kept = AdapterLinear(matrix.in_features, matrix.out_features, bias=False, device="meta")
                    kept.weight, kept.bias = matrix.weight, matrix.bias
                    matrices[name] = kept


@contextmanager
def untrained_adapters_idle(language_model: Any) -> Iterator[None]:
    """Skip adapters that have no effect yet, which cost a third of a small model's time; others are left as they are.

    Raises nothing: where one of them has been trained, all of them work.
    """
    layers = [module for module in language_model.modules() if isinstance(module, LoraLayer)]
    trained = any(matrix.weight.any() for layer in layers for matrix in layer.lora_B.values())
    idle = [] if trained else [layer for layer in layers if not layer.disable_adapters]
    for layer in idle:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in idle:
            layer._disable_adapters = False


def with_idle_adapters(method: Callable[..., Any]) -> Callable[..., Any]:
    """A model's method that skips its adapters while they have no effect; what it gives is the same to the bit.

    An exported program keeps them.
    """

    @wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not checks_values():
            return method(self, *args, **kwargs)
        with untrained_adapters_idle(self.language_model):
            return method(self, *args, **kwargs)

    return run


def forget_adapters(language_model: Any) -> None:
    """After its own adapters have been merged: a language model that any can be added to."""
    del language_model.peft_config


def require_no_adapters(language_model: Any) -> None:
    """Raise `SettingsError` where somebody else has put adapters into a language model."""
    if any(isinstance(module, BaseTunerLayer) for module in language_model.modules()):
        raise SettingsError("PEFT has put adapters into this model already; merge them (merge_and_unload) first")


class WithOwnAdapters:
    """The part of a ClinRaGen model that keeps PEFT's functions away from its adapters; mixed into its base."""

    config: Any
    language_model: Any

    @property
    def peft_config(self) -> Mapping[str, PeftConfig]:
        """The adapters: the model's own, which is read-only, or those that PEFT put around it."""
        if self.config.lora is not None:
            return self.language_model.peft_config
        if "_peft_config" in self.__dict__:
            return self.__dict__["_peft_config"]
        raise AttributeError("this model has no adapters")

    @peft_config.setter
    def peft_config(self, configs: Mapping[str, PeftConfig]) -> None:
        self.__dict__["_peft_config"] = configs

    @peft_config.deleter
    def peft_config(self) -> None:
        del self.__dict__["_peft_config"]

    def add_adapter(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers. Raises `SettingsError` where the model has adapters of its own."""
        self._require_none()
        super().add_adapter(*args, **kwargs)  # type: ignore[misc]

    def load_adapter(self, *args: Any, **kwargs: Any) -> Any:
        """As in transformers. Raises `SettingsError` where the model has adapters of its own."""
        self._require_none()
        return super().load_adapter(*args, **kwargs)  # type: ignore[misc]

    def _require_none(self) -> None:
        # transformers marks the model as one of PEFT's, whose weights are not saved, before it calls PEFT.
        if self.config.lora is not None:
            raise SettingsError(REFUSED)


__all__ = [
    "WithOwnAdapters",
    "forget_adapters",
    "keep_own_adapters",
    "require_no_adapters",
    "untrained_adapters_idle",
]

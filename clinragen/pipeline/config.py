"""The part of a recipe that may ask a language model: its own settings, and those of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from clinragen.llm.client import Prices
from clinragen.llm.providers import ModelSettings
from dataset_builder.storage.governance import ServiceAcknowledgement
from modeling_clinragen.errors import SettingsError

_NESTED: dict[str, type] = {"acknowledgement": ServiceAcknowledgement, "prices": Prices}


def split_settings(part: str, settings: Mapping[str, Any], own: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the dataclass `own` (all but its `model`), and those of `ModelSettings` (all but its `kind`).

    Raises `SettingsError`, which names the `part`, for what is no setting, or cannot be one.
    """
    defaults = {field.name: field.default for field in fields(own) if field.name != "model"}
    models = {field.name: field.default for field in fields(ModelSettings) if field.name != "kind"}
    for name, value in settings.items():
        if name not in defaults | models:
            raise SettingsError(f"{part}: '{name}' is no setting; see docs/{part}.md")
        if not _fits(value, (defaults | models)[name]):
            raise SettingsError(f"{part}: {name} cannot be '{value}'; see docs/{part}.md")
    chosen = {
        name: tuple(value) if isinstance(defaults[name], tuple) else value
        for name, value in settings.items()
        if name in defaults
    }
    asked = {name: value for name, value in settings.items() if name in models and name not in defaults}
    for name, kind in _NESTED.items():
        if asked.get(name) is not None:
            try:
                asked[name] = kind(**asked[name])
            except TypeError as error:
                parts = ", ".join(field.name for field in fields(kind))
                raise SettingsError(f"{part}: {name} must say {parts}, each once") from error
    return chosen, asked


def _fits(value: Any, default: Any) -> bool:
    """Whether a recipe's value is of the kind of a setting's default, as far as that tells."""
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if not isinstance(default, (str, bool, int, float)):
        return True
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))

"""The options of `generate`: what a caller gives wins over what is saved with the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from transformers import GenerationConfig

from .errors import ModelInputError

NEEDS_TEXT = {
    "assistant_model": "an assistant model would have to read the series as well",
    "assistant_early_exit": "the early layers would have to read the series again",
    "guidance_scale": "the text without its prompt would have no patient",
}
"""Options under which the language model reads its prompt again, as tokens; a series has none."""


def generation_settings(
    saved: GenerationConfig, options: Mapping[str, Any], *, is_encoder_decoder: bool
) -> tuple[GenerationConfig, dict[str, Any]]:
    """Merge the options of one call, its `generation_config` and the saved configuration, in this order.

    Args:
        saved: The model's own.
        options: What `generate` was called with.
        is_encoder_decoder: The kind of language model. A decoder-only one would count the input embeddings in
            `max_length` and `min_length`, so it gets the number of new tokens.

    Returns:
        One configuration (transformers accepts either a configuration or single options, not both), and the options
        that belong into none.

    Raises:
        ModelInputError: An option needs a prompt that is nothing but text (see `NEEDS_TEXT`).
    """
    options = dict(options)
    given = options.pop("generation_config", None)
    levels = [options, *([] if given is None else [given.to_dict()]), saved.to_dict()]
    settings = copy.deepcopy(saved if given is None else given)
    if given is not None:
        settings.update(**levels[-1], defaults_only=True, allow_custom_entries=True)
    rest = settings.update(**options)
    for name, reason in NEEDS_TEXT.items():
        value = options.get(name, getattr(settings, name, None))
        if value is not None and not (name == "guidance_scale" and value == 1):
            raise ModelInputError(f"generate takes no {name} with this model: {reason}; leave {name} out")
    for bound in ("max", "min"):
        names = (f"{bound}_new_tokens", f"{bound}_length")
        # The highest level that has a length decides; within one, the number of new tokens does, as in transformers.
        lengths = ([level.get(name) for name in names] for level in levels)
        new, whole = next((found for found in lengths if found != [None, None]), (None, None))
        if not is_encoder_decoder and new is None:
            new = whole
        setattr(settings, names[0], new)
        setattr(settings, names[1], None if new is not None else whole)
    return settings, rest


__all__ = ["generation_settings"]

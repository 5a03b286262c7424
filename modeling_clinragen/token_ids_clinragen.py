"""Tokens of a text without and with the tokenizer's own special tokens, and rows of tokens as one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ModelInputError


def bare_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without special tokens."""
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def special_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and behind a text (T5: an end, OPT and Llama: a start)."""
    bare = bare_ids(tokenizer, "a")
    full = tokenizer("a")["input_ids"]
    start = next(index for index in range(len(full)) if full[index : index + len(bare)] == bare)
    return full[:start], full[start + len(bare) :]


def padded(tokenizer: Any, rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """`input_ids` and `attention_mask` `(batch, tokens)` of rows of tokens, padded on the tokenizer's side.

    Raises:
        ModelInputError: The tokenizer has neither a padding nor an end token.
    """
    # Padding is masked, so that any token will do; Llama's tokenizer has none for it.
    padding = tokenizer.pad_token_id
    padding = tokenizer.eos_token_id if padding is None else padding
    if padding is None:
        raise ModelInputError(
            "the tokenizer names neither a padding nor an end token; restore its tokenizer_config.json"
        )
    ids = np.full((len(rows), max(map(len, rows))), padding, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, tokens in enumerate(rows):
        span = slice(None, len(tokens)) if tokenizer.padding_side == "right" else slice(-len(tokens), None)
        if tokens:
            ids[row, span] = tokens
            mask[row, span] = 1
    return {"input_ids": ids, "attention_mask": mask}


__all__ = ["bare_ids", "padded", "special_ids"]

"""A batch of texts in the middle of being written, from which rows can leave and tokens can be taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput


class Batch:
    """The rows that a language model writes, and its memory of them.

    Args:
        model: The language model.
        input_ids: The tokens that are given, `(rows, tokens)`.
        kwargs: What transformers' `generate` has prepared for the model.
    """

    def __init__(self, model: Any, input_ids: torch.Tensor, kwargs: Mapping[str, Any]) -> None:
        self.input_ids = input_ids
        self._model = model
        self._kwargs = dict(kwargs)
        self._first = True
        self._mask = "decoder_attention_mask" if model.config.is_encoder_decoder else "attention_mask"

    def logits(self) -> torch.Tensor:
        """The scores of the tokens that come next, `(rows, vocabulary)`."""
        inputs = self._model.prepare_inputs_for_generation(
            self.input_ids,
            next_sequence_length=None if self._first else 1,
            is_first_iteration=self._first,
            **self._kwargs,
        )
        outputs = self._model(**inputs, return_dict=True)
        self._kwargs = self._model._update_model_kwargs_for_generation(
            outputs, self._kwargs, is_encoder_decoder=self._model.config.is_encoder_decoder
        )
        self._first = False
        # Only the first step reads them.
        self._kwargs.pop("inputs_embeds", None)
        return outputs.logits[:, -1].to(torch.float32)

    def append(self, tokens: Sequence[int], back: Mapping[int, int]) -> None:
        """Add a token to each row.

        Args:
            tokens: The tokens.
            back: For rows that go back, how many of their tokens are taken back before. What is left of such a row
                moves to the right, as if it had been padded on the left.
        """
        for row, count in back.items():
            self._take_back(row, count)
        added = torch.tensor(tokens, dtype=self.input_ids.dtype, device=self.input_ids.device)
        self.input_ids = torch.cat((self.input_ids, added[:, None]), dim=1)

    @property
    def selects(self) -> bool:
        """Whether rows can be left out: those of other kinds of cache stay to the end."""
        return all(isinstance(layer, DynamicLayer) for layer in _layers(self._kwargs.get("past_key_values")))

    def select(self, rows: Sequence[int]) -> None:
        """Keep only these rows."""
        number = len(self.input_ids)
        kept = torch.tensor(rows, device=self.input_ids.device)
        for name, value in self._kwargs.items():
            if isinstance(value, Cache):
                value.batch_select_indices(kept)
            elif isinstance(value, BaseModelOutput):
                self._kwargs[name] = BaseModelOutput(last_hidden_state=value.last_hidden_state[kept])
            elif isinstance(value, torch.Tensor) and value.ndim and len(value) == number:
                self._kwargs[name] = value[kept]
        self.input_ids = self.input_ids[kept]

    def _take_back(self, row: int, count: int) -> None:
        cache = self._kwargs["past_key_values"]
        for layer in _layers(cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache):
            for kept in (layer.keys, layer.values):
                kept[row, :, count:] = kept[row, :, :-count].clone()
        self.input_ids[row, count:] = self.input_ids[row, :-count].clone()
        mask = self._kwargs.get(self._mask)
        if mask is None:
            # Left out while nothing was padded; it counts the token that comes next.
            mask = self.input_ids.new_ones(len(self.input_ids), cache.get_seq_length() + 1)
        mask[row, count:] = mask[row, :-count].clone()
        mask[row, :count] = 0
        self._kwargs[self._mask] = mask
        if self._kwargs.get("position_ids") is not None:
            self._kwargs["position_ids"][row] = (mask[row].cumsum(0) - 1).clamp_min(0)


def _layers(cache: Any) -> Sequence[Any]:
    if isinstance(cache, EncoderDecoderCache):
        return [*_layers(cache.self_attention_cache), *_layers(cache.cross_attention_cache)]
    # A cache of another kind has none that can be changed.
    return cache.layers if isinstance(cache, DynamicCache) else [None]


__all__ = ["Batch"]

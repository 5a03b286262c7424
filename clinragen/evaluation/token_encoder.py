"""Token embeddings of a language model, for BERTScore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.loading_clinragen import locate

LONGEST = 4096
"""Tokens of a text, where neither model nor tokenizer has a limit."""


class TokenEncoder:
    """The last hidden states of a language model (of an encoder-decoder's encoder), on the CPU.

    Args:
        model: Folder of a transformers model with its tokenizer, or `hf://owner/name`.

    Attributes:
        name: The folder's own name.

    Raises:
        SettingsError: There is no such folder, or it cannot be loaded without foreign code and pickled weights.
    """

    def __init__(self, model: str | Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.name = Path(model).name
        try:
            source, where = locate(model)
            self._tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **where)
            whole = AutoModel.from_pretrained(source, trust_remote_code=False, use_safetensors=True, **where)
        except InputDataError as error:
            raise SettingsError(f"bert_score: {error}") from error
        except (OSError, ValueError, KeyError) as error:
            raise SettingsError(
                f"bert_score: {model} cannot be loaded; give the folder of a transformers model with its tokenizer"
            ) from error
        self._model = whole.get_encoder() if whole.config.is_encoder_decoder else whole
        self._model.eval()
        limits = (self._tokenizer.model_max_length, whole.config.to_dict().get("max_position_embeddings") or LONGEST)
        self._limit = min(*limits, LONGEST)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Unit vectors of the tokens of each text, float64 `(tokens, width)`, without those that mark begin and end.

        All texts are one batch. One that is longer than the model's limit is cut there.
        """
        import torch

        encoded = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._limit,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        special = encoded.pop("special_tokens_mask").bool()
        inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            states = self._model(**inputs).last_hidden_state.double()
        kept = inputs["attention_mask"].bool() & ~special
        found = [row[mask].numpy() for row, mask in zip(states, kept, strict=True)]
        return [vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) for vectors in found]

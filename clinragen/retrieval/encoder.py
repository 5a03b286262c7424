"""A sentence encoder: texts to unit vectors, whose dot products are cosines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling_clinragen.errors import SettingsError


class SentenceEncoder:
    """A sentence-transformers model from a folder or the Hub.

    Raises `SettingsError` when it cannot be loaded.
    """

    def __init__(self, model: str | Path) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(str(model))
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"sentence encoder '{model}': cannot be loaded; give the folder of a sentence-transformers model"
            ) from error

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 (texts, width)."""
        vectors = self._model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

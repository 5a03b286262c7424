"""A sentence encoder: texts to unit vectors, whose dot products are cosines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.loading_clinragen import locate


class SentenceEncoder:
    """A sentence-transformers model from a folder, or from the Hub as `hf://owner/name`.

    Raises:
        SettingsError: There is no such folder, or it cannot be loaded without foreign code and pickled weights.
    """

    def __init__(self, model: str | Path) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            source, where = locate(model)
            self._model = SentenceTransformer(
                source, trust_remote_code=False, model_kwargs={"use_safetensors": True}, **where
            )
        except InputDataError as error:
            raise SettingsError(f"sentence encoder {error}") from error
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"sentence encoder '{model}': cannot be loaded; give the folder of a sentence-transformers model"
            ) from error

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 (texts, width)."""
        vectors = self._model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

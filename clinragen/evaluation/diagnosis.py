"""From generated disease names to a 0/1 matrix; every name outside the vocabulary is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from clinragen.retrieval.encoder import SentenceEncoder
from clinragen.text.names import fold_name
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Disease


class Matcher(Protocol):
    """Decides which diseases a generated name stands for."""

    def match(self, pieces: Sequence[str], names: Sequence[str]) -> np.ndarray:
        """Return a bool matrix `(pieces, names)`; a row without a True is a name outside the vocabulary."""
        ...


class ExactMatcher:
    """A piece is a disease when both names are equal but for case and white space. Needs nothing but the names."""

    def match(self, pieces: Sequence[str], names: Sequence[str]) -> np.ndarray:
        """Return a bool matrix `(pieces, names)`."""
        folded = np.array([fold_name(name) for name in names], dtype=object)
        return np.array([folded == fold_name(piece) for piece in pieces], dtype=bool).reshape(len(pieces), len(names))


class EmbeddingMatcher:
    """The paper's protocol (section 4): a piece is a disease when the cosine of their embeddings reaches `threshold`.

    `encoder` is a sentence-transformers model (its folder, or `hf://owner/name`); the paper uses all-MiniLM-L6-v2 and
    0.9. A piece may reach the threshold for several diseases and then counts as each of them, as in the paper.
    Embeddings are kept, so that a name which many outputs share is encoded once.

    Raises:
        SettingsError: The threshold lies outside (0, 1], or the encoder cannot be loaded.
    """

    def __init__(self, encoder: str | Path, threshold: float = 0.9) -> None:
        if not 0 < threshold <= 1:
            raise SettingsError(
                f"matching threshold {threshold} is not a usable cosine; give a number above 0 and at most 1"
            )
        self.encoder = str(encoder)
        self.threshold = threshold
        self._model: SentenceEncoder | None = None
        self._embeddings: dict[str, np.ndarray] = {}

    def match(self, pieces: Sequence[str], names: Sequence[str]) -> np.ndarray:
        """Return a bool matrix `(pieces, names)`."""
        if not pieces:
            return np.zeros((0, len(names)), dtype=bool)
        self._encode([*pieces, *names])
        rows = np.stack([self._embeddings[piece] for piece in pieces])
        columns = np.stack([self._embeddings[name] for name in names])
        # float32 rounding would put the cosine of a name with itself just below a threshold of 1.
        return rows @ columns.T >= self.threshold - 1e-6

    def _encode(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._embeddings]
        if not new:
            return
        if self._model is None:
            self._model = SentenceEncoder(self.encoder)
        self._embeddings.update(zip(new, self._model.embed(new), strict=True))


@dataclass(frozen=True)
class MatchedDiagnoses:
    """The diagnoses of one system.

    Args:
        predictions: int8 `(examples, diseases)`.
        unmatched: Generated names outside the vocabulary, as written except for white space, with their counts.
        pieces: The number of names written in all.
    """

    predictions: np.ndarray
    unmatched: dict[str, int]
    pieces: int

    def counts(self) -> dict[str, int]:
        """The numbers for metrics.json (no names: a generated text may repeat a note)."""
        return {
            "names": self.pieces,
            "unmatched": sum(self.unmatched.values()),
            "unmatched_distinct": len(self.unmatched),
        }


def match_diagnoses(
    lists: Sequence[Sequence[str]], diseases: Sequence[Disease], matcher: Matcher | None = None
) -> MatchedDiagnoses:
    """Match one list of generated names per example against the diseases, with an `ExactMatcher` by default.

    An empty list is "no disease". A disease named twice counts once. Empty pieces (two commas in a row) are left out;
    any other piece either matches or is counted in `unmatched`.
    """
    matcher = matcher if matcher is not None else ExactMatcher()
    cleaned = [[" ".join(piece.split()) for piece in pieces if piece.strip()] for pieces in lists]
    written = Counter(piece for pieces in cleaned for piece in pieces)
    distinct = list(written)
    matches = matcher.match(distinct, [disease.name for disease in diseases])
    row = {piece: matches[number] for number, piece in enumerate(distinct)}
    predictions = np.zeros((len(cleaned), len(diseases)), dtype=np.int8)
    for number, pieces in enumerate(cleaned):
        for piece in pieces:
            predictions[number] |= row[piece]
    unmatched = {piece: count for piece, count in sorted(written.items()) if not row[piece].any()}
    return MatchedDiagnoses(predictions, unmatched, sum(written.values()))

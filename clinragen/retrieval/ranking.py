"""Ranking of passages by a query: BM25 over all of them, then, with an encoder, cosine over the best of those."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np

from clinragen.retrieval.encoder import SentenceEncoder
from clinragen.retrieval.passages import Passage

CANDIDATES = 4  # passages that BM25 hands to the encoder, per passage wanted


class Ranking:
    """An index of passages. Passages with equal scores keep their order."""

    def __init__(self, passages: Sequence[Passage], encoder: SentenceEncoder | None = None) -> None:
        self._passages = passages
        self._encoder = encoder
        tokens = bm25s.tokenize([_full_text(passage) for passage in passages], stopwords="en", show_progress=False)
        self._index = None
        if tokens.vocab:
            self._index = bm25s.BM25()
            self._index.index(tokens, show_progress=False)

    def best(self, words: str, count: int) -> list[Passage]:
        """At most `count` passages, the best first; each shares at least one word with `words`."""
        query = bm25s.tokenize(words, stopwords="en", return_ids=False, show_progress=False)[0]
        if self._index is None or not query:
            return []
        scores = self._index.get_scores(query)
        order = np.argsort(-scores, kind="stable")
        found = [self._passages[index] for index in order[: count * CANDIDATES] if scores[index] > 0]
        if self._encoder is not None and found:
            cosines = self._encoder.embed([_full_text(passage) for passage in found]) @ self._encoder.embed([words])[0]
            found = [found[index] for index in np.argsort(-cosines, kind="stable")]
        return found[:count]


def _full_text(passage: Passage) -> str:
    return f"{passage.title}\n{passage.text}"

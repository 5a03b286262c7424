"""Finds the passages that contain a term, with the matching that the rule-based teacher uses for notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clinragen.knowledge.base import passage_id
from clinragen.retrieval.passages import Passage
from clinragen.text.term_index import TermIndex, split_words


class PassageIndex:
    """Words of passages by id. A term may be part of a longer one: "kidney injury" in "acute kidney injury"."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._read = {passage_id(passage): (passage.text, split_words(passage.text)) for passage in passages}
        self._words = {name: frozenset(word.folded for word in words) for name, (_, words) in self._read.items()}

    def holding(self, surfaces: Iterable[str], among: Sequence[str]) -> tuple[str, ...]:
        """The ids, out of `among`, of passages that contain one of `surfaces`; case and plural are ignored."""
        split = [(surface, split_words(surface)) for surface in surfaces]
        starts = {words[0].folded for _, words in split if words}
        index = TermIndex((surface, True) for surface, _ in split)
        # Most passages do not even contain the first word.
        return tuple(
            name for name in among if not starts.isdisjoint(self._words[name]) and index.find(*self._read[name])
        )

"""Counts patients: in the texts of how many of them a token occurs."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence


class PatientPieces:
    """Pieces of texts that no token reaches beyond, each with the patients whose texts hold it.

    What a patient's texts repeat counts once.

    Args:
        texts: Texts with the patient whom each is about.
        split: Cuts a text into pieces.
    """

    def __init__(self, texts: Iterable[tuple[Hashable, str]], split: Callable[[str], Sequence[str]]) -> None:
        readers: dict[str, set[Hashable]] = defaultdict(set)
        for patient, text in texts:
            readers[text].add(patient)
        found: dict[str, set[Hashable]] = defaultdict(set)
        for text, patients in readers.items():
            for piece in split(text):
                found[piece] |= patients
        # The most widespread pieces first: they decide at once about a token that many patients share.
        ordered = sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        self._pieces = [piece for piece, _ in ordered]
        self._patients = [patients for _, patients in ordered]
        self.patients = len(set().union(*self._patients))

    def once_per_patient(self) -> Iterator[str]:
        """Every piece, as often as there are patients whose texts hold it."""
        for piece, patients in zip(self._pieces, self._patients, strict=True):
            for _ in patients:
                yield piece

    def counts(self, merges: Sequence[tuple[str, str]], enough: Callable[[str], int | None]) -> dict[str, int]:
        """The number of patients in whose texts each merged token occurs.

        Args:
            merges: The two tokens that each token is merged of, in an order in which no token comes before its parts.
            enough: Called with a token: the number of patients from which on an exact count is not needed, if any.
        """
        # A token occurs only where its parts do.
        holders: dict[str, Sequence[int]] = {}
        everywhere = range(len(self._pieces))
        counted = {}
        for left, right in merges:
            token = left + right
            candidates = min(holders.get(left, everywhere), holders.get(right, everywhere), key=len)
            holders[token] = [number for number in candidates if token in self._pieces[number]]
            counted[token] = self._count(holders[token], enough(token))
        return counted

    def _count(self, pieces: Sequence[int], enough: int | None) -> int:
        limit = sys.maxsize if enough is None else enough
        seen: set[Hashable] = set()
        for number in pieces:
            seen |= self._patients[number]
            if len(seen) >= limit:
                break
        return len(seen)

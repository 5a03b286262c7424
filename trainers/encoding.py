"""Encodings of examples, kept from epoch to epoch as far as they fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.reading_clinragen import Reading
from trainers.evidence import Cited, CitedEvidence

MOST_BYTES = 1 << 29
BYTES_PER_TOKEN = 8
BYTES_PER_PLACE = 72
ENTRY_BYTES = 400
"""About what an entry takes besides its tokens."""
KEPT = "encoded"
"""Key of what is kept in an item."""


class EncodingCache:
    """Notes as tokens, series as features and targets as tokens, each made once; beyond a limit, every time again.

    What is made of an item is kept in the item itself, so that items of different splits can't be mixed up.

    Args:
        processor: The model's processor.
        most_bytes: About how much is kept.
    """

    def __init__(self, processor: ClinRaGenProcessor, most_bytes: int = MOST_BYTES) -> None:
        self._processor = processor
        self._left = most_bytes

    def reading(self, item: dict[str, Any], note: str, series: Any) -> Reading:
        """The part of an item's note that is read beside its series, or without one."""
        beside = item.get(KEPT, {}).get(("note", True, True))
        if note and series is None and beside is not None and len(beside.ids) == beside.total:
            return beside  # Without a series there is more room: the note is read whole again.

        def read() -> tuple[Reading, int]:
            found = self._processor.reading(note, series)
            return found, BYTES_PER_TOKEN * len(found.ids) + len(found.text)

        return self._kept(item, ("note", bool(note), series is not None), read)

    def features(self, item: dict[str, Any], series: Mapping[str, Any] | None) -> np.ndarray:
        """The lab features of an item's series, or of none, `(steps, variables, step_features)`."""

        def describe() -> tuple[np.ndarray, int]:
            found = self._processor.feature_extractor.describe_one(self._processor.standard_series(series))
            return found, found.nbytes

        return self._kept(item, ("series", series is not None), describe)

    def target_ids(self, item: dict[str, Any], text: str) -> list[int]:
        """The tokens of one of an item's targets."""

        def tokenize() -> tuple[list[int], int]:
            found = self._processor.target_ids(text)
            return found, BYTES_PER_TOKEN * len(found) + len(text)

        return self._kept(item, ("target", text), tokenize)

    def evidence(self, item: dict[str, Any], reading: Reading, column: str, cited: CitedEvidence) -> Cited:
        """The tokens of a reading, and the variables, that one of an item's rationales cites."""

        def read() -> tuple[Cited, int]:
            found = cited.read(item["rationales"][column], reading)
            return found, BYTES_PER_PLACE * sum(map(len, found))

        return self._kept(item, ("evidence", len(reading.ids), column), read)

    def _kept(self, item: dict[str, Any], key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        kept = item.setdefault(KEPT, {})
        if key in kept:
            return kept[key]
        value, size = make()
        if size + ENTRY_BYTES <= self._left:
            self._left -= size + ENTRY_BYTES
            kept[key] = value
        return value


__all__ = ["EncodingCache"]

"""Encodings of examples, kept from epoch to epoch as far as they fit in memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.reading_clinragen import Reading

MOST_BYTES = 1 << 29
BYTES_PER_TOKEN = 8
ENTRY_BYTES = 400
"""About what an entry takes besides its tokens."""


class EncodingCache:
    """Notes as tokens, series as features and targets as tokens, each made once; beyond a limit, every time again.

    Args:
        processor: The model's processor.
        most_bytes: About how much is kept.
    """

    def __init__(self, processor: ClinRaGenProcessor, most_bytes: int = MOST_BYTES) -> None:
        self._processor = processor
        self._left = most_bytes
        self._kept: dict[Hashable, Any] = {}

    def reading(self, row: int, note: str, series: Any) -> Reading:
        """The part of an example's note that is read beside its series, or without one."""
        key = ("note", row, bool(note), series is not None)
        if key in self._kept:
            return self._kept[key]
        reading = self._processor.reading(note, series)
        return self._keep(key, reading, BYTES_PER_TOKEN * len(reading.ids) + len(reading.text))

    def features(self, row: int, series: Mapping[str, Any] | None) -> np.ndarray:
        """The lab features of an example's series, `(steps, variables, step_features)`."""
        key = ("series", row, series is not None)
        if key in self._kept:
            return self._kept[key]
        described = self._processor.feature_extractor.describe_one(self._processor.standard_series(series))
        return self._keep(key, described, described.nbytes)

    def target_ids(self, row: int, text: str) -> list[int]:
        """The tokens of one of an example's targets."""
        key = ("target", row, text)
        if key in self._kept:
            return self._kept[key]
        ids = self._processor.target_ids(text)
        return self._keep(key, ids, BYTES_PER_TOKEN * len(ids) + len(text))

    def _keep(self, key: Hashable, value: Any, size: int) -> Any:
        size += ENTRY_BYTES
        if size <= self._left:
            self._left -= size
            self._kept[key] = value
        return value


__all__ = ["EncodingCache"]

"""Words of a text as the scores of likeness and repetition count them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[a-z0-9]+")


def words_of(text: str) -> list[str]:
    """Runs of letters a to z and digits, in lower case: the words of the package rouge-score without its stemmer."""
    return _WORD.findall(text.lower())


def ngrams(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """Every run of so many words."""
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]

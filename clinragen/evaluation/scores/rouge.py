"""ROUGE-1, ROUGE-2 and ROUGE-L of the generated rationales against the teacher's (Lin 2004), as F1 of each example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.score_types import RationaleScore, WrittenRationales
from clinragen.evaluation.words import ngrams, words_of
from trainers.formatting import NOTHING

NAMES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


def rouge(generated: str, reference: str) -> dict[str, float]:
    """F1 by `NAMES` of two texts; words are runs of letters and digits, whatever their case, without stemming."""
    one, other = words_of(generated), words_of(reference)
    found = {}
    for name, length in (("rouge1", 1), ("rouge2", 2)):
        own, wanted = Counter(ngrams(one, length)), Counter(ngrams(other, length))
        found[name] = _f1((own & wanted).total(), own.total(), wanted.total())
    found["rougeL"] = _f1(longest_common_subsequence(one, other), len(one), len(other))
    return found


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest sequence of words that both have in this order, with gaps."""
    # A bit for each word of the first text, which is 0 where the sequence grows (Hyyrö 2004).
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(one) - row.bit_count()


def rouge_scores(written: WrittenRationales) -> dict[str, Any]:
    """The means over the examples with a reference, with their intervals; None without any.

    An output that does not parse is scored as an empty text, never left out.
    """
    pairs = zip(written.shown, written.references, strict=True)
    each = [rouge(text or "", wanted) if wanted.strip() else None for text, wanted in pairs]
    counted = np.array([one is not None for one in each])
    return {
        name: written.bootstrap.mean(np.array([0.0 if one is None else one[name] for one in each]), counted)
        for name in NAMES
    }


def _f1(shared: int, own: int, wanted: int) -> float:
    return 2 * shared / (own + wanted) if shared else 0.0


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"rouge": rouge_scores(written)}


def _cell(name: str) -> Any:
    def cell(scores: Mapping[str, Any]) -> str:
        value = scores["rouge"][name]["value"]
        return NOTHING if value is None else f"{value:.3f}"

    return cell


ROUGE = RationaleScore(_compute, columns=tuple((title, _cell(name)) for name, title in NAMES.items()))

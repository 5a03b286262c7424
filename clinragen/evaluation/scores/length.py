"""How long rationales are, and how much they repeat themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clinragen.evaluation.score_types import RationaleScore, WrittenRationales
from clinragen.evaluation.words import ngrams, words_of
from modeling_clinragen.sentences_clinragen import sentence_spans
from trainers.formatting import NOTHING

REPEATED = 4
"""The length in words of what counts as repeated."""


def length_scores(written: WrittenRationales) -> dict[str, Any]:
    """Of the rationales that parse, as written ("raw") and as shown ("shown"): means with their intervals.

    `words` and `sentences` of a rationale, and `repeated`, the share of all runs of `REPEATED` words that stand in the
    same rationale before (`Bootstrap.quotient`).
    """
    return {
        "raw": _score([answer.raw for answer in written.answers], written),
        "shown": _score(written.shown, written),
    }


def repeated_runs(text: str) -> tuple[int, int]:
    """How many runs of `REPEATED` words stand in a text before, and how many there are."""
    runs = ngrams(words_of(text), REPEATED)
    return len(runs) - len(set(runs)), len(runs)


def _score(texts: Sequence[str | None], written: WrittenRationales) -> dict[str, Any]:
    parsed = np.array([text is not None for text in texts])
    given = [text or "" for text in texts]
    repeated = np.array([repeated_runs(text) for text in given], dtype=float).reshape(-1, 2).T
    return {
        "words": written.bootstrap.mean(np.array([len(words_of(text)) for text in given]), parsed),
        "sentences": written.bootstrap.mean(np.array([len(sentence_spans(text)) for text in given]), parsed),
        "repeated": written.bootstrap.quotient(*repeated),
    }


def _compute(written: WrittenRationales) -> dict[str, Any]:
    return {"length": length_scores(written)}


def _words(scores: Mapping[str, Any]) -> str:
    value = scores["length"]["shown"]["words"]["value"]
    return NOTHING if value is None else f"{value:.1f}"


def _repeated(scores: Mapping[str, Any]) -> str:
    value = scores["length"]["shown"]["repeated"]["value"]
    return NOTHING if value is None else f"{100 * value:.1f} %"


def _explain(systems: Sequence[Mapping[str, Any]]) -> str:
    return f"Repeated are runs of {REPEATED} words that stand in the same rationale before."


LENGTH = RationaleScore(
    _compute, columns=(("Words a rationale", _words), ("Repeated", _repeated)), explain=_explain, of_teacher=True
)

"""BERTScore of the generated rationales against the teacher's (Zhang et al. 2020), where a model for it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import DECIMALS
from clinragen.evaluation.score_types import Entries, RationaleScore, WrittenRationales
from trainers.formatting import format_score, markdown_table

AT_ONCE = 32
PARTS = ("precision", "recall", "f1")


def bert_score(generated: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 of two texts by greedy matching of their tokens, without idf weights.

    Args:
        generated, reference: Unit vectors of the tokens, `(tokens, width)` each.
    """
    if not len(generated) or not len(reference):
        return 0.0, 0.0, 0.0
    cosines = generated @ reference.T
    precision, recall = float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def bert_scores(written: WrittenRationales) -> dict[str, Any] | None:
    """`precision`, `recall` and `f1`: means over the examples with a reference, with intervals; and the `model`.

    None without a model. An output that does not parse scores 0.
    """
    encoder = written.token_encoder
    if encoder is None:
        return None
    counted = np.array([bool(wanted.strip()) for wanted in written.references])
    texts, each = [text or "" for text in written.shown], []
    # A few at a time: the vectors of all tokens of all texts would take gigabytes.
    for start in range(0, len(texts), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        pairs = zip(encoder.embed(texts[part]), encoder.embed(written.references[part]), strict=True)
        each += [bert_score(*pair) for pair in pairs]
    means = {
        name: written.bootstrap.mean(np.array(values).round(DECIMALS), counted)
        for name, values in zip(PARTS, zip(*each, strict=True), strict=True)
    }
    return {**means, "model": encoder.name}


def _compute(written: WrittenRationales) -> dict[str, Any]:
    found = bert_scores(written)
    return {} if found is None else {"bert_score": found}


def _section(systems: Mapping[str, Entries]) -> list[str]:
    scored = {name: entries["bert_score"] for name, entries in systems.items() if "bert_score" in entries}
    if not scored:
        return []
    rows = [[name, *(format_score(found[part]) for part in PARTS)] for name, found in scored.items()]
    model = next(iter(scored.values()))["model"]
    return [
        "## BERTScore",
        f"Greedy cosine matching of the token embeddings of `{model}` with those of the teacher's rationale, without "
        "idf weights and without rescaling. It measures likeness; figures of different embeddings cannot be compared.",
        markdown_table(["System", *(part.capitalize() if part != "f1" else "F1" for part in PARTS)], rows),
    ]


BERT = RationaleScore(_compute, section=_section)

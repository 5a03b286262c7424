"""Relevance of terms to their topic's name: cosines of sentence embeddings, with abbreviations expanded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinragen.knowledge.abbreviations import Abbreviations, Definition, find_definitions, stands_for
from clinragen.knowledge.base import KnowledgeBase
from clinragen.knowledge.ranks import auc, mean_scores
from clinragen.retrieval.encoder import SentenceEncoder


def check_names(base: KnowledgeBase, names: Mapping[str, str], encoder: SentenceEncoder) -> dict[str, Any]:
    """Compare every term with the name of every topic.

    Args:
        base: The knowledge base.
        names: The topics' names, by key.
        encoder: Embeds terms and names.

    Returns:
        By topic `own` (mean cosine of its terms with its name), `others` (mean cosine of its terms with the other
        names), `auc` (how often its name is nearer to one of its terms than to a term of other topics only) and
        `nearest` (share of its terms to which no other name is nearer); their `mean` over topics; and the scores by
        `chance`.
    """
    keys = [topic.key for topic in base.topics]
    abbreviations = known_abbreviations(base)
    terms = base.all_terms()
    row_of = {term: row for row, term in enumerate(terms)}
    cosines = (
        encoder.embed([abbreviations.expand(term) for term in terms])
        @ encoder.embed([abbreviations.expand(names[key]) for key in keys]).T
    )
    measured = {}
    for column, topic in enumerate(base.topics):
        own = [row_of[term.term] for term in topic.all_terms]
        rest = np.delete(cosines[:, column], own)
        mine = cosines[own]
        measured[topic.key] = {
            "terms": len(own),
            "own": round(float(mine[:, column].mean()), 4),
            "others": round(float(np.delete(mine, column, axis=1).mean()), 4),
            "auc": round(auc(mine[:, column], rest), 4),
            "nearest": round(float((mine.argmax(axis=1) == column).mean()), 4),
        }
    return {
        "topics": measured,
        "mean": mean_scores(measured.values(), ("own", "others", "auc", "nearest")),
        "chance": {"auc": 0.5, "nearest": round(1 / len(keys), 4)},
    }


def known_abbreviations(base: KnowledgeBase) -> Abbreviations:
    """Abbreviations that the passages define, and spellings that can be read as an abbreviation of their term."""
    definitions = [found for passage in base.passages.values() for found in find_definitions(passage.text)]
    definitions += [
        Definition(spelling, term.term)
        for topic in base.topics
        for term in topic.all_terms
        for spelling in term.spellings
        if stands_for(spelling, term.term)
    ]
    return Abbreviations(definitions)

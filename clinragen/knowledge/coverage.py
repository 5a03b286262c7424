"""Size of a knowledge base, support of its terms by passages, and how many of them occur in a cohort's notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clinragen.knowledge.base import KnowledgeBase, Term, TopicKnowledge
from clinragen.text.term_index import TermIndex, split_words

Owner = tuple[str, str]
"""A topic's key and one of its terms."""


def coverage(notes: Iterable[str], knowledge: KnowledgeBase, tokenizer: Any = None) -> dict[str, Any]:
    """Measure how much of the knowledge occurs in notes, whatever the context of the mention, and how it is supported.

    Args:
        notes: Texts of notes.
        knowledge: The knowledge base.
        tokenizer: A transformers tokenizer, for the size of the vocabulary in tokens; None leaves that out.

    Returns:
        The number of `notes`; by disease and variable key

        - `terms`, and how many of them are `judged` by people,
        - `found` (terms seen at least once in any spelling), `share` (found / terms) and `notes` (share of notes with
          at least one term),
        - `passages`, `supported` (share of terms that a passage contains) and `two_sources` (share of terms that
          passages of at least two sources contain);

        and for the `vocabulary` the number of `terms`, of different `words`, and of different `tokens` (the size of
        the paper's V_k; None without a tokenizer).
    """
    seen, with_term, total = _found(notes, knowledge)

    def measured(topic: TopicKnowledge) -> dict[str, Any]:
        terms = topic.all_terms
        return {
            "terms": len(terms),
            "judged": len(topic.terms),
            "found": len(seen[topic.key]),
            "share": _share(len(seen[topic.key]), len(terms)),
            "notes": _share(with_term[topic.key], total),
            "passages": len(topic.passages),
            "supported": _share(sum(bool(term.passages) for term in terms), len(terms)),
            "two_sources": _share(sum(len(_sources(term, knowledge)) > 1 for term in terms), len(terms)),
        }

    return {
        "notes": total,
        "diseases": {topic.key: measured(topic) for topic in knowledge.diseases},
        "variables": {topic.key: measured(topic) for topic in knowledge.variables},
        "vocabulary": _vocabulary(knowledge.all_terms(), tokenizer),
    }


def _found(notes: Iterable[str], knowledge: KnowledgeBase) -> tuple[dict[str, set[str]], dict[str, int], int]:
    """The terms found per topic, the number of notes with at least one of them, and the number of notes."""
    # Two indexes: a longer extracted term must not hide a judged one inside it.
    indexes = [
        _index((topic.key, term) for topic in knowledge.topics for term in topic.terms),
        _index((topic.key, term) for topic in knowledge.topics for term in topic.extracted),
    ]
    seen: dict[str, set[str]] = {topic.key: set() for topic in knowledge.topics}
    with_term = dict.fromkeys(seen, 0)
    total = 0
    for note in notes:
        total += 1
        words = split_words(note)
        hits = {owner for index in indexes for match in index.find(note, words) for owner in match.owners}
        for key, term in hits:
            seen[key].add(term)
        for key in {key for key, _ in hits}:
            with_term[key] += 1
    return seen, with_term, total


def _index(owned: Iterable[tuple[str, Term]]) -> TermIndex[Owner]:
    return TermIndex((surface, (key, term.term)) for key, term in owned for surface in term.surfaces)


def _sources(term: Term, knowledge: KnowledgeBase) -> set[str]:
    return {knowledge.passages[name].source for name in term.passages}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _vocabulary(terms: tuple[str, ...], tokenizer: Any) -> dict[str, int | None]:
    tokens = None
    if tokenizer is not None:
        # With a leading space, as inside a sentence, and as the model receives it.
        ids = (tokenizer(f" {term}", add_special_tokens=False)["input_ids"] for term in terms)
        tokens = len({token for listed in ids for token in listed})
    words = {word.folded for term in terms for word in split_words(term)}
    return {"terms": len(terms), "words": len(words), "tokens": tokens}


def totals(measured: Mapping[str, Any]) -> dict[str, int]:
    """The numbers of disease terms and of those found in notes."""
    entries = measured["diseases"].values()
    return {
        "disease_terms": sum(entry["terms"] for entry in entries),
        "disease_terms_in_notes": sum(entry["found"] for entry in entries),
    }

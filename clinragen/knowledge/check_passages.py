"""Relevance of terms to their topic's passages: a held-out retrieval test.

The passages are split in halves. The terms of a topic that occur in its passages of one half form a BM25 query to the
other half of all topics' passages; then the halves are swapped. Curated terms depend on neither half. An extracted
term was chosen from both halves, so its scores are slightly optimistic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from clinragen.knowledge.base import KnowledgeBase, TopicKnowledge, passage_id
from clinragen.knowledge.ranks import auc, mean_scores, reciprocal_rank_by_chance
from clinragen.retrieval.ranking import Ranking

SCORES = ("recall", "reciprocal_rank", "auc")


def check_passages(base: KnowledgeBase, k: int = 5) -> dict[str, Any]:
    """Rank held-out passages by each topic's terms.

    Args:
        base: The knowledge base.
        k: Recall is measured among the best `k` passages.

    Returns:
        By topic the number of its `passages`; `recall` (share of its held-out passages among the best `k`, of those
        that fit there), `reciprocal_rank` (of the best of them) and `auc` (how often one of them ranks above a passage
        of another topic), each a mean over both directions, with `chance` for the same three. A topic that has no
        passage or no supported term in one half has the reason, `too_few`, instead. `mean` and `chance` are over the
        topics that were measured.
    """
    halves = split_passages(base.topics)
    rankings = [Ranking([base.passages[name] for name in sorted(halves) if halves[name] == half]) for half in (0, 1)]
    sizes = [sum(half == number for half in halves.values()) for number in (0, 1)]
    measured = {topic.key: _measured(topic, halves, rankings, sizes, k) for topic in base.topics}
    scored = [entry for entry in measured.values() if "chance" in entry]
    return {
        "k": k,
        "topics": measured,
        "mean": mean_scores(scored, SCORES),
        "chance": mean_scores((entry["chance"] for entry in scored), SCORES),
    }


def split_passages(topics: Iterable[TopicKnowledge]) -> dict[str, int]:
    """Half 0 or 1 for each passage id, so that each topic's passages are divided as evenly as possible."""
    halves: dict[str, int] = {}
    for topic in topics:
        counts = [0, 0]
        for name in sorted(topic.passages, key=lambda name: name not in halves):
            half = halves.setdefault(name, int(counts[1] < counts[0]))
            counts[half] += 1
    return halves


def _measured(
    topic: TopicKnowledge, halves: Mapping[str, int], rankings: list[Ranking], sizes: list[int], k: int
) -> dict[str, Any]:
    found = []
    for seen, held_out in ((0, 1), (1, 0)):
        terms = [term.term for term in topic.all_terms if any(halves[name] == seen for name in term.passages)]
        own = {name for name in topic.passages if halves[name] == held_out}
        if not own or not terms:
            problem = "fewer than 2 passages" if len(topic.passages) < 2 else "no term or passage in one half"
            return {"passages": len(topic.passages), "too_few": problem}
        ranked = [passage_id(passage) for passage in rankings[held_out].best(" ".join(terms), sizes[held_out])]
        found.append(_scores(ranked, own, sizes[held_out], k))
    scores, chance = (
        {name: round(float(np.mean([direction[part][name] for direction in found])), 4) for name in SCORES}
        for part in (0, 1)
    )
    return {"passages": len(topic.passages), **scores, "chance": chance}


def _scores(ranked: list[str], own: set[str], size: int, k: int) -> tuple[dict[str, float], dict[str, float]]:
    """The scores of one ranking and those by chance; passages that share no word with the query come last."""
    ranks = {name: rank for rank, name in enumerate(ranked, start=1)}
    wanted = [-ranks.get(name, size + 1) for name in own]
    others = [-rank for name, rank in ranks.items() if name not in own]
    others += [-(size + 1)] * (size - len(own) - len(others))
    at_best = min(k, len(own))
    scores = {
        "recall": sum(-score <= k for score in wanted) / at_best,
        "reciprocal_rank": max((1 / ranks[name] for name in own if name in ranks), default=0.0),
        "auc": auc(wanted, others),
    }
    chance = {
        "recall": min(k / size, 1.0) * len(own) / at_best,
        "reciprocal_rank": reciprocal_rank_by_chance(len(own), size),
        "auc": 0.5,
    }
    return scores, chance

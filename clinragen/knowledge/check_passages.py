"""Do a topic's terms find the topic's own passages among those of all topics? A held-out test.

The passages are split in halves. The terms of a topic that stand in its passages of one half are a BM25 query to the
other half of all topics' passages; then the halves change places. Curated terms know neither half. An extracted term
was chosen with both halves in sight, which flatters it a little.
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

    Returns by topic the number of its `passages`; `recall` (how many of its held-out passages are among the best `k`,
    of those that could be), `reciprocal_rank` (of the best of them) and `auc` (how often one of them is above another
    topic's), each a mean over both directions, with `chance` for the same three. A topic that has no passage or no
    supported term in one half has instead the reason, `too_few`. `mean` and `chance` are over the topics that were
    measured.
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
    """Half 0 or 1 for each passage id, so that each topic's passages are parted as evenly as those before it allow."""
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
    """The scores of one ranking and those of a shuffled one; passages that share no word with the query come last."""
    ranks = {name: rank for rank, name in enumerate(ranked, start=1)}
    wanted = [-ranks.get(name, size + 1) for name in own]
    others = [-rank for name, rank in ranks.items() if name not in own]
    others += [-(size + 1)] * (size - len(own) - len(others))
    most = min(k, len(own))
    scores = {
        "recall": sum(-score <= k for score in wanted) / most,
        "reciprocal_rank": max((1 / ranks[name] for name in own if name in ranks), default=0.0),
        "auc": auc(wanted, others),
    }
    chance = {
        "recall": min(k / size, 1.0) * len(own) / most,
        "reciprocal_rank": reciprocal_rank_by_chance(len(own), size),
        "auc": 0.5,
    }
    return scores, chance

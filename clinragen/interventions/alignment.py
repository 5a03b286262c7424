"""Do the lab vectors attend to the knowledge about a patient's diseases? (The paper's second experiment.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinragen.evaluation.bootstrap import Bootstrap, defined_interval
from clinragen.interventions.patient import Case, Group
from clinragen.knowledge.base import KnowledgeBase
from modeling_clinragen.knowledge_map_clinragen import KnowledgeMap, map_knowledge, term_token_ids

# Shuffles of which the scores are held at a time.
_AT_ONCE = 50


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of the knowledge base whose every token is in a model's knowledge vocabulary.

    Args:
        words: The terms, those of one disease together.
        diseases: For each term the number of its disease, `(terms,)`.
        tokens: Averages over the tokens of each term, `(knowledge tokens, terms)`.
    """

    words: tuple[str, ...]
    diseases: np.ndarray
    tokens: np.ndarray


def terms_of(model: Any, processor: Any, knowledge: KnowledgeBase) -> Terms:
    """The known terms of every disease, in the order of the base; terms that support the disease come first."""
    column = {token: place for place, token in enumerate(model.knowledge_token_ids.tolist())}
    words, diseases, averages = [], [], []
    for number, entry in enumerate(knowledge.diseases):
        for term in dict.fromkeys(one.term for one in sorted(entry.all_terms, key=lambda one: not one.cited)):
            ids = term_token_ids(term, processor.tokenizer)
            if not ids or not set(ids) <= set(column):
                continue
            average = np.zeros(len(column))
            np.add.at(average, [column[token] for token in ids], 1 / len(ids))
            words.append(term)
            diseases.append(number)
            averages.append(average)
    tokens = np.stack(averages, axis=1) if averages else np.zeros((len(column), 0))
    return Terms(tuple(words), np.array(diseases, dtype=int), tokens)


def attention_on_terms(model: Any, processor: Any, case: Case, terms: Terms) -> tuple[KnowledgeMap, np.ndarray]:
    """The knowledge attention of a case, and what its lab vectors give to each term, `(lab vectors, terms)`.

    The lab vectors are those of the patches, then, where there are any, the summary tokens of the variables.
    """
    found = map_knowledge(model, processor, {"hours": case.shown.hours, "values": case.shown.values})
    return found, np.concatenate((found.weights, found.variable_weights)) @ terms.tokens


def mean_attention(model: Any, processor: Any, group: Group, terms: Terms) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The cases with measurements; the mean over all lab vectors of each, `(cases, terms)`; over the patches alone."""
    rows = [case.number for case in group.cases if case.shown.measured.any()]
    means = np.zeros((2, len(rows), len(terms.words)))
    for place, row in enumerate(rows):
        found, weights = attention_on_terms(model, processor, group.cases[row], terms)
        means[0, place] = weights.mean(axis=0)
        means[1, place] = weights[: len(found.hours)].mean(axis=0)
    return rows, means[0], means[1]


def align(
    attention: np.ndarray,
    terms_of_disease: np.ndarray,
    labels: np.ndarray,
    subjects: Sequence[int] | np.ndarray,
    *,
    permutations: int,
    seed: int,
) -> dict[str, Any] | None:
    """Is there more attention on the terms of a patient's diseases than if the terms were other diseases'?

    The score of a patient is the mean over the present diseases that have terms, of the mean over their terms. It is
    in standard deviations of all entries. In each shuffle, the same for all patients, every disease gets as many terms
    as it has, drawn from all.

    Args:
        attention: `(patients, terms)`.
        terms_of_disease: Number of each term's disease, `(terms,)`.
        labels: bool `(patients, diseases)`.
        subjects: Whose stay each is.
        permutations: Shuffles.
        seed: Of the shuffles.

    Returns:
        `as_it_is` and `above_own_mean` (every term less its mean over the patients, which is the same for everybody
        and says nothing about a patient), each with `present`, the mean score; `shuffled`, that of the shuffles;
        `difference` with its interval; and `p`, the share of the shuffles (and the terms as they are) with at least
        the score. Also `patients`, `terms` and `permutations`. None where nobody has a disease with a term.
    """
    count = labels.shape[1]
    with_terms = np.bincount(terms_of_disease, minlength=count) > 0
    counted = labels & with_terms
    used = counted.any(axis=1)
    if not used.any():
        return None
    share = counted[used] / counted[used].sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(len(terms_of_disease)) for _ in range(permutations)])
    bootstrap = Bootstrap(np.asarray(subjects)[used])
    scored = {
        "as_it_is": attention[used] - attention[used].mean(),
        "above_own_mean": attention[used] - attention[used].mean(axis=0),
    }
    found: dict[str, Any] = {"patients": int(used.sum()), "terms": len(terms_of_disease), "permutations": permutations}
    for name, matrix in scored.items():
        spread = matrix.std()
        scaled = matrix / spread if spread > 0 else matrix
        own = _scores(scaled, terms_of_disease[None], share)[0]
        shuffled = np.concatenate(
            [
                _scores(scaled, terms_of_disease[orders[start : start + _AT_ONCE]], share)
                for start in range(0, permutations, _AT_ONCE)
            ]
        )
        people = bootstrap.sums(np.ones(len(own)))
        extreme = int((shuffled.mean(axis=1) >= own.mean()).sum())
        found[name] = {
            "present": defined_interval(bootstrap.sums(own) / people),
            "shuffled": float(shuffled.mean()),
            "difference": defined_interval(bootstrap.sums(own - shuffled.mean(axis=0)) / people),
            "p": (extreme + 1) / (permutations + 1),
        }
    return found


def _scores(attention: np.ndarray, assigned: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Scores `(shuffles, patients)` where the terms belong to the diseases as `assigned` `(shuffles, terms)` says."""
    found = np.zeros((len(assigned), len(attention)))
    for number, diseases in enumerate(assigned):
        average = np.zeros((attention.shape[1], share.shape[1]))
        average[np.arange(len(diseases)), diseases] = 1.0
        average /= np.maximum(average.sum(axis=0), 1)
        found[number] = ((attention @ average) * share).sum(axis=1)
    return found

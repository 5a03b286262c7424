"""Who agrees with whom: raters among each other and with themselves, judges, and the claim checker.

Every value has a bootstrap interval by case. What cannot be answered is None, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from clinragen.study.agreement_measures import NOMINAL, ORDINAL, alpha, coincidences, crossed, intraclass, kappa
from clinragen.study.answers import Answer
from clinragen.study.criteria import Criterion
from clinragen.study.folder import Rationale
from clinragen.study.ratings import Ratings, is_wrong, marked, share, summary

Read = Callable[[Answer, Rationale], np.ndarray]
"""From an answer to categories, one for each thing that was rated."""


def among_raters(ratings: Ratings) -> dict[str, Any]:
    """Agreement of the people with each other, by criterion, of the overall verdict and of marked sentences."""
    if len(ratings.active) < 2:
        return {"because": f"agreement needs two raters, and {len(ratings.active)} finished a rationale"}
    found: dict[str, Any] = {"raters": ratings.active}
    for criterion in ratings.study.criteria.criteria:
        found[criterion.key] = {
            **_intraclass(ratings, criterion),
            "alpha_nominal": _alpha(ratings, _checks_of(criterion), 2, NOMINAL),
            "alpha_ordinal": _alpha(ratings, _sum_of(criterion), len(criterion.items) + 1, ORDINAL),
        }
    choices = ratings.study.criteria.choices
    found["overall"] = {
        "alpha_nominal": _alpha(ratings, _overall(choices), len(choices), NOMINAL),
        "alpha_ordinal": _alpha(ratings, _overall(choices), len(choices), ORDINAL),
    }
    found["wrong_sentences"] = {"alpha_nominal": _alpha(ratings, _sentences, 2, NOMINAL)}
    return found


def with_oneself(ratings: Ratings) -> dict[str, Any]:
    """Each rater's agreement with themselves on the repeated cases, and each judge's in its two orders."""
    found: dict[str, Any] = {}
    for rater in ratings.people:
        given = ratings.finished(rater)
        pairs = [
            (given[first], given[second], ratings.study.rationales[first])
            for first, second in ratings.study.repeats.items()
            if first in given and second in given
        ]
        found[rater] = _pairs(ratings, pairs) if pairs else {"because": "no repeated rationale was finished twice"}
    for judge in ratings.judges:
        once, again = ratings.finished(judge), ratings.again(judge)
        pairs = [(once[item], again[item], ratings.study.rationales[item]) for item in once if item in again]
        found[judge] = _pairs(ratings, pairs) if pairs else {"because": "no rationale was judged in both orders"}
    return found


def with_judge(ratings: Ratings, judge: str) -> dict[str, Any]:
    """A judge as one more rater: the mean of its pairwise agreement with each person, beside that of the people."""
    if not ratings.active:
        return {"because": "no person finished a rationale"}
    found: dict[str, Any] = {}
    answers = _answers(ratings)
    mine = ratings.finished(judge)
    pairs = list(combinations(ratings.active, 2))
    for name, read, categories in _questions(ratings):
        with_people = [_kappas(ratings, mine, answers[rater], read, categories) for rater in ratings.active]
        among = [_kappas(ratings, answers[one], answers[other], read, categories) for one, other in pairs]
        found[name] = {"judge_with_raters": _mean(with_people), "raters_among_themselves": _mean(among)}
    found["scores"] = {
        criterion.key: _difference_of_scores(ratings, mine, criterion) for criterion in ratings.study.criteria.criteria
    }
    return found


def with_checker(ratings: Ratings) -> dict[str, Any]:
    """Agreement of each person and judge with the checker about sentences, and about whole rationales.

    People who were shown the flags are not independent of them, so there are two values: with and without.
    """
    if not any(is_wrong(one).any() for one in ratings.study.first_showings.values()):
        return {"because": "the checker contradicts no sentence of this study"}
    found: dict[str, Any] = {}
    for flags, name in ((False, "without_flags"), (True, "with_flags")):
        rated = [(one.answer, one.rationale) for one in ratings.first if one.flags is flags]
        found[name] = _against_checker(ratings, rated) if rated else {"because": "no person rated such a case"}
    for judge in ratings.judges:
        rated = [(answer, ratings.study.rationales[item]) for item, answer in ratings.finished(judge).items()]
        found[judge] = _against_checker(ratings, rated) if rated else {"because": "it finished no rationale"}
    return found


def _against_checker(ratings: Ratings, rated: Iterable[tuple[Answer, Rationale]]) -> dict[str, Any]:
    cases = len(ratings.cases)
    sentences, rationales = np.zeros((cases, 2, 2)), np.zeros((cases, 2, 2))
    best = ratings.study.criteria.choices[-1]
    for answer, rationale in rated:
        place = ratings.cases[rationale.case]
        theirs, wrong = marked(answer, rationale), is_wrong(rationale)
        sentences[place] += crossed(theirs, wrong, 2)
        rationales[place] += crossed([answer.overall != best], [bool(wrong.any())], 2)
    weights = ratings.bootstrap.weights
    return {
        "kappa_sentences": summary(kappa(sentences, weights)),
        "contradicted_marked": ratings.interval(sentences[:, 1, 1], sentences[:, :, 1].sum(axis=1)),
        "marked_contradicted": ratings.interval(sentences[:, 1, 1], sentences[:, 1, :].sum(axis=1)),
        "kappa_rationales": summary(kappa(rationales, weights)),
        "sentences": int(sentences.sum()),
    }


def _pairs(ratings: Ratings, pairs: list[tuple[Answer, Answer, Rationale]]) -> dict[str, Any]:
    found: dict[str, Any] = {"rationales": len(pairs)}
    for name, read, categories in _questions(ratings):
        tables = np.zeros((len(ratings.cases), categories, categories))
        for one, other, rationale in pairs:
            tables[ratings.cases[rationale.case]] += crossed(read(one, rationale), read(other, rationale), categories)
        same = np.einsum("cii->c", tables)
        found[name] = {
            "same": ratings.interval(same, tables.sum(axis=(1, 2))),
            "kappa": summary(kappa(tables, ratings.bootstrap.weights)),
        }
    return found


def _intraclass(ratings: Ratings, criterion: Criterion) -> dict[str, Any]:
    answers = _answers(ratings)
    items = [item for item in ratings.study.first_showings if all(item in answers[one] for one in ratings.active)]
    undefined = {"value": None, "low": None, "high": None}
    if len(items) < 2:
        return {"icc_2_1": undefined, "icc_2_k": undefined, "rationales": len(items)}
    scores = np.array([[share(answers[rater][item], criterion) for rater in ratings.active] for item in items])
    places = [ratings.cases[ratings.study.rationales[item].case] for item in items]
    single, average = intraclass(scores, ratings.bootstrap.weights[:, places])
    return {
        "icc_2_1": summary(single),
        "icc_2_k": summary(average),
        "rationales": len(items),
    }


def _alpha(ratings: Ratings, read: Read, categories: int, kind: str) -> dict[str, Any]:
    answers = _answers(ratings)
    found = np.zeros((len(ratings.cases), categories, categories))
    for item, rationale in ratings.study.first_showings.items():
        rated = [read(answers[rater][item], rationale) for rater in ratings.active if item in answers[rater]]
        if len(rated) > 1:
            found[ratings.cases[rationale.case]] += coincidences(np.array(rated).T, categories).sum(axis=0)
    return summary(alpha(found, kind, ratings.bootstrap.weights))


def _kappas(
    ratings: Ratings, one: Mapping[str, Answer], other: Mapping[str, Answer], read: Read, categories: int
) -> np.ndarray:
    tables = np.zeros((len(ratings.cases), categories, categories))
    for item, rationale in ratings.study.first_showings.items():
        if item in one and item in other:
            tables[ratings.cases[rationale.case]] += crossed(
                read(one[item], rationale), read(other[item], rationale), categories
            )
    return kappa(tables, ratings.bootstrap.weights)


def _mean(found: list[np.ndarray]) -> dict[str, Any]:
    """The mean of several statistics in every resample, of those that are defined in the study itself."""
    defined = [one for one in found if not np.isnan(one[0])]
    return summary(np.mean(defined, axis=0)) if defined else {"value": None, "low": None, "high": None}


def _difference_of_scores(ratings: Ratings, mine: Mapping[str, Answer], criterion: Criterion) -> dict[str, Any]:
    """The judge's score minus the people's mean, over rationales that both rated."""
    rated: dict[str, list[float]] = {}
    for one in ratings.first:
        rated.setdefault(one.item, []).append(share(one.answer, criterion))
    pairs = [
        (ratings.study.rationales[item].case, share(mine[item], criterion) - float(np.mean(scores)))
        for item, scores in rated.items()
        if item in mine
    ]
    return ratings.interval(ratings.by_case(pairs), ratings.by_case([(case, 1.0) for case, _ in pairs]))


def _answers(ratings: Ratings) -> dict[str, dict[str, Answer]]:
    found: dict[str, dict[str, Answer]] = {rater: {} for rater in ratings.active}
    for one in ratings.first:
        found[one.rater][one.item] = one.answer
    return found


def _questions(ratings: Ratings) -> list[tuple[str, Read, int]]:
    """The questions about which pairs are compared: name, how an answer is read, number of categories."""
    criteria = ratings.study.criteria
    return [
        *((one.key, _checks_of(one), 2) for one in criteria.criteria),
        ("overall", _overall(criteria.choices), len(criteria.choices)),
        ("wrong_sentences", _sentences, 2),
    ]


def _checks_of(criterion: Criterion) -> Read:
    keys = [item.key for item in criterion.items]
    return lambda answer, _: np.array([answer.checks[key] for key in keys], dtype=int)


def _sum_of(criterion: Criterion) -> Read:
    keys = tuple(item.key for item in criterion.items)
    return lambda answer, _: np.array([answer.score(keys)])


def _overall(choices: Iterable[str]) -> Read:
    order = {key: place for place, key in enumerate(choices)}
    return lambda answer, _: np.array([order[str(answer.overall)]])


def _sentences(answer: Answer, rationale: Rationale) -> np.ndarray:
    return marked(answer, rationale).astype(int)

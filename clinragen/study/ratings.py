"""The ratings of a study, unblinded: everybody's answers put beside whose rationale each is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.claims.types import CONTRADICTED
from clinragen.evaluation.bootstrap import Bootstrap, interval
from clinragen.study.answers import Answer, RaterAnswers, read_answers
from clinragen.study.criteria import Criterion
from clinragen.study.folder import Rationale, Study
from clinragen.study.sheet import SUFFIX, read_sheet
from modeling_clinragen.errors import InputDataError

CHECKER = "checker"


@dataclass(frozen=True)
class Rating:
    """One finished answer of a person about one rationale."""

    rater: str
    item: str
    rationale: Rationale
    answer: Answer
    flags: bool


class Ratings:
    """All answers to a study. Raises `InputDataError` where nobody finished one.

    Args:
        study: The study.
        people: The raters' answers, by name.
        judges: Those of language models.
        resamples: Of the cases, for intervals.
    """

    def __init__(
        self,
        study: Study,
        people: Mapping[str, RaterAnswers],
        judges: Mapping[str, RaterAnswers],
        *,
        resamples: int = 1000,
    ) -> None:
        self.study = study
        self.people = dict(sorted(people.items()))
        self.judges = dict(sorted(judges.items()))
        numbers = sorted({one.case for one in study.rationales.values()})
        self.cases = {case: place for place, case in enumerate(numbers)}
        self.bootstrap = Bootstrap(numbers, resamples=resamples)
        if not any(self.finished(name) for name in (*self.people, *self.judges)):
            raise InputDataError(f"{study.folder}: nobody has finished a rationale; collect answers first")

    def finished(self, rater: str) -> dict[str, Answer]:
        """The finished answers of a rater or judge, by the rationale's name."""
        given = self.people.get(rater) or self.judges[rater]
        return {item: one for item, one in given.answers.items() if one.is_complete(self.study.criteria)}

    def again(self, judge: str) -> dict[str, Answer]:
        """A judge's finished second answers."""
        given = self.judges[judge].again
        return {item: one for item, one in given.items() if one.is_complete(self.study.criteria)}

    @cached_property
    def first(self) -> list[Rating]:
        """The people's ratings of first showings: what means and agreement are computed from."""
        return [
            Rating(rater, item, self.study.first_showings[item], answer, self._has_flags(rater, item))
            for rater in self.people
            for item, answer in self.finished(rater).items()
            if item in self.study.first_showings
        ]

    @property
    def active(self) -> list[str]:
        """The raters with at least one of them, in order."""
        return sorted({one.rater for one in self.first})

    def _has_flags(self, rater: str, item: str) -> bool:
        return self.study.rationales[item].shown in self.study.flagged.get(rater, frozenset())

    def interval(self, counts: np.ndarray, of: np.ndarray) -> dict[str, Any]:
        """A sum over the cases divided by another one, with its bootstrap interval: both `(cases,)`."""
        return summary(self.bootstrap.quotients(counts, of))

    def by_case(self, values: Iterator[tuple[int, float]] | Sequence[tuple[int, float]]) -> np.ndarray:
        """Sums of values by case, `(cases,)`, of pairs (number of the case, value)."""
        found = np.zeros(len(self.cases))
        for case, value in values:
            found[self.cases[case]] += value
        return found


def summary(values: np.ndarray) -> dict[str, Any]:
    """The value in the study itself (first) and its interval over the resamples (the rest).

    `value`, `low` and `high` are None where the statistic is undefined in the study; resamples in which it is do not
    count for the interval.
    """
    defined = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]):
        return {"value": None, "low": None, "high": None}
    return dict(interval(np.append(values[0], defined if len(defined) else values[0])))


def is_wrong(rationale: Rationale) -> np.ndarray:
    """Which sentences the checker contradicts."""
    return np.array([verdict == CONTRADICTED for verdict in rationale.verdicts], dtype=bool)


def marked(answer: Answer, rationale: Rationale) -> np.ndarray:
    """Which sentences a rater has marked as wrong."""
    found = np.zeros(len(rationale.verdicts), dtype=bool)
    found[list(answer.wrong)] = True
    return found


def share(answer: Answer, criterion: Criterion) -> float:
    """A criterion's score: the share of its statements that are true."""
    return answer.score(tuple(item.key for item in criterion.items)) / len(criterion.items)


def read_ratings(study: Study, files: Sequence[Path] = (), *, resamples: int = 1000) -> Ratings:
    """All answers in the study's own folder, and in further files (JSON of the page, or filled sheets).

    Raises:
        InputDataError: A file is damaged or of another study, two files are of one rater, or a rater is none of the
            study's.
    """
    people: dict[str, RaterAnswers] = {}
    judges: dict[str, RaterAnswers] = {}
    source: dict[str, Path] = {}
    own = sorted(study.answers.glob("*.json")) if study.answers.is_dir() else []
    for path in (*own, *map(Path, files)):
        reader = read_sheet if path.suffix.lower() == SUFFIX else read_answers
        found = reader(path, study.asked)
        if found.rater in source:
            raise InputDataError(
                f"{path}: has the answers of {found.rater}, as {source[found.rater]} does; give each rater once"
            )
        source[found.rater] = path
        if found.judge is not None:
            judges[found.rater] = found
        elif found.rater in study.raters:
            people[found.rater] = found
        else:
            raise InputDataError(f"{path}: is of no rater of this study; expected one of {', '.join(study.raters)}")
        if found.judge is not None and found.rater in study.raters:
            raise InputDataError(f"{path}: a judge has the name of a rater; let it judge under another name")
    return Ratings(study, people, judges, resamples=resamples)

"""Scores a study: means by source, agreement, what flags change, and what these answers cannot say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.study.agreement import among_raters, with_checker, with_judge, with_oneself
from clinragen.study.answers import Answer
from clinragen.study.folder import Rationale, Study
from clinragen.study.ratings import Ratings, is_wrong, marked, share, summary
from clinragen.study.report import write_report
from dataset_builder.storage.files import atomic_folder, output_folder, write_json
from dataset_builder.storage.governance import is_credentialed, write_provenance
from modeling_clinragen.errors import InputDataError, SettingsError

SCORES, REPORT = "scores.json", "report.md"
QUESTIONS = ("agreement", "own-agreement", "judge", "checker", "flags")
"""What can be asked for, besides the means of every source."""

Measure = Callable[[Answer, Rationale], tuple[float, float]]
"""From an answer to a count and what it is counted of."""


def score_study(ratings: Ratings, required: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that the answers say.

    Args:
        ratings: The unblinded answers.
        required: Of `QUESTIONS`, those that must have an answer.

    Returns:
        Values of JSON. A question without an answer has `because`, and is listed in `unanswerable`.

    Raises:
        InputDataError: A required question cannot be answered; the message says why.
        SettingsError: There is no such question.
    """
    if unknown := [name for name in required if name not in QUESTIONS]:
        raise SettingsError(f"--require: '{unknown[0]}' is not a question; expected one of {', '.join(QUESTIONS)}")
    study = ratings.study
    answered: dict[str, dict[str, Any]] = {
        "agreement": among_raters(ratings),
        "own-agreement": with_oneself(ratings),
        "judge": {judge: with_judge(ratings, judge) for judge in ratings.judges}
        or {"because": "there are no answers of a judge; run `clinragen study judge`"},
        "checker": with_checker(ratings),
        "flags": _flags(ratings),
    }
    unanswerable = [
        *_unanswerable(answered),
        *([] if len(ratings.cases) > 1 else [{"question": "intervals", "because": "the study has one case"}]),
    ]
    for name in required:
        for one in unanswerable:
            if one["question"] == name:
                raise InputDataError(f"{study.folder}: {name} cannot be answered: {one['because']}")
    return {
        "study": study.id,
        "notices": list(study.notices),
        "cases": len(ratings.cases),
        "rationales": len(study.first_showings),
        "raters": {name: _progress(ratings, name) for name in ratings.people},
        "judges": {
            name: {**_progress(ratings, name), "made_by": dict(given.judge or {})}
            for name, given in ratings.judges.items()
        },
        "sources": _sources(ratings),
        "differences": _differences(ratings),
        "agreement": answered["agreement"],
        "own_agreement": answered["own-agreement"],
        "judge": answered["judge"],
        "checker": answered["checker"],
        "flags": answered["flags"],
        "unanswerable": unanswerable,
    }


def write_scores(output: Path, study: Study, scores: Mapping[str, Any]) -> None:
    """Write scores.json and report.md to a folder: one of its own, or `score` in the study's.

    Raises:
        InputDataError: The folder has other files, or overlaps with the study in another place.
    """
    provenance = study.provenance()
    if output.resolve() != (study.folder / "score").resolve():
        output_folder(output, [study.folder])
    with atomic_folder(output, private=is_credentialed(provenance)) as folder:
        write_provenance(folder, provenance)
        write_json(folder / SCORES, scores)
        (folder / REPORT).write_text(write_report(scores, study.criteria), encoding="utf-8")


def _progress(ratings: Ratings, name: str) -> dict[str, int]:
    given = ratings.people.get(name) or ratings.judges[name]
    wanted = len(ratings.study.rationales if name in ratings.people else ratings.study.first_showings)
    finished = len(ratings.finished(name))
    return {"finished": finished, "unfinished": len(given.answers) - finished, "of": wanted}


def _measures(ratings: Ratings) -> dict[str, Measure]:
    criteria = ratings.study.criteria
    found: dict[str, Measure] = {
        one.key: lambda answer, _, criterion=one: (share(answer, criterion), 1.0)  # type: ignore[misc]
        for one in criteria.criteria
    }
    for choice in criteria.choices:
        found[f"overall_{choice}"] = lambda answer, _, choice=choice: (  # type: ignore[misc]
            float(answer.overall == choice),
            1.0,
        )
    found["omissions"] = lambda answer, _: (float(answer.omissions or 0), 1.0)
    found["omitted_diseases"] = lambda answer, _: (float(len(answer.omitted)), 1.0)
    found["errors"] = lambda answer, _: (float(len(answer.wrong)), 1.0)
    found["wrong_sentences"] = lambda answer, rationale: (float(len(answer.wrong)), float(len(rationale.verdicts)))
    return found


def _sources(ratings: Ratings) -> dict[str, Any]:
    """Every source's means over the people's ratings of first showings; judges' means beside them."""
    return {
        source: {
            "people": {name: summary(values) for name, values in _means(ratings, source).items()},
            **{
                judge: {name: summary(values) for name, values in _means(ratings, source, judge).items()}
                for judge in ratings.judges
            },
        }
        for source in ratings.study.sources
    }


def _differences(ratings: Ratings) -> dict[str, Any]:
    """Paired differences of the people's means, within the same resamples of cases."""
    means = {source: _means(ratings, source) for source in ratings.study.sources}
    return {
        f"{one} minus {other}": {name: summary(means[one][name] - means[other][name]) for name in means[one]}
        for one, other in combinations(ratings.study.sources, 2)
    }


def _means(ratings: Ratings, source: str, judge: str | None = None) -> dict[str, np.ndarray]:
    rated = (
        [(one.answer, one.rationale) for one in ratings.first]
        if judge is None
        else [(answer, ratings.study.rationales[item]) for item, answer in ratings.finished(judge).items()]
    )
    chosen = [(answer, rationale) for answer, rationale in rated if rationale.source == source]
    return {name: _quotients(ratings, chosen, measure) for name, measure in _measures(ratings).items()}


def _quotients(ratings: Ratings, rated: Sequence[tuple[Answer, Rationale]], measure: Measure) -> np.ndarray:
    pairs = [(rationale.case, measure(answer, rationale)) for answer, rationale in rated]
    return ratings.bootstrap.quotients(
        ratings.by_case([(case, count) for case, (count, _) in pairs]),
        ratings.by_case([(case, of) for case, (_, of) in pairs]),
    )


def _flags(ratings: Ratings) -> dict[str, Any]:
    """Errors and omissions that people find with the checker's flags and without, and with minus without."""
    groups = {
        flags: [(one.answer, one.rationale) for one in ratings.first if one.flags is flags] for flags in (True, False)
    }
    if not groups[True] or not groups[False]:
        return {"because": "no person finished rationales both with and without flags"}
    measures = _measures(ratings)
    wanted: dict[str, Measure] = {name: measures[name] for name in ("errors", "omissions", "omitted_diseases")}
    wanted["contradicted_found"] = lambda answer, rationale: (
        float((marked(answer, rationale) & is_wrong(rationale)).sum()),
        float(is_wrong(rationale).sum()),
    )
    wanted["others_marked"] = lambda answer, rationale: (
        float((marked(answer, rationale) & ~is_wrong(rationale)).sum()),
        float((~is_wrong(rationale)).sum()),
    )
    found: dict[str, Any] = {"rationales": {"with": len(groups[True]), "without": len(groups[False])}}
    for name, measure in wanted.items():
        values = {flags: _quotients(ratings, rated, measure) for flags, rated in groups.items()}
        found[name] = {
            "with": summary(values[True]),
            "without": summary(values[False]),
            "difference": summary(values[True] - values[False]),
        }
    return found


def _unanswerable(answered: Mapping[str, Any]) -> list[dict[str, str]]:
    """Questions without an answer, whole or in part, with the reason."""
    found = []
    for question, answer in answered.items():
        parts = {part: content for part, content in answer.items() if isinstance(content, dict)}
        reasons = {part: str(content["because"]) for part, content in parts.items() if "because" in content}
        if "because" in answer:
            found.append({"question": question, "because": str(answer["because"])})
        elif parts and len(reasons) == len(parts):
            found.append({"question": question, "because": next(iter(reasons.values()))})
        else:
            found += [{"question": f"{question}, {part}", "because": because} for part, because in reasons.items()]
    for part, content in answered["agreement"].items():
        values = [one for one in content.values() if isinstance(one, dict)] if isinstance(content, dict) else []
        if values and all(one["value"] is None for one in values):
            because = "no rationale has two ratings that could have differed"
            found.append({"question": f"agreement, {part}", "because": because})
    return found

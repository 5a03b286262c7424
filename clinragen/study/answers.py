"""A rater's answers: what an answer may be, and the JSON file that has them.

The page, the server, the spreadsheet and the judge all write this form, and one check reads it. An answer may be
unfinished, because a rater can go on later; what is there must be possible.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinragen.study.criteria import Criteria
from dataset_builder.storage.files import atomic_file, private_folder, read_json
from modeling_clinragen.errors import InputDataError

FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_FIELDS = ("checks", "overall", "wrong_sentences", "omissions", "omitted_diseases", "comment")


@dataclass(frozen=True)
class Answer:
    """One rater's answers about one rationale.

    Args:
        checks: Whether each statement is true, by its key; those that are not answered are left out.
        overall: Key of the overall verdict, or None.
        wrong: Numbers of the sentences that are wrong, from 0.
        omissions: How many omissions, or None.
        omitted: Keys of the diseases that are left out of the list.
        comment: A remark.
    """

    checks: Mapping[str, bool] = field(default_factory=dict)
    overall: str | None = None
    wrong: tuple[int, ...] = ()
    omissions: int | None = None
    omitted: tuple[str, ...] = ()
    comment: str = ""

    def is_complete(self, criteria: Criteria) -> bool:
        """Whether every question has an answer."""
        return set(self.checks) == set(criteria.item_keys) and self.overall is not None and self.omissions is not None

    def score(self, criterion_items: tuple[str, ...]) -> int:
        """How many of these statements are true."""
        return sum(self.checks[key] for key in criterion_items)

    def content(self) -> dict[str, Any]:
        """As values of JSON."""
        return {
            "checks": dict(self.checks),
            "overall": self.overall,
            "wrong_sentences": list(self.wrong),
            "omissions": self.omissions,
            "omitted_diseases": list(self.omitted),
            "comment": self.comment,
        }


@dataclass(frozen=True)
class Asked:
    """Everything that answers are checked against.

    Args:
        study: The study's id.
        criteria: Its questions.
        diseases: Keys of the diseases.
        sentences: Number of sentences of each rationale, by its name.
    """

    study: str
    criteria: Criteria
    diseases: frozenset[str]
    sentences: Mapping[str, int]


@dataclass(frozen=True)
class RaterAnswers:
    """The answers of one rater or judge.

    Args:
        rater: Their name.
        answers: By the rationale's name.
        again: A judge's second answers, in another order; empty for a person, who gets some cases twice.
        judge: How a judge came to them: the model, its settings and where it ran; None for a person.
    """

    rater: str
    answers: Mapping[str, Answer]
    again: Mapping[str, Answer] = field(default_factory=dict)
    judge: Mapping[str, Any] | None = None

    def content(self, study: str) -> dict[str, Any]:
        """As values of JSON."""
        found: dict[str, Any] = {
            "format": FORMAT,
            "study": study,
            "rater": self.rater,
            "answers": {item: answer.content() for item, answer in self.answers.items()},
        }
        if self.judge is not None:
            found |= {
                "judge": dict(self.judge),
                "again": {item: answer.content() for item, answer in self.again.items()},
            }
        return found


def is_rater_name(name: Any) -> bool:
    """Whether a text can be the name of a rater, and so of a file."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def parse_answer(content: Any, item: str, asked: Asked, where: str) -> Answer:
    """One answer from values of JSON.

    Raises:
        InputDataError: It is none, or has a value that cannot be; the message begins with `where` and names the
            rationale and the field, never the value.
    """
    if item not in asked.sentences:
        raise InputDataError(f"{where}: answers a rationale that the study does not have; take the study's own files")
    here = f"{where}: rationale {item}"
    if not isinstance(content, Mapping) or not set(content) <= set(_FIELDS):
        raise InputDataError(f"{here}: is not an answer; expected {', '.join(_FIELDS)}")
    criteria = asked.criteria
    checks = content.get("checks", {})
    if not isinstance(checks, Mapping) or not set(checks) <= set(criteria.item_keys):
        raise InputDataError(f"{here}: checks has an unknown statement; expected those of the study's criteria")
    for key, value in checks.items():
        if not isinstance(value, bool):
            raise InputDataError(f"{here}: {key} must be true or false (yes or no)")
    overall = content.get("overall")
    if overall is not None and overall not in criteria.choices:
        raise InputDataError(f"{here}: overall must be one of {', '.join(criteria.choices)}")
    count = asked.sentences[item]
    wrong = _list_of(content, "wrong_sentences", here)
    if any(type(one) is not int or not 0 <= one < count for one in wrong) or len(set(wrong)) < len(wrong):
        raise InputDataError(f"{here}: wrong_sentences must be different whole numbers below {count}, its sentences")
    omissions = content.get("omissions")
    most = criteria.most_omissions
    if omissions is not None and (type(omissions) is not int or not 0 <= omissions <= most):
        raise InputDataError(f"{here}: omissions must be a whole number from 0 to {most}")
    omitted = _list_of(content, "omitted_diseases", here)
    if not all(isinstance(one, str) and one in asked.diseases for one in omitted) or len(set(omitted)) < len(omitted):
        raise InputDataError(f"{here}: omitted_diseases must be different keys of the study's diseases")
    comment = content.get("comment", "")
    if not isinstance(comment, str) or len(comment) > criteria.longest_comment:
        raise InputDataError(f"{here}: comment must be a text of at most {criteria.longest_comment} characters")
    return Answer(dict(checks), overall, tuple(sorted(wrong)), omissions, tuple(omitted), comment)


def parse_answers(content: Any, asked: Asked, where: str) -> RaterAnswers:
    """A rater's answers from the content of a file.

    Raises:
        InputDataError: They are of another study or none, or one of them is not possible.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("answers"), Mapping):
        raise InputDataError(f"{where}: is not a file of answers; expected one that the page or the judge wrote")
    if content.get("format") != FORMAT:
        raise InputDataError(f"{where}: has another format than {FORMAT}; use the version that made the study")
    if content.get("study") != asked.study:
        raise InputDataError(f"{where}: has the answers of another study; give those of study {asked.study}")
    if not is_rater_name(content.get("rater")):
        raise InputDataError(f"{where}: 'rater' is not a name of lower-case letters, digits and hyphens; correct it")
    judge, again = content.get("judge"), content.get("again", {})
    if (judge is not None and not isinstance(judge, Mapping)) or not isinstance(again, Mapping):
        raise InputDataError(f"{where}: 'judge' or 'again' is malformed; let the judge write it anew")
    return RaterAnswers(
        content["rater"],
        {item: parse_answer(one, item, asked, where) for item, one in content["answers"].items()},
        {item: parse_answer(one, item, asked, where) for item, one in again.items()},
        judge,
    )


def read_answers(path: Path, asked: Asked) -> RaterAnswers:
    """A rater's answers from a JSON file. Raises `InputDataError` as `parse_answers`, and for damaged JSON."""
    return parse_answers(read_json(path), asked, str(path))


def write_answers(path: Path, answers: RaterAnswers, study: str) -> None:
    """Write a rater's answers, whole or not at all; nobody but the owner can open the file or its folder."""
    private_folder(path.parent)
    # The remarks may be about a patient.
    with atomic_file(path, private=True) as beside:
        written = json.dumps(answers.content(study), indent=1, sort_keys=True, ensure_ascii=False)
        beside.write_text(written + "\n", encoding="utf-8")


def _list_of(content: Mapping[str, Any], name: str, here: str) -> list[Any]:
    found = content.get(name, [])
    if not isinstance(found, list):
        raise InputDataError(f"{here}: {name} must be a list")
    return found

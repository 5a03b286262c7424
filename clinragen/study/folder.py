"""A study's folder: its files, and reading them.

study.json       id, questions, diseases, raters; nothing of a patient
cases.json       the cases with their rationales, once each, without the checker's flags
key.json         whose each rationale is, what the checker says, each rater's order and flags; not for raters
raters/NAME/     what one rater gets, in their order: page.html, answers.csv, cases.json; no key
answers/         one JSON file for each rater and judge
provenance.json  from what it was made
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clinragen.study.answers import Asked
from clinragen.study.criteria import Criteria, parse_criteria
from dataset_builder.storage.files import faults_named, read_json
from dataset_builder.storage.governance import read_provenance
from modeling_clinragen.errors import InputDataError

FORMAT = 1
STUDY, CASES, KEY = "study.json", "cases.json", "key.json"
RATERS, ANSWERS, SCORE = "raters", "answers", "score"
PAGE, SHEET = "page.html", "answers.csv"


@dataclass(frozen=True)
class Rationale:
    """A rationale in the key.

    Args:
        case: Number of its case; a repeat has that of its first showing.
        source: Whose it is.
        repeat: Whether this is the second showing.
        shown: Name of the showing, by which flags are given.
        verdicts: The checker's verdict on each sentence.
    """

    case: int
    source: str
    repeat: bool
    shown: str
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A study as it was made.

    Args:
        folder: Where it is.
        id: Its id, which is on every file of it.
        criteria: Its questions.
        diseases: Names of the diseases by key.
        raters: Names of the raters.
        sources: Whose rationales are rated, in order.
        rationales: The key, by the rationale's opaque name.
        flagged: Names of the showings that each rater sees with flags.
        notices: Sentences that belong beside every number.
    """

    folder: Path
    id: str
    criteria: Criteria
    diseases: Mapping[str, str]
    raters: tuple[str, ...]
    sources: tuple[str, ...]
    rationales: Mapping[str, Rationale]
    flagged: Mapping[str, frozenset[str]]
    notices: tuple[str, ...]

    @property
    def asked(self) -> Asked:
        """Everything that answers are checked against."""
        sentences = {name: len(one.verdicts) for name, one in self.rationales.items()}
        return Asked(self.id, self.criteria, frozenset(self.diseases), sentences)

    @property
    def answers(self) -> Path:
        """The folder of the answers."""
        return self.folder / ANSWERS

    @cached_property
    def first_showings(self) -> Mapping[str, Rationale]:
        """The rationales without the repeats."""
        return {name: one for name, one in self.rationales.items() if not one.repeat}

    @cached_property
    def repeats(self) -> Mapping[str, str]:
        """The repeated rationales: from the first showing's name to the second's."""
        second = {(one.case, one.source): name for name, one in self.rationales.items() if one.repeat}
        return {
            name: second[one.case, one.source]
            for name, one in self.first_showings.items()
            if (one.case, one.source) in second
        }

    def rater_folder(self, rater: str) -> Path:
        """The folder of one rater. Raises `InputDataError` for a name that is none of the study's raters."""
        if rater not in self.raters:
            raise InputDataError(f"{rater}: is not a rater of this study; expected one of {', '.join(self.raters)}")
        return self.folder / RATERS / rater

    def provenance(self) -> dict[str, Any]:
        """From what the study was made."""
        return read_provenance(self.folder)


def read_study(folder: Path) -> Study:
    """Read a study. Raises `InputDataError` where the folder is not one, or a file of it is damaged."""
    folder = Path(folder)
    path = folder / STUDY
    if not path.is_file():
        raise InputDataError(f"{folder}: is not a study; make one with `clinragen study make`")
    about, key = read_json(path), read_json(folder / KEY)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputDataError(f"{path}: has another format than {FORMAT}; use the version that made the study")
    with faults_named(path):
        criteria = parse_criteria(about["criteria"])
        diseases = {str(one["key"]): str(one["name"]) for one in about["diseases"]}
        raters = tuple(map(str, about["raters"]))
    if not isinstance(key, dict) or key.get("study") != about["id"]:
        raise InputDataError(f"{folder / KEY}: is the key of another study; take the one that was made with it")
    with faults_named(folder / KEY):
        rationales = {
            str(name): Rationale(
                int(one["case"]), str(one["source"]), bool(one["repeat"]), str(one["shown"]), tuple(one["verdicts"])
            )
            for name, one in key["rationales"].items()
        }
        flagged = {str(rater): frozenset(form["flagged"]) for rater, form in key["forms"].items()}
        sources = tuple(map(str, key["sources"]))
    return Study(
        folder,
        str(about["id"]),
        criteria,
        diseases,
        raters,
        sources,
        rationales,
        flagged,
        tuple(map(str, about["notices"])),
    )

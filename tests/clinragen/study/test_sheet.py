"""The spreadsheet: filled in as people do, it has the same answers as the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from study_folder import SECRET, answers_of, plain_answer

from clinragen.study.answers import write_answers
from clinragen.study.folder import Study
from clinragen.study.ratings import read_ratings
from clinragen.study.score import score_study
from clinragen.study.sheet import read_sheet
from modeling_clinragen.errors import InputDataError


def fill(study: Study, cells: Mapping[str, str] | None = None, *, separator: str = ",") -> Path:
    """Fill the first rater's sheet: every statement with yes, and these cells of the first row."""
    path = study.folder / "raters" / "rater-1" / "answers.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    for row in rows:
        row |= dict.fromkeys(study.criteria.item_keys, "yes") | {"overall": "correct", "omissions": "0"}
    rows[0] |= cells or {}
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    filled = study.folder.parent / "filled.csv"
    filled.write_text(written.getvalue())
    return filled


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_filled_sheet_is_the_pages_answers(separator: str, small: Study) -> None:
    disease = next(iter(small.diseases))
    path = fill(
        small,
        {
            "correctness.recorded": "No", "readability.clear": "TRUE", "overall": "Partly", "wrong_sentences": "1; 2",
            "omissions": "3.0", "omitted_diseases": disease, "comment": "Ünclear",
        },
        separator=separator,
    )  # fmt: skip
    found = read_sheet(path, small.asked)
    assert found.rater == "rater-1"
    assert set(found.answers) == set(small.rationales)
    first = next(csv.DictReader(io.StringIO(path.read_text()), delimiter=separator))["rationale"]
    checks = dict.fromkeys(small.criteria.item_keys, True) | {"correctness.recorded": False}
    assert found.answers[first].content() == {
        "checks": checks, "overall": "partly", "wrong_sentences": [0, 1], "omissions": 3,
        "omitted_diseases": [disease], "comment": "Ünclear",
    }  # fmt: skip
    assert all(one == plain_answer(small) for item, one in found.answers.items() if item != first)


def test_a_sheet_and_a_page_score_the_same(small: Study) -> None:
    path = fill(small)
    by_sheet = score_study(read_ratings(small, [path]))
    answers = answers_of(small, "rater-1", lambda *_: plain_answer(small))
    write_answers(small.answers / "rater-1.json", answers, small.id)
    assert score_study(read_ratings(small)) == by_sheet


def test_what_is_left_empty_was_not_answered(small: Study) -> None:
    empty = small.folder / "raters" / "rater-1" / "answers.csv"
    assert read_sheet(empty, small.asked).answers == {}
    cells = {"correctness.recorded": "", "overall": "", "omissions": ""}
    found = read_sheet(fill(small, cells), small.asked)
    assert sum(not one.is_complete(small.criteria) for one in found.answers.values()) == 1


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"correctness.recorded": SECRET}, "row 2, correctness.recorded: is neither yes nor no"),
        ({"omissions": "many"}, "row 2, omissions: is not a whole number"),
        ({"omissions": "-1"}, "row 2, omissions: is not a whole number"),
        ({"wrong_sentences": "0"}, "wrong_sentences must be"),
        ({"overall": SECRET}, "overall must be one of"),
        ({"study": "s1"}, "row 2: is of another study"),
        ({"rationale": "rffffffffff"}, "that the study does not have"),
        ({"rater": "rater-2"}, "has rows of 2 raters"),
    ],
)
def test_a_cell_that_cannot_be_is_named(cells: dict[str, str], message: str, small: Study) -> None:
    with pytest.raises(InputDataError) as caught:
        read_sheet(fill(small, cells), small.asked)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_another_table_is_no_sheet(small: Study, tmp_path: Path) -> None:
    other = tmp_path / "labs.csv"
    for text, message in (("hours,heart rate (bpm)\n0,80\n", "has no column"), ("", "has no row")):
        other.write_text(text)
        with pytest.raises(InputDataError, match=message):
            read_sheet(other, small.asked)

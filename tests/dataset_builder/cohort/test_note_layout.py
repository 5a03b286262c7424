"""The same form in many layouts: what stands in the place of known headings is a heading, whatever its words."""

from __future__ import annotations

import pytest

from dataset_builder.cohort.note_headings import find_headings
from dataset_builder.cohort.note_sections import apply_policy
from modeling_clinragen.note_clinragen import clean_note

# Marked by their text: KEEP was known at admission. No list of headings has "Zebra stage" or "Quagga review".
FORM = {
    "Reason for admission": "KEEP fever",
    "History": "KEEP since Monday",
    "Past history": "KEEP gout",
    "Usual medication": "KEEP colchicine",
    "Examination on admission": "KEEP rales",
    "Laboratory at admission": "KEEP CRP 200",
    "Zebra stage": "GONE stent",
    "Hospital course": "GONE antibiotics",
    "Quagga review": "GONE better",
    "Discharge medication": "GONE amoxicillin",
}
LINES = {
    "colon": "{0}: {1}",
    "lower case": "{2}: {1}",
    "capitals": "{3}: {1}",
    "below": "{0}:\n{1}",
    "bare capitals": "{3}\n{1}",
    "dash": "{0} - {1}",
    "arrow": "{0} => {1}",
    "equals": "{0}={1}",
    "brackets": "[{0}] {1}",
    "parentheses": "({0}) {1}",
    "cells": "| {0} | {1} |",
    "columns": "{0}  {1}",
    "comma": "{0},{1}",
    "bullets": "- {0}: {1}",
    "numbers": "4. {0}: {1}",
    "numbered lines": "4. {3}\n{1}",
    "bold": "**{0}:** {1}",
    "Markdown": "## {0}\n{1}",
    "stars": "*** {3} ***\n{1}",
    "tags": "<{4}>{1}</{4}>",
}
ONE_LINE = {"capitals": ". {3}: {1}", "titles": ". {0}: {1}", "semicolons": "; {2}: {1}"}


def written(pattern: str, between: str) -> str:
    fields = [
        pattern.format(name, text, name.lower(), name.upper(), name.title().replace(" ", ""))
        for name, text in FORM.items()
    ]
    return between.join(fields).lstrip(".; ")


def is_right(note: str) -> bool:
    shown = apply_policy(note, "admission")
    return shown.count("KEEP") == note.count("KEEP") and "GONE" not in shown


@pytest.mark.parametrize("layout", LINES)
def test_a_form_is_read_in_every_layout(layout: str) -> None:
    note = written(LINES[layout], "\n")
    assert is_right(note), apply_policy(note, "admission")


@pytest.mark.parametrize("layout", ["colon", "below", "bold", "Markdown"])
def test_empty_lines_between_the_sections_change_nothing(layout: str) -> None:
    assert is_right(written(LINES[layout], "\n\n"))


@pytest.mark.parametrize("layout", ONE_LINE)
def test_a_form_in_one_line_is_read(layout: str) -> None:
    note = written(ONE_LINE[layout], "")
    assert is_right(note), apply_policy(note, "admission")


def test_letters_that_stand_apart_are_a_heading() -> None:
    note = "\n".join(f"{' '.join(name.upper().replace(' ', ''))}\n{text}\n" for name, text in FORM.items())
    known = [name for name in FORM if name not in ("Zebra stage", "Quagga review")]
    found = [heading for heading in find_headings(clean_note(note)) if heading.meaning.complete]
    assert len(found) == len(known)
    assert apply_policy(note, "admission").count("KEEP") == note.count("KEEP")


def test_a_list_of_diseases_in_capitals_is_no_list_of_headings() -> None:
    note = (
        "CHIEF COMPLAINT\nfever\nPAST MEDICAL HISTORY\nHTN\nCORONARY ARTERY DISEASE\nSOCIAL HISTORY\nsmoker\n"
        "ADMISSION EXAM\nrales\nHOSPITAL COURSE\nGONE\n"
    )
    shown = apply_policy(note, "admission")
    assert "HTN\nCORONARY ARTERY DISEASE" in shown
    assert "GONE" not in shown

"""An answer in the terminal: as written, never taken for markup, and never a clean bill of health by mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

from claim_cases import VOCABULARY
from rich.console import Console

from clinragen.claims.sentences import CheckedSentence, Patient
from clinragen.cli.explanation import print_explanation
from clinragen.export.result import explanation_json
from clinragen.inference import CALIBRATED, Explanation
from dataset_builder.contract.lab_series import LabSeries

TEXT = "Low [blood] pressure."
ANSWER = Explanation(
    diagnoses=("Shock",),
    rationale=TEXT,
    sentences=(CheckedSentence(TEXT, (0, len(TEXT)), ()),),
    withheld=(),
    verified=True,
    without_evidence=(),
    warnings=(),
    text="raw text",
    problem=None,
    patient=Patient(LabSeries.empty(VOCABULARY), "A note."),
    range_set="clinical",
)
MALFORMED = replace(
    ANSWER,
    diagnoses=(),
    rationale="",
    sentences=(),
    verified=False,
    text="raw [text]\x1b[2J",
    problem="a mark is missing",
)


def printed(explanation: Explanation, *, details: bool = False) -> list[str]:
    console = Console(file=StringIO(), width=130, color_system=None)
    print_explanation(explanation, console, details=details)
    assert isinstance(console.file, StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


def test_words_are_printed_as_written() -> None:
    assert printed(ANSWER)[:4] == ["Diagnoses", "Shock", "Rationale", TEXT]


def test_a_malformed_output_is_shown_as_such_and_diagnoses_nothing() -> None:
    lines = printed(MALFORMED)
    assert lines[:4] == ["Diagnoses", "none could be read", "Rationale", "(none)"]
    assert lines[4] == "The output is malformed (a mark is missing). As written:"
    # No escape sequence of a model or a note reaches the terminal.
    assert lines[5].startswith("raw [text]")
    assert "\x1b" not in "".join(lines)


def test_no_diagnosis_no_evidence_and_nothing_readable_differ() -> None:
    none = printed(replace(ANSWER, diagnoses=()))
    unproved = printed(replace(ANSWER, without_evidence=("Shock",)))
    assert none[:2] == ["Diagnoses", "none"]
    assert unproved[:4] == ["Diagnoses", "none with evidence", "Named without evidence, so not asserted", "Shock"]
    silent = replace(ANSWER, sentences=(), rationale="")
    assert "(nothing that the data support)" in printed(silent)


def test_warnings_come_first() -> None:
    assert printed(replace(ANSWER, warnings=("first", "second")))[:2] == ["Warning: first", "Warning: second"]


def test_withheld_sentences_are_counted_and_written_out_on_request_only() -> None:
    other = replace(ANSWER, withheld=ANSWER.sentences * 2)
    assert "2 sentences were withheld: the data do not bear out what is said (--details)." in printed(other)
    assert sum(TEXT in line for line in printed(other)) == 1
    assert sum(TEXT in line for line in printed(other, details=True)) == 3


def test_the_most_probable_disease_comes_first() -> None:
    lines = printed(replace(ANSWER, probabilities={"Gout": 0.04, "Shock": 0.875}))
    assert lines[-2:] == ["Shock 87.5%", "Gout 4.0%"]
    assert any("not calibrated" in line for line in lines)
    headed = printed(replace(ANSWER, probabilities={"Shock": 0.5}, probability_of=CALIBRATED))
    assert any(line.startswith("Probability, calibrated") for line in headed)
    assert not any("not calibrated" in line for line in headed)


def test_json_has_every_part_whatever_was_written() -> None:
    for answer in (ANSWER, MALFORMED, replace(ANSWER, withheld=ANSWER.sentences, probabilities={"Shock": 0.5})):
        found = json.loads(explanation_json(answer))
        assert (found["text"], found["problem"]) == (answer.text, answer.problem)
        assert [sentence["text"] for sentence in found["withheld"]] == [one.text for one in answer.withheld]
        assert found["probabilities"] == answer.probabilities
        assert found["knowledge"] is None

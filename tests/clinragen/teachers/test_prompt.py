"""What a language model is asked for a rationale: every part of the prompt, and the texts of a repair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claim_cases import CHECKING, VOCABULARY, series_of
from tiny_mimic import crowd, make_cohort

from clinragen.claims.filter import REASONS, filter_rationale
from clinragen.claims.judge import RationaleJudge
from clinragen.claims.rationale import Rationale
from clinragen.knowledge import load_knowledge
from clinragen.teachers.prompt import Prompt, load_prompt
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import SPLITS, load_examples

KNOWLEDGE = load_knowledge(None, VOCABULARY)
PROMPT = Prompt(KNOWLEDGE, VOCABULARY, CHECKING.range_set)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompted")
    make_cohort("mimic-iv", crowd(40).write(folder / "tables"), folder / "cohort", note_policy="structured")
    return folder / "cohort"


def right(example: Mapping[str, Any]) -> Rationale:
    """Names every diagnosis and claims nothing else."""
    names = ", ".join(example["diagnoses"])
    return Rationale(f"The note goes with {names or 'no disease'}.", "The measurements do not help.")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in load_examples(folder)[split]]


@pytest.mark.parametrize(
    ("writes", "reason"),
    [
        (lambda example: Rationale("", "Nothing."), "empty"),
        (lambda example: Rationale(f"## {right(example).note}", "Nothing."), "malformed"),
        (lambda example: Rationale(f"{right(example).note} And", "Nothing."), "unfinished"),
        (lambda example: Rationale(f"{right(example).note} Shock, too.", "Nothing."), "other_disease"),
    ],
)
def test_every_reason_has_its_words_for_a_repair(cohort: Path, writes: Any, reason: str) -> None:
    example = next(row for row in rows(cohort) if "Shock" not in row["diagnoses"])
    verdict = RationaleJudge("somebody", CHECKING).judge(example, writes(example))
    assert reason in [complaint.reason for complaint in verdict.complaints]
    asked = PROMPT.about_faults(PROMPT.describe(example), writes(example), verdict.complaints)
    assert len(asked) == len(PROMPT.about_note(PROMPT.describe(example))) + 4
    assert asked[-1].content.count("\n- ") >= len(verdict.complaints)
    assert set(load_prompt()["complaints"]) == set(REASONS)


@pytest.mark.parametrize("worked", load_prompt()["examples"], ids=lambda worked: worked["diagnoses"][0])
def test_the_worked_examples_would_be_kept(worked: Mapping[str, Any]) -> None:
    # One reading that no sentence is about: without any, "no measurement points to" would be wrong.
    series = series_of({"hours": [0.0], "ph": [7.4]})
    readings = {"lab_hours": [0.0], "lab_values": series.values.tolist(), "lab_observed": series.observed.tolist()}
    example = {**readings, "note": worked["note"], "diagnoses": worked["diagnoses"]}
    verdict = filter_rationale((worked["note_rationale"], worked["lab_rationale"]), example, CHECKING)
    assert verdict.kept, verdict.complaints
    assert sum(claim.kind == "note" and claim.verdict == "supported" for claim in verdict.claims) >= 3


def test_a_prompt_tells_note_anomalies_knowledge_diagnoses_and_numbers(cohort: Path) -> None:
    example = next(row for row in rows(cohort) if row["diagnoses"] and row["lab_hours"])
    patient = PROMPT.describe(example)
    first, second = (
        asked[-1].content for asked in (PROMPT.about_note(patient), PROMPT.about_labs(patient, "It is as it is."))
    )
    for text in (example["note"], example["lab_summary"], *example["diagnoses"]):
        assert text in first
    assert all(name in second for name in example["diagnoses"])
    column, hour, value = next(
        (column, hour, row[column])
        for hour, row in zip(example["lab_hours"], example["lab_values"], strict=True)
        for column in range(len(row))
        if row[column] is not None
    )
    assert f"{value:.0f}" in second
    assert f"at hour {hour:.0f}" in second
    assert column < 11
    empty = {**example, "note": "", "lab_hours": [], "lab_values": [], "lab_observed": [], "lab_summary": ""}
    assert "there is no note" in PROMPT.about_note(PROMPT.describe(empty))[-1].content
    assert "nothing was measured" in PROMPT.about_labs(PROMPT.describe(empty), "x")[-1].content


def test_the_shown_prompt_holds_every_part() -> None:
    shown = PROMPT.shown()
    assert shown.startswith(f"[version {load_prompt()['version']}]")
    for part in ("<note>", "<anomalies>", "<diagnoses>", "<knowledge>", "<measurements>", "[system]", "[assistant]"):
        assert part in shown


@pytest.mark.parametrize("answer", ["one part only", "a\n---\nb\n---\nc"])
def test_a_repair_without_its_two_parts_is_none(answer: str) -> None:
    assert PROMPT.parts(answer) is None
    assert PROMPT.parts("the note\n---\nthe labs") == Rationale("the note", "the labs")


def test_the_table_of_measurements_is_in_the_words_of_the_vocabulary(cohort: Path) -> None:
    """Names, units and columns are those of the vocabulary that the prompt is given."""
    example = next(row for row in rows(cohort) if row["lab_hours"])
    renamed = tuple(
        replace(one, name="pulse", unit="beats/min") if one.key == "heart_rate" else one
        for one in VOCABULARY.variables
    )
    own = Prompt(KNOWLEDGE, replace(VOCABULARY, variables=renamed), CHECKING.range_set).describe(example)
    shipped = PROMPT.describe(example)
    assert "- heart rate (bpm): " in shipped.measurements
    assert own.measurements == shipped.measurements.replace("- heart rate (bpm): ", "- pulse (beats/min): ")


def test_anomalies_and_measurements_are_of_one_range_set(cohort: Path) -> None:
    """The cohort's own summary is of the clinical set; a prompt with the paper's set must not show it."""
    paper = VOCABULARY.range_set("paper")
    shown = 0
    for example in rows(cohort):
        expected = LabSeries.from_example(VOCABULARY, example).in_words(paper)
        if expected not in ("", example["lab_summary"]):
            shown += 1
            patient = Prompt(KNOWLEDGE, VOCABULARY, paper).describe(example)
            assert patient.anomalies == expected
            assert PROMPT.describe(example).anomalies == example["lab_summary"]
    assert shown

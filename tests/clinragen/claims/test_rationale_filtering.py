"""Rationales between teacher and student: what is kept, repaired and rejected, by whom and for which reason."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_builder.contract.vocabulary import load_range_set
from scripted_teacher import ScriptedTeacher, taught
from tiny_mimic import crowd

from clinragen.claims.filter import REASONS, filter_rationale
from clinragen.claims.judge import RationaleJudge
from clinragen.knowledge import load_knowledge
from clinragen.teachers.distill import Shard, teach
from clinragen.teachers.prompt import Prompt, load_prompt
from clinragen.teachers.rules import RuleTeacher
from clinragen.teachers.teacher import Complaint, Rationale
from dataset_builder.cohort.build import build_cohort
from dataset_builder.contract.schema import SPLITS, load_examples
from modeling_clinragen.errors import InputDataError, SettingsError


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filtered")
    build_cohort("mimic-iv", crowd(40).write(folder / "tables"), folder / "cohort", note_policy="structured")
    return folder / "cohort"


@pytest.fixture
def copied(cohort: Path, tmp_path: Path) -> Path:
    """A cohort that may be spoilt."""
    return shutil.copytree(cohort, tmp_path / "cohort")


def judge() -> RationaleJudge:
    return RationaleJudge("somebody", load_range_set("clinical"))


def right(example: Mapping[str, Any]) -> Rationale:
    """Names every diagnosis and claims nothing else."""
    names = ", ".join(example["diagnoses"])
    return Rationale(f"The note goes with {names or 'no disease'}.", "The measurements do not help.")


def wrong(example: Mapping[str, Any]) -> Rationale:
    said = right(example)
    return Rationale(f'{said.note} "purple spots" are seen.', said.lab)


def odd(example: Mapping[str, Any]) -> bool:
    return bool(example["stay_id"] % 2)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in load_examples(folder)[split]]


def test_what_is_contradicted_is_rejected_and_reported(cohort: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda example: wrong(example) if odd(example) else right(example))
    report = taught(cohort, tmp_path / "out", teacher, judge=judge())
    for row in rows(tmp_path / "out"):
        expected = Rationale("", "") if odd(row) else right(row)
        assert (row["rationale_note"], row["rationale_lab"]) == (expected.note, expected.lab)
    bad = sum(map(odd, rows(cohort)))
    assert 0 < bad < len(rows(cohort))
    final = report["filter"]["final"]
    assert (report["kept"], final["rejected"]) == (len(rows(cohort)) - bad, bad)
    assert {reason for reason, found in final["reasons"].items() if found["count"]} == {"contradicted_note"}
    assert report["filter"]["repairs"] == {"rewritten": 0, "succeeded": 0}


def test_one_repair_is_asked_for_with_the_faults_and_judged_again(cohort: Path, tmp_path: Path) -> None:
    heard: list[Sequence[Complaint]] = []

    def mends(example: Mapping[str, Any], complaints: Sequence[Complaint]) -> Rationale:
        heard.append(complaints)
        return right(example) if example["stay_id"] % 3 else wrong(example)

    report = taught(cohort, tmp_path / "out", ScriptedTeacher(wrong, mends), judge=judge())
    everyone = rows(cohort)
    hopeless = sum(row["stay_id"] % 3 == 0 for row in everyone)
    assert 0 < hopeless < len(everyone) == len(heard)
    assert {(one.reason, one.subject) for complaints in heard for one in complaints} == {
        ("contradicted_note", '"purple spots"')
    }
    assert all(one.evidence for complaints in heard for one in complaints)
    assert report["filter"]["first"]["rejected"] == len(everyone)
    assert report["filter"]["final"]["rejected"] == hopeless
    assert report["filter"]["repairs"] == {"rewritten": len(everyone), "succeeded": len(everyone) - hopeless}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (lambda example: Rationale("", "Nothing."), "empty"),
        (lambda example: Rationale(f"## {right(example).note}", "Nothing."), "malformed"),
        (lambda example: Rationale(f"{right(example).note} And", "Nothing."), "unfinished"),
        (lambda example: Rationale(f"{right(example).note} Shock, too.", "Nothing."), "other_disease"),
    ],
)
def test_every_reason_has_its_words_for_a_repair(cohort: Path, said: Any, reason: str) -> None:
    example = next(row for row in rows(cohort) if "Shock" not in row["diagnoses"])
    verdict = judge().judge(example, said(example))
    assert reason in [complaint.reason for complaint in verdict.complaints]
    prompt = Prompt(load_knowledge(), load_range_set())
    asked = prompt.about_faults(prompt.told(example), said(example), verdict.complaints)
    assert len(asked) == len(prompt.about_note(prompt.told(example))) + 4
    assert asked[-1].content.count("\n- ") >= len(verdict.complaints)
    assert set(load_prompt()["complaints"]) == set(REASONS)


def test_the_rules_pass_their_own_filter(cohort: Path, tmp_path: Path) -> None:
    report = taught(cohort, tmp_path / "out", RuleTeacher(load_knowledge(), load_range_set()), judge=judge())
    assert report["kept"] == report["examples"] == len(rows(cohort))


@pytest.mark.parametrize("worked", load_prompt()["examples"], ids=lambda worked: worked["diagnoses"][0])
def test_the_worked_examples_would_be_kept(worked: Mapping[str, Any]) -> None:
    unmeasured = {"lab_hours": [], "lab_values": [], "lab_observed": []}
    example = {**unmeasured, "note": worked["note"], "diagnoses": worked["diagnoses"]}
    verdict = filter_rationale((worked["note_rationale"], worked["lab_rationale"]), example)
    assert verdict.kept, verdict.complaints
    assert sum(claim.kind == "note" and claim.verdict == "supported" for claim in verdict.claims) >= 3


def test_a_prompt_tells_note_anomalies_knowledge_diagnoses_and_numbers(cohort: Path) -> None:
    prompt = Prompt(load_knowledge(), load_range_set())
    example = next(row for row in rows(cohort) if row["diagnoses"] and row["lab_hours"])
    told = prompt.told(example)
    first, second = (
        asked[-1].content for asked in (prompt.about_note(told), prompt.about_labs(told, "It is as it is."))
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
    assert "there is no note" in prompt.about_note(prompt.told(empty))[-1].content
    assert "nothing was measured" in prompt.about_labs(prompt.told(empty), "x")[-1].content


def test_the_shown_prompt_holds_every_part() -> None:
    shown = Prompt(load_knowledge(), load_range_set()).shown()
    assert shown.startswith(f"[version {load_prompt()['version']}]")
    for part in ("<note>", "<anomalies>", "<diagnoses>", "<knowledge>", "<measurements>", "[system]", "[assistant]"):
        assert part in shown


@pytest.mark.parametrize("answer", ["one part only", "a\n---\nb\n---\nc"])
def test_a_repair_without_its_two_parts_is_none(answer: str) -> None:
    prompt = Prompt(load_knowledge(), load_range_set())
    assert prompt.parts(answer) is None
    assert prompt.parts("the note\n---\nthe labs") == Rationale("the note", "the labs")


def test_shards_part_the_examples(cohort: Path) -> None:
    parts = [
        asyncio.run(teach(cohort, ScriptedTeacher(right), judge(), shard=Shard.parse(f"{number}/3")))
        for number in (1, 2, 3)
    ]
    names = [name for part in parts for name in part]
    assert sorted(names) == sorted(row["example_id"] for row in rows(cohort))
    assert all(parts)


def test_an_interruption_waits_for_no_other_example(cohort: Path) -> None:
    async def interrupted() -> int:
        told: list[int] = []

        def interrupt(count: int, total: int) -> None:
            told.append(count)
            task.cancel()

        teacher = RuleTeacher(load_knowledge(), load_range_set())
        task = asyncio.create_task(teach(cohort, teacher, judge(), on_progress=interrupt))
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(told)

    assert asyncio.run(interrupted()) == 1


def test_examples_that_share_an_identifier_are_refused(copied: Path) -> None:
    path = copied / "data" / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), path)
    with pytest.raises(InputDataError, match="share an example_id"):
        asyncio.run(teach(copied, ScriptedTeacher(right), judge()))


def test_a_cohort_that_changes_meanwhile_gets_no_rationales(copied: Path, tmp_path: Path) -> None:
    path = copied / "data" / "test.parquet"
    whole = pq.read_table(path)

    def meddles(example: Mapping[str, Any]) -> Rationale:
        pq.write_table(whole.slice(1), path)
        return right(example)

    with pytest.raises(InputDataError, match="has changed while its rationales were written"):
        taught(copied, tmp_path / "out", ScriptedTeacher(meddles), judge=judge())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1/0", "²/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="2/8"):
        Shard.parse(text)

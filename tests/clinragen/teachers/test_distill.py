"""Rationales between teacher and student: which are kept, repaired and rejected, and for which reason."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from claim_cases import CHECKING, VOCABULARY
from scripted_teacher import ScriptedTeacher, with_rationales
from tiny_mimic import crowd, make_cohort

from clinragen.claims.judge import RationaleJudge
from clinragen.claims.rationale import Complaint, Rationale
from clinragen.knowledge import load_knowledge
from clinragen.teachers.distill import Shard, distill
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.contract.schema import SPLITS, load_examples
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import InputDataError, SettingsError


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filtered")
    make_cohort("mimic-iv", crowd(40).write(folder / "tables"), folder / "cohort", note_policy="structured")
    return folder / "cohort"


@pytest.fixture
def copied(cohort: Path, tmp_path: Path) -> Path:
    """A cohort that a test may damage."""
    return shutil.copytree(cohort, tmp_path / "cohort")


def judge() -> RationaleJudge:
    return RationaleJudge("somebody", CHECKING)


def rule_teacher() -> RuleTeacher:
    return RuleTeacher(load_knowledge(None, VOCABULARY), VOCABULARY, CHECKING.range_set)


def right(example: Mapping[str, Any]) -> Rationale:
    """Names every diagnosis and claims nothing else."""
    names = ", ".join(example["diagnoses"])
    return Rationale(f"The note goes with {names or 'no disease'}.", "The measurements do not help.")


def wrong(example: Mapping[str, Any]) -> Rationale:
    rationale = right(example)
    return Rationale(f'{rationale.note} "purple spots" are seen.', rationale.lab)


def odd(example: Mapping[str, Any]) -> bool:
    return bool(example["stay_id"] % 2)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in load_examples(folder)[split]]


def test_what_is_contradicted_is_rejected_and_reported(cohort: Path, tmp_path: Path) -> None:
    teacher = ScriptedTeacher(lambda example: wrong(example) if odd(example) else right(example))
    report = with_rationales(cohort, tmp_path / "out", teacher, judge=judge())
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

    def repairs(example: Mapping[str, Any], complaints: Sequence[Complaint]) -> Rationale:
        heard.append(complaints)
        return right(example) if example["stay_id"] % 3 else wrong(example)

    report = with_rationales(cohort, tmp_path / "out", ScriptedTeacher(wrong, repairs), judge=judge())
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


def test_without_the_filter_everything_is_learned_as_first_written_and_still_counted(
    cohort: Path, tmp_path: Path
) -> None:
    def repairs(example: Mapping[str, Any], complaints: Sequence[Complaint]) -> Rationale:
        raise AssertionError("nothing is repaired without a filter")

    teacher = ScriptedTeacher(lambda example: wrong(example) if odd(example) else right(example), repairs)
    report = with_rationales(cohort, tmp_path / "out", teacher, judge=judge(), filtering=False)
    for row in rows(tmp_path / "out"):
        expected = wrong(row) if odd(row) else right(row)
        assert (row["rationale_note"], row["rationale_lab"]) == (expected.note, expected.lab)
    assert report["filtered"] is False
    assert report["kept"] == len(rows(cohort))
    assert report["filter"]["final"]["rejected"] == sum(map(odd, rows(cohort)))
    assert load_examples(tmp_path / "out").provenance["rationales"]["filtered"] is False


def test_the_rules_pass_their_own_filter(cohort: Path, tmp_path: Path) -> None:
    report = with_rationales(cohort, tmp_path / "out", rule_teacher(), judge=judge())
    assert report["kept"] == report["examples"] == len(rows(cohort))


def test_shards_part_the_examples(cohort: Path) -> None:
    parts = [
        asyncio.run(distill(cohort, ScriptedTeacher(right), judge(), shard=Shard.parse(f"{number}/3")))
        for number in (1, 2, 3)
    ]
    names = [name for part in parts for name in part]
    assert sorted(names) == sorted(row["example_id"] for row in rows(cohort))
    assert all(parts)


def test_an_interruption_waits_for_no_other_example(cohort: Path) -> None:
    async def interrupted() -> int:
        reported: list[Progress] = []

        def interrupt(progress: Progress) -> None:
            reported.append(progress)
            task.cancel()

        teacher = rule_teacher()
        task = asyncio.create_task(distill(cohort, teacher, judge(), report=interrupt))
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(reported)

    assert asyncio.run(interrupted()) == 1


def test_examples_that_share_an_identifier_are_refused(copied: Path) -> None:
    path = copied / "data" / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), path)
    with pytest.raises(InputDataError, match="share an example_id"):
        asyncio.run(distill(copied, ScriptedTeacher(right), judge()))


def test_a_cohort_that_changes_meanwhile_gets_no_rationales(copied: Path, tmp_path: Path) -> None:
    path = copied / "data" / "test.parquet"
    whole = pq.read_table(path)

    def meddles(example: Mapping[str, Any]) -> Rationale:
        pq.write_table(whole.slice(1), path)
        return right(example)

    with pytest.raises(InputDataError, match="has changed while its rationales were written"):
        with_rationales(copied, tmp_path / "out", ScriptedTeacher(meddles), judge=judge())
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1/0", "²/3"])
def test_an_invalid_shard_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"invalid shard .* 2/8"):
        Shard.parse(text)

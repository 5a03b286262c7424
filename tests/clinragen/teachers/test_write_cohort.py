"""`fill_rationales`: a built cohort in, the same cohort with rationales out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scripted_teacher import LenientJudge, ScriptedTeacher, with_rationales
from tiny_mimic import VOCABULARY, make_cohort

from clinragen.claims.rationale import Rationale
from clinragen.knowledge import load_knowledge
from clinragen.teachers.rules import RuleTeacher
from dataset_builder.contract.definitions import read_definitions
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import SPLITS, load_examples
from dataset_builder.storage.progress import Progress
from dataset_builder.synthetic.hospital import fill_hospital
from modeling_clinragen.errors import InputDataError


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    fill_hospital(folder / "tables", patients=250, seed=11)
    make_cohort("mimic-iv", folder / "tables", folder / "cohort", note_policy="admission")
    return folder / "cohort"


def rule_teacher(seed: int) -> RuleTeacher:
    return RuleTeacher(load_knowledge(None, VOCABULARY), VOCABULARY, VOCABULARY.range_set("clinical"), seed)


@pytest.fixture(scope="module")
def teacher() -> RuleTeacher:
    return rule_teacher(0)


def test_only_the_rationales_change(cohort: Path, teacher: RuleTeacher, tmp_path: Path) -> None:
    progress: list[Progress] = []
    report = with_rationales(cohort, tmp_path / "out", teacher, report=progress.append)
    before, after = load_examples(cohort), load_examples(tmp_path / "out")
    total = 0
    for split in SPLITS:
        source, target = before[split], after[split]
        total += len(source)
        filled = ["rationale_note", "rationale_lab"]
        assert source.remove_columns(filled).data.table.equals(target.remove_columns(filled).data.table)
        assert all(text.endswith(".") for name in filled for text in target[name])
        for row in target:
            again = teacher.write(row)
            assert (row["rationale_note"], row["rationale_lab"]) == (again.note, again.lab)
        path = f"data/{split}.parquet"
        assert pq.read_schema(tmp_path / "out" / path).equals(pq.read_schema(cohort / path), check_metadata=True)
    assert progress[-1] == Progress(total, total, "examples")
    done = [one.done for one in progress]
    assert done == sorted(set(done))
    assert report["examples"] == total


def test_the_folder_keeps_its_other_files(cohort: Path, teacher: RuleTeacher, tmp_path: Path) -> None:
    report = with_rationales(cohort, tmp_path / "out", teacher)
    old, new = (json.loads((path / "provenance.json").read_text()) for path in (cohort, tmp_path / "out"))
    made = new.pop("rationales")
    built, step = new.pop("steps")
    assert built["step"] == "build"
    assert step == {"step": "rationales", "teacher": "rules", "range_set": "clinical", "services": []}
    assert [origin["release"] for origin in new.pop("origins")] == [old["release"]]
    assert new == old
    assert made["teacher"] == "rules"
    assert set(made["inputs"]) == {f"data/{split}.parquet" for split in SPLITS}
    assert (tmp_path / "out" / "README.md").read_bytes() == (cohort / "README.md").read_bytes()
    assert read_definitions(tmp_path / "out") == read_definitions(cohort)
    assert json.loads((tmp_path / "out" / "rationales.json").read_text()) == report


def test_the_report_counts_evidence(cohort: Path, teacher: RuleTeacher, tmp_path: Path) -> None:
    report = with_rationales(cohort, tmp_path / "out", teacher)
    rows = [row for split in SPLITS for row in load_examples(tmp_path / "out")[split]]
    none_in_note = 0
    for row in rows:
        last = row["rationale_note"].split('"')[-1]
        if "Essential hypertension" in row["diagnoses"]:
            none_in_note += " does not point to " in last or "Nothing in the note" in last
    entry = report["evidence"]["essential_hypertension"]
    assert entry["diagnoses"] == sum("Essential hypertension" in row["diagnoses"] for row in rows)
    assert entry["diagnoses"] - entry["in_note"] <= none_in_note
    for counts in report["evidence"].values():
        assert counts["in_note"] + counts["in_labs"] + counts["in_neither"] >= counts["diagnoses"]
        assert max(counts["in_note"], counts["in_labs"]) + counts["in_neither"] <= counts["diagnoses"]
    assert sum(counts["in_neither"] for counts in report["evidence"].values()) < 0.1 * sum(
        counts["diagnoses"] for counts in report["evidence"].values()
    )
    words = [len(row["rationale_note"].split()) for row in rows]
    assert report["words"]["note"]["max"] == max(words)


def test_it_repeats_byte_for_byte(cohort: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with_rationales(cohort, tmp_path / name, rule_teacher(4))
    for item in ("data/train.parquet", "provenance.json", "rationales.json"):
        assert (tmp_path / "one" / item).read_bytes() == (tmp_path / "two" / item).read_bytes()


def test_a_teacher_that_fails_leaves_nothing(cohort: Path, tmp_path: Path) -> None:
    left = iter(range(20))

    def writes(example: Mapping[str, Any]) -> Rationale:
        if next(left, None) is None:
            raise ConnectionError("gone")
        return Rationale("Note.", "Lab.")

    with pytest.raises(ConnectionError):
        with_rationales(cohort, tmp_path / "out", ScriptedTeacher(writes))
    assert list((tmp_path / "out").iterdir()) == []
    report = with_rationales(cohort, tmp_path / "out")
    assert report["examples_without_known_evidence"] == report["examples"]
    assert set(load_examples(tmp_path / "out")["test"]["rationale_lab"]) == {"Lab."}


def test_what_is_not_a_cohort_is_refused(cohort: Path, teacher: RuleTeacher, tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="choose another output"):
        with_rationales(cohort, cohort, teacher)
    with pytest.raises(InputDataError, match="clinragen build"):
        with_rationales(tmp_path, tmp_path / "out", teacher)
    older = tmp_path / "older"
    shutil.copytree(cohort, older)
    (older / "vocabulary.json").unlink()
    with pytest.raises(InputDataError, match=r"vocabulary\.json: is missing; .* run `clinragen build`"):
        with_rationales(older, tmp_path / "out", teacher)
    damaged = tmp_path / "damaged"
    shutil.copytree(cohort, damaged)
    (damaged / "data" / "test.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputDataError, match="not a readable parquet"):
        with_rationales(damaged, tmp_path / "out", teacher)
    table = pq.read_table(cohort / "data" / "test.parquet")
    pq.write_table(table.drop_columns(["lab_summary"]), damaged / "data" / "test.parquet")
    with pytest.raises(InputDataError, match="lab_summary"):
        with_rationales(damaged, tmp_path / "out", teacher)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_range_set_of_the_judge_is_recorded(cohort: Path, tmp_path: Path) -> None:
    judge = LenientJudge()
    judge.range_set = "paper"
    with_rationales(cohort, tmp_path / "out", judge=judge)
    assert load_examples(cohort).range_set == "clinical"
    assert load_examples(tmp_path / "out").range_set == "paper"


def test_the_summaries_are_of_the_range_set_of_the_rationales(cohort: Path, tmp_path: Path) -> None:
    judge = LenientJudge()
    judge.range_set = "paper"
    with_rationales(cohort, tmp_path / "paper", judge=judge)
    with_rationales(cohort, tmp_path / "same")
    with_rationales(tmp_path / "paper", tmp_path / "back")
    built, paper, same, back = (
        load_examples(folder)["train"] for folder in (cohort, *(tmp_path / name for name in ("paper", "same", "back")))
    )
    vocabulary = load_examples(cohort).vocabulary
    ranges = vocabulary.range_set("paper")
    assert paper["lab_summary"] == [LabSeries.from_example(vocabulary, row).in_words(ranges) for row in built]
    assert paper["lab_summary"] != built["lab_summary"]
    assert same["lab_summary"] == built["lab_summary"] == back["lab_summary"]


def test_only_what_belongs_to_a_cohort_is_carried_over(cohort: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(cohort, tmp_path / "cohort")
    (copied / "stage.json").write_text("{}")
    with_rationales(copied, tmp_path / "out")
    names = {"data", "groups.parquet", "vocabulary.json", "README.md", "provenance.json", "rationales.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names

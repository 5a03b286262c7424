"""Splits by patient: stable, in proportion, or the user's own."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest
from tiny_mimic import START, build, crowd, digests, examples_of, make_cohort

from dataset_builder.cohort.config import CohortConfig
from dataset_builder.cohort.splits import assign_splits, read_splits, split_of
from dataset_builder.contract.schema import SPLITS, load_examples
from modeling_clinragen.errors import InputDataError, SettingsError


def test_proportions_are_four_to_one_and_seeds_differ() -> None:
    subjects = range(10_000_000, 10_020_000)
    counts = Counter(assign_splits(subjects).values())
    assert counts["train"] / 20_000 == pytest.approx(0.7, abs=0.02)
    assert counts["validation"] / 20_000 == pytest.approx(0.1, abs=0.02)
    assert counts["test"] / 20_000 == pytest.approx(0.2, abs=0.02)
    moved = sum(split_of(subject) != split_of(subject, seed=1) for subject in subjects)
    assert moved > 5_000


def test_these_patients_never_move() -> None:
    # Written down once: a change of the hash would quietly mix training and test patients of older runs.
    assert [split_of(subject) for subject in range(10_000_001, 10_000_009)] == [
        "validation",
        "train",
        "train",
        "train",
        "train",
        "train",
        "validation",
        "test",
    ]


def test_more_patients_move_nobody(tmp_path: Path) -> None:
    build(crowd(20, events=3), tmp_path / "few")
    build(crowd(40, events=3), tmp_path / "many")

    def split_by_subject(folder: Path) -> dict[int, str]:
        splits = load_examples(folder / "cohort")
        return {subject: split for split in SPLITS for subject in splits[split]["subject_id"]}

    few, many = split_by_subject(tmp_path / "few"), split_by_subject(tmp_path / "many")
    assert len(few) == 20
    assert {subject: many[subject] for subject in few} == few


def test_all_admissions_of_a_patient_share_a_split(tmp_path: Path) -> None:
    hospital = crowd(10, events=3)
    for number in range(11, 31):
        hospital.stay(number, patient=number % 10 + 1, start=START.replace(year=2160 + number))
        hospital.add(
            "icu/chartevents",
            stay_id=1000 + number,
            charttime=START.replace(year=2160 + number),
            itemid=220045,
            valuenum=80,
        )
    _, provenance = build(hospital, tmp_path)
    splits = load_examples(tmp_path / "cohort")
    subjects = [set(splits[split]["subject_id"]) for split in SPLITS if len(splits[split])]
    assert sum(map(len, subjects)) == len(set().union(*subjects)) == 10
    assert provenance["examples"]["total"] == 30
    assert provenance["leakage_audit"]["patients_in_several_splits"] == 0


def test_a_users_own_list(tmp_path: Path) -> None:
    table = tmp_path / "splits.csv"
    table.write_text("split,subject_id\ntest,1\ntrain,2\nvalidation, 3\ntrain,4\n")
    listed = tmp_path / "splits.json"
    listed.write_text(json.dumps({"train": [2, "4"], "validation": [3], "test": [1]}))
    assert read_splits(table) == read_splits(listed) == {1: "test", 2: "train", 3: "validation", 4: "train"}
    build(crowd(4, events=3), tmp_path, split_file=table)
    splits = load_examples(tmp_path / "cohort")
    assert {split: splits[split]["subject_id"] for split in SPLITS} == {
        "train": [2, 4],
        "validation": [3],
        "test": [1],
    }
    assert len(examples_of(tmp_path / "cohort")) == 4


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "subject_id,split\n77123,tset\n", "row 2 names an unknown split"),
        ("s.csv", "subject_id,split\n77123x,test\n", "row 2 has a subject_id that is not an integer"),
        ("s.csv", "subject_id,split\n77123,test\n77123,train\n", "row 3 puts a patient into a second split"),
        ("s.csv", "patient,split\n77123,test\n", "columns subject_id and split"),
        ("s.csv", "", "columns subject_id and split"),
        ("s.json", '{"train": 77123}', "object of lists"),
        ("s.json", '{"training": [77123]}', "unknown split"),
        ("s.json", "{", "not readable JSON"),
    ],
)
def test_faulty_lists_are_named_without_the_patient(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputDataError, match=message) as caught:
        read_splits(path)
    assert str(path) in str(caught.value)
    assert "77123" not in str(caught.value)


def test_the_seed_of_a_build_draws_the_split_anew_and_nothing_else(tmp_path: Path) -> None:
    root = crowd(60, events=1).write(tmp_path / "tables")
    found = {}
    for name, settings in {"default": {}, "zero": {"seed": 0}, "one": {"seed": 1}}.items():
        make_cohort("mimic-iv", root, tmp_path / name, note_policy="full", **settings)
        cohort = load_examples(tmp_path / name)
        found[name] = {row["subject_id"]: split for split, rows in cohort.items() for row in rows}
        assert cohort.provenance["settings"]["seed"] == settings.get("seed", 0)
    assert digests(tmp_path / "default") == digests(tmp_path / "zero")
    assert found["one"] == {subject: split_of(subject, seed=1) for subject in range(1, 61)} != found["zero"]
    assert examples_of(tmp_path / "one") == examples_of(tmp_path / "zero")


def test_a_list_must_hold_every_patient(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("subject_id,split\n1,test\n")
    with pytest.raises(InputDataError, match="no split for 2 of the cohort's patients"):
        assign_splits([1, 2, 3], split_file=path)


@pytest.mark.parametrize(
    "fractions",
    [(0.7, 0.1, 0.1), (0.5, 0.5), (1.2, -0.1, -0.1), (math.inf, 0, 0), *permutations((math.nan, 0.5, 0.5))],
)
def test_fractions_that_are_none_are_refused(fractions: tuple[float, float, float]) -> None:
    for refused in (
        lambda: assign_splits([1], fractions=fractions),
        lambda: CohortConfig(note_policy="full", split_fractions=fractions),
    ):
        with pytest.raises(SettingsError, match="add up to 1"):
            refused()

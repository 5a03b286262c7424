"""PhysioNet Challenge 2012: its files become tables and a cohort, and what cannot be read is refused or counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from command_line import fails_with_one_line, in_process
from own_vocabulary import write_vocabulary
from tiny_challenge import DEATH, challenge_files, record, write_archive, write_folder
from tiny_mimic import VOCABULARY, item_log, make_cohort

from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.schema import SPLITS, load_examples
from dataset_builder.sources.challenge_2012 import Counts, write_tables
from modeling_clinragen.errors import InputDataError


def examples(cohort: Path) -> dict[int, dict[str, Any]]:
    rows = [row for split in SPLITS for row in pq.read_table(cohort / "data" / f"{split}.parquet").to_pylist()]
    return {row["stay_id"]: row for row in rows}


def measured(row: dict[str, Any], key: str) -> list[tuple[float, float]]:
    column = VOCABULARY.variable_keys.index(key)
    pairs = zip(row["lab_hours"], row["lab_values"], strict=True)
    return [(round(hour, 3), round(step[column], 3)) for hour, step in pairs if step[column] is not None]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    write_tables(write_archive(tmp_path / "set-a.tar.gz"), tmp_path / "tables")
    return tmp_path / "tables"


def test_an_archive_and_a_folder_give_the_same_tables(tmp_path: Path, tables: Path) -> None:
    found = write_tables(write_folder(tmp_path / "files"), tmp_path / "again")
    assert found == Counts(4, 25, 4, 0, 0)
    for name in ("stays", "measurements", "outcomes"):
        one, other = (pq.read_table(folder / f"{name}.parquet") for folder in (tables, tmp_path / "again"))
        assert one.sort_by("record_id").equals(other.sort_by("record_id")), name
    first = pq.read_table(tables / "stays.parquet").to_pylist()[0]
    assert first == {"record_id": 132539, "age": "64", "sex": "M", "icu_type": "Medical ICU"}


def test_the_cohort_has_the_series_and_no_labels(tmp_path: Path, tables: Path) -> None:
    provenance = make_cohort("challenge-2012", tables, tmp_path / "cohort", note_policy="structured")
    rows = examples(tmp_path / "cohort")
    assert set(rows) == {132539, 132540, 132543}  # 15 years is no adult
    every = rows[132539]
    assert measured(every, "heart_rate") == [(0.117, 73), (1.5, 80)]
    assert measured(every, "ph") == [(48, 7.38)]
    assert measured(every, "weight") == [(0, 80)]
    assert all(measured(every, key) for key in VOCABULARY.variable_keys)
    assert "64-year-old man" in every["note"]
    assert "Medical ICU" in every["note"]
    assert "90-year-old or older patient" in rows[132543]["note"]
    assert measured(rows[132540], "temperature") == [(0.667, 37)]  # 98.6 °F
    assert measured(rows[132540], "weight") == []
    assert item_log(provenance, "pH")["rejected"] == {"implausible": 1}
    assert item_log(provenance, "Weight")["rejected"] == {"implausible": 1}
    assert item_log(provenance, "SysABP")["rejected"] == {"not_a_number": 1}
    assert all(row["labels"] == [None] * len(VOCABULARY.diseases) and row["diagnoses"] == [] for row in rows.values())
    assert provenance["labels"]["diseases_with_unknown_labels"] == 25
    assert any("no codes of 25 of 25 diseases" in warning for warning in provenance["warnings"])
    assert provenance["licence"]["id"] == "odc-by"
    assert not provenance["credentialed"]


def test_an_outcome_can_be_a_disease(tmp_path: Path, tables: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "own", {}, {"death": DEATH}, variables=["shipped"])
    provenance = make_cohort(
        "challenge-2012", tables, tmp_path / "cohort", note_policy="structured", vocabulary=vocabulary
    )
    assert {stay: row["labels"] for stay, row in examples(tmp_path / "cohort").items()} == {
        132539: [0],
        132540: [0],
        132543: [1],
    }
    assert "diseases_with_unknown_labels" not in provenance["labels"]
    assert sum(label_matrix(split).sum() for split in load_examples(tmp_path / "cohort").values() if len(split)) == 1


def test_without_outcomes_all_labels_are_unknown(tmp_path: Path) -> None:
    files = {name: text for name, text in challenge_files().items() if "Outcomes" not in name}
    found = write_tables(write_folder(tmp_path / "files", files), tmp_path / "tables")
    assert (found.outcomes, found.records_without_outcome) == (0, 4)
    assert not (tmp_path / "tables" / "outcomes.parquet").exists()
    provenance = make_cohort("challenge-2012", tmp_path / "tables", tmp_path / "cohort", note_policy="structured")
    assert provenance["examples"]["total"] == 3
    assert {tuple(row["labels"]) for row in examples(tmp_path / "cohort").values()} == {(None,) * 25}
    assert "coded" not in [step["filter"] for step in provenance["cohort"]]


def test_what_does_not_belong_together_is_counted(tmp_path: Path) -> None:
    files = {**challenge_files(), "set-a/5.txt": record(5), "Outcomes-b.txt": "RecordID,In-hospital_death\n77,1\n"}
    found = write_tables(write_folder(tmp_path / "files", files), tmp_path / "tables")
    assert (found.records_without_outcome, found.outcomes_without_record) == (1, 1)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no record of the challenge"),
        ({"set-a/1.txt": "Time;Parameter;Value"}, "does not begin with the line Time,Parameter,Value"),
        ({"set-a/1.txt": record(1, "00:07,HR")}, "line 8 is not a time, a parameter and a value"),
        ({"set-a/1.txt": record(1, "noon,HR,73")}, "line 8 is not a time"),
        ({"set-a/1.txt": record(2)}, "its RecordID is not the file's name"),
        ({"set-a/1.txt": record(1), "set-b/1.txt": record(1)}, "has a record that another file has too"),
        (
            {"set-a/1.txt": record(1), "Outcomes-a.txt": "RecordID\n1\n"},
            "has no columns RecordID and In-hospital_death",
        ),
        ({"Outcomes-a.txt": "RecordID,In-hospital_death\n1,0\n1,1\n"}, "row 3 has a record that another row has too"),
        ({"Outcomes-a.txt": "RecordID,In-hospital_death\n1,maybe\n"}, "In-hospital_death is none of 0, 1"),
        ({"Outcomes-a.txt": "RecordID,In-hospital_death\n1\n"}, "row 2 does not fit its header"),
    ],
)
def test_files_of_another_form_are_refused(files: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with pytest.raises(InputDataError, match=message) as raised:
        write_tables(write_folder(tmp_path / "files", files), tmp_path / "tables")
    assert "73" not in str(raised.value)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_truncated_archive_is_one_line(share: float, tmp_path: Path) -> None:
    whole = write_archive(tmp_path / "set-a.tar.gz")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    done = in_process("source", "tables", "challenge-2012", "--root", cut, "--output", tmp_path / "out")
    fails_with_one_line(done, str(cut), "is cut off or damaged, copy it again")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_found_and_what_is_next(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "set-a.tar.gz")
    done = in_process("source", "tables", "challenge-2012", "--root", archive, "--output", tmp_path / "out")
    assert done.returncode == 0
    assert "4 records, 25 measurements, 4 outcomes" in done.stdout
    assert f"Next: clinragen build challenge-2012 --root {tmp_path / 'out'}" in done.stdout
    other = in_process("source", "tables", "mimic-iv", "--root", archive, "--output", tmp_path / "other")
    fails_with_one_line(other, "'mimic-iv' is not a source that needs this")


def test_a_build_from_the_archive_names_the_step_before(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "set-a.tar.gz")
    for root in (archive, tmp_path):
        with pytest.raises(InputDataError, match="which `clinragen source tables challenge-2012` makes"):
            make_cohort("challenge-2012", root, tmp_path / "cohort", note_policy="structured")


def test_the_whole_set_is_read(shared: Path, tmp_path: Path) -> None:
    archive = shared / "data" / "challenge-2012" / "set-a.tar.gz"
    if not archive.is_file():
        pytest.skip("needs challenge-2012/set-a.tar.gz in the reference data folder")
    assert write_tables(archive, tmp_path / "tables") == Counts(4000, 1658892, 4000, 0, 0)
    outcomes = pq.read_table(tmp_path / "tables" / "outcomes.parquet")["outcome"].to_pylist()
    assert outcomes.count("DIED") == 554  # as Che et al. count them


def test_every_item_is_a_parameter_of_the_challenge() -> None:
    from dataset_builder.sources.spec import SOURCES

    content = yaml.safe_load((SOURCES / "challenge-2012.yaml").read_text(encoding="utf-8"))
    names = {item["item"] for items in content["items"].values() for item in items}
    known = {line.split(",")[1] for text in challenge_files().values() for line in text.splitlines() if ":" in line}
    assert names - known == {"DiasABP"}

"""What goes wrong with a user's tables is named, cured by the message, and leaves nothing behind."""

from __future__ import annotations

import gzip
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_mimic import HR, TinyMimic, build, crowd, digests

from dataset_builder.build import build_cohort
from dataset_builder.cohort import refuse_empty
from dataset_builder.location import is_database_url, locate
from dataset_builder.source import load_source
from dataset_builder.vocabulary import load_variables
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError


def refused(root: Path, output: Path, **settings: Any) -> str:
    """The message of the error a build ends with; nothing of the output may be left."""
    with pytest.raises(ClinRaGenError) as caught:
        build_cohort("mimic-iv", root, output, **{"note_policy": "full", **settings})
    assert not list(output.parent.glob(f"{output.name}*"))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_tables_columns_and_folders_are_named(tmp_path: Path) -> None:
    hospital = crowd(2)
    output = tmp_path / "cohort"
    assert str(tmp_path / "nowhere") in refused(tmp_path / "nowhere", output)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "'patients'" in refused(empty, output)
    no_stays = hospital.write(tmp_path / "no_stays", leave_out=["icu/icustays"])
    assert "'icustays'" in refused(no_stays, output)
    renamed = hospital.write(tmp_path / "renamed", rename={"valuenum": "value_num"})
    message = refused(renamed, output)
    assert "chartevents.csv.gz" in message
    assert "'valuenum'" in message


@pytest.mark.parametrize("table", ["icu/chartevents", "hosp/diagnoses_icd", "note/discharge", "hosp/patients"])
def test_a_cut_off_table_is_named_and_nothing_is_left(tmp_path: Path, table: str) -> None:
    root = crowd(40).write(tmp_path / "tables")
    path = root / f"{table}.csv.gz"
    path.write_bytes(path.read_bytes()[:-30])
    message = refused(root, tmp_path / "cohort")
    assert path.name in message
    assert "copy it again" in message


def test_a_table_joined_to_itself_is_refused(tmp_path: Path) -> None:
    hospital = crowd(2)
    hospital.rows["icu/icustays"] *= 2
    message = refused(hospital.write(tmp_path / "tables"), tmp_path / "cohort")
    assert "icustays.csv.gz" in message
    assert "'stay_id'" in message


def test_an_empty_table_file_is_named(tmp_path: Path) -> None:
    root = crowd(2).write(tmp_path / "tables")
    (root / "hosp" / "diagnoses_icd.csv.gz").write_bytes(b"")
    assert "diagnoses_icd.csv.gz" in refused(root, tmp_path / "cohort")


def test_an_empty_cohort_names_the_filter(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1, age=12)
    hospital.chart(1, 1, HR, 80)
    assert "'adults'" in refused(hospital.write(tmp_path / "tables"), tmp_path / "cohort")


@pytest.mark.parametrize(
    "settings",
    [
        {"note_policy": "everything"},
        {"window": "first-7d"},
        {"grid": "daily"},
        {"range_set": "mine"},
        {"filters": ["adult"]},
        {"split_fractions": (0.5, 0.5, 0.5)},
    ],
)
def test_unknown_settings_are_refused_with_the_choices(tmp_path: Path, settings: dict[str, Any]) -> None:
    root = crowd(2).write(tmp_path / "tables")
    refused(root, tmp_path / "cohort", **settings)
    with pytest.raises(SettingsError):
        build_cohort("mimic-iv", root, tmp_path / "cohort", **{"note_policy": "full", **settings})


def test_an_unknown_source_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mimic-iv"):
        build_cohort("mimic-v", tmp_path, tmp_path / "cohort", note_policy="full")


def test_no_patient_data_in_logs_or_errors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hospital = crowd(40)
    for row in hospital.rows["note/discharge"]:
        row["text"] = "Chief Complaint:\nUNIQUENOTETEXT"
    with caplog.at_level(logging.DEBUG):
        build(hospital, tmp_path)
    path = tmp_path / "tables" / "note" / "discharge.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode() + 'a,"UNIQUENOTETEXT" oops",b\n'
    path.write_bytes(gzip.compress(text.encode()))
    message = refused(tmp_path / "tables", tmp_path / "other")
    assert "discharge.csv.gz" in message
    assert "UNIQUENOTETEXT" not in caplog.text + message


def test_an_existing_cohort_survives_a_failed_build(tmp_path: Path) -> None:
    build(crowd(3), tmp_path)
    before = digests(tmp_path / "cohort")
    (tmp_path / "tables" / "icu" / "icustays.csv.gz").unlink()
    with pytest.raises(InputDataError):
        build_cohort("mimic-iv", tmp_path / "tables", tmp_path / "cohort", note_policy="full")
    assert digests(tmp_path / "cohort") == before


def test_mixed_and_unknown_versions_are_named(tmp_path: Path) -> None:
    made = crowd(3).write(tmp_path / "made")
    unknown = tmp_path / "mimiciv" / "9.9"
    shutil.copytree(made, unknown)
    message = refused(unknown, tmp_path / "cohort")
    assert "MIMIC-IV 9.9" in message
    assert "2.2, 3.0, 3.1" in message
    assert "mimic-iv.yaml" in message
    mixed = tmp_path / "mixed"
    for folder, version in (("hosp", "2.2"), ("icu", "3.1"), ("note", "2.2")):
        shutil.copytree(made / folder, tmp_path / "mimiciv" / version / folder)
        mixed.mkdir(exist_ok=True)
        (mixed / folder).symlink_to(tmp_path / "mimiciv" / version / folder)
    message = refused(mixed, tmp_path / "cohort")
    assert "version 3.1" in message
    assert "version 2.2" in message
    build_cohort("mimic-iv", tmp_path / "made", tmp_path / "cohort", note_policy="full")


def test_tables_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    for table, column in (("hosp/admissions", "hadm_id"), ("hosp/patients", "subject_id")):
        hospital = crowd(5)
        hospital.rows[table].pop()
        message = refused(hospital.write(tmp_path / column), tmp_path / "cohort")
        assert "icustays.csv.gz: 1 stays" in message
        assert f"'{column}'" in message
        assert f"{table}.csv.gz" in message


@pytest.mark.parametrize("table", ["note/discharge", "icu/chartevents"])
@pytest.mark.parametrize(
    ("cell", "cure"),
    [
        (b"cafe", None),
        (b"caf\xe9", "iconv"),
        (b"a" * 2_100_000, ".parquet"),
    ],
)
def test_what_a_file_s_bytes_get_wrong_is_told_apart(
    tmp_path: Path, table: str, cell: bytes, cure: str | None
) -> None:
    root = crowd(5).write(tmp_path / "tables")
    path = root / f"{table}.csv.gz"
    rows = gzip.decompress(path.read_bytes())
    cells = rows.splitlines()[0].count(b",")
    path.write_bytes(gzip.compress(rows + b"SECRETROW" + b"," * cells + b'"' + cell + b'"\r\n'))
    if cure is None:
        build_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")
        return
    message = refused(root, tmp_path / "cohort")
    assert path.name in message
    assert cure in message
    assert "damaged" not in message
    assert "SECRETROW" not in message
    assert len(message) < 400


def test_rows_with_other_line_ends_are_named(tmp_path: Path) -> None:
    root = crowd(5).write(tmp_path / "tables")
    path = root / "note" / "discharge.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b'x,1,101,DS,1,,,"cafe"\n'))
    message = refused(root, tmp_path / "cohort")
    assert "discharge.csv.gz" in message
    assert "line ends" in message


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("icu/icustays", "stay_id"),
        ("icu/icustays", "hadm_id"),
        ("hosp/admissions", "hadm_id"),
        ("hosp/admissions", "subject_id"),
        ("hosp/patients", "subject_id"),
        ("hosp/diagnoses_icd", "hadm_id"),
    ],
)
@pytest.mark.parametrize("cell", ["SECRET1", "1234567890123456789", ""])
def test_ids_that_cannot_be_read_are_refused(tmp_path: Path, table: str, column: str, cell: str) -> None:
    hospital = crowd(3)
    hospital.rows[table].append({**hospital.rows[table][-1], column: cell})
    message = refused(hospital.write(tmp_path / "tables"), tmp_path / "cohort", filters=())
    assert f"{table}.csv.gz: has cells of '{column}'" in message.replace(str(tmp_path / "tables") + "/", "")
    assert "18 digits" in message
    assert not cell or cell not in message


def test_times_in_another_form_are_named_when_nothing_is_left(tmp_path: Path) -> None:
    hospital = crowd(3)
    for row in hospital.rows["icu/chartevents"]:
        row["charttime"] = "3/1/2150 9:00:00"
    root = hospital.write(tmp_path / "tables")
    provenance = build_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full", filters=())
    located = locate(load_source("mimic-iv", load_variables()), root)
    counts = [*provenance["cohort"], {"filter": "has_events", "stays": 0}]
    with pytest.raises(InputDataError, match=r"'has_events' \(measurements rejected: no_time: 90\).*2150-03-01 09:00"):
        refuse_empty(counts, located, provenance["items"])
    refuse_empty(provenance["cohort"], located, provenance["items"])
    with pytest.raises(InputDataError, match=r"'known_times'; check .*2150-03-01 09:00:00"):
        refuse_empty([{"filter": "known_times", "stays": 0}], located)


@pytest.mark.parametrize(
    "root",
    [
        "PostgreSQL://u:secretpw@127.0.0.1:1/x",
        "Postgres://u:secretpw@host/x",
        "jdbc:postgresql://host/x?user=u&password=secretpw",
        "postgresql+psycopg://u:secretpw@host/x",
        "postgresql:/u:secretpw@host/x",
        "s3://key:secretpw@bucket/mimiciv",
    ],
)
def test_a_url_that_cannot_be_used_is_not_repeated(tmp_path: Path, root: str) -> None:
    for given in (root, Path(root)):
        for engine in ("duckdb", "postgres"):
            with pytest.raises(SettingsError, match="root is a URL") as caught:
                build_cohort("mimic-iv", given, tmp_path / "cohort", note_policy="full", engine=engine)
            assert "secretpw" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_windows_path_is_no_url() -> None:
    assert not is_database_url("C:/mimiciv/2.2")
    assert not is_database_url("data/mimiciv")


def test_a_project_folder_s_name_is_no_version(tmp_path: Path) -> None:
    root = crowd(2).write(tmp_path / "mimic-iv-9.1-project" / "data" / "tables")
    assert build_cohort("mimic-iv", root, tmp_path / "a", note_policy="full")["version"] == "unknown"
    for folders in ("mimiciv/3.1", "mimic-iv-clinical-database-2.2"):
        named = crowd(2).write(tmp_path / "mimic-iv-9.1-project" / "data" / folders)
        output = tmp_path / f"cohort-{folders[-3:]}"
        assert build_cohort("mimic-iv", named, output, note_policy="full")["version"] == folders[-3:]

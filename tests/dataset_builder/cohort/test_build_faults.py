"""What goes wrong with a user's tables is named, cured by the message, and leaves nothing behind."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any

import pytest
from tiny_mimic import SHIPPED, build, crowd, digests, make_cohort
from tiny_sources import SOURCES, TinySource

from dataset_builder.cohort.config import FILTERS
from dataset_builder.cohort.stays import refuse_empty
from dataset_builder.sources.locate import is_database_url, locate
from dataset_builder.sources.spec import load_source
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError


def refused(root: Path, output: Path, source: str = "mimic-iv", **settings: Any) -> str:
    """The message of the error a build ends with; nothing of the output may be left."""
    with pytest.raises(ClinRaGenError) as caught:
        make_cohort(source, root, output, **{"note_policy": SOURCES[source].hospital.note_policy, **settings})
    assert not list(output.parent.glob(f"{output.name}*"))
    message = str(caught.value)
    assert "\n" not in message
    return message


by_source = pytest.mark.parametrize("tiny", SOURCES.values(), ids=SOURCES)


@by_source
def test_missing_folders_tables_and_columns_are_named(tmp_path: Path, tiny: TinySource) -> None:
    hospital, output, source = tiny.crowd(2), tmp_path / "cohort", tiny.hospital.source
    assert "is not a folder" in refused(tmp_path / "nowhere", output, source)
    for table in (tiny.stays, tiny.diagnoses):
        root = hospital.write(tmp_path / table, leave_out=[table])
        assert f"{root}: has no table '{table.rpartition('/')[2]}' (.csv, .csv.gz or" in refused(root, output, source)
    renamed = hospital.write(tmp_path / "renamed", rename={tiny.time: "when"})
    message = refused(renamed, output, source)
    assert f"{renamed / tiny.events}.csv.gz: has no column '{tiny.time}'; use the table as it was published" in message


@by_source
@pytest.mark.parametrize("kind", ["stays", "diagnoses", "events"])
@pytest.mark.parametrize("left", [-30, 0])
def test_a_cut_off_or_empty_table_is_named_and_nothing_is_left(
    tmp_path: Path, tiny: TinySource, kind: str, left: int
) -> None:
    root = tiny.crowd(40).write(tmp_path / "tables")
    path = root / f"{getattr(tiny, kind)}.csv.gz"
    path.write_bytes(path.read_bytes()[:left])
    message = refused(root, tmp_path / "cohort", tiny.hospital.source)
    assert message.startswith(f"{path}: ")
    assert "copy it again" in message


def test_a_cut_off_table_of_notes_is_named(tmp_path: Path) -> None:
    root = crowd(40).write(tmp_path / "tables")
    path = root / "note" / "discharge.csv.gz"
    path.write_bytes(path.read_bytes()[:-30])
    message = refused(root, tmp_path / "cohort")
    assert message.startswith(f"{path}: ")
    assert "copy it again" in message


@by_source
def test_what_a_file_says_in_another_encoding_is_named(tmp_path: Path, tiny: TinySource) -> None:
    root = tiny.crowd(2).write(tmp_path / "tables")
    path = root / f"{tiny.events}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    place = lines[0].decode().strip().split(",").index(tiny.words)
    cells = lines[1].split(b",")
    path.write_bytes(gzip.compress(b"".join([*lines, b",".join([*cells[:place], b"caf\xe9", *cells[place + 1 :]])])))
    message = refused(root, tmp_path / "cohort", tiny.hospital.source)
    assert message.startswith(f"{path}: has bytes that are not UTF-8 (line {len(lines) + 1}); ")
    assert "iconv" in message


@by_source
def test_a_cohort_that_a_filter_empties_names_it(tmp_path: Path, tiny: TinySource) -> None:
    root = tiny.crowd(2, **tiny.child).write(tmp_path / "tables")
    message = refused(root, tmp_path / "cohort", tiny.hospital.source)
    assert f"{root}: no ICU stay is left after the cohort filter 'adults'" in message
    assert "or skip filters (skip_filters)" in message


def test_a_table_joined_to_itself_is_refused(tmp_path: Path) -> None:
    hospital = crowd(2)
    hospital.rows["icu/icustays"] *= 2
    message = refused(hospital.write(tmp_path / "tables"), tmp_path / "cohort")
    assert "icustays.csv.gz" in message
    assert "'stay_id'" in message


@pytest.mark.parametrize(
    "settings",
    [
        {"note_policy": "everything"},
        {"window": "first-7d"},
        {"grid": "daily"},
        {"range_set": "mine"},
        {"skip_filters": ["adult"]},
        {"split_fractions": (0.5, 0.5, 0.5)},
    ],
)
def test_unknown_settings_are_refused_with_the_choices(tmp_path: Path, settings: dict[str, Any]) -> None:
    root = crowd(2).write(tmp_path / "tables")
    refused(root, tmp_path / "cohort", **settings)
    with pytest.raises(SettingsError):
        make_cohort("mimic-iv", root, tmp_path / "cohort", **{"note_policy": "full", **settings})


def test_an_unknown_source_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mimic-iv"):
        make_cohort("mimic-v", tmp_path, tmp_path / "cohort", note_policy="full")


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
        make_cohort("mimic-iv", tmp_path / "tables", tmp_path / "cohort", note_policy="full")
    assert digests(tmp_path / "cohort") == before


@pytest.mark.parametrize("table", ["note/discharge", "icu/chartevents"])
@pytest.mark.parametrize(
    ("cell", "cure"),
    [
        (b"cafe", None),
        (b"caf\xe9", "iconv"),
        (b"a" * 8_500_000, ".parquet"),
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
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")
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
    message = refused(hospital.write(tmp_path / "tables"), tmp_path / "cohort", skip_filters=FILTERS)
    assert f"{table}.csv.gz: column '{column}' has values that are not integers" in message.replace(
        str(tmp_path / "tables") + "/", ""
    )
    assert "18 digits" in message
    assert not cell or cell not in message


def test_times_in_another_form_are_named_when_nothing_is_left(tmp_path: Path) -> None:
    hospital = crowd(3)
    for row in hospital.rows["icu/chartevents"]:
        row["charttime"] = "3/1/2150 9:00:00"
    root = hospital.write(tmp_path / "tables")
    settings = {"note_policy": "full", "skip_filters": FILTERS, "max_unreadable": 1.0}
    provenance = make_cohort("mimic-iv", root, tmp_path / "cohort", **settings)
    located = locate(load_source("mimic-iv", SHIPPED), root)
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
                make_cohort("mimic-iv", given, tmp_path / "cohort", note_policy="full", engine=engine)
            assert "secretpw" not in str(caught.value)
            assert "\n" not in str(caught.value)


def test_a_windows_path_is_no_url() -> None:
    assert not is_database_url("C:/mimiciv/2.2")
    assert not is_database_url("data/mimiciv")

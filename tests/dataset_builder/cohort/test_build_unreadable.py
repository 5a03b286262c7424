"""Tables that went through a spreadsheet or another program: what cannot be read is never left out without a word."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_eicu import TinyEicu
from tiny_mimic import HR, START, TinyMimic, build, crowd, examples_of, item_log, make_cohort, values_of
from tiny_mimic_iii import TinyMimic3
from typer.testing import CliRunner

from clinragen.cli.main import app
from dataset_builder.cohort.cells import form_of, form_where_unreadable, time_of, typed
from modeling_clinragen.errors import InputDataError

CHART, LAB, DIAGNOSES = "icu/chartevents", "hosp/labevents", "hosp/diagnoses_icd"
GLUCOSE_LAB, TEMP_C = 50931, 223762


def excel(time: datetime) -> str:
    return f"{time.month}/{time.day}/{time.year} {time.hour}:{time:%M}"


def refused(hospital: Any, folder: Path, **settings: Any) -> str:
    """The message with which a build stops, without a name of a patient in it."""
    root = hospital.write(folder / "tables")
    with pytest.raises(InputDataError) as caught:
        make_cohort(hospital.source, root, folder / "cohort", **{"note_policy": hospital.note_policy, **settings})
    assert not (folder / "cohort").exists()
    message = str(caught.value)
    assert "Quackenbush" not in message
    assert "\n" not in message
    return message.replace(f"{root}/", "")


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (excel, "d/d/dddd dd:dd or d/d/dddd d:dd"),
        (lambda time: f"{time:%Y-%m-%d}", "dddd-dd-dd"),
        (lambda time: f"{time:%d.%m.%Y %H:%M}", "dd.dd.dddd dd:dd"),
        (lambda time: f"{time:%Y-%m-%dT%H:%M:%S}Z", "dddd-dd-ddTdd:dd:ddZ"),
        (lambda time: f"{time} -05:00", "dddd-dd-dd dd:dd:dd -dd:dd"),
        (lambda time: f"{time:%Y-%m-%d} {time:%I:%M} PM", "dddd-dd-dd dd:dd aa"),
        (lambda time: "Quackenbush", "aaaaaaaaaaa"),
        (lambda time: f"{91000.5 + time.hour / 24:.4f}", "ddddd.dddd"),
    ],
)
def test_a_table_of_times_in_another_form_stops_the_build_and_shows_the_form(
    tmp_path: Path, written: Callable[[datetime], str], form: str
) -> None:
    hospital = crowd(3)
    for row in hospital.rows[CHART]:
        row["charttime"] = written(row["charttime"])
    message = refused(hospital, tmp_path)
    assert message.startswith(f"{CHART}.csv.gz: 90 of 90 rows cannot be read (no_time: 90, written like {form}")
    assert "2150-03-01 09:00:00" in message
    assert "max_unreadable" in message


@pytest.mark.parametrize(
    ("table", "column"), [("icu/icustays", "intime"), ("hosp/admissions", "admittime"), ("icu/icustays", "outtime")]
)
def test_so_do_the_times_that_stays_have(tmp_path: Path, table: str, column: str) -> None:
    hospital = crowd(3)
    for row in hospital.rows[table]:
        row[column] = excel(row[column])
    message = refused(hospital, tmp_path)
    assert message.startswith(f"{table}.csv.gz: 3 of 3 rows cannot be read (no_time: 3, written like d/d/dddd d")


def test_so_do_the_times_that_structured_notes_are_written_by(tmp_path: Path) -> None:
    hospital = crowd(3)
    for number in (1, 2, 3):
        hospital.add("hosp/prescriptions", hadm_id=100 + number, starttime="3/1/2150 7:00", drug_type="MAIN", drug="x")
    message = refused(hospital, tmp_path, note_policy="structured")
    assert message.startswith(
        "hosp/prescriptions.csv.gz: 3 of 3 rows cannot be read (no_time: 3, written like d/d/dddd"
    )


def test_numbers_with_decimal_commas_and_ids_that_are_none_stop_the_build(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    for hour in range(4):
        hospital.chart(1, hour, TEMP_C, f"3{hour + 6},5")
    message = refused(hospital, tmp_path / "numbers")
    assert "4 of 4 rows cannot be read (not_a_number: 4, written like dd,d); numbers need a decimal point" in message
    hospital = crowd(2)
    for row in hospital.rows[CHART]:
        row["stay_id"] = f"Quackenbush-{row['stay_id']}"
    message = refused(hospital, tmp_path / "ids")
    assert "60 of 60 rows cannot be read (unknown_stay: 60, written like aaaaaaaaaaa-dddd); ids must" in message


def test_minutes_that_are_no_numbers_stop_a_source_of_minutes(tmp_path: Path) -> None:
    hospital = TinyEicu()
    hospital.stay(1)
    hospital.heart_rate(1, 1, 80)
    hospital.heart_rate(1, 2, 81)
    for row in hospital.rows["nurseCharting"]:
        row["nursingchartoffset"] = "1 h"
    assert "(no_time: 2, written like d a)" in refused(hospital, tmp_path)


def test_fewer_than_the_share_are_reported_and_the_rest_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hospital = crowd(3)
    for row in hospital.rows[CHART][:9]:
        row["charttime"] = excel(row["charttime"])
    with caplog.at_level(logging.WARNING):
        rows, provenance = build(hospital, tmp_path / "a", max_unreadable=0.1)
    assert set(rows) == {1, 2, 3}
    (told,) = provenance["unreadable"]
    assert told["table"] == "chartevents.csv.gz"
    assert told["rows"], told["reasons"] == (90, {"no_time": 9})
    (sentence,) = provenance["warnings"]
    assert sentence.startswith("chartevents.csv.gz: 9 of 90 rows cannot be read (no_time: 9, written like d/d/dddd d")
    assert sentence in caplog.text
    assert "9 of 90" in refused(hospital, tmp_path / "b", max_unreadable=0.09)


def test_a_table_that_is_as_published_is_not_told_of(tmp_path: Path) -> None:
    _, provenance = build(crowd(3), tmp_path)
    assert provenance["unreadable"] == provenance["warnings"] == []


def test_dates_that_were_made_midnights_stop_the_build(tmp_path: Path) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    for day in (1, 2, 3):
        for item in (HR, TEMP_C, 220277, 220180):
            hospital.chart(1, 24 * day - START.hour, item, 40)
    message = refused(hospital, tmp_path, window="stay")
    assert "(no_time_of_day: 12); times need a time of day" in message
    hospital.chart(1, 1, HR, 80)
    build(hospital, tmp_path / "mixed", window="stay")


def test_an_item_that_gives_nothing_is_told_of(tmp_path: Path) -> None:
    hospital = crowd(2)
    for hour in range(4):
        hospital.chart(1, hour, TEMP_C, 450 + hour)
    _, provenance = build(hospital, tmp_path)
    (sentence,) = provenance["warnings"]
    assert sentence == ("chartevents.csv.gz: no row of item 223762 (Temperature Celsius) can be used (implausible: 4)")


@pytest.mark.parametrize("value", [0, 9, 301, 390, -5, 10_000_000])
def test_what_no_heart_does_is_left_out_and_counted(tmp_path: Path, value: float) -> None:
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    hospital.chart(1, 2, HR, value)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "heart_rate") == [(1, 80)]
    assert item_log(provenance, HR)["rejected"] == {"implausible": 1}


def test_a_disconnected_monitor_has_no_readings(tmp_path: Path) -> None:
    items = (HR, 220277, 220210, 220050, 220051, 220052, 220621)
    hospital = TinyMimic()
    hospital.stay(1)
    hospital.chart(1, 1, HR, 80)
    for item in items:
        hospital.chart(1, 2, item, 0)
    rows, provenance = build(hospital, tmp_path)
    assert rows[1]["lab_hours"] == [1]
    assert all(item_log(provenance, item)["rejected"] == {"implausible": 1} for item in items)


def test_pounds_and_ounces_are_one_weight(tmp_path: Path) -> None:
    pounds, ounces = 3581, 3582
    hospital = TinyMimic3()
    hospital.stay(1)
    for hours, item, value in [
        (1, pounds, 7),
        (1, ounces, 6),
        (2, pounds, 176),  # without ounces
        (3, ounces, 6),  # without pounds
        (4, ounces, 2822),  # the whole weight in ounces
        (5, pounds, 8),
        (5, ounces, 128),  # the same weight twice
        (6, pounds, 2),
        (6, ounces, 15.9),
        (7, pounds, 9),
        (7, ounces, 0),
    ]:
        hospital.chart(1, hours, item, value)
    rows, provenance = build(hospital, tmp_path)
    assert values_of(rows[1], "weight") == [
        (1, 3.3452),
        (2, 79.8323),
        (4, 80.0024),
        (5, 3.6287),
        (6, 1.3580),
        (7, 4.0823),
    ]
    log = item_log(provenance, ounces)
    assert log["settled"] == {"added to item 3581": 2}
    assert log["rejected"] == {"implausible": 2}
    assert item_log(provenance, pounds)["used"] == 5


@pytest.mark.parametrize(
    ("codes", "damaged"),
    [
        (["389", "4019", "5849"], 1),  # 038.9, septicemia
        (["31", "4019"], 1),  # 003.1: no code has two digits
        (["38.9", "401.9"], 1),
        (["4019.0", "5849.0"], 2),
        (["0389", "389", "4019"], 0),  # another code begins with a zero: this one may be meant
        (["389.00", "401.9", "V1009", "31.1"], 0),  # 031.1 is none of the diseases
        ([], 0),
    ],
)
def test_codes_that_lost_their_zeros_are_told_of(tmp_path: Path, codes: list[str], damaged: int) -> None:
    hospital = TinyMimic()
    hospital.stay(1, codes=[(code, 9) for code in codes] + [("A419", 10)])
    hospital.chart(1, 1, HR, 80)
    _, provenance = build(hospital, tmp_path)
    assert provenance["labels"]["codes_without_their_zeros"] == damaged
    told = [sentence for sentence in provenance["warnings"] if "lost the zeros" in sentence]
    assert [sentence.split()[1] for sentence in told] == ([str(damaged)] if damaged else [])


def test_a_dictionary_without_zeros_is_told_of(tmp_path: Path) -> None:
    hospital = TinyMimic3()
    hospital.stay(1, codes=("0389", "4019"))
    hospital.heart_rate(1, 1, 80)
    for row in hospital.rows["D_ICD_DIAGNOSES"]:
        row["icd9_code"] = row["icd9_code"].lstrip("0")
    _, provenance = build(hospital, tmp_path)
    assert any("lists no code that begins with a zero, so 1 diagnosis" in line for line in provenance["warnings"])


def as_parquet(root: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace a table by a parquet file with other types."""
    path = root / f"{table}.csv.gz"
    pyarrow.parquet.write_table(change(pyarrow.csv.read_csv(path)), root / f"{table}.parquet", coerce_timestamps="us")
    path.unlink()


def with_column(name: str, make: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, make(table[name]))


def in_zone(column: Any) -> Any:
    return pa.array([time + timedelta(hours=5) for time in column.to_pylist()], pa.timestamp("us", "UTC"))


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_a_column_of_codes_that_holds_numbers_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    root = crowd(2).write(tmp_path / "tables")
    as_parquet(root, DIAGNOSES, with_column("icd_code", lambda column: column.cast(kind)))
    with pytest.raises(InputDataError, match=r"diagnoses_icd.parquet: column 'icd_code' holds numbers, .*0389"):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")


def test_times_with_a_zone_in_some_tables_alone_are_refused(tmp_path: Path) -> None:
    root = crowd(2).write(tmp_path / "tables")
    as_parquet(root, CHART, with_column("charttime", in_zone))
    with pytest.raises(InputDataError, match=r"chartevents.parquet: the times of 'charttime' have a time zone, those"):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")


def test_times_with_a_zone_in_all_tables_give_the_same_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")  # the machine's own zone makes no difference
    expected, _ = build(crowd(3), tmp_path)
    root = crowd(3).write(tmp_path / "zoned")
    for table, columns in {
        "icu/icustays": ("intime", "outtime"),
        "hosp/admissions": ("admittime", "dischtime"),
        CHART: ("charttime",),
        LAB: ("charttime",),
        "note/discharge": ("charttime",),
    }.items():
        for number, column in enumerate(columns):
            if number:
                path = root / f"{table}.parquet"
                table_of = with_column(column, in_zone)(pyarrow.parquet.read_table(path))
                pyarrow.parquet.write_table(table_of, path)
            else:
                as_parquet(root, table, with_column(column, in_zone))
    for table in ("hosp/services", "hosp/prescriptions", "hosp/microbiologyevents"):
        (root / f"{table}.csv.gz").unlink()
    make_cohort("mimic-iv", root, tmp_path / "again", note_policy="full")
    assert examples_of(tmp_path / "again") == expected


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda column: column.cast(pa.timestamp("us")).cast(pa.int64()), "a number"),
        (lambda column: pa.array([54847.5] * len(column)), "a number"),
        (lambda column: column.cast(pa.date32()), "dddd-dd-dd"),
    ],
)
def test_a_column_of_times_of_another_type_stops_the_build(
    tmp_path: Path, make: Callable[[Any], Any], form: str
) -> None:
    root = crowd(2).write(tmp_path / "tables")
    as_parquet(root, CHART, with_column("charttime", make))
    with pytest.raises(
        InputDataError, match=rf"chartevents.parquet: 60 of 60 rows .*written like {re.escape(form)}\)"
    ):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full")


def test_ids_that_are_floats_with_gaps_are_ids(tmp_path: Path) -> None:
    """What pandas makes of a whole-number column with gaps, as parquet and as text."""
    expected = {}
    for kind in ("csv", "parquet", "float_text"):
        hospital = TinyMimic()
        for number in (1, 2):
            hospital.stay(number)
            hospital.chart(number, 1, HR, 80)
            hospital.lab(number, 2, GLUCOSE_LAB, 111, hadm_id=None if number == 1 else "own")
        if kind == "float_text":
            for row in (*hospital.rows[LAB], *hospital.rows[CHART]):
                row["itemid"] = f"{row['itemid']}.0"
                row["subject_id"] = f"{row['subject_id']}.0"
        root = hospital.write(tmp_path / kind)
        if kind == "parquet":
            for table, columns in ((LAB, ("hadm_id", "itemid")), (CHART, ("stay_id", "itemid"))):
                change = [
                    with_column(name, lambda column: column.cast(pa.float64()).fill_null(float("nan")))
                    for name in columns
                ]
                as_parquet(root, table, lambda found, change=change: change[1](change[0](found)))
        make_cohort("mimic-iv", root, tmp_path / f"{kind}-cohort", note_policy="full")
        expected[kind] = examples_of(tmp_path / f"{kind}-cohort")
    assert values_of(expected["csv"][1], "glucose") == [(2, 111)]
    assert expected["parquet"] == expected["csv"] == expected["float_text"]


def test_the_command_prints_what_was_left_out(tmp_path: Path) -> None:
    hospital = crowd(3)
    hospital.chart(1, 1, HR, 0)
    hospital.chart(1, None, HR, 70)
    root = hospital.write(tmp_path / "tables")
    words = ["build", "mimic-iv", "--root", str(root), "--output", str(tmp_path / "cohort"), "--note-policy", "full"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "stays: all ICU stays 3, known_times 3, no_transfers 3" in done.output
    assert re.search(r"measurements: chart: \d+ of 92 rows used \(.*implausible 1, no time 1", done.output)
    assert "labels: codes without their zeros: 0" in done.output


DAY = st.dates(datetime(1, 1, 1).date(), datetime(9999, 12, 31).date())
TIMES = st.one_of(
    st.datetimes().map(str),
    st.datetimes().map(datetime.isoformat),
    DAY.map(str),
    st.from_regex(
        r"[ \t]?[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?(Z|[+-]05)?[ \n]?", fullmatch=True
    ),
    st.text(max_size=20),
)


@given(st.lists(TIMES, min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_text_is_a_time_only_in_the_form_that_sources_have(texts: list[str]) -> None:
    texts = [text.replace("\0", "") for text in texts]
    table = ibis.memtable(pa.table({"text": pa.array(texts, pa.string())}))
    found = table.select("text", time=time_of(table.text), form=form_of(table.text)).to_pyarrow().to_pylist()
    for row in found:
        bare = row["text"].strip(" \t\n\r\v\f")
        written = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?", bare)
        if row["time"] is not None:
            assert written
            assert row["time"].replace(microsecond=0) == datetime.fromisoformat(bare[:19])
        assert not re.search(r"[0-9A-Zb-ce-z]", row["form"] or "")


@given(st.lists(st.text(" \t\n\r\v\f12.-x", max_size=6) | TIMES, min_size=1, max_size=40))
@pytest.mark.parametrize("kind", ["float64", "timestamp"])
@settings(max_examples=40, deadline=None)
def test_a_cell_has_a_form_where_something_is_in_it_that_cannot_be_read(kind: str, texts: list[str]) -> None:
    texts = [text.replace("\0", "") for text in texts]
    table = ibis.memtable(pa.table({"text": pa.array([*texts, None], pa.string())}))
    read = typed(table.text, kind)
    form = form_where_unreadable(table.text, read)
    found = table.select("text", read=read, form=form).to_pyarrow().to_pylist()
    for row in found:
        bare = (row["text"] or "").strip(" \t\n\r\v\f")
        assert (row["form"] is None) == (bare == "" or row["read"] is not None)
        if row["form"] is not None:
            masked = re.sub("[A-Za-ce-z]", "a", re.sub("[0-9]", "d", bare[:40]))
            assert row["form"] == re.sub("[^ -~]", "?", masked)

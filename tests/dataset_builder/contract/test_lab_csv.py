"""Lab CSV files: every header people write, and every mistake named without repeating a value."""

from __future__ import annotations

import csv
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_mimic import VOCABULARY

from dataset_builder.contract.lab_csv import read_lab_csv, write_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

VARIABLES = VOCABULARY.variables
KEYS = [variable.key for variable in VARIABLES]


def read(tmp_path: Path, text: str | bytes, vocabulary: Vocabulary = VOCABULARY) -> LabSeries:
    path = tmp_path / "labs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_lab_csv(path, vocabulary)


def test_other_units_are_converted(tmp_path: Path) -> None:
    header = "hours,heart rate (bpm),temperature (°F),FiO2 (%),glucose (mmol/L),weight (lb),MAP (kPa)"
    series = read(tmp_path, f"{header}\n1.5,80,98.6,40,10,220,10\n")
    found = dict(zip(KEYS, series.values[0].tolist(), strict=True))
    assert series.hours.tolist() == [1.5]
    assert found["heart_rate"] == 80
    assert found["temperature"] == pytest.approx(37, abs=1e-4)
    assert found["fraction_inspired_oxygen"] == pytest.approx(0.4)
    assert found["glucose"] == pytest.approx(180.2, abs=0.1)
    assert found["weight"] == pytest.approx(99.79, abs=0.01)
    assert found["mean_blood_pressure"] == pytest.approx(75.0, abs=0.01)
    assert series.observed.sum() == 6


def test_every_vocabulary_reads_its_own_columns_whichever_was_read_before(
    tmp_path: Path, lactate_vocabulary: Vocabulary
) -> None:
    column = "hours,lactate (mg/dL),heart rate (bpm)\n1,20,80\n"
    for _ in range(2):
        assert read(tmp_path, "hours,heart rate (bpm)\n1,80\n").values.shape == (1, 11)
        with pytest.raises(InputDataError, match=r"column 2 .* is unknown"):
            read(tmp_path, column)
        series = read(tmp_path, column, lactate_vocabulary)
        assert series.values.shape == (1, 12)
        assert series.values[0, 11] == pytest.approx(2.22)
    write_lab_csv(tmp_path / "again.csv", series)
    assert read_lab_csv(tmp_path / "again.csv", lactate_vocabulary) == series


def test_two_threads_read_two_vocabularies_side_by_side(tmp_path: Path, lactate_vocabulary: Vocabulary) -> None:
    few = replace(VOCABULARY, variables=tuple(VOCABULARY.variable(key) for key in ("ph", "heart_rate", "glucose")))
    widths: dict[int, set[int]] = {3: set(), 11: set(), 12: set()}
    path = tmp_path / "labs.csv"
    path.write_text("hours,heart rate (bpm)\n1,80\n2,81\n")
    start = threading.Barrier(len(widths))

    def work(vocabulary: Vocabulary) -> None:
        start.wait()
        for _ in range(50):
            series = read_lab_csv(path, vocabulary)
            index = vocabulary.variable_keys.index("heart_rate")
            assert series.values[:, index].tolist() == [80, 81]
            widths[len(vocabulary.variables)].add(series.values.shape[1])

    with ThreadPoolExecutor(len(widths)) as threads:
        for done in [threads.submit(work, vocabulary) for vocabulary in (few, VOCABULARY, lactate_vocabulary)]:
            done.result()
    assert widths == {3: {3}, 11: {11}, 12: {12}}


@pytest.mark.parametrize("title", ["heart_rate (bpm)", "Heart Rate (BPM)", "HR (/min)", " pulse ( bpm ) ", "hr(bpm)"])
def test_variables_go_by_key_name_and_alias(tmp_path: Path, title: str) -> None:
    assert read(tmp_path, f"{title},hours\n80,0\n").values[0, KEYS.index("heart_rate")] == 80


def test_order_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    series = read(tmp_path, "\ufeffhours,pH\n3,7.4\n\n,\n1,7.3\n2,\n".encode())
    assert series.hours.tolist() == [1, 2, 3]
    column = series.values[:, KEYS.index("ph")]
    assert column[[0, 2]].tolist() == [np.float32(7.3), np.float32(7.4)]
    assert not series.observed[1].any()


# text, what the message must say; 81.25 and "Jane" stand for patient data and may never be repeated
MISTAKES = [
    ("", "is empty"),
    ("hours,pH\n", "no rows"),
    ("heart rate (bpm)\n81.25\n", "no column 'hours'"),
    ("hours\n1\n", "no column of a variable"),
    ("hours,lactate (mmol/L)\n1,81.25\n", "column 2 ('lactate (mmol/L)') is unknown"),
    ("hours,glucose\n1,81.25\n", "column 2, glucose, has no unit; write (mg/dL) or (mmol/L)"),
    ("hours,glucose (stones)\n1,81.25\n", "column 2, glucose, has an unknown unit"),
    ("hours,pH,blood ph (pH)\n1,7,7\n", "column 3 repeats pH"),
    ("hours,heart rate (bpm)\n1,80\n2,81.25x\n", "row 3, heart rate: is not a number"),
    ("hours,heart rate (bpm)\n1,nan\n", "row 2, heart rate: is not a number"),
    ("hours,heart rate (bpm)\n1,81.25e300\n", "row 2, heart rate: implausible value"),
    ("hours,heart rate (bpm)\n1,81.25e999\n", "row 2, heart rate: is not a finite number"),
    ("hours,heart rate (bpm)\n1,8_1\n", "row 2, heart rate: is not a number"),
    ("hours,heart rate (bpm)\n1,\u0668\u0661\n", "row 2, heart rate: is not a number"),
    ("hours,heart rate (bpm)\n1,481.25\n", "row 2, heart rate: implausible value (expected 10 to 300 bpm)"),
    ("hours,heart rate (bpm),SpO2 (%)\n1,0,81.25\n", "leave the cell empty where nothing was measured"),
    ("hours,SpO2 (%)\n1,0.8125\n", "implausible value in % (expected 10 to 100 %), but plausible in fraction"),
    ("hours,glucose (mg/dL)\n1,8.125\n", "in mg/dL (expected 10 to 2000 mg/dL), but plausible in mmol/L"),
    ("hours,glucose (mmol/L)\n1,81.25\n2,84\n", "is normal in mmol/L, but most would be in mg/dL"),
    ("hours,FiO2 (%)\n1,181.25\n", "implausible value (expected 0.2 to 1 fraction)"),
    ("hours,weight (kg)\n1,8125\n", "but plausible in g;"),
    ("time,heart rate (bpm)\n0,80\n60,81.25\n", "'time', has no unit; write 'time (h)' or 'time (min)'"),
    ("time (kg),heart rate (bpm)\n0,80\n", "'time', has an unknown unit"),
    ("hours (min),heart rate (bpm)\n0,80\n", "in another unit behind it"),
    ("time,hours,heart rate (bpm)\n0,0,80\n", "column 2 repeats the times"),
    ("time,pH\n2150-03-01 09:00,7\n81.25,7\n", "'time', is not a timestamp in row 3"),
    ("time,pH\n2150-03-01 09:00,7\n2150-03-01 10:00Z,7\n", "only some times have a time zone"),
    ("time,pH\n2150-81-25 09:00,7\n", "'time', has no unit"),
    ("hours,heart rate (bpm)\n1e30,80\n", "row 2, hours: is later than 20,000 hours"),
    ("hours,heart rate (bpm)\n1e39,80\n", "row 2, hours: is later than 20,000 hours"),
    ('hours,glucose (mg/dL)\n0,"1,812"\n', "can be a decimal mark or part thousands"),
    ("hours;glucose (mg/dL);pH\n0;1.812;7,4\n", "row 2 has a decimal point and row 2 a comma"),
    ("hours,temperature (°C)\n0,38,9\n", "where commas are decimal marks, put semicolons"),
    ("hours,pH\n1," + "7" * 200_000 + "\n", "has a cell without end, or one that is too long"),
    ('hours,pH\n1,"7.4\n' + "2,7.4\n" * 30_000, "check the quotation marks"),
    ("hours,pH\n" + "".join(f"{n},7.4\n" for n in range(20_001)), "has more than 20,000 rows"),
    ("hours,pH\n" + "1,7.4\n" * 2_000_000, "has more than 10 MB"),
    (b"PK\x03\x04 81.25", "is an Excel workbook or an archive, not CSV"),
    ("hours,FiO2 (fraction)\n1,81.25\n", "row 2, fraction inspired oxygen: implausible value"),
    ("hours,heart rate (bpm)\n,81.25\n", "row 2 needs hours"),
    ("hours,heart rate (bpm)\n-1,81.25\n", "row 2 needs hours"),
    ("hours,heart rate (bpm)\nJane,81.25\n", "row 2, hours: is not a number"),
    ("hours,heart rate (bpm)\n1,80\n2,81.25\n1.0,81.25\n", "rows 2 and 4 have the same hours"),
    ("hours,heart rate (bpm)\n1,80,81.25\n", "row 2 has 3 cells"),
    ("0.5,81.25\n1,81.25\n", "column 1 is unknown"),
    ("Jane Doe born 1.2.81.25 (1),81.25\n1,81.25\n", "column 1 is unknown"),
    (b"hours,temperature (\x81C)\n1,81.25\n", "is not text in UTF-8 or Windows-1252"),
    (b"h\x00o\x00u\x00r\x00s\x00", "is not text in UTF-8"),
    (b"\xff\xfe\x00", "is not text in UTF-8"),
]


@pytest.mark.timeout(10)
@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes_are_named_by_file_column_and_row(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputDataError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert message in said
    assert said.startswith(str(tmp_path / "labs.csv"))
    assert "81.25" not in said
    assert "Jane" not in said
    assert "\n" not in said
    assert len(said) < 700


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="cannot be read"):
        read_lab_csv(tmp_path / "none.csv", VOCABULARY)


@st.composite
def series(draw: st.DrawFn) -> LabSeries:
    steps = draw(st.integers(1, 6))
    hour = st.floats(0, 1000, width=32)
    hours = sorted(draw(st.lists(hour, min_size=steps, max_size=steps, unique=True)))
    columns = [
        draw(hnp.arrays(np.float32, steps, elements=st.floats(*map(np.float32, variable.plausible), width=32)))
        for variable in VARIABLES
    ]
    values = np.stack(columns, axis=1)
    values[draw(hnp.arrays(np.bool_, values.shape))] = np.nan
    return LabSeries.from_values(VOCABULARY, np.array(hours, dtype=np.float32), values)


@given(series())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path: Path, written: LabSeries) -> None:
    write_lab_csv(tmp_path / "labs.csv", written)
    assert read_lab_csv(tmp_path / "labs.csv", VOCABULARY) == written


@st.composite
def saved(draw: st.DrawFn) -> tuple[LabSeries, bytes]:
    """A series, and it as a spreadsheet may save it: separator, decimal mark, encoding, line ends, order, quotes."""
    written = draw(series())
    separator, encoding = (
        draw(st.sampled_from(",;\t|")),
        draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
    )
    mark = draw(st.sampled_from(".,"))
    quoting = csv.QUOTE_ALL if separator == mark or draw(st.booleans()) else csv.QUOTE_MINIMAL
    brackets = draw(st.sampled_from(["()", "[]"]))
    rows = [
        [format_number(hour, mark), *(format_number(value, mark) for value in step)]
        for hour, step in zip(written.hours, written.values, strict=True)
    ]
    rows = draw(st.permutations(rows))
    units = [f"{variable.name} {brackets[0]}{variable.unit}{brackets[1]}" for variable in VARIABLES]
    stream = io.StringIO(newline="")
    if draw(st.booleans()):
        stream.write(f"sep={separator}\r\n")
    end = draw(st.sampled_from(["\r\n", "\n"]))
    writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([["hours", *units], *rows])
    return written, stream.getvalue().encode(encoding)


def format_number(value: np.float32, mark: str) -> str:
    # Always with a fraction of one digit or at least four: three digits behind a comma could be thousands.
    text = "" if np.isnan(value) else np.format_float_positional(value, unique=True, trim="0")
    return (text + "0" if len(text.partition(".")[2]) == 3 else text).replace(".", mark)


@given(saved())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_series_is_read_in_whatever_form_it_was_saved(tmp_path: Path, given: tuple[LabSeries, bytes]) -> None:
    written, content = given
    assert read(tmp_path, content) == written


@pytest.mark.parametrize(
    "content",
    [
        "hours;temperature (°C)\r\n0;38,9\r\n1,5;39\r\n".encode("cp1252"),
        "sep=;\nhours;temperature (°C)\n0;38,9\n1,5;39\n".encode(),
        "hours\ttemperature (°C)\n0\t38.9\n1.5\t39\n".encode("utf-16"),
        "hours;temperature (°C);;\n0;38,9;;\n1,5;39;;\n;;;\n".encode(),
        'hours,temperature (°C)\n0,"38,9"\n"1,5",39\n'.encode(),
        "minutes,temperature (°C)\n0,38.9\n90,39\n".encode(),
        "time (min),temperature (°C)\n0,38.9\n90,39\n".encode(),
        b"time (s),temperature ([degF])\n0,102.02\n5400,102.2\n",
        b"time,temperature (K)\n2150-03-01T10:30,312.15\n2150-03-01 09:00:00,312.05\n",
    ],
)
def test_the_same_two_readings(tmp_path: Path, content: bytes) -> None:
    found = read(tmp_path, content)
    assert found.hours.tolist() == [0, 1.5]
    assert found.values[:, KEYS.index("temperature")] == pytest.approx([38.9, 39], abs=1e-4)


def test_hours_of_timestamps_are_said_to_begin_with_the_first_row(tmp_path: Path) -> None:
    assert read(tmp_path, "hours,pH\n1,7.4\n").remarks == ()
    (remark,) = read(tmp_path, "time,pH\n2150-03-01 09:00,7.4\n").remarks
    assert "counted from the first row" in remark


pieces = st.sampled_from(
    [
        "hours",
        "time",
        "pH",
        "glucose (mg/dL)",
        "SpO2 [%]",
        "sep=;",
        ",",
        ";",
        "\t",
        "\n",
        "1",
        ".5",
        '"',
        "(",
        ")",
        "x",
        "-",
    ]
)
# Whatever a cell says below a header that is known.
cells = st.lists(st.lists(st.text(max_size=12), min_size=2, max_size=2), max_size=4)
tables = cells.map(lambda rows: "\n".join(["hours;glucose (mg/dL)", *(";".join(row) for row in rows)]))


@given(st.one_of(st.text(), st.lists(pieces).map("".join), tables, st.binary()))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_series_or_a_clear_error(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "labs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        steps = len(read_lab_csv(path, VOCABULARY))
    except InputDataError as error:
        message = str(error)
    else:
        assert steps > 0
        return
    assert message.startswith(str(path))
    assert "\n" not in message

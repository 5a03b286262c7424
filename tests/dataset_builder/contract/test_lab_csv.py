"""Lab CSV files: every header people write, and every mistake named without repeating a value."""

from __future__ import annotations

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
    ("hours,heart rate (bpm)\n1,nan\n", "row 2, heart rate: is not a finite number"),
    ("hours,heart rate (bpm)\n1,481.25\n", "row 2, heart rate: implausible value (expected 0 to 390 bpm)"),
    ("hours,FiO2 (fraction)\n1,81.25\n", "row 2, fraction inspired oxygen: implausible value"),
    ("hours,heart rate (bpm)\n,81.25\n", "row 2 needs hours"),
    ("hours,heart rate (bpm)\n-1,81.25\n", "row 2 needs hours"),
    ("hours,heart rate (bpm)\nJane,81.25\n", "row 2, hours: is not a number"),
    ("hours,heart rate (bpm)\n1,80\n2,81.25\n1.0,81.25\n", "rows 2 and 4 have the same hours"),
    ("hours,heart rate (bpm)\n1,80,81.25\n", "row 2 has 3 cells"),
    ("0.5,81.25\n1,81.25\n", "column 1 is unknown"),
    ("Jane Doe born 1.2.81.25 (1),81.25\n1,81.25\n", "column 1 is unknown"),
    ("hours,temperature (°C)\n1,81.25\n".encode("latin-1"), "not UTF-8"),
    (b"\xff\xfe\x00h", "not UTF-8"),
]


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


pieces = st.sampled_from(["hours", "pH", ",", "\n", "1", '"', "(", ")", "x"])


@given(st.one_of(st.text(), st.lists(pieces).map("".join)))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_series_or_a_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labs.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        steps = len(read_lab_csv(path, VOCABULARY))
    except InputDataError as error:
        message = str(error)
    else:
        assert steps > 0
        return
    assert message.startswith(str(path))

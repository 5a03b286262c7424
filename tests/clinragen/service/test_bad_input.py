"""Whatever is sent: an answer or one line why not, read as a CSV is, and nothing of a patient in the log."""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained_patients import HOSTILE
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from clinragen.demo.limits import LARGEST_BODY
from clinragen.inference import Explainer
from clinragen.service.app import guarded_app
from clinragen.service.config import ServiceConfig
from clinragen.service.patients import read_patient
from clinragen.service.schema import MOST_ROWS, PatientData
from clinragen.service.serve import ServiceAccess
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import InputDataError, ModelInputError

TOKEN = "a-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
ACCESS = ServiceAccess(frozenset({"http://testserver"}), TOKEN, "clinragen-test")
CASES = ("predict-implausible-accepted", "predict-spo2-fraction", "predict-time-minutes", "predict-zeros")
# 81.25 and Zebediah stand for patient data, and may never be repeated.
NOTE = "Zebediah Quackenbush has fever and dyspnea."
SECRETS = ("81.25", "Zebediah", "Quackenbush")


@pytest.fixture(scope="module")
def client(small_explainer: Explainer) -> Iterator[TestClient]:
    with TestClient(guarded_app(small_explainer, ServiceConfig(), ACCESS), raise_server_exceptions=False) as one:
        yield one


def ask(client: TestClient, labs: Any, note: Any = None) -> tuple[int, str]:
    """Status, and why it was refused."""
    content = json.dumps({"patients": [{"note": note, "labs": labs}]})
    answer = client.post("/explain", content=content, headers=HEADERS)
    return answer.status_code, answer.json().get("error", "")


def read(explainer: Explainer, labs: Any) -> LabSeries:
    """The measurements of a request as they are read."""
    return read_patient(explainer, PatientData(note="x", labs=labs), "patient").series


def columns_of(text: str) -> dict[str, Any]:
    """A CSV as the columns of a request."""
    header, *rows = csv.reader(io.StringIO(text))
    return {title: [_value(row[place]) for row in rows] for place, title in enumerate(header)}


def _value(cell: str) -> Any:
    if not cell:
        return None
    return float(cell) if re.fullmatch(r"-?[0-9.]+", cell) else cell


MISTAKES: list[tuple[Any, int, str]] = [
    ({"heart_rate": [81.25]}, 400, "labs: has no column 'hours'"),
    ({"hours": [1]}, 400, "labs: has no column of a variable"),
    ({"hours": [], "lactate": []}, 400, "labs: column 2 ('lactate') is unknown"),
    ({}, 400, "labs: has no column of a variable"),
    ({"hours": [1], "lactate (mmol/L)": [81.25]}, 400, "column 2 ('lactate (mmol/L)') is unknown"),
    ({"hours": [1], "glucose (stones)": [81.25]}, 400, "column 2, glucose, has an unknown unit"),
    ({"hours": [1], "pH": [7], "blood ph": [7]}, 400, "column 3 repeats pH"),
    ({"hours": [1], "Zebediah born 1.2.81.25 (1)": [81.25]}, 400, "column 2 is unknown"),
    ({"hours": [1], "heart_rate": [481.25]}, 400, "row 1, heart rate: implausible value (expected 10 to 300 bpm)"),
    ({"hours": [1], "heart_rate": [81.25e300]}, 400, "row 1, heart rate: implausible value"),
    ({"hours": [1], "SpO2 (%)": [0]}, 400, "implausible value"),
    ({"hours": [1], "SpO2 (%)": [0.8125]}, 400, "implausible value in % (expected 10 to 100 %), but plausible in"),
    ({"hours": [1, 2], "glucose (mmol/L)": [81.25, 84]}, 400, "is normal in mmol/L, but most would be in mg/dL"),
    ({"hours": [1], "FiO2 (%)": [181.25]}, 400, "implausible value (expected 0.2 to 1 fraction)"),
    ({"time": [0, 60], "heart_rate": [80, 81.25]}, 400, "'time', has no unit"),
    ({"hours": [0], "time (min)": [0], "heart_rate": [80]}, 400, "column 2 repeats the times"),
    ({"hours": [1e30], "heart_rate": [80]}, 400, "row 1, hours: is later than 20,000 hours"),
    ({"hours": [-1], "heart_rate": [81.25]}, 400, "row 1 needs hours"),
    ({"hours": [None], "heart_rate": [81.25]}, 400, "row 1 needs hours"),
    ({"hours": [1, 2, 1.0], "heart_rate": [80, 81.25, 81.25]}, 400, "rows 1 and 3 have the same hours"),
    ({"hours": [1, 2], "heart_rate": [81.25]}, 400, "the columns have from 1 to 2 values"),
    ({"hours": [1], "heart_rate": [[1, 81.25]]}, 400, "pairs of hour and value"),
    ({"heart_rate": [[1, 81.25]], "pH": [7.2]}, 400, "column 2 is not"),
    ({"heart_rate": [[1, 81.25], [1.00000001, 82]]}, 400, "column 1 has two values for one hour"),
    ({"heart_rate": [[1e300, 81.25]]}, 400, "row 1, hours"),
    ({"hours": [1], "heart_rate": [None]}, 400, "nothing to go on"),
    ({"hours": [1], "heart_rate": ["81.25"]}, 422, "patients.0.labs.heart_rate.0: "),
    ({"hours": [1], "heart_rate": [True]}, 422, "patients.0.labs.heart_rate.0: "),
    ({"heart_rate": [[1, 81.25, 2]]}, 422, "patients.0.labs.heart_rate.0: "),
    ({"hours": ["Zebediah"], "heart_rate": [80]}, 422, "patients.0.labs.hours.0: "),
    ({"hours": [0] * (MOST_ROWS + 1)}, 422, "patients.0.labs.hours: "),
    ("hours,heart rate (bpm)\n0,81.25\n", 422, "patients.0.labs: "),
    ([{"hours": 81.25}], 422, "patients.0.labs: "),
    ({"hours": 81.25}, 422, "patients.0.labs.hours"),
    ({"hours": [0], "values": [[81.25]]}, 422, "patients.0.labs.values.0"),
    ({"hours": [0], "values": [81.25]}, 400, "column 2 ('values') is unknown"),
    ({"hours": [10**400], "pH": [7]}, 422, "patients.0.labs.hours.0: "),
    ({"hours\ud800": [0]}, 400, "column 1"),
]


@pytest.mark.parametrize(("labs", "status", "part"), MISTAKES, ids=[f"{n}" for n in range(len(MISTAKES))])
def test_a_mistake_is_named_by_column_and_row(client: TestClient, labs: Any, status: int, part: str) -> None:
    found, said = ask(client, labs)
    assert (found, part in said) == (status, True), said
    assert "\n" not in said
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize("name", CASES)
def test_a_series_is_refused_where_its_csv_is(small_explainer: Explainer, shared: Path, name: str) -> None:
    refused = []
    for file in sorted((shared / "cases" / name).glob("*.csv")):
        try:
            expected = small_explainer.read_labs(file)
        except InputDataError as error:
            refused.append(file.name)
            said = str(error).partition(": ")[2].partition(", ")[2]
            with pytest.raises((ModelInputError, ValidationError)) as caught:
                read(small_explainer, columns_of(file.read_text(encoding="utf-8")))
            # What is no number has no place in a list of numbers.
            assert said in str(caught.value) or isinstance(caught.value, ValidationError)
        else:
            assert read(small_explainer, columns_of(file.read_text(encoding="utf-8"))) == expected
    assert refused


def test_a_monitor_s_minutes_are_thinned_and_it_is_said(client: TestClient, shared: Path) -> None:
    text = gzip.decompress((shared / "cases" / "predict-minute-export" / "minute_48h.csv.gz").read_bytes()).decode()
    answer = client.post("/explain", json={"patients": [{"labs": columns_of(text)}]}, headers=HEADERS).json()
    assert "it was thinned to" in answer["explanations"][0]["warnings"][0]


def test_a_note_is_read_as_from_a_file(client: TestClient, shared: Path) -> None:
    folder = shared / "cases" / "predict-note-bom"
    notes = [(folder / name).read_bytes().decode("utf-8") for name in ("note_plain.txt", "note_bom.txt")]
    notes.append((shared / "cases" / "predict-note-deid" / "note_deid.txt").read_text(encoding="utf-8"))
    answer = client.post("/explain", json={"patients": [{"note": note} for note in notes]}, headers=HEADERS).json()
    plain, marked, blanked = answer["explanations"]
    assert plain == marked
    assert "[**" in notes[2]
    assert "[**" not in blanked["note"]


def test_hostile_notes_are_read_or_refused(client: TestClient) -> None:
    for name, note in {**HOSTILE, "half a character": "fever \ud800"}.items():
        content = json.dumps({"text": f'{note[:400]} "fever"', "patient": {"note": note}})
        answer = client.post("/check", content=content, headers=HEADERS)
        assert answer.status_code in (200, 400, 422), name
        assert ("sentences" in answer.json()) == (answer.status_code == 200)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 422),
        (b"null", {}, 422),
        (b"[" * 100_000, {}, 400),
        (b'{"patients": [{"labs": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}]}", {}, 400),
        (b'{"patients": [{"note": "x", "labs": {"pH": [[0, ' + b"9" * 5000 + b"]]}}]}", {}, 400),
        (b'{"patients": [{"note": "x", "labs": {"pH": [[0, NaN]]}}]}', {}, 422),
        (b'\xff\xfe{"patients": []}', {}, 422),
        (gzip.compress(b'{"patients": [{"note": "x"}]}', mtime=0), {"Content-Encoding": "gzip"}, 400),
        (b'{"patients": [{"note": "x"}]}', {"Content-Type": "text/plain"}, 422),
        (b"x" * (LARGEST_BODY + 1), {}, 413),
        (b'{"patients": [{"note": "x"}]}', {"Authorization": "Bearer wrong-token-of-the-tests"}, 403),
        (b'{"patients": [{"note": "x"}]}', {"Origin": "http://evil.example"}, 403),
    ],
)
def test_what_is_no_request_is_refused_as_json(
    client: TestClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/explain", content=content, headers={**HEADERS, **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    assert "Traceback" not in answer.text


def test_other_routes_and_methods_are_refused_as_json(client: TestClient) -> None:
    for method, path, status in (("GET", "/explain", 405), ("POST", "/Quackenbush", 404), ("PUT", "/healthz", 405)):
        answer = client.request(method, path, headers=HEADERS)
        assert (answer.status_code, answer.json().keys()) == (status, {"error"})


def test_nothing_of_a_patient_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for labs, _, _ in MISTAKES:
        ask(client, labs, NOTE if isinstance(labs, dict) else [NOTE])
    client.post("/check", json={"text": NOTE, "patient": {"note": NOTE}, "diagnoses": [NOTE]}, headers=HEADERS)
    client.post(f"/Zebediah?note={NOTE}", headers=HEADERS)
    logged = "\n".join(f"{record.name} {record.getMessage()}" for record in caplog.records if record.name != "httpx2")
    assert "POST /explain 400" in logged
    assert not [secret for secret in (*SECRETS, TOKEN) if secret in logged], logged


def test_a_fault_says_its_place_to_the_log_and_nothing_to_anybody(
    small_explainer: Explainer, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(Explainer):
        def explain_many(self, patients: Any) -> Any:
            raise KeyError(patients[0].note)

    app = guarded_app(Faulty(small_explainer.model, small_explainer.processor), ServiceConfig(), ACCESS)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/explain", json={"patients": [{"note": NOTE}]}, headers=HEADERS)
    assert (answer.status_code, answer.json().keys()) == (500, {"error"})
    assert "Zebediah" not in answer.text + caplog.text
    assert "internal error KeyError at " in caplog.text


@st.composite
def tables(draw: st.DrawFn, keys: tuple[str, ...]) -> dict[str, list[float | None]]:
    """Plausible columns for some of the variables."""
    hours = draw(st.lists(st.floats(0, 1000, width=32), min_size=1, max_size=5, unique=True))
    plausible = {"heart_rate": (10, 300), "ph": (6.5, 8), "glucose (mmol/L)": (3, 9), "FiO2 (%)": (21, 100)}
    names = draw(st.lists(st.sampled_from(sorted(plausible)), min_size=1, unique=True))
    draws = random.Random(draw(st.integers(0, 1000)))
    columns = {
        name: [round(draws.uniform(*plausible[name]), 2) if draws.random() < 0.7 else None for _ in hours]
        for name in names
    }
    return {"hours": hours, **columns}


@given(data=st.data())
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_columns_pairs_and_a_csv_are_one_series(small_explainer: Explainer, tmp_path: Path, data: Any) -> None:
    table = data.draw(tables(small_explainer.vocabulary.variable_keys))
    hours = table["hours"]
    path = tmp_path / "labs.csv"
    units = {"heart_rate": "heart rate (bpm)"}
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([units.get(name, name) for name in table])
        writer.writerows(zip(*(["" if v is None else v for v in column] for column in table.values()), strict=True))
    pairs = {
        name: [(hour, value) for hour, value in zip(hours, column, strict=True) if value is not None]
        for name, column in table.items()
        if name != "hours"
    }

    try:
        expected = read_lab_csv(path, small_explainer.vocabulary)
    except ValueError:
        with pytest.raises(ModelInputError):
            read(small_explainer, table)
        return
    assert read(small_explainer, table) == expected
    measured = expected.observed.any(axis=1)
    given = read(small_explainer, pairs)
    assert np.array_equal(given.hours, expected.hours[measured])
    assert np.array_equal(given.values, expected.values[measured], equal_nan=True)

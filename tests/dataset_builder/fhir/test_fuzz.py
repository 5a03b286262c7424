"""Whatever JSON a file has, reading it gives a result or one of our errors, and nothing is lost uncounted."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_fhir import document, encounter, observation, quantity
from tiny_mimic import START

from dataset_builder.contract.definitions import Definitions
from dataset_builder.fhir.one_patient import read_patient
from dataset_builder.fhir.tables import write_tables
from dataset_builder.sources.fhir_terms import fhir_terms
from modeling_clinragen.errors import ClinRaGenError

GOOD: tuple[dict[str, Any], ...] = (
    {"resourceType": "Patient", "id": "1", "birthDate": "2090-01-01", "gender": "male"},
    encounter("10", 1, (START, START.replace(day=3))),
    {**encounter("11", 1, (START, START.replace(day=3)), "ACUTE"), "partOf": {"reference": "Encounter/10"}},
    observation(1, START, "8867-4", valueQuantity=quantity(80, "/min")),
    observation(1, START, "85354-9", component=[{"code": {"coding": []}, "valueQuantity": quantity(1, "kPa")}]),
    document(1, "a note", date="2150-03-01T09:00:00Z", context={"encounter": [{"reference": "Encounter/10"}]}),
    {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/1"},
        "recordedDate": "2150-03-02",
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I10"}]},
    },
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["Patient/1", "Encounter/10", "2150-03-01T08:00:00Z", "0000-01-01T00:00:00+99:99", "\ud800", "1e999"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every part of a document."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in parts for place in places(inner, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copied = value.copy()
    copied[path[0]] = replaced(value[path[0]], path[1:], by)
    return copied


@st.composite
def spoiled(draw: st.DrawFn) -> list[Any]:
    """Good resources with parts replaced by anything."""
    resources: Any = [*GOOD, draw(ODD)]
    for _ in range(draw(st.integers(1, 4))):
        resources = replaced(resources, draw(st.sampled_from(places(resources)[1:])), draw(ODD))
    return resources


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(resources=spoiled(), lines=st.booleans())
def test_any_json_is_read_or_refused(
    resources: list[Any], lines: bool, tmp_path_factory: pytest.TempPathFactory, shipped: Definitions
) -> None:
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    path = folder / ("all.ndjson" if lines else "all.json")
    whole = {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}
    text = "\n".join(map(json.dumps, resources)) if lines else json.dumps(whole)
    path.write_text(text, encoding="utf-8")
    terms = fhir_terms(shipped)
    with suppress(ClinRaGenError):
        found = read_patient(path, shipped.vocabulary, terms)
        assert found.series.hours.min(initial=0.0) >= 0
    try:
        records = write_tables(folder, [path], folder, terms.codes, set(terms.variable_of_item))
    except ClinRaGenError:
        return
    counted = {record["what"]: record["rows"] - sum(record["left_out"].values()) for record in records}
    rows = {name: pq.ParquetFile(folder / f"{name}.parquet").metadata.num_rows for name in ("notes", "observations")}
    assert rows["observations"] == counted.get("values in them", 0)
    assert rows["notes"] >= counted.get("DocumentReference", 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60) | ODD.map(lambda value: json.dumps(value).encode()),
    name=st.sampled_from(["a.json", "a.ndjson", "a.json.gz"]),
)
def test_any_bytes_are_read_or_refused(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory, shipped: Definitions
) -> None:
    path: Path = tmp_path_factory.mktemp("bytes", numbered=True) / name
    path.write_bytes(content)
    with pytest.raises(ClinRaGenError):
        read_patient(path, shipped.vocabulary, fhir_terms(shipped))

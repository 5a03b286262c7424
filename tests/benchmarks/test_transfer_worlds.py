"""The worlds of the transfer benchmarks: one shift changes one thing, and clinosim's notes lose what gives it away."""

from __future__ import annotations

import base64
import copy
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from dataset_builder.storage.files import read_yaml


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts import their neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("clinosim_world", "machine", "shifted_world"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in one if one[key] != other[key]}


def test_each_shift_changes_its_own_part_and_all_change_all() -> None:
    from shifted_world import SHIFTS, WORLD, shifted

    world = read_yaml(Path(str(files("dataset_builder.synthetic"))) / WORLD)
    parts = {name: shifted(copy.deepcopy(world), [name]) for name in SHIFTS}
    assert {name: changed(world, part) for name, part in parts.items()} == {
        "prevalence": {"diseases"},
        "missingness": {"schedule", "rates"},
        "courses": {"confounders", "rates"},
        "units": {"rates"},
        "notes": {"notes"},
    }
    assert changed(world["rates"], parts["units"]["rates"]) == {"celsius"}
    whole = shifted(copy.deepcopy(world))
    for part in parts.values():
        for key in changed(world, part) - {"rates"}:
            assert whole[key] == part[key]
        for rate in changed(world["rates"], part["rates"]):
            assert whole["rates"][rate] == part["rates"][rate]


def write(folder: Path, kind: str, *resources: dict[str, Any]) -> None:
    text = "".join(json.dumps({"resourceType": kind, **one}) + "\n" for one in resources)
    (folder / f"{kind}.ndjson").write_text(text, encoding="utf-8")


def test_of_clinosim_the_inpatients_are_kept_and_the_working_diagnosis_is_not(tmp_path: Path) -> None:
    from clinosim_world import prepare

    source = tmp_path / "simulated" / "fhir_r4"
    source.mkdir(parents=True)
    subject, encounter = {"reference": "Patient/p"}, {"reference": "Encounter/in"}
    write(source, "Patient", {"id": "p"}, {"id": "q"})
    inside = {"id": "in", "class": {"code": "IMP"}, "subject": subject}
    inside["diagnosis"] = [{"condition": {"reference": "Condition/old"}}]
    write(source, "Encounter", inside, {"id": "out", "class": {"code": "AMB"}, "subject": {"reference": "Patient/q"}})
    elsewhere = {"reference": "Encounter/out"}
    conditions = [{"id": "now", "encounter": encounter}, {"id": "old", "encounter": elsewhere}]
    write(source, "Condition", *conditions, {"id": "other", "encounter": elsewhere})
    write(source, "Observation", {"id": "o", "encounter": encounter}, {"id": "x", "encounter": elsewhere})
    section = [
        {"title": "Past medical history", "text": {"div": "<div>Diabetes &amp; COPD (GOLD 3) [J44.9]</div>"}},
        {"title": "Assessment and plan", "text": {"div": "<div>Working diagnosis: sepsis.</div>"}},
    ]
    note = {"id": "n", "date": "2024-01-01T00:00:00Z", "subject": subject, "encounter": encounter, "section": section}
    other = {"coding": [{"system": "http://loinc.org", "code": "18842-5"}]}
    admission = {"coding": [{"system": "http://loinc.org", "code": "34117-2"}]}
    write(source, "Composition", note | {"type": admission}, note | {"id": "m", "type": other})
    counts = prepare(tmp_path / "simulated", tmp_path / "fhir")
    assert counts == {"Patient": 1, "Encounter": 1, "Condition": 2, "Observation": 1, "DocumentReference": 1}
    document = json.loads((tmp_path / "fhir" / "DocumentReference.ndjson").read_text(encoding="utf-8"))
    text = base64.b64decode(document["content"][0]["attachment"]["data"]).decode()
    assert text == "Past medical history:\nDiabetes & COPD (GOLD 3)"
    assert document["context"]["encounter"] == [encounter]
    assert "Synthetic patients" in (tmp_path / "fhir" / "LICENSE.txt").read_text(encoding="utf-8")

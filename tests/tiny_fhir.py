"""The tiny MIMIC-IV hospital as FHIR resources: admissions with ICU stays in them, measurements, codes and notes."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tiny_mimic import DBP, HR, TinyMimic

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
UCUM = "http://unitsofmeasure.org"
ICD = {9: "http://hl7.org/fhir/sid/icd-9-cm", 10: "http://hl7.org/fhir/sid/icd-10-cm"}
LOINC_OF_ITEM = {HR: ("8867-4", "{beats}/min"), 223761: ("8310-5", "[degF]"), 50931: ("2345-7", "mg/dL")}

Resource = dict[str, Any]


def loinc(code: str) -> dict[str, Any]:
    """A concept with a LOINC code."""
    return {"coding": [{"system": "http://loinc.org", "code": code}]}


def quantity(value: float, unit: str, **more: Any) -> dict[str, Any]:
    """A value in a unit of UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit, **more}


def observation(number: int, time: Any, code: str, **more: Any) -> Resource:
    """An observation of patient `number`."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": loinc(code),
        "subject": {"reference": f"Patient/{number}"},
        "effectiveDateTime": instant(time) if isinstance(time, datetime) else time,
        **more,
    }


def document(number: int, text: str | bytes, kind: str = "text/plain", **more: Any) -> Resource:
    """A discharge summary of patient `number`."""
    data = base64.b64encode(text.encode() if isinstance(text, str) else text).decode()
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": loinc("18842-5"),
        "subject": {"reference": f"Patient/{number}"},
        "content": [{"attachment": {"contentType": kind, "data": data}}],
        **more,
    }


def instant(time: datetime) -> str:
    """A time with a zone other than UTC, whose hours are those of the tables."""
    return time.isoformat() + "+02:00"


def resources_of(hospital: TinyMimic) -> list[Resource]:
    """Every resource of the hospital. Ids are the tables' own."""
    rows = hospital.rows
    made: list[Resource] = []
    owner = {row["hadm_id"]: row for row in rows["hosp/admissions"]}
    for row in rows["hosp/patients"]:
        born = f"{row['anchor_year'] - row['anchor_age']}-01-01"
        made.append({"resourceType": "Patient", "id": str(row["subject_id"]), "gender": "female", "birthDate": born})
    for row in rows["hosp/admissions"]:
        made.append(encounter(row["hadm_id"], row["subject_id"], (row["admittime"], row["dischtime"])))
    for row in rows["icu/icustays"]:
        stay = encounter(row["stay_id"], row["subject_id"], (row["intime"], row["outtime"]), "ACUTE")
        made.append({**stay, "partOf": {"reference": f"Encounter/{row['hadm_id']}"}})
    for row in rows["hosp/diagnoses_icd"]:
        made.append(
            {
                "resourceType": "Condition",
                "subject": {"reference": f"Patient/{row['subject_id']}"},
                "encounter": {"reference": f"https://hospital.example/fhir/Encounter/{row['hadm_id']}/_history/1"},
                "code": {"coding": [{"system": ICD[row["icd_version"]], "code": row["icd_code"]}]},
            }
        )
    for row in rows["note/discharge"]:
        admission = owner[row["hadm_id"]]
        context = {"encounter": [{"reference": f"Encounter/{row['hadm_id']}"}]}
        made.append(
            document(admission["subject_id"], row["text"], context=context, date=instant(admission["dischtime"]))
        )
    for row in (*rows["icu/chartevents"], *rows["hosp/labevents"]):
        time, value = row["charttime"], float(row["value"])
        if row["itemid"] == DBP:
            parts = [{"code": loinc("8462-4"), "valueQuantity": quantity(value, "mm[Hg]")}]
            made.append(observation(row["subject_id"], time, "85354-9", component=parts))
        else:
            code, unit = LOINC_OF_ITEM[row["itemid"]]
            made.append(observation(row["subject_id"], time, code, valueQuantity=quantity(value, unit)))
    return made


def encounter(number: int | str, patient: int, period: Sequence[datetime], kind: str = "IMP") -> Resource:
    """A finished encounter."""
    return {
        "resourceType": "Encounter",
        "id": str(number),
        "status": "finished",
        "class": {"system": ACT, "code": kind},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": instant(period[0]), "end": instant(period[1])},
    }


def write_lines(resources: Iterable[Resource], root: Path, *, packed: bool = False) -> Path:
    """Write NDJSON, a file for each type of resource, as a bulk export does."""
    root.mkdir(parents=True, exist_ok=True)
    by_kind: dict[str, list[str]] = {}
    for one in resources:
        kind = str(one.get("resourceType"))
        by_kind.setdefault(kind if kind.isalpha() else "Others", []).append(json.dumps(one))
    for kind, lines in by_kind.items():
        content = ("\n".join(lines) + "\n").encode()
        path = root / f"{kind}.ndjson{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    return root


def bundle(resources: Iterable[Resource]) -> Resource:
    """A Bundle."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def write_bundles(resources: Sequence[Resource], root: Path) -> Path:
    """Write a Bundle for each patient."""
    root.mkdir(parents=True, exist_ok=True)
    for patient in sorted({one["id"] for one in resources if one["resourceType"] == "Patient"}):
        names = (f"Patient/{patient}", patient)
        own = [one for one in resources if one.get("subject", {}).get("reference", one.get("id")) in names]
        (root / f"{patient}.json").write_text(json.dumps(bundle(own)), encoding="utf-8")
    return root

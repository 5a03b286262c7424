"""Writes tables in MIMIC-III's layout that are small enough to compute every expectation by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tiny_mimic import START, TinyHospital

HR = 211

# file -> columns, a subset of the published ones; the first stays' rows are added by `stay`
COLUMNS = {
    "PATIENTS": "row_id subject_id gender dob",
    "ADMISSIONS": "row_id subject_id hadm_id admittime dischtime admission_type admission_location",
    "ICUSTAYS": "subject_id hadm_id icustay_id first_careunit last_careunit first_wardid last_wardid intime outtime",
    "DIAGNOSES_ICD": "row_id subject_id hadm_id seq_num icd9_code",
    "D_ICD_DIAGNOSES": "row_id icd9_code short_title",
    "PRESCRIPTIONS": "row_id hadm_id startdate drug_type drug",
    "MICROBIOLOGYEVENTS": "row_id hadm_id charttime spec_type_desc org_name",
    "NOTEEVENTS": "row_id subject_id hadm_id chartdate charttime category description iserror text",
    "CHARTEVENTS": "row_id subject_id hadm_id icustay_id itemid charttime value valuenum error",
    "LABEVENTS": "row_id subject_id hadm_id itemid charttime value valuenum",
}


class TinyMimic3(TinyHospital):
    """Stay n is patient n, admission 100 + n; it begins at START and lasts 72 hours."""

    source = "mimic-iii"
    tables = COLUMNS

    def __init__(self) -> None:
        super().__init__()
        for code in ("5849", "0389", "4019"):
            self.add("D_ICD_DIAGNOSES", icd9_code=code)

    def add(self, table: str, **cells: Any) -> None:
        super().add(table, **{"row_id": len(self.rows[table]) + 1, **cells})

    def stay(
        self,
        number: int,
        *,
        born: datetime = datetime(2090, 1, 1),
        admission: int | None = None,
        units: tuple[str, str, int, int] = ("MICU", "MICU", 7, 7),
        codes: tuple[str, ...] = ("5849",),
    ) -> None:
        hadm = admission or 100 + number
        if admission is None:
            self.add("PATIENTS", subject_id=number, gender="F", dob=born)
            self.add(
                "ADMISSIONS",
                subject_id=number,
                hadm_id=hadm,
                admittime=START - timedelta(hours=5),
                dischtime=START + timedelta(hours=100),
                admission_type="EMERGENCY",
                admission_location="EMERGENCY ROOM ADMIT",
            )
            for sequence, code in enumerate(codes, start=1):
                self.add("DIAGNOSES_ICD", subject_id=number, hadm_id=hadm, seq_num=sequence, icd9_code=code)
        unit = dict(zip(("first_careunit", "last_careunit", "first_wardid", "last_wardid"), units, strict=True))
        times = {"intime": START, "outtime": START + timedelta(hours=72)}
        self.add("ICUSTAYS", subject_id=hadm - 100, hadm_id=hadm, icustay_id=1000 + number, **unit, **times)

    def chart(self, number: int, hours: float, item: int, value: Any, **cells: Any) -> None:
        """A chart event; its text is `value`, its number too when `value` is one."""
        keys = {"subject_id": number, "hadm_id": 100 + number, "icustay_id": 1000 + number, "error": 0}
        self._event("CHARTEVENTS", hours, item, value, {**keys, **cells})

    def lab(self, number: int, hours: float, item: int, value: Any, **cells: Any) -> None:
        self._event("LABEVENTS", hours, item, value, {"subject_id": number, "hadm_id": 100 + number, **cells})

    def _event(self, table: str, hours: float, item: int, value: Any, cells: Mapping[str, Any]) -> None:
        number = value if isinstance(value, int | float) else None
        time = START + timedelta(seconds=round(hours * 3600))
        self.add(table, **{"itemid": item, "charttime": time, "value": value, "valuenum": number, **cells})

    def heart_rate(self, number: int, hours: float, value: Any) -> None:
        self.chart(number, hours, HR, value)

    def note(self, number: int, text: str, **cells: Any) -> None:
        kind = {"category": "Discharge summary", "description": "Report", "chartdate": START}
        self.add("NOTEEVENTS", **{"subject_id": number, "hadm_id": 100 + number, **kind, "text": text, **cells})

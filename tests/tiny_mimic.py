"""Writes tables in MIMIC-IV's layout that are small enough to compute every expectation by hand, and builds them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

from dataset_builder.build import build_cohort
from dataset_builder.schema import SPLITS

START = datetime(2150, 3, 1, 8, 0, 0)
HR, SPO2, DBP = 220045, 220277, 220180

# file -> columns, a subset of the published ones in the published order
COLUMNS = {
    "hosp/patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "hosp/admissions": "subject_id hadm_id admittime dischtime deathtime admission_type admission_location",
    "hosp/diagnoses_icd": "subject_id hadm_id seq_num icd_code icd_version",
    "hosp/services": "subject_id hadm_id transfertime prev_service curr_service",
    "hosp/prescriptions": "subject_id hadm_id pharmacy_id starttime stoptime drug_type drug",
    "hosp/microbiologyevents": "microevent_id subject_id hadm_id charttime spec_type_desc test_name org_name",
    "hosp/labevents": "labevent_id subject_id hadm_id specimen_id itemid charttime storetime value valuenum valueuom",
    "icu/icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "icu/chartevents": "subject_id hadm_id stay_id charttime storetime itemid value valuenum valueuom warning",
    "note/discharge": "note_id subject_id hadm_id note_type note_seq charttime storetime text",
}


class TinyMimic:
    """A hospital of a few stays. Stay n is patient n, admission 100 + n, stay 1000 + n; it begins at START."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}

    def stay(
        self,
        number: int,
        *,
        hours: float = 72,
        age: int = 60,
        admission: int | None = None,
        patient: int | None = None,
        units: tuple[str, str] = ("MICU", "MICU"),
        codes: Sequence[tuple[str, int]] = (("5849", 9),),
        note: str | None = None,
        start: datetime = START,
    ) -> int:
        """Add a stay with its admission and patient (unless they are there), codes and note; return the stay id."""
        subject, hadm = patient or number, admission or 100 + number
        if not any(row["subject_id"] == subject for row in self.rows["hosp/patients"]):
            self.add("hosp/patients", subject_id=subject, gender="F", anchor_age=age, anchor_year=start.year)
        if not any(row["hadm_id"] == hadm for row in self.rows["hosp/admissions"]):
            self.add(
                "hosp/admissions",
                subject_id=subject,
                hadm_id=hadm,
                admittime=start - timedelta(hours=5),
                dischtime=start + timedelta(hours=hours + 50),
                admission_type="URGENT",
                admission_location="EMERGENCY ROOM",
            )
            for place, (code, version) in enumerate(codes, start=1):
                self.add(
                    "hosp/diagnoses_icd",
                    subject_id=subject,
                    hadm_id=hadm,
                    seq_num=place,
                    icd_code=code,
                    icd_version=version,
                )
            if note is not None:
                self.note(hadm, note)
        self.add(
            "icu/icustays",
            subject_id=subject,
            hadm_id=hadm,
            stay_id=1000 + number,
            first_careunit=units[0],
            last_careunit=units[1],
            intime=start,
            outtime=start + timedelta(hours=hours),
        )
        return 1000 + number

    def note(self, hadm_id: int, text: str, *, kind: str = "DS", sequence: int = 1) -> None:
        self.add("note/discharge", hadm_id=hadm_id, note_type=kind, note_seq=sequence, charttime=START, text=text)

    def chart(self, number: int, hours: float | None, item: int, value: Any, number_column: Any = None) -> None:
        """A chart event of stay `number`, `hours` after START; a number goes into valuenum too."""
        self._event("icu/chartevents", number, hours, item, value, number_column, stay_id=1000 + number)

    def lab(self, number: int, hours: float | None, item: int, value: Any, hadm_id: int | str | None = "own") -> None:
        """A lab event of patient `number`; by default it names the admission 100 + `number`."""
        hadm = 100 + number if hadm_id == "own" else hadm_id
        self._event("hosp/labevents", number, hours, item, value, None, hadm_id=hadm)

    def add(self, table: str, **cells: Any) -> None:
        self.rows[table].append(cells)

    def _event(
        self, table: str, number: int, hours: float | None, item: int, value: Any, number_column: Any, **keys: Any
    ) -> None:
        time = None if hours is None else START + timedelta(seconds=round(hours * 3600))
        numeric = value if number_column is None and isinstance(value, int | float) else number_column
        self.add(table, subject_id=number, charttime=time, itemid=item, value=value, valuenum=numeric, **keys)

    def write(self, root: Path, *, leave_out: Sequence[str] = (), rename: Mapping[str, str] | None = None) -> Path:
        """Write every table but those in `leave_out` as .csv.gz below `root`; `rename` renames columns."""
        for name, columns in COLUMNS.items():
            if name in leave_out:
                continue
            path = root / f"{name}.csv.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without the time of writing in it, the same rows make the same bytes.
            with (
                path.open("wb") as raw,
                gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
                _text(packed) as stream,
            ):
                write_rows(stream, columns.split(), self.rows[name], rename)
        return root


def _text(stream: gzip.GzipFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8", newline="")


def write_rows(
    stream: TextIO, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], rename: Mapping[str, str] | None = None
) -> None:
    """Write rows as CSV under a header; what a row does not have is an empty cell."""
    writer = csv.writer(stream)
    writer.writerow([(rename or {}).get(column, column) for column in columns])
    for row in rows:
        writer.writerow(["" if row.get(column) is None else row[column] for column in columns])


def build(hospital: TinyMimic, folder: Path, **settings: Any) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """Build and return the examples by stay number, and the provenance."""
    root = hospital.write(folder / "tables")
    settings = {"note_policy": "full", **settings}
    provenance = build_cohort("mimic-iv", root, folder / "cohort", **settings)
    return examples_of(folder / "cohort"), provenance


def examples_of(cohort: Path) -> dict[int, dict[str, Any]]:
    tables = [pq.read_table(cohort / "data" / f"{split}.parquet") for split in SPLITS]
    return {row["stay_id"] - 1000: row for table in tables for row in table.to_pylist()}


def crowd(count: int, *, events: int = 30) -> TinyMimic:
    hospital = TinyMimic()
    for number in range(1, count + 1):
        hospital.stay(number, codes=(("5849", 9), ("41401", 9))[: 1 + number % 2], note=f"Chief Complaint:\n{number}")
        for event in range(events):
            hospital.chart(number, event * 1.7, (HR, DBP, SPO2)[event % 3], 60 + (event * number) % 40)
    return hospital


def digests(cohort: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (cohort / "data").glob("*.parquet")}

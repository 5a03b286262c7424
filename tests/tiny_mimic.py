"""Tables small enough to compute every expectation by hand, MIMIC-IV's among them, and what builds and reads them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.config_fields import make_config
from dataset_builder.storage.progress import Report, no_report

SHIPPED = shipped_definitions()
VOCABULARY = SHIPPED.vocabulary
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


class TinyHospital:
    """Rows of a source's `tables` (name -> columns, a subset of the published ones); stay n has the id 1000 + n."""

    source: ClassVar[str]
    tables: ClassVar[Mapping[str, str]]
    note_policy: ClassVar[str] = "structured"

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.tables}

    def add(self, table: str, **cells: Any) -> None:
        self.rows[table].append(cells)

    def write(
        self,
        root: Path,
        *,
        leave_out: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        lower: bool = False,
        tables: Mapping[str, str] | None = None,
    ) -> Path:
        """Write all tables but those in `leave_out` as .csv.gz below `root`; what a row does not have is empty.

        `rename` renames columns, `lower` gives files names in lower case, `tables` has other columns.
        """
        root.mkdir(parents=True, exist_ok=True)
        for name, columns in (tables or self.tables).items():
            if name in leave_out:
                continue
            path = root / f"{name.lower() if lower else name}.csv.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without the time of writing in it, the same rows make the same bytes.
            with (
                path.open("wb") as raw,
                gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="") as stream,
            ):
                writer = csv.writer(stream)
                writer.writerow([(rename or {}).get(column, column) for column in columns.split()])
                for row in self.rows[name]:
                    writer.writerow(["" if row.get(column) is None else row[column] for column in columns.split()])
        return root


class TinyMimic(TinyHospital):
    """A hospital of a few stays. Stay n is patient n, admission 100 + n; it begins at START."""

    source = "mimic-iv"
    tables = COLUMNS
    note_policy = "full"

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
            for number_of_code, (code, version) in enumerate(codes, start=1):
                self.add(
                    "hosp/diagnoses_icd",
                    subject_id=subject,
                    hadm_id=hadm,
                    seq_num=number_of_code,
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

    def heart_rate(self, number: int, hours: float, value: Any) -> None:
        self.chart(number, hours, HR, value)

    def note(self, hadm_id: int, text: str, *, kind: str = "DS", sequence: int = 1) -> None:
        self.add("note/discharge", hadm_id=hadm_id, note_type=kind, note_seq=sequence, charttime=START, text=text)

    def chart(self, number: int, hours: float | None, item: int, value: Any, number_column: Any = None) -> None:
        """A chart event of stay `number`, `hours` after START; a number goes into valuenum too."""
        self._event("icu/chartevents", number, hours, item, value, number_column, stay_id=1000 + number)

    def lab(self, number: int, hours: float | None, item: int, value: Any, hadm_id: int | str | None = "own") -> None:
        """A lab event of patient `number`; by default it names the admission 100 + `number`."""
        hadm = 100 + number if hadm_id == "own" else hadm_id
        self._event("hosp/labevents", number, hours, item, value, None, hadm_id=hadm)

    def _event(
        self, table: str, number: int, hours: float | None, item: int, value: Any, number_column: Any, **keys: Any
    ) -> None:
        time = None if hours is None else START + timedelta(seconds=round(hours * 3600))
        numeric = value if number_column is None and isinstance(value, int | float) else number_column
        self.add(table, subject_id=number, charttime=time, itemid=item, value=value, valuenum=numeric, **keys)


def make_cohort(
    source: str, root: Path | str, output: Path, *, report: Report = no_report, **settings: Any
) -> dict[str, Any]:
    """`build_cohort` with settings by name."""
    return build_cohort(source, root, output, make_config(CohortConfig, settings, "cohort"), report)


def build(hospital: TinyHospital, folder: Path, **settings: Any) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """Build and return the examples by stay number, and the provenance."""
    root = hospital.write(folder / "tables")
    settings = {"note_policy": hospital.note_policy, **settings}
    provenance = make_cohort(hospital.source, root, folder / "cohort", **settings)
    return examples_of(folder / "cohort"), provenance


def examples_of(cohort: Path) -> dict[int, dict[str, Any]]:
    tables = [pq.read_table(cohort / "data" / f"{split}.parquet") for split in SPLITS]
    return {row["stay_id"] - 1000: row for table in tables for row in table.to_pylist()}


def values_of(row: Mapping[str, Any], key: str) -> list[tuple[float, Any]]:
    """(hours, value) of one variable of an example, where it was measured."""
    column = VOCABULARY.variable_keys.index(key)
    return [
        (round(hour, 3), pytest.approx(step[column], abs=1e-4))
        for hour, step in zip(row["lab_hours"], row["lab_values"], strict=True)
        if step[column] is not None
    ]


def item_log(provenance: Mapping[str, Any], item: int | str) -> dict[str, Any]:
    """What became of the rows of the first item with this id."""
    return next(entry for entry in provenance["items"] if entry["item"] == str(item))


def crowd(count: int, *, events: int = 30) -> TinyMimic:
    hospital = TinyMimic()
    for number in range(1, count + 1):
        hospital.stay(number, codes=(("5849", 9), ("41401", 9))[: 1 + number % 2], note=f"Chief Complaint:\n{number}")
        for event in range(events):
            hospital.chart(number, event * 1.7, (HR, DBP, SPO2)[event % 3], 60 + (event * number) % 40)
    return hospital


def digests(cohort: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (cohort / "data").glob("*.parquet")}

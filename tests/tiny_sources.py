"""What the tests of every source need to know of each: its hospital, its tables and where they are published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiny_eicu import TinyEicu
from tiny_mimic import START, TinyHospital, TinyMimic
from tiny_mimic_iii import TinyMimic3


@dataclass(frozen=True)
class TinySource:
    """What makes a stay a child's; names of tables, and of columns of the events; PhysioNet's folder and two versions.

    Of the versions the builder knows the first.
    """

    hospital: type[TinyHospital]
    child: dict[str, Any]
    stays: str
    diagnoses: str
    events: str
    time: str
    key: str
    words: str
    folder: str
    known: str
    other: str

    def crowd(self, stays: int, *, events: int = 1, **cells: Any) -> Any:
        """A hospital of so many stays, each with heart rates at hour 1, 2, ..."""
        made: Any = self.hospital()
        for number in range(1, stays + 1):
            made.stay(number, **cells)
            for hour in range(1, events + 1):
                made.heart_rate(number, hour, 60 + (number * hour) % 40)
        return made


_SOURCES = (
    (
        TinyMimic,
        {"age": 12},
        "icu/icustays hosp/diagnoses_icd icu/chartevents charttime stay_id value mimiciv 3.1 9.9",
    ),
    (TinyMimic3, {"born": START}, "ICUSTAYS DIAGNOSES_ICD CHARTEVENTS charttime hadm_id value mimiciii 1.4 1.3"),
    (
        TinyEicu,
        {"age": "12"},
        "patient diagnosis nurseCharting nursingchartoffset patientunitstayid nursingchartvalue eicu-crd 2.0 3.0",
    ),
)
SOURCES = {hospital.source: TinySource(hospital, child, *words.split()) for hospital, child, words in _SOURCES}

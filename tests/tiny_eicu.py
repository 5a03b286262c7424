"""Writes tables in eICU's layout that are small enough to compute every expectation by hand."""

from __future__ import annotations

from typing import Any

from tiny_mimic import TinyHospital

# file -> columns, a subset of the published ones
COLUMNS = {
    "patient": "patientunitstayid patienthealthsystemstayid gender age hospitaladmitoffset hospitaldischargeoffset "
    "unittype unitadmitsource unitstaytype admissionweight unitdischargeoffset uniquepid",
    "diagnosis": "diagnosisid patientunitstayid diagnosisoffset icd9code",
    "vitalPeriodic": "vitalperiodicid patientunitstayid observationoffset temperature sao2 heartrate respiration "
    "systemicsystolic systemicdiastolic systemicmean",
    "vitalAperiodic": "vitalaperiodicid patientunitstayid observationoffset noninvasivesystolic noninvasivediastolic "
    "noninvasivemean",
    "nurseCharting": "patientunitstayid nursingchartoffset nursingchartcelltypevallabel nursingchartcelltypevalname "
    "nursingchartvalue",
    "respiratoryCharting": "respchartid patientunitstayid respchartoffset respchartvaluelabel respchartvalue",
    "lab": "labid patientunitstayid labresultoffset labname labresult labresulttext",
    "medication": "medicationid patientunitstayid drugstartoffset drugname",
    "pastHistory": "patientunitstayid pasthistoryoffset pasthistoryenteredoffset pasthistorypath pasthistoryvalue",
}


class TinyEicu(TinyHospital):
    """Unit stay 1000 + n of hospital admission 100 + n; offsets are in minutes since unit admission."""

    source = "eicu"
    tables = COLUMNS

    def stay(self, number: int, *, codes: tuple[str | None, ...] = ("584.9, N17.9",), **cells: Any) -> None:
        usual = {
            "patientunitstayid": 1000 + number,
            "patienthealthsystemstayid": 100 + number,
            "gender": "Female",
            "age": "60",
            "hospitaladmitoffset": -300,
            "hospitaldischargeoffset": 9000,
            "unittype": "MICU",
            "unitadmitsource": "Emergency Department",
            "unitstaytype": "admit",
            "unitdischargeoffset": 72 * 60,
            "uniquepid": f"002-{number}",
        }
        self.add("patient", **{**usual, **cells})
        for code in codes:
            self.chart("diagnosis", number, diagnosisoffset=50, icd9code=code)

    def chart(self, table: str, number: int, **cells: Any) -> None:
        self.add(table, **{"patientunitstayid": 1000 + number, **cells})

    def heart_rate(self, number: int, hours: float, value: Any) -> None:
        cells = {"nursingchartcelltypevalname": "Heart Rate", "nursingchartvalue": value}
        self.chart("nurseCharting", number, nursingchartoffset=round(hours * 60), **cells)

    def lab(self, number: int, minutes: float, name: str, value: Any, text: Any = None) -> None:
        self.chart("lab", number, labresultoffset=minutes, labname=name, labresult=value, labresulttext=text or value)

    def respiratory(self, number: int, minutes: float, label: str, value: Any) -> None:
        cells = {"respchartoffset": minutes, "respchartvaluelabel": label, "respchartvalue": value}
        self.chart("respiratoryCharting", number, **cells)

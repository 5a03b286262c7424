"""The rows of the small tables: registration, stays, codes, services, transfers, prescriptions, cultures, the note."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from dataset_builder.synthetic.identifiers import ADMISSIONS_EACH, TRANSFERS_EACH, identifier
from dataset_builder.synthetic.patients import Admission, Patient, pick, pick_weighted
from dataset_builder.synthetic.world import Condition, World

Row = dict[str, Any]
ROWS_EACH = 100


def provider(rng: np.random.Generator) -> str:
    """A provider's identifier, e.g. P41R5N."""
    digits = rng.integers(0, 10, 3)
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    first, second = letters[int(rng.random() * len(letters))], letters[int(rng.random() * len(letters))]
    return f"P{digits[0]}{digits[1]}{first}{digits[2]}{second}"


class AdmissionRecords:
    """Makes the rows of one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def patient(self, patient: Patient) -> Row:
        """The row of `patients`."""
        return {
            "subject_id": patient.subject_id,
            "gender": patient.gender,
            "anchor_age": patient.anchor_age,
            "anchor_year": patient.anchor_year,
            "anchor_year_group": patient.anchor_year_group,
            "dod": patient.died.date() if patient.died else "",
        }

    def admission(
        self,
        patient: Patient,
        admission: Admission,
        conditions: list[Condition],
        note: str,
        rng: np.random.Generator,
    ) -> dict[str, list[Row]]:
        """The rows of one admission, by table."""
        who = {"subject_id": patient.subject_id, "hadm_id": admission.hadm_id}
        registration = self._registration(admission, rng)
        serial = (patient.index * ADMISSIONS_EACH + admission.number) * ROWS_EACH
        tables = {
            "hosp/admissions": [registration],
            "hosp/diagnoses_icd": self._codes(admission, conditions, rng),
            "hosp/services": [{"transfertime": admission.admittime, "curr_service": admission.service}],
            "hosp/prescriptions": self._prescriptions(admission, serial, rng),
            "hosp/microbiologyevents": self._cultures(admission, serial, rng),
            "hosp/transfers": self._transfers(patient, admission, registration),
            "icu/icustays": [
                {
                    "stay_id": stay.stay_id,
                    "first_careunit": stay.first_unit,
                    "last_careunit": stay.last_unit,
                    "intime": stay.intime,
                    "outtime": stay.outtime,
                    "los": stay.hours / 24,
                }
                for stay in admission.stays
            ],
            "note/discharge": [self._note(patient, admission, note, rng)],
        }
        return {table: [{**who, **row} for row in rows] for table, rows in tables.items()}

    def _registration(self, admission: Admission, rng: np.random.Generator) -> Row:
        lists = self.world.registration
        row: Row = {
            name: pick(rng, lists[name])
            for name in (
                "admission_type",
                "admission_location",
                "discharge_location",
                "insurance",
                "language",
                "marital_status",
                "race",
            )
        }
        row.update(
            admittime=admission.admittime,
            dischtime=admission.dischtime,
            deathtime=admission.dischtime if admission.died else "",
            admit_provider_id=provider(rng),
            hospital_expire_flag=int(admission.died),
        )
        if admission.died:
            row["discharge_location"] = "DIED"
        if row["admission_location"] == "EMERGENCY ROOM":
            row["edregtime"] = admission.admittime - timedelta(minutes=int(rng.integers(60, 500)))
            row["edouttime"] = admission.admittime + timedelta(minutes=int(rng.integers(5, 40)))
        return row

    def _codes(self, admission: Admission, conditions: list[Condition], rng: np.random.Generator) -> list[Row]:
        version = admission.icd_version
        codes = []
        for key, finding in admission.findings.items():
            if finding.coded:
                known = self.world.diseases[key].codes[version]
                codes.append(pick_weighted(rng, known, [1 / rank for rank in range(1, len(known) + 1)]))
        codes += [condition.codes[version] for condition in conditions if condition.codes[version]]
        order = rng.permutation(len(codes))
        return [
            {"seq_num": number, "icd_code": codes[index], "icd_version": version}
            for number, index in enumerate(order, start=1)
        ]

    def _prescriptions(self, admission: Admission, serial: int, rng: np.random.Generator) -> list[Row]:
        drugs = [
            drug
            for key, finding in admission.findings.items()
            if finding.in_note
            for drug in self.world.diseases[key].drugs
            if rng.random() < 0.8
        ]
        drugs += [drug for drug in self.world.ward_drugs if rng.random() < 0.5]
        rows = []
        for number, drug in enumerate(dict.fromkeys(drugs)):
            start = admission.admittime + timedelta(hours=int(rng.integers(0, 30)))
            start = start.replace(minute=0, second=0)
            rows.append(
                {
                    "pharmacy_id": 10_000_000 + serial + number,
                    "starttime": start,
                    "stoptime": min(start + timedelta(hours=int(rng.integers(12, 96))), admission.dischtime),
                    "drug_type": "MAIN",
                    "drug": drug,
                }
            )
        return rows

    def _cultures(self, admission: Admission, serial: int, rng: np.random.Generator) -> list[Row]:
        infected = "septicemia" in admission.findings and admission.findings["septicemia"].in_note
        if not infected and rng.random() >= 0.35:
            return []
        taken = (admission.admittime + timedelta(minutes=int(rng.integers(10, 1500)))).replace(second=0)
        day = taken.replace(hour=0, minute=0)
        grown = infected and rng.random() < 0.45
        row: Row = {
            "microevent_id": serial + 1,
            "micro_specimen_id": 1_000_000 + serial,
            "chartdate": day,
            "charttime": taken,
            "spec_itemid": 70012,
            "spec_type_desc": "BLOOD CULTURE",
            "test_seq": 1,
            "storedate": day + timedelta(days=5),
            "storetime": taken + timedelta(days=5),
            "test_itemid": 90201,
            "test_name": "Blood Culture, Routine",
            "comments": "" if grown else "NO GROWTH.",
        }
        if grown:
            itemid, name = pick(rng, ((80002, "ESCHERICHIA COLI"), (80023, "STAPH AUREUS COAG +")))
            row.update(org_itemid=itemid, org_name=name, isolate_num=1)
        return [row]

    def _transfers(self, patient: Patient, admission: Admission, registration: Row) -> list[Row]:
        ward = self.world.services[admission.service].ward
        steps: list[tuple[str, str, datetime, datetime | str]] = []
        if "edregtime" in registration:
            steps.append(("ED", "Emergency Department", registration["edregtime"], registration["edouttime"]))
        entered = registration.get("edouttime", admission.admittime)
        steps.append(("admit", ward, entered, admission.stays[0].intime))
        for number, stay in enumerate(admission.stays):
            if stay.first_unit == stay.last_unit:
                steps.append(("transfer", stay.first_unit, stay.intime, stay.outtime))
            else:
                middle = stay.intime + (stay.outtime - stay.intime) / 2
                middle = middle.replace(microsecond=0)
                steps.append(("transfer", stay.first_unit, stay.intime, middle))
                steps.append(("transfer", stay.last_unit, middle, stay.outtime))
            later = number + 1 < len(admission.stays)
            until = admission.stays[number + 1].intime if later else admission.dischtime
            steps.append(("transfer", ward, stay.outtime, until))
        steps.append(("discharge", "", admission.dischtime, ""))
        serial = patient.index * TRANSFERS_EACH + admission.number * (TRANSFERS_EACH // ADMISSIONS_EACH)
        return [
            {
                "transfer_id": identifier(30_000_000, serial + number),
                "eventtype": kind,
                "careunit": unit,
                "intime": start,
                "outtime": end,
            }
            for number, (kind, unit, start, end) in enumerate(steps)
        ]

    def _note(self, patient: Patient, admission: Admission, text: str, rng: np.random.Generator) -> Row:
        written = admission.dischtime.replace(hour=0, minute=0, second=0)
        return {
            "note_id": f"{patient.subject_id}-DS-{admission.number + 1}",
            "note_type": "DS",
            "note_seq": admission.number + 1,
            "charttime": written,
            "storetime": written + timedelta(minutes=int(rng.integers(600, 9000))),
            "text": text,
        }

"""Write a synthetic hospital: MIMIC-IV 2.2 tables with a known causal world behind them.

Patient i depends on the seed and on i only, so a larger hospital contains a smaller one. Patients are written in
chunks: memory does not grow with their number.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builder.contract.definitions import Definitions, shipped_definitions
from dataset_builder.storage.progress import Progress, Report, no_report
from dataset_builder.synthetic.identifiers import MAX_PATIENTS
from dataset_builder.synthetic.notes import NoteWriter
from dataset_builder.synthetic.patients import Admission, Patient, PatientMaker, Stay
from dataset_builder.synthetic.phrasebook import load_phrasebook
from dataset_builder.synthetic.records import AdmissionRecords
from dataset_builder.synthetic.series import StayChart, describe_effects, plan_effects
from dataset_builder.synthetic.tables import LICENCE, TableWriters
from dataset_builder.synthetic.world import World
from dataset_builder.synthetic.world_file import load_world
from modeling_clinragen.errors import SettingsError

CHUNK = 500
COUNTED = ("patients", "admissions", "stays", "chart_events", "lab_events", "notes")
LAB_EVENTS_EACH = 2000


def fill_hospital(
    folder: Path,
    *,
    patients: int,
    seed: int = 0,
    world: Path | None = None,
    definitions: Definitions | None = None,
    report: Report = no_report,
) -> dict[str, int]:
    """Write the tables of synthetic patients and `truth.jsonl.gz` into a folder. Returns counts (`COUNTED`).

    The same arguments give the same bytes.

    Args:
        folder: Has no tables yet; is made where it is not there. After an interruption its content is incomplete, so
            the caller fills one that becomes the result when it is complete, as the stage `synthesize` does.
        patients: Their number.
        seed: Of every patient.
        world: A folder with a world.yaml and a phrases.yaml; by default the shipped ones.
        definitions: Diseases that the world may have besides the shipped ones.
        report: Called with the number of patients that are done.

    Raises:
        SettingsError: The number of patients or the seed is out of its range.
        InputDataError: The world is faulty; the message names the entry.
    """
    if not 1 <= patients <= MAX_PATIENTS:
        raise SettingsError(f"patients must be between 1 and {MAX_PATIENTS}, not {patients}")
    if seed < 0:
        raise SettingsError(f"seed must be 0 or more, not {seed}")
    loaded = load_world(world, definitions or shipped_definitions())
    hospital = _Hospital(loaded, NoteWriter(loaded, load_phrasebook(world, loaded)), seed)
    counts = dict.fromkeys(COUNTED, 0)
    with TableWriters(folder) as writers:
        (folder / "LICENSE.txt").write_text(LICENCE, encoding="utf-8")
        hospital.write_items(writers)
        for first in range(0, patients, CHUNK):
            last = min(first + CHUNK, patients)
            for name, count in hospital.write_chunk(writers, range(first, last)).items():
                counts[name] += count
            report(Progress(last, patients, "patients"))
    return counts


class _Columns:
    """Event columns of a chunk: one array per stay, joined when written."""

    def __init__(self) -> None:
        self.parts: dict[str, list[np.ndarray]] = {}
        self.count = 0

    def add(self, count: int, **columns: Any) -> None:
        self.count += count
        for name, column in columns.items():
            values = column if isinstance(column, np.ndarray) else np.full(count, column)
            self.parts.setdefault(name, []).append(values)

    def joined(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self.parts.items()}


class _Hospital:
    """Turns patients into rows."""

    def __init__(self, world: World, notes: NoteWriter, seed: int) -> None:
        self.world = world
        self.notes = notes
        self.seed = seed
        self.maker = PatientMaker(world)
        self.records = AdmissionRecords(world)

    def write_items(self, writers: TableWriters) -> None:
        """Write the two dictionaries of items."""
        chart, labs = self.world.items.values(), self.world.lab_items.values()
        writers.records(
            "icu/d_items",
            (
                {
                    "itemid": item.itemid,
                    "label": item.label,
                    "abbreviation": item.abbreviation,
                    "linksto": "chartevents",
                    "category": item.category,
                    "unitname": item.unit,
                    "param_type": "Numeric",
                }
                for item in sorted(chart, key=lambda item: item.itemid)
            ),
        )
        writers.rows("hosp/d_labitems", ((item.itemid, item.label, item.fluid, item.category) for item in labs))

    def write_chunk(self, writers: TableWriters, indices: range) -> dict[str, int]:
        """Write the patients of `indices`; returns counts."""
        rows: dict[str, list[dict]] = {}
        chart, labs, truth = _Columns(), _Columns(), []
        for index in indices:
            rng = np.random.default_rng([self.seed, index])
            patient = self.maker.make(index, rng)
            rows.setdefault("hosp/patients", []).append(self.records.patient(patient))
            for admission in patient.admissions:
                truth.append(self._admission(patient, admission, rows, chart, labs, rng))
        for table, listed in rows.items():
            writers.records(table, listed)
        self._write_events(writers, chart, labs)
        writers.truth(truth)
        return {
            "patients": len(indices),
            "admissions": len(truth),
            "stays": len(rows["icu/icustays"]),
            "chart_events": chart.count,
            "lab_events": labs.count,
            "notes": len(rows["note/discharge"]),
        }

    def _admission(
        self,
        patient: Patient,
        admission: Admission,
        rows: dict[str, list[dict]],
        chart: _Columns,
        labs: _Columns,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        first = admission.stays[0]
        active = plan_effects(self.world, admission.findings, first.hours, rng)
        confounders: list[dict] = []
        for number, stay in enumerate(admission.stays):
            # A second stay is after recovery: only chronic diseases still show.
            showing = active if number == 0 else [one for one in active if one.chronic]
            charted = StayChart(self.world, stay, showing, patient.weight, rng).chart()
            confounders += charted.confounders if number == 0 else []
            self._add_chart(chart, patient, admission, stay, charted.chart, rng)
            self._add_labs(labs, patient, admission, stay, charted.labs, number)
        conditions = self.notes.conditions(patient, rng)
        note = self.notes.write(patient, admission, conditions, rng)
        for table, listed in self.records.admission(patient, admission, conditions, note.text, rng).items():
            rows.setdefault(table, []).extend(listed)
        diseases = {}
        for key, finding in admission.findings.items():
            marks = note.phrases[key]
            diseases[key] = {
                "coded": finding.coded,
                "evidence": finding.evidence,
                "phrase": marks[0]["phrase"] if marks else None,
                "section": marks[0]["section"] if marks else None,
                "more_phrases": marks[1:],
                "effects": describe_effects(active, key),
            }
        return {
            "subject_id": patient.subject_id,
            "hadm_id": admission.hadm_id,
            "stay_id": first.stay_id,
            "diseases": diseases,
            "distractors": note.distractors,
            "confounders": confounders,
        }

    def _add_chart(
        self,
        chart: _Columns,
        patient: Patient,
        admission: Admission,
        stay: Stay,
        events: tuple[np.ndarray, np.ndarray, np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        seconds, items, values = events
        count = len(seconds)
        # Chart times are whole minutes; the stay's own times are not.
        at = _moment(stay.intime) + seconds
        at -= at % 60
        chart.add(
            count,
            subject_id=patient.subject_id,
            hadm_id=admission.hadm_id,
            stay_id=stay.stay_id,
            caregiver_id=rng.integers(1000, 99999, 6)[(seconds // 43200) % 6],
            charttime=at,
            storetime=at + rng.integers(0, 45, count) * 60,
            itemid=items,
            valuenum=values,
        )

    def _add_labs(
        self,
        labs: _Columns,
        patient: Patient,
        admission: Admission,
        stay: Stay,
        events: tuple[np.ndarray, np.ndarray, np.ndarray],
        number: int,
    ) -> None:
        seconds, items, values = events
        count = len(seconds)
        at = _moment(stay.intime) + seconds
        at -= at % 60
        serial = patient.index * LAB_EVENTS_EACH + (admission.number * 2 + number) * (LAB_EVENTS_EACH // 4)
        labs.add(
            count,
            labevent_id=serial + np.arange(1, count + 1),
            subject_id=patient.subject_id,
            hadm_id=admission.hadm_id,
            specimen_id=10_000_000 + serial + np.arange(1, count + 1),
            itemid=items,
            charttime=at,
            storetime=at + 2700,
            valuenum=values,
        )

    def _write_events(self, writers: TableWriters, chart: _Columns, labs: _Columns) -> None:
        import pyarrow as pa

        def text(items: np.ndarray, by_item: dict[int, str]) -> pa.Array:
            """The text of each event's item; "" becomes an empty field."""
            known = np.array(sorted(by_item))
            words = pa.array([by_item[int(item)] or None for item in known], pa.string())
            return words.take(pa.array(np.searchsorted(known, items)))

        columns: dict[str, Any] = chart.joined()
        units = {item.itemid: item.unit for item in self.world.items.values()}
        columns["valueuom"] = text(columns["itemid"], units)
        columns["warning"] = np.zeros(chart.count, dtype=np.int64)
        writers.columns("icu/chartevents", _timed(columns))
        if not labs.count:
            return
        columns = labs.joined()
        items = self.world.lab_items.values()
        columns["valueuom"] = text(columns["itemid"], {item.itemid: item.unit for item in items})
        low = {item.itemid: item.normal[0] if item.normal else 0.0 for item in items}
        high = {item.itemid: item.normal[1] if item.normal else 0.0 for item in items}
        for name, bounds in (("ref_range_lower", low), ("ref_range_upper", high)):
            columns[name] = np.array([bounds[int(item)] for item in columns["itemid"]])
        outside = (columns["valuenum"] < columns["ref_range_lower"]) | (
            columns["valuenum"] > columns["ref_range_upper"]
        )
        columns["flag"] = pa.array([None, "abnormal"]).take(pa.array(outside.astype(np.int8)))
        columns["priority"] = pa.array(["ROUTINE"] * labs.count)
        writers.columns("hosp/labevents", _timed(columns))


def _timed(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns with their times as time stamps and the number repeated as the charted value."""
    timed = {name: columns[name].astype("datetime64[s]") for name in ("charttime", "storetime")}
    return {**columns, **timed, "value": columns["valuenum"]}


def _moment(time: datetime) -> int:
    """Seconds since 1970-01-01, without a time zone."""
    return int((time - datetime(1970, 1, 1)).total_seconds())

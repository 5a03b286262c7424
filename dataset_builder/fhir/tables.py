"""FHIR resources as the tables that `dataset_builder/sources/fhir.yaml` describes, which a cohort is built from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.fhir.codes import FhirCodes
from dataset_builder.fhir.documents import encounters_of, is_wanted, text_in
from dataset_builder.fhir.elements import Moment, codes_of, day_of, moment_of, name_of, status_of
from dataset_builder.fhir.encounters import Encounter, People, read_people
from dataset_builder.fhir.json_files import Found, resources
from dataset_builder.fhir.observations import Measured, measurements
from modeling_clinragen.errors import InputDataError

PART = 20_000  # rows of a table that are in memory at a time
_TEXT, _NUMBER, _TIME = pa.string(), pa.int64(), pa.timestamp("us")
SCHEMAS = {
    "stays": pa.schema(
        {
            **dict.fromkeys(("subject_id", "hadm_id", "stay_id"), _NUMBER),
            **dict.fromkeys(("in_time", "out_time", "admit_time", "discharge_time", "birth_time"), _TIME),
            **dict.fromkeys(("sex", "race", "first_unit", "last_unit", "admission_type", "admission_location"), _TEXT),
        }
    ),
    "diagnoses": pa.schema({"hadm_id": _NUMBER, "icd_code": _TEXT, "icd_version": _NUMBER}),
    "notes": pa.schema({"hadm_id": _NUMBER, "time": _TIME, "text": _TEXT}),
    "observations": pa.schema(
        {"subject_id": _NUMBER, "time": _TIME, "item": _TEXT, "number": pa.float64(), "unit": _TEXT}
    ),
}
PEOPLE = ("Patient", "Encounter")
Rows = Iterator[tuple[str, Mapping[str, Any]]]
"""Rows, each with its table's name."""


class _Clock:
    """Times of one kind: all with a time zone, which are then those of UTC, or all without one."""

    def __init__(self) -> None:
        self.seen: Counter[bool] = Counter()

    def time(self, moment: Moment) -> datetime:
        self.seen[moment.zoned] += 1
        return moment.time

    def refuse_mixture(self, folder: Path) -> None:
        if len(self.seen) > 1:
            raise InputDataError(
                f"{folder}: {self.seen[True]:,} times have a time zone and {self.seen[False]:,} have none; write all "
                "with one, or all without"
            )


def write_tables(
    folder: Path, paths: Collection[Path], root: Path, codes: FhirCodes, items: Collection[str]
) -> list[dict[str, Any]]:
    """Write stays, diagnoses, notes and observations as parquet files into `folder`.

    Args:
        folder: An existing folder; the tables are patient data.
        paths: The files with the resources. They are read twice: first who is there, then everything else.
        root: The folder they are in, for messages.
        codes: The reader's settings.
        items: The measurements that are wanted; the others are counted.

    Returns:
        What became of the resources of each type: `what`, `rows`, and `left_out` by reason.

    Raises:
        InputDataError: A file is damaged, there is no encounter that is a stay, or only some times have a time zone.
    """
    people = read_people(resources(paths, PEOPLE), codes)
    reader = _Reader(people, codes, items)
    _refuse_none(people, reader, codes, root)
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd"))
            for name, schema in SCHEMAS.items()
        }
        waiting: dict[str, list[Mapping[str, Any]]] = {name: [] for name in SCHEMAS}

        def flush(name: str) -> None:
            writers[name].write_table(pa.Table.from_pylist(waiting[name], schema=SCHEMAS[name]))
            waiting[name] = []

        for name, row in reader.rows(resources(paths)):
            waiting[name].append(row)
            if len(waiting[name]) >= PART:
                flush(name)
        for name in SCHEMAS:
            flush(name)
    reader.clock.refuse_mixture(root)
    return reader.records()


def _refuse_none(people: People, reader: _Reader, codes: FhirCodes, root: Path) -> None:
    if not reader.stays:
        encounters = people.listed()
        kinds = sorted({str(one.kind) for one in encounters if re.fullmatch("[A-Z]{1,12}", str(one.kind))})
        found = f"{len(encounters):,} encounters" + (f" (of class {', '.join(kinds)})" if kinds else "")
        raise InputDataError(
            f"{root}: has no stay: {found}, none of them of a patient in the files, of class "
            f"{', '.join(sorted(codes.stay_classes))} and with the times of its begin and end; add the Encounter and "
            "Patient resources"
        )


class _Reader:
    """Rows of tables from resources, and counts of what is left out."""

    def __init__(self, people: People, codes: FhirCodes, items: Collection[str]) -> None:
        self.clock = _Clock()
        self._people, self._codes, self._items = people, codes, items
        self._counts = people.counts
        self._values: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        found = people.stays(codes.stay_classes)
        self.stays = [stay for stay in found if stay.begin is not None and stay.end is not None]
        encounters = self._counts.setdefault("Encounter", Counter())
        encounters["without_times_of_begin_and_end"] += len(found) - len(self.stays)
        self._admissions = {stay.number: people.admission_of(stay, codes.stay_classes) for stay in self.stays}
        used = {one.number for one in (*found, *self._admissions.values())}
        encounters["of_another_kind"] += len(people.listed()) - len(used)
        self._by_patient: dict[int, list[Encounter]] = {}
        for admission in {one.number: one for one in self._admissions.values()}.values():
            self._by_patient.setdefault(admission.patient.number, []).append(admission)
        # An encounter lists its diagnoses; those of the stays within an admission are the admission's.
        self._coded: dict[str, set[int]] = {}
        of_admission = {one.number: one.number for one in self._admissions.values()}
        of_admission |= {stay: admission.number for stay, admission in self._admissions.items()}
        self._admission_of = of_admission
        for encounter in people.listed():
            for name in encounter.diagnoses if encounter.number in of_admission else ():
                self._coded.setdefault(name, set()).add(of_admission[encounter.number])

    def rows(self, found: Iterator[Found]) -> Rows:
        for stay in self.stays:
            yield "stays", self._stay(stay)
        readers = {"Observation": self._observation, "Condition": self._condition, "DocumentReference": self._document}
        for one in found:
            if one.kind in PEOPLE:
                continue
            if one.kind not in readers:
                self._others[one.kind if re.fullmatch("[A-Z][A-Za-z]{1,40}", one.kind) else "without_a_type"] += 1
                continue
            counted = self._counts.setdefault(one.kind, Counter())
            counted["rows"] += 1
            status = status_of(one.content)
            if status in self._codes.left_out[one.kind]:
                counted[str(status).replace("-", "_")] += 1
            else:
                yield from readers[one.kind](one, counted)

    def records(self) -> list[dict[str, Any]]:
        """Counts of the resources of each type, and by reason of those that are left out."""
        found = []
        for kind, counted in sorted(self._counts.items()):
            left_out = {reason: count for reason, count in counted.items() if reason != "rows" and count}
            found.append({"what": kind, "rows": counted["rows"], "left_out": left_out})
            if kind == "Observation":
                values = {reason: count for reason, count in self._values.items() if reason != "rows"}
                found.append({"what": "values in them", "rows": self._values["rows"], "left_out": values})
        if self._others:
            found.append({"what": "other resources", "rows": self._others.total(), "left_out": dict(self._others)})
        return found

    def _stay(self, stay: Encounter) -> Mapping[str, Any]:
        admission, patient = self._admissions[stay.number], stay.patient
        times = {
            "in_time": stay.begin,
            "out_time": stay.end,
            "admit_time": admission.begin or stay.begin,
            "discharge_time": admission.end or stay.end,
        }
        return {
            "subject_id": patient.number,
            "hadm_id": admission.number,
            "stay_id": stay.number,
            **{name: self.clock.time(moment) for name, moment in times.items() if moment is not None},
            "birth_time": None if patient.born is None else datetime.combine(patient.born, time()),
            "sex": patient.sex,
            "race": patient.race,
            "first_unit": stay.units[0],
            "last_unit": stay.units[1],
            "admission_type": admission.admission_type,
            "admission_location": admission.admission_location,
        }

    def _observation(self, one: Found, counted: Counter[str]) -> Rows:
        patient = self._people.patients.get(name_of(one.content.get("subject")) or "")
        if patient is None:
            counted["of_an_unknown_patient"] += 1
            return
        for measured in measurements(one.content, self._items):
            self._values["rows"] += 1
            if not isinstance(measured, Measured):
                self._values[measured] += 1
            elif not isinstance(measured.time, Moment):
                self._values["without_a_time"] += 1
            else:
                moment = self.clock.time(measured.time)
                row = {"subject_id": patient.number, "time": moment, "item": measured.item}
                yield "observations", {**row, "number": measured.value, "unit": measured.unit}

    def _condition(self, one: Found, counted: Counter[str]) -> Rows:
        codes = [
            (code, self._codes.icd[system])
            for system, code in codes_of(one.content.get("code"))
            if system in self._codes.icd
        ]
        admissions = {number for name in one.names for number in self._coded.get(name, ())}
        encounter = name_of(one.content.get("encounter"))
        said = one.content.get("recordedDate") or one.content.get("onsetDateTime")
        admissions |= self._placed([encounter] if encounter is not None else [], one, said)
        if not codes:
            counted["without_an_icd_code"] += 1
        elif not admissions:
            counted["of_no_admission"] += 1
        else:
            for number in sorted(admissions):
                for code, version in codes:
                    yield "diagnoses", {"hadm_id": number, "icd_code": code, "icd_version": version}

    def _document(self, one: Found, counted: Counter[str]) -> Rows:
        if not is_wanted(one.content, self._codes):
            counted["of_another_type"] += 1
            return
        admissions = self._placed(encounters_of(one.content), one, one.content.get("date"))
        text, why = text_in(one.content)
        if text is None:
            counted[why] += 1
        elif not admissions:
            counted["of_no_admission"] += 1
        else:
            moment = moment_of(one.content.get("date"))
            for number in sorted(admissions):
                when = None if moment is None else self.clock.time(moment)
                yield "notes", {"hadm_id": number, "time": when, "text": text}

    def _placed(self, encounters: list[str], one: Found, said: Any) -> set[int]:
        """The admissions of a resource: by its encounters, and without one by the day that it says."""
        patient = self._people.patients.get(name_of(one.content.get("subject")) or "")
        if encounters:
            found = [self._people.encounters[name] for name in encounters if name in self._people.encounters]
            own = [encounter for encounter in found if encounter.patient == patient]
            return {self._admission_of[one.number] for one in own if one.number in self._admission_of}
        day = day_of(said)
        if patient is None or day is None:
            return set()
        return {
            admission.number
            for admission in self._by_patient.get(patient.number, ())
            if admission.begin is not None
            and admission.end is not None
            # A day as it is written may be another one in UTC.
            and admission.begin.time.date() - timedelta(1) < day < admission.end.time.date() + timedelta(1)
        }

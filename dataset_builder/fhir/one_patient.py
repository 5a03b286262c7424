"""One patient's note and series from a file of FHIR resources, as a model reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.measurement_units import unit_of
from dataset_builder.contract.series_thinning import thin
from dataset_builder.fhir.codes import FhirCodes
from dataset_builder.fhir.documents import encounters_of, is_wanted, text_in
from dataset_builder.fhir.elements import Moment, moment_of, name_of, status_of
from dataset_builder.fhir.encounters import Encounter, People, read_people
from dataset_builder.fhir.json_files import Found, resources
from dataset_builder.fhir.observations import Measured, measurements
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.note_clinragen import clean_note, has_words
from modeling_clinragen.vocabulary_clinragen import Variable, Vocabulary

READ = ("Encounter", "Observation", "DocumentReference")
FROM_THE_FIRST = "There is no encounter with a begin: hours are counted from the first measurement."
LATEST = "There are {count} encounters: the latest is read."
FIRST_NOTE = "There are {count} notes: the first is read."


@dataclass(frozen=True)
class FhirPatient:
    """A patient's note and series. `remarks` says what was left out, in sentences."""

    note: str | None
    series: LabSeries
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class FhirTerms:
    """Codes that are read: by item the key of the variable that it measures; and more spellings of units."""

    codes: FhirCodes
    variable_of_item: Mapping[str, str]
    units: Mapping[str, str]


def read_patient(path: Path, vocabulary: Vocabulary, terms: FhirTerms, *, at_most: int | None = None) -> FhirPatient:
    """Read the note and the series of a patient's latest encounter, stays before others.

    Args:
        path: A Bundle (.json) or NDJSON, with resources of one patient.
        vocabulary: Whose variables are read.
        terms: What is read.
        at_most: Number of rows above which the series is thinned (see `thin`); None keeps all.

    Returns:
        The patient; of several values of a variable at a time the largest counts, as in a cohort.

    Raises:
        InputDataError: The file is not of FHIR resources, is of several patients, or only some of its times have a
            time zone.
    """
    path = Path(path)
    found = list(resources([path]))
    if not any(one.kind for one in found):
        raise InputDataError(f"{path}: has no FHIR resource; give a Bundle, or NDJSON with a resource in each line")
    found += _unnamed(found, path)
    people = read_people((one for one in found if one.kind in ("Patient", "Encounter")), terms.codes)
    left_out: Counter[str] = Counter()
    for reason, count in people.counts.get("Encounter", Counter()).items():
        left_out.update({} if reason == "rows" else {f"encounters_{reason}": count})
    stay, remarks = _latest(people, terms.codes)
    values = list(_values(found, vocabulary, terms, left_out))
    series = _series(values, stay, vocabulary, left_out, path)
    if stay is None or stay.begin is None:
        remarks += [FROM_THE_FIRST] if any(isinstance(one.time, Moment) for one, _, _ in values) else []
    note, notes = _note(found, people, stay, terms.codes, left_out)
    remarks += [FIRST_NOTE.format(count=notes)] if notes > 1 else []
    if left_out:
        counted = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in left_out.items())
        remarks.append(f"Left out of the FHIR file: {counted}.")
    series = replace(series, remarks=tuple(remarks))
    series = series if at_most is None else thin(series, at_most)
    return FhirPatient(note, series, series.remarks)


def _unnamed(found: list[Found], path: Path) -> list[Found]:
    """The one patient whom resources are of that is not a resource itself; nobody where it is.

    Raises `InputDataError` where there are several.
    """
    names = [one.names for one in found if one.kind == "Patient"]
    there = {name for own in names for name in own}
    owners = {name_of(one.content.get("subject")) for one in found if one.kind in READ}
    strangers = sorted(name for name in owners - there if name is not None)
    if len(names) + len(strangers) > 1:
        raise InputDataError(f"{path}: has resources of {len(names) + len(strangers):,} patients; give one patient's")
    return [Found("Patient", (name,), {}) for name in strangers]


def _latest(people: People, codes: FhirCodes) -> tuple[Encounter | None, list[str]]:
    """The encounter that is read, and a remark where there are several."""
    stays = people.stays(codes.stay_classes) or people.listed()
    begun = [(stay.begin.time, stay.number, stay) for stay in stays if stay.begin is not None]
    latest = max(begun)[2] if begun else next(iter(stays), None)
    return latest, [LATEST.format(count=len(stays))] if len(stays) > 1 else []


_Value = tuple[Measured, Variable, float]


def _values(found: list[Found], vocabulary: Vocabulary, terms: FhirTerms, left_out: Counter[str]) -> Iterator[_Value]:
    """Measurements of the vocabulary's variables, in their own units; the others are counted."""
    wanted = {item: key for item, key in terms.variable_of_item.items() if key in vocabulary.variable_keys}
    for one in (one for one in found if one.kind == "Observation"):
        if status_of(one.content) in terms.codes.left_out["Observation"]:
            left_out[f"observations_{str(status_of(one.content)).replace('-', '_')}"] += 1
            continue
        for measured in measurements(one.content, wanted):
            if isinstance(measured, str):
                left_out[f"values_{measured}"] += 1
                continue
            variable = vocabulary.variable(wanted[measured.item])
            unit = unit_of(measured.unit, variable, terms.units)
            if unit is None:
                left_out["values_of_an_unknown_unit"] += 1
                continue
            value = float(np.float32(measured.value * unit.scale + unit.offset))
            low, high = variable.plausible
            if low <= value <= high:
                yield measured, variable, value
            else:
                left_out["implausible_values"] += 1


def _series(
    values: list[_Value], stay: Encounter | None, vocabulary: Vocabulary, left_out: Counter[str], path: Path
) -> LabSeries:
    moments = [one.time for one, _, _ in values if isinstance(one.time, Moment)]
    begin, end = (stay.begin, stay.end) if stay is not None else (None, None)
    zones = {moment.zoned for moment in [*moments, *(one for one in (begin, end) if one is not None)]}
    if moments and len(zones) > 1:
        raise InputDataError(f"{path}: only some times have a time zone; write all with one, or all without")
    start = begin.time if begin is not None else min((moment.time for moment in moments), default=None)
    last = None if begin is None or end is None else (end.time - begin.time).total_seconds() / 3600
    cells: dict[tuple[float, str], float] = {}
    for one, variable, value in values:
        if isinstance(one.time, Moment):
            assert start is not None
            hour = (one.time.time - start).total_seconds() / 3600
        else:
            hour = one.time
        if hour < 0 or (last is not None and hour > last):
            left_out["values_outside_the_encounter"] += 1
            continue
        key = (float(np.float32(hour)), variable.key)
        cells[key] = max(value, cells.get(key, value))
    hours = sorted({hour for hour, _ in cells})
    row_of = {hour: row for row, hour in enumerate(hours)}
    rows = np.full((len(hours), len(vocabulary.variables)), np.nan, dtype=np.float32)
    for (hour, variable_key), value in cells.items():
        rows[row_of[hour], vocabulary.variable_keys.index(variable_key)] = value
    return LabSeries.from_values(vocabulary, np.array(hours, dtype=np.float32), rows)


def _note(
    found: list[Found], people: People, stay: Encounter | None, codes: FhirCodes, left_out: Counter[str]
) -> tuple[str | None, int]:
    """The first note by time of the encounter, or of none in particular, cleaned; and how many there are."""
    notes = []
    numbers = set() if stay is None else {stay.number, people.admission_of(stay, codes.stay_classes).number}
    for place, one in enumerate(one for one in found if one.kind == "DocumentReference"):
        status = status_of(one.content)
        named = [people.encounters[name].number for name in encounters_of(one.content) if name in people.encounters]
        if status in codes.left_out["DocumentReference"]:
            left_out[f"documents_{str(status).replace('-', '_')}"] += 1
        elif not is_wanted(one.content, codes):
            left_out["documents_of_another_type"] += 1
        elif named and not numbers & set(named):
            left_out["documents_of_another_encounter"] += 1
        else:
            text, why = text_in(one.content)
            note = clean_note(text) if text is not None else ""
            if not has_words(note):
                left_out[f"documents_{why or 'without_text'}"] += 1
                continue
            moment = moment_of(one.content.get("date"))
            notes.append((moment is None, moment.time.isoformat() if moment is not None else "", place, note))
    return (min(notes)[3] if notes else None), len(notes)

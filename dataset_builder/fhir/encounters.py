"""Patients and encounters: who is there, which encounters are stays, and of which admission each is."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from dataset_builder.fhir.codes import FhirCodes
from dataset_builder.fhir.elements import (
    Moment,
    codes_of,
    day_of,
    listed,
    mapping,
    moment_of,
    name_of,
    status_of,
    text_of,
    words_of,
)
from dataset_builder.fhir.json_files import Found
from modeling_clinragen.errors import InputDataError

SEX = {"female": "F", "male": "M"}
RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
DIGITS = 18
NO_UNIT = "inpatient"
WARD = "wa"


@dataclass(frozen=True)
class Patient:
    """A patient. `number` is the id where that is a number, otherwise made of it."""

    number: int
    sex: str | None
    born: date | None
    race: str | None


@dataclass(frozen=True)
class Encounter:
    """An encounter; of one that goes on, or whose times are not known, `begin` or `end` is None."""

    number: int
    patient: Patient
    kind: str | None
    begin: Moment | None
    end: Moment | None
    units: tuple[str, str]
    admission_type: str | None
    admission_location: str | None
    parent: str | None
    diagnoses: tuple[str, ...]


@dataclass
class People:
    """Everybody in the files. `counts` has, by type of resource, how many there are and why others are left out."""

    patients: dict[str, Patient] = field(default_factory=dict)
    encounters: dict[str, Encounter] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def listed(self) -> list[Encounter]:
        """Every encounter once."""
        return list({encounter.number: encounter for encounter in self.encounters.values()}.values())

    def stays(self, classes: Collection[str]) -> list[Encounter]:
        """The encounters of these classes that no other one of them is a part of."""
        wanted = [encounter for encounter in self.listed() if encounter.kind in classes]
        outer = {outer.number for one in wanted if (outer := self._outer(one)) is not None}
        return [encounter for encounter in wanted if encounter.number not in outer]

    def admission_of(self, stay: Encounter, classes: Collection[str]) -> Encounter:
        """The outermost encounter of these classes that a stay is a part of; the stay itself without one."""
        seen = {stay.number}
        while (outer := self._outer(stay)) is not None and outer.kind in classes and outer.number not in seen:
            seen.add(outer.number)
            stay = outer
        return stay

    def _outer(self, one: Encounter) -> Encounter | None:
        """The encounter that one is a part of. It holds its begin: some write an earlier encounter there."""
        outer = self.encounters.get(one.parent or "")
        if outer is None or outer.patient != one.patient or outer.begin is None or one.begin is None:
            return None
        ended = outer.end is not None and outer.end.time <= one.begin.time
        return None if ended or outer.begin.time > one.begin.time else outer


def read_people(found: Iterable[Found], codes: FhirCodes) -> People:
    """Patients and encounters of the files.

    Raises:
        InputDataError: Two ids make the same number.
    """
    people = People()
    encounters = []
    numbers: dict[tuple[str, int], str] = {}
    for one in found:
        counted = people.counts.setdefault(one.kind, Counter())
        counted["rows"] += 1
        if not one.names:
            counted["without_an_id"] += 1
        elif any(name in people.patients or name in people.encounters for name in one.names):
            counted["with_the_id_of_another"] += 1
        elif one.kind == "Patient":
            number = _number(one, numbers)
            race = _race(one.content)
            sex = SEX.get(str(one.content.get("gender")))
            patient = Patient(number, sex, day_of(one.content.get("birthDate")), race)
            people.patients.update(dict.fromkeys(one.names, patient))
        elif status_of(one.content) in codes.left_out["Encounter"]:
            counted[str(status_of(one.content)).replace("-", "_")] += 1
        else:
            encounters.append(one)
    for one in encounters:
        owner = people.patients.get(name_of(one.content.get("subject")) or "")
        if owner is None:
            people.counts[one.kind]["of_an_unknown_patient"] += 1
        elif any(name in people.encounters for name in one.names):
            people.counts[one.kind]["with_the_id_of_another"] += 1
        else:
            people.encounters.update(dict.fromkeys(one.names, _encounter(one, owner, numbers)))
    return people


def _encounter(found: Found, patient: Patient, numbers: dict[tuple[str, int], str]) -> Encounter:
    content = found.content
    period = mapping(content.get("period") or content.get("actualPeriod"))
    admitted = mapping(content.get("hospitalization") or content.get("admission"))
    units = _units(content) or [NO_UNIT]
    diagnoses = []
    for diagnosis in map(mapping, listed(content.get("diagnosis"))):
        said = diagnosis.get("condition")
        # R5 lists references within references.
        for condition in said if isinstance(said, list) else [said]:
            inner = mapping(condition).get("reference")
            diagnoses.append(name_of(inner if isinstance(inner, dict) else condition))
    return Encounter(
        number=_number(found, numbers),
        patient=patient,
        kind=_class(content.get("class")),
        begin=moment_of(period.get("start")),
        end=moment_of(period.get("end")),
        units=(units[0], units[-1]),
        admission_type=words_of(content.get("priority")),
        admission_location=words_of(admitted.get("admitSource")),
        parent=name_of(content.get("partOf")),
        diagnoses=tuple(one for one in diagnoses if one is not None),
    )


def _units(content: Mapping[str, Any]) -> list[str]:
    """Names of the places in the order of time. Of wards, rooms and beds the wards; without times it is one place."""
    places = [mapping(place) for place in listed(content.get("location"))]
    wards = [place for place in places if any(code == WARD for _, code in codes_of(place.get("physicalType")))]
    named = [(text_of(mapping(place.get("location")).get("display")), place) for place in wards or places]
    timed = [(text_of(mapping(place.get("period")).get("start")), name) for name, place in named if name is not None]
    in_order = [name for begin, name in sorted(timed, key=lambda one: one[0] or "") if begin is not None]
    if in_order or wards:
        return in_order or [name for _, name in timed[:1]]
    service = words_of(content.get("serviceType"))
    return [service] if service is not None else [name for _, name in timed[:1]]


def _class(said: Any) -> str | None:
    """R4 has a coding, R5 a list of concepts."""
    concepts = said if isinstance(said, list) else [{"coding": [said]}]
    return next((code for concept in concepts for _, code in codes_of(concept)), None) or text_of(
        mapping(said).get("code")
    )


def _race(content: Mapping[str, Any]) -> str | None:
    for extension in map(mapping, listed(content.get("extension"))):
        if extension.get("url") == RACE:
            parts = [mapping(part) for part in listed(extension.get("extension"))]
            return next((text_of(part.get("valueString")) for part in parts if part.get("url") == "text"), None)
    return None


def _number(found: Found, numbers: dict[tuple[str, int], str]) -> int:
    own = found.names[0].rpartition("/")[2]
    if own.isascii() and own.isdecimal() and len(own) <= DIGITS and (own == "0" or not own.startswith("0")):
        number = int(own)
    else:
        number = int.from_bytes(hashlib.sha256(own.encode()).digest()[:8], "big") % 10**DIGITS
    if numbers.setdefault((found.kind, number), own) != own:
        raise InputDataError(f"two ids of {found.kind} resources make the same number; rename one of them")
    return number

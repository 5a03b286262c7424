"""Parts of FHIR resources as values. Whatever is in a file may come here: what is not as FHIR has it is None."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from dataset_builder.fhir.codes import ITEM, LOINC

UCUM = "http://unitsofmeasure.org"
RELATIVE = "http://hl7.org/fhir/StructureDefinition/cqf-relativeDateTime"
SIGNS = {"after-start": 1.0, "before-start": -1.0}
_DATE = re.compile(r"([0-9]{4})(-[0-9]{2}(-[0-9]{2})?)?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
)
_LONGEST_TIME = 60
_NAME = re.compile(r"([A-Za-z]+)/([A-Za-z0-9.-]{1,128})(?:/_history/[^/]*)?$")


@dataclass(frozen=True)
class Moment:
    """A point in time, in UTC where it has a time zone, and as it is written where it has none."""

    time: datetime
    zoned: bool


def mapping(value: Any) -> Mapping[str, Any]:
    """An element with parts; one without where `value` is something else."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """The elements of one that repeats."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str | None:
    """A text with a character in it that can be seen. What is not a character of Unicode is replaced."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode("utf-8", "replace").decode("utf-8")


def number_of(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def codes_of(concept: Any) -> Iterator[tuple[str, str]]:
    """System and code of each coding of a CodeableConcept that has both."""
    for coding in map(mapping, listed(mapping(concept).get("coding"))):
        system, code = text_of(coding.get("system")), text_of(coding.get("code"))
        if system is not None and code is not None:
            yield system, code


def words_of(concept: Any) -> str | None:
    """A CodeableConcept in words."""
    found = text_of(mapping(concept).get("text"))
    shown = (text_of(mapping(coding).get("display")) for coding in listed(mapping(concept).get("coding")))
    return found or next((one for one in shown if one is not None), None)


def item_of(system: str, code: str) -> str:
    """A code of a measurement as sources write it."""
    return ITEM.format(code=code) if system == LOINC else f"{system}//{code}"


def name_of(reference: Any) -> str | None:
    """The name that a Reference, or the text in one, refers to: "Patient/1", or a URN as it is."""
    text = text_of(reference if isinstance(reference, str) else mapping(reference).get("reference"))
    if text is None:
        return None
    if text.startswith("urn:"):
        return text.lower()
    found = _NAME.search(text)
    return f"{found[1]}/{found[2]}" if found is not None else None


def status_of(resource: Mapping[str, Any]) -> str | None:
    """The status of a resource; of a condition whether it is verified."""
    if resource.get("resourceType") == "Condition":
        return next((code for _, code in codes_of(resource.get("verificationStatus"))), None)
    own, of_document = text_of(resource.get("status")), text_of(resource.get("docStatus"))
    return of_document if of_document == "entered-in-error" else own


def moment_of(value: Any) -> Moment | None:
    """The moment that a dateTime or instant says; None for another value, and for a date without a time of day."""
    text = text_of(value)
    found = _TIME.fullmatch(text) if text is not None and len(text) <= _LONGEST_TIME else None
    if text is None or found is None:
        return None
    # Python reads six digits of a second.
    text = re.sub(r"([.][0-9]{6})[0-9]+", r"\1", text)
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            time = time.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return Moment(time, found["zone"] is not None)


def day_of(value: Any) -> date | None:
    """The day of a date or dateTime as it is written there; None for a year or month alone."""
    text = text_of(value)
    found = _DATE.match(text) if text is not None else None
    try:
        return date.fromisoformat(found[0]) if found is not None and found[3] is not None else None
    except ValueError:
        return None


def hours_after_start(value: Any) -> float | None:
    """The hours of a time that is known only from the begin of the stay (HL7's extension cqf-relativeDateTime)."""
    for extension in map(mapping, listed(mapping(value).get("extension"))):
        if extension.get("url") == RELATIVE:
            parts = {text_of(mapping(part).get("url")): mapping(part) for part in listed(extension.get("extension"))}
            sign = SIGNS.get(str(parts.get("relationship", {}).get("valueCode")))
            offset = mapping(parts.get("offset", {}).get("valueDuration"))
            hours = number_of(offset.get("value"))
            if sign is not None and hours is not None and offset.get("code") == "h":
                return sign * hours
    return None

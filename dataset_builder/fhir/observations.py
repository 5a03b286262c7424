"""Measurements in Observation resources, those of their components included."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_builder.fhir.elements import (
    UCUM,
    Moment,
    codes_of,
    hours_after_start,
    item_of,
    listed,
    mapping,
    moment_of,
    number_of,
    text_of,
)


@dataclass(frozen=True)
class Measured:
    """A value of one item, in `unit` as it is written. `time` is a moment, or hours since the begin of the stay."""

    item: str
    value: float
    unit: str | None
    time: Moment | float


def measurements(content: Mapping[str, Any], items: Collection[str]) -> Iterator[Measured | str]:
    """Measurements of `items` in an Observation, and for each other value the reason why it is not used.

    A value over a period is taken at the period's end, when it was known.
    """
    parts = [content, *map(mapping, listed(content.get("component")))]
    time = _time(content)
    # A panel has its values in its components, and none of its own.
    for number, part in enumerate(parts):
        if number == 0 and len(parts) > 1 and not _says(part, "value"):
            continue
        codes = [item_of(system, code) for system, code in codes_of(part.get("code"))]
        item = next((one for one in codes if one in items), None)
        if item is None:
            yield "of_other_codes" if codes else "without_a_code"
            continue
        value, unit, fault = _value(part)
        if value is None:
            yield fault
        elif time is None:
            yield _why_no_time(content)
        else:
            yield Measured(item, value, unit, time)


def _value(part: Mapping[str, Any]) -> tuple[float | None, str | None, str]:
    """The number, its unit as written, and the reason to count if there is no number. Number and unit may be None."""
    if "valueQuantity" not in part:
        number = number_of(part.get("valueInteger"))
        return number, None, "not_a_number" if _says(part, "value") else "without_a_value"
    quantity = mapping(part["valueQuantity"])
    if text_of(quantity.get("comparator")) is not None:
        return None, None, "only_a_bound"
    code, unit = text_of(quantity.get("code")), text_of(quantity.get("unit"))
    by_ucum = quantity.get("system") == UCUM
    return number_of(quantity.get("value")), (code or unit) if by_ucum else (unit or code), "not_a_number"


def _time(content: Mapping[str, Any]) -> Moment | float | None:
    period = mapping(content.get("effectivePeriod"))
    said = (
        content.get("effectiveDateTime"),
        content.get("effectiveInstant"),
        period.get("end") or period.get("start"),
    )
    found = next((moment for one in said if (moment := moment_of(one)) is not None), None)
    return found if found is not None else hours_after_start(content.get("_effectiveDateTime"))


def _why_no_time(content: Mapping[str, Any]) -> str:
    return "without_a_time_of_day" if _says(content, "effective") else "without_a_time"


def _says(part: Mapping[str, Any], beginning: str) -> bool:
    """Whether an element is there in any of its types, such as valueQuantity or valueString."""
    return any(name.startswith(beginning) for name in part)

"""The measurements of a patient as FHIR Observations, one for each, timed by the hours since ICU admission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clinragen.export.fhir_codes import UCUM, coded_variable, quantity
from dataset_builder.contract.lab_series import LabSeries

RELATIVE = "http://hl7.org/fhir/StructureDefinition/cqf-relativeDateTime"
"""FHIR's own extension for a time that is known only from another one."""
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_LEVELS = {"low": ("L", "Low"), "normal": ("N", "Normal"), "high": ("H", "High")}


def observations(
    series: LabSeries, range_set: str, patient: Mapping[str, str], stay: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name and a resource for each measurement, in the order of time.

    Args:
        series: The measurements.
        range_set: Name of what is low, normal and high.
        patient, stay: References to whose they are, and to the stay whose beginning the hours are counted from.
    """
    normal = series.vocabulary.range_set(range_set)
    for step, hour in enumerate(series.hours.tolist()):
        for place, variable in enumerate(series.vocabulary.variables):
            if not series.observed[step, place]:
                continue
            value = float(series.values[step, place])
            found: dict[str, Any] = {
                "resourceType": "Observation",
                # Whether it was corrected later is not known here.
                "status": "unknown",
                "code": coded_variable(variable),
                "subject": patient,
                "encounter": stay,
                "_effectiveDateTime": {"extension": [_hours_after(stay, hour)]},
                "valueQuantity": quantity(value, variable),
            }
            level = normal.level(variable.key, value)
            if level is not None:
                code, display = _LEVELS[level]
                coding = {"system": _INTERPRETATION, "code": code, "display": display}
                found["interpretation"] = [{"coding": [coding]}]
                low, high = (quantity(end, variable) for end in normal.bounds[variable.key])
                found["referenceRange"] = [{"low": low, "high": high, "text": f"range set {range_set}"}]
            yield f"{variable.key} {step}", found


def _hours_after(stay: Mapping[str, str], hours: float) -> dict[str, Any]:
    offset = {"value": float(f"{abs(hours):.6g}"), "unit": "hours", "system": UCUM, "code": "h"}
    return {
        "url": RELATIVE,
        "extension": [
            {"url": "target", "valueReference": stay},
            {"url": "targetPath", "valueString": "period"},
            {"url": "relationship", "valueCode": "after-start" if hours >= 0 else "before-start"},
            {"url": "offset", "valueDuration": offset},
        ],
    }

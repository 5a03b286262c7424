"""Settings of the reader of FHIR resources: which encounters are stays, which codes are ICD's, which notes count.

They are the part `fhir` of a source's YAML file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LOINC = "http://loinc.org"
ITEM = "LOINC//{code}"
"""A measurement's item: LOINC codes are written so, those of another system as "<system>//<code>"."""


@dataclass(frozen=True)
class FhirCodes:
    """The part `fhir` of a source's YAML file.

    Args:
        stay_classes: Classes of the encounters that are stays.
        icd: Code systems of diagnoses, with the version of ICD that each is.
        note_types: LOINC codes of the documents that are read as notes.
        untyped_notes: Whether documents that have no LOINC code are read too.
        left_out: By type of resource, the statuses of those that are left out.
    """

    stay_classes: frozenset[str]
    icd: Mapping[str, int]
    note_types: frozenset[str]
    untyped_notes: bool
    left_out: Mapping[str, frozenset[str]]


def parse_codes(content: Mapping[str, Any]) -> FhirCodes:
    """From YAML. Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` where it is malformed."""
    return FhirCodes(
        frozenset(map(str, content["stay_classes"])),
        {str(system): int(version) for system, version in content["icd"].items()},
        frozenset(map(str, content["note_types"])),
        bool(content["untyped_notes"]),
        {str(kind): frozenset(map(str, statuses)) for kind, statuses in content["left_out"].items()},
    )

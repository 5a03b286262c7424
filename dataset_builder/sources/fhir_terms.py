"""Codes that are read of one patient's FHIR resources: those of `fhir.yaml`, without a build."""

from __future__ import annotations

from dataset_builder.contract.definitions import Definitions
from dataset_builder.fhir.one_patient import FhirTerms
from dataset_builder.sources.spec import load_source


def fhir_terms(definitions: Definitions) -> FhirTerms:
    """The codes of the shipped source "fhir", and the items that measure the variables of `definitions`."""
    source = load_source("fhir", definitions)
    assert source.fhir is not None
    return FhirTerms(source.fhir, {item.item: item.variable for item in source.items}, source.units)

"""Variables and diseases as FHIR's concepts: with a code only where there is one that says the same."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.fhir.codes import LOINC
from dataset_builder.fhir.elements import UCUM
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.vocabulary_clinragen import Variable, Vocabulary

ICD_10 = "http://hl7.org/fhir/sid/icd-10-cm"


@lru_cache(maxsize=1)
def _codes() -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(files("clinragen.export") / "resources" / "fhir_codes.yaml")
    return content


def coded_variable(variable: Variable) -> dict[str, Any]:
    """A variable as a CodeableConcept: with its LOINC code, or in words where it has none.

    A variable has the code only where it is the shipped one, by key and unit.
    """
    code = _codes()["loinc"].get(variable.key)
    if code is None or variable.unit != shipped_definitions().vocabulary.variable(variable.key).unit:
        return {"text": variable.name}
    return {"coding": [{"system": LOINC, "code": code}], "text": variable.name}


def quantity(value: float, variable: Variable) -> dict[str, Any]:
    """A value as a Quantity, with the UCUM code of its unit where we know it."""
    # Without the digits that single precision adds.
    found: dict[str, Any] = {"value": float(f"{value:.6g}"), "unit": variable.unit}
    code = _codes()["ucum"].get(variable.unit)
    return found if code is None else {**found, "system": UCUM, "code": code}


def coded_disease(name: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """A disease as a CodeableConcept: in words, and with an ICD-10-CM code where it stands for one code alone.

    A model has no codes. They are those of the shipped definitions, where these have the disease by the same key and
    name; nearly every one of them stands for many.

    Args:
        name: The name; raw output may have one that is not in the vocabulary.
        vocabulary: The model's.
    """
    key = vocabulary.key_of_disease.get(name)
    shipped = shipped_definitions()
    same = key is not None and shipped.vocabulary.name_of_disease.get(key) == name
    codes = shipped.codes[key].get(10, frozenset()) if key is not None and same else frozenset()
    if len(codes) != 1:
        return {"text": name}
    (code,) = codes
    dotted = code if len(code) <= 3 else f"{code[:3]}.{code[3:]}"
    return {"coding": [{"system": ICD_10, "code": dotted}], "text": name}

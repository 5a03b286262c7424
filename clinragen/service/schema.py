"""The service's requests and small answers, as OpenAPI has them; for the large answers see `openapi.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clinragen.checking.inputs import MAX_CHARACTERS
from dataset_builder.contract.csv_file import csv_rules
from modeling_clinragen.reading_clinragen import LONGEST_NOTE

MOST_PATIENTS = 64
"""Of one request."""
MOST_ROWS: int = csv_rules()["limits"]["rows"]
"""Of a patient's measurements."""
# Strict: text and true are no numbers.
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Values = Annotated[list[Number | None], Field(max_length=MOST_ROWS)]
Pairs = Annotated[list[tuple[Number, Number]], Field(max_length=MOST_ROWS)]
Column = Annotated[
    Values | Pairs,
    Field(
        description="A value for each of `hours`, null where nothing was measured; without `hours`, pairs of hour "
        "and value."
    ),
]


class Strict(BaseModel):
    """A request without unknown fields: a misspelt one must not be a patient without labs."""

    model_config = ConfigDict(extra="forbid")


class PatientData(Strict):
    """One patient; give a note, measurements, or both."""

    note: str | None = Field(None, max_length=LONGEST_NOTE, description="The note.")
    labs: dict[str, Column] | None = Field(
        None,
        description="By variable (key, name or alias, its unit in brackets where it is another one than the model's), "
        "either values at the times `hours` since ICU admission or, without `hours`, pairs of hour and value.",
        examples=[{"hours": [0, 4, 8], "heart rate (bpm)": [112, 118, None]}],
    )


class ExplainRequest(Strict):
    """Patients to diagnose and explain."""

    patients: list[PatientData] = Field(min_length=1, max_length=MOST_PATIENTS)


class CheckRequest(Strict):
    """A rationale, whoever wrote it, to check against a patient's data."""

    text: str = Field(min_length=1, max_length=MAX_CHARACTERS, description="The rationale.")
    patient: PatientData
    diagnoses: list[str] | None = Field(None, description="Diseases that the rationale has to agree with.")


class Health(BaseModel):
    """That the service answers, and how much waits."""

    status: str
    waiting: int = Field(description="Patients that wait for the model.")


class Refused(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="One line, without anything of the patient.")

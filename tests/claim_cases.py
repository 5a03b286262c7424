"""Hand-written series and sentences of `data/claim_sentences.yaml`, and how tests check a text against them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from clinragen.claims.check import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Checking, Claim, check_rationale
from clinragen.knowledge import load_knowledge
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import Vocabulary

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "data" / "claim_sentences.yaml").read_text("utf-8"))
VOCABULARY = shipped_definitions().vocabulary
KEYS = list(VOCABULARY.variable_keys)
RANGES = VOCABULARY.range_set("clinical")
KNOWLEDGE = load_knowledge(None, VOCABULARY)
CHECKING = Checking(VOCABULARY, RANGES, KNOWLEDGE)
SHORT = {SUPPORTED: "S", CONTRADICTED: "C", UNVERIFIABLE: "U"}


def series_of(columns: Mapping[str, Any], vocabulary: Vocabulary = VOCABULARY) -> LabSeries:
    """A series from `hours` and values by variable key; None where nothing was measured."""
    table = np.full((len(columns["hours"]), len(vocabulary.variables)), np.nan, dtype=np.float32)
    for column, key in enumerate(vocabulary.variable_keys):
        if key in columns:
            table[:, column] = [np.nan if value is None else value for value in columns[key]]
    return LabSeries.from_values(vocabulary, np.array(columns["hours"]), table)


SERIES = {name: series_of(columns) for name, columns in CASES["series"].items()}


def check(text: str, name: str = "septic", note: str | None = None) -> list[Claim]:
    """The claims of a text about one of the series, by the clinical ranges."""
    return check_rationale(text, SERIES[name], note, range_set=RANGES, knowledge=KNOWLEDGE)


def by_variable(claims: list[Claim]) -> dict[str, str]:
    """The worst verdict on each variable, and on the note; what is said about diseases is left out."""
    worst: dict[str, str] = {}
    for claim in claims:
        if claim.kind == "tie" or claim.disease is not None:
            continue
        key = claim.variable or ("note" if claim.kind == "note" else "any")
        worst[key] = min(worst.get(key, "S"), SHORT[claim.verdict], key="CUS".index)
    return worst


def example_of(name: str, diagnoses: list[str]) -> dict[str, Any]:
    """A row of the data contract with the note and one of the series."""
    series = SERIES[name]
    return {
        "note": CASES["note"],
        "lab_hours": series.hours.tolist(),
        "lab_values": [[None if np.isnan(value) else float(value) for value in row] for row in series.values],
        "lab_observed": series.observed.tolist(),
        "diagnoses": diagnoses,
    }

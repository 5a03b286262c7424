"""Reads what the synthetic hospital knows of its own patients, to score with; nothing that a model reads has it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_clinragen.errors import InputDataError

TRUTH = "truth.jsonl.gz"
"""The file beside the tables, one line of JSON for each admission."""


@dataclass(frozen=True)
class TrueCourse:
    """The span of hours since ICU admission in which a disease moves a variable."""

    variable: str
    from_hour: float
    to_hour: float


@dataclass(frozen=True)
class TrueEvidence:
    """How a present disease shows.

    Args:
        phrases: The words of the note that speak of it, as they stand there.
        courses: What it does to the series.
    """

    phrases: tuple[str, ...]
    courses: tuple[TrueCourse, ...]


class HospitalTruth:
    """The present diseases of every admission with their evidence, by disease key; coded ones and others.

    Only the first ICU stay of an admission has a truth: in a later one the acute diseases are over.
    """

    def __init__(self, stays: Mapping[tuple[int, int], Mapping[str, TrueEvidence]]) -> None:
        self._stays = dict(stays)

    def of(self, hadm_id: int, stay_id: int) -> Mapping[str, TrueEvidence] | None:
        """The present diseases of one stay, or None where the hospital says nothing about it."""
        return self._stays.get((hadm_id, stay_id))

    def require_any(self, stays: Iterable[tuple[int, int]]) -> None:
        """Raise `InputDataError` unless the hospital knows one of the (admission, stay) pairs."""
        if not any(stay in self._stays for stay in stays):
            raise InputDataError(
                "the truth of the synthetic hospital has none of the cohort's held-out stays; give the hospital that "
                "the cohort was built from"
            )


def read_truth(folder: Path) -> HospitalTruth:
    """The truth beside a synthetic hospital's tables. Raises `InputDataError` where it is missing or damaged."""
    path = Path(folder) / TRUTH
    if not path.is_file():
        raise InputDataError(f"{path}: is missing; give the folder of a synthetic hospital (`clinragen synthesize`)")
    stays: dict[tuple[int, int], dict[str, TrueEvidence]] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                diseases = {key: _evidence(entry) for key, entry in record["diseases"].items()}
                stays[int(record["hadm_id"]), int(record["stay_id"])] = diseases
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputDataError(f"{path}: is damaged; write the synthetic hospital again") from error
    return HospitalTruth(stays)


def _evidence(entry: Mapping[str, Any]) -> TrueEvidence:
    phrases = [entry["phrase"], *(further["phrase"] for further in entry["more_phrases"])]
    return TrueEvidence(
        tuple(dict.fromkeys(phrase for phrase in phrases if phrase)),
        tuple(TrueCourse(one["variable"], one["from_hour"], one["to_hour"]) for one in entry["effects"]),
    )

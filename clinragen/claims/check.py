"""Does a rationale say what the patient's data say? Every statement is checked against the raw series and the note.

Deterministic and without a model: phrases, ranges and tolerances are data (`resources/claims.yaml`). What was not
measured is never taken for normal: a statement about it is unverifiable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from dataset_builder.contract.vocabulary import RangeSet, load_range_set, load_variables

from clinragen.claims.lexer import read_items
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.note_checker import NoteChecker
from clinragen.claims.parser import read_statements
from clinragen.claims.series_checker import SeriesChecker
from clinragen.claims.types import CONTRADICTED, KINDS, SUPPORTED, UNVERIFIABLE, VERDICTS, Claim, Evidence
from dataset_builder.contract.lab_series import LabSeries

__all__ = ["CONTRADICTED", "KINDS", "SUPPORTED", "UNVERIFIABLE", "VERDICTS", "Claim", "Evidence", "check_rationale"]


def check_rationale(
    text: str, hours: Any, values: Any, observed: Any, note: str | None = None, *, range_set: RangeSet | None = None
) -> list[Claim]:
    """Every claim of a rationale about the variables and, in quotation marks, about the note, in order of appearance.

    - `hours`     (steps,) since ICU admission, strictly rising
    - `values`    (steps, variables) in the variables' units; what stands where `observed` is false is not looked at
    - `observed`  (steps, variables) bool
    - `note`      the note; None leaves quotations unverifiable
    - `range_set` what is high, low and normal; the clinical one unless told otherwise

    Raises `InputDataError` when the arrays do not fit together; no text makes it raise.
    """
    lexicon = load_lexicon()
    checker = SeriesChecker(_series(hours, values, observed), range_set or load_range_set("clinical"), lexicon)
    claims = NoteChecker(note, lexicon).check(text)
    for statement in read_statements(read_items(text, lexicon)):
        claims += checker.check(statement, text)
    return sorted(claims, key=lambda claim: claim.span)


def _series(hours: Any, values: Any, observed: Any) -> LabSeries:
    width = len(load_variables())
    seen = np.array(observed, dtype=np.bool_).reshape(-1, width)
    told = np.array(values, dtype=np.float32).reshape(-1, width)  # None becomes NaN
    if told.shape == seen.shape:
        told = np.where(seen, told, np.float32(np.nan))
    return LabSeries(np.array(hours, dtype=np.float32), told, seen)

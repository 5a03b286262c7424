"""The two rationales of one example, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rationale:
    """R_m and R_t of one example (paper, section 3.2).

    Args:
        note, lab: R_m, from the note, and R_t, from the series.
        note_support, lab_support: Keys of the diseases for which note and series gave evidence; None where the writer
            does not know.
    """

    note: str
    lab: str
    note_support: frozenset[str] | None = None
    lab_support: frozenset[str] | None = None


@dataclass(frozen=True)
class Complaint:
    """One fault of a rationale: the reason for rejection, what it concerns, and the evidence. Patient data."""

    reason: str
    subject: str = ""
    evidence: str = ""

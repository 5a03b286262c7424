"""The layout of a target's text: a list of diagnoses and a rationale, each behind its marker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LAYOUTS = ("diagnosis-first", "rationale-first")
DIAGNOSIS_MARK = "### Disease Diagnosed:"
RATIONALE_MARK = "### Rationale:"
NO_DIAGNOSIS = "No disease is diagnosed"


@dataclass(frozen=True)
class ParsedOutput:
    """A parsed model output. `problem` names a format error, if any; whatever could be read is given regardless."""

    diagnoses: tuple[str, ...]
    rationale: str
    problem: str | None = None


def write_target(layout: str, diagnoses: Sequence[str], rationales: Sequence[str]) -> str:
    """A target in the paper's format: diagnoses, and R_m and/or R_t as one rationale."""
    listed = f"{DIAGNOSIS_MARK} {','.join(diagnoses) if diagnoses else NO_DIAGNOSIS}."
    reason = f"{RATIONALE_MARK} {' '.join(text for text in rationales if text)}".rstrip()
    return f"{listed} {reason}" if layout == "diagnosis-first" else f"{reason} {listed}"


def parse_target(layout: str, text: str) -> ParsedOutput:
    """Parse a generated text. Never raises: a format error is named in `problem`."""
    before, mark, after = text.partition(DIAGNOSIS_MARK)
    if not mark:
        return ParsedOutput((), text.strip(), f"'{DIAGNOSIS_MARK}' is missing")
    if layout == "diagnosis-first":
        listed, mark, reason = after.partition(RATIONALE_MARK)
        stray = before.strip()
    else:
        listed = after
        stray, mark, reason = before.partition(RATIONALE_MARK)
        stray = stray.strip()
    problem = None
    if not mark:
        problem = f"'{RATIONALE_MARK}' is missing"
    elif stray:
        problem = "there is text before the first section marker"
    elif DIAGNOSIS_MARK in after or RATIONALE_MARK in reason:
        problem = "duplicate section marker"
    listed = listed.strip()
    if listed.endswith("."):
        listed = listed[:-1]
    elif problem is None:
        problem = "the list of diseases does not end with a full stop"
    pieces = [piece.strip() for piece in listed.split(",")]
    diagnoses = tuple(dict.fromkeys(piece for piece in pieces if piece and piece != NO_DIAGNOSIS))
    if problem is None and (len(diagnoses) != len(pieces) and pieces != [NO_DIAGNOSIS]):
        problem = "the list of diseases has an empty or repeated entry"
    return ParsedOutput(diagnoses, reason.strip(), problem)


__all__ = [
    "DIAGNOSIS_MARK",
    "LAYOUTS",
    "NO_DIAGNOSIS",
    "RATIONALE_MARK",
    "ParsedOutput",
    "parse_target",
    "write_target",
]

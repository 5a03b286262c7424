"""Looks at the parts of a clause behind a part: a value, or another predicate."""

from __future__ import annotations

from clinragen.claims.clauses import NUMBERS, QUALIFIERS, Part

# How far ahead a predicate is looked for that a qualifier may belong to.
_LOOKAHEAD = 8


def is_numbered(part: Part | None) -> bool:
    """Whether a part is a value, or leads to one."""
    return part is not None and part.kind in (*NUMBERS, "approximately", "compare", "composite")


def is_from_to(part: Part | None) -> bool:
    """ "to be reduced from 0.8 to 0.21", also behind a form of "to be"."""
    return (
        part is not None and part.kind in NUMBERS and (part.preposition in ("from", "to", "by") or part.kind == "span")
    )


def predicate_next(parts: list[Part], index: int) -> bool:
    """Whether a predicate follows before the next comma or conjunction."""
    for part in parts[index + 1 : index + 1 + _LOOKAHEAD]:
        if part.kind == "boundary":
            return False
        if part.kind not in QUALIFIERS and part.kind not in ("copula", "approximately"):
            return True
    return False

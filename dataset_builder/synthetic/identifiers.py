"""Identifiers of the synthetic hospital, and how many patients they are enough for. Imports nothing heavy."""

from __future__ import annotations

# Multiplying by a number without a common factor with the range's size visits every identifier once.
RANGE, STEP = 10_000_000, 7_368_787
ADMISSIONS_EACH, STAYS_EACH, TRANSFERS_EACH = 2, 4, 20
MAX_PATIENTS = RANGE // TRANSFERS_EACH


def identifier(first: int, number: int) -> int:
    """The `number`-th identifier of an eight-digit range that starts at `first`; every number has its own."""
    return first + (number * STEP + 1_234_567) % RANGE

"""Recognises ICD-9 codes that a program read as numbers: 038.9, septicemia, becomes 389 or 38.9, and means nothing."""

from __future__ import annotations

import re

import ibis

from dataset_builder.cohort.rejects import Rejects
from dataset_builder.cohort.session import count_rows
from dataset_builder.contract.definitions import Definitions
from dataset_builder.engines.places import Place

# Forms that no ICD-9 code has: fewer than three digits before its dot, or a dot behind more than three.
IMPOSSIBLE = re.compile("[0-9]{1,2}([.][0-9]*)?|[0-9]{4,5}[.]0")


def count_damaged_codes(rows: ibis.Table, definitions: Definitions, place: Place, rejects: Rejects) -> int:
    """Count the cohort's diagnosis rows whose code was a disease's until it was read as a number, and warn of them.

    A form that ICD-9 does not have is damage for certain. Others, such as 389, are codes of something else; they count
    where not one code of the cohort begins with a zero.

    Args:
        rows: icd_version, icd_code (as written) and code (`normalise_code`).
        definitions: The diseases with their codes.
        place: The table, for the message.
        rejects: Where the warning goes.
    """
    spellings = _spellings_as_numbers({code for codes in definitions.codes.values() for code in codes.get(9, ())})
    certain = {spelling for spelling in spellings if IMPOSSIBLE.fullmatch(spelling)}
    rows = rows.filter(rows.icd_version.fill_null(9) == 9)
    damaged = count_rows(rows.filter(rows.icd_code.strip().isin(sorted(certain))))
    if not count_rows(rows.filter(rows.code.startswith("0"))):
        damaged += count_rows(rows.filter(rows.icd_code.strip().isin(sorted(spellings - certain))))
    if damaged:
        rejects.warn(
            place,
            f"{damaged:,} rows have ICD-9 codes that were read as numbers and lost the zeros that they begin with "
            "(0389 became 389), so their diseases are missing from the labels; use the table as it was published, or "
            "read this column as text",
        )
    return damaged


def _spellings_as_numbers(codes: set[str]) -> set[str]:
    """Spellings of codes (without dots) that programs took for numbers, where these are no longer among the codes."""
    dotted = {f"{code[:3]}.{code[3:]}" for code in codes if len(code) > 3}
    made: set[str] = set()
    for code in filter(str.isdecimal, codes):
        number = code.lstrip("0")
        made |= {number, f"{number}.0"}
        if len(code) > 3:
            made.add(f"{code[:3].lstrip('0')}.{code[3:]}")
    return made - codes - dotted


def warn_of_dictionary_without_zeros(listed: ibis.Table, rows: ibis.Table, place: Place, rejects: Rejects) -> None:
    """Warn where a dictionary of codes lost the zeros that the cohort's codes have, so that these do not count."""
    with_zero = count_rows(rows.filter(rows.code.startswith("0")))
    if with_zero and not count_rows(listed.filter(listed.code.startswith("0"))):
        rejects.warn(
            place,
            f"lists no code that begins with a zero, so {with_zero:,} diagnosis rows with one do not count; use the "
            "table as it was published, or count all codes (all_codes)",
        )

"""The sentences of a rationale, as the constraint on generation, the claim checker and the pages see them."""

from __future__ import annotations

import re

QUOTATION_MARKS = '"“”„«»'
MAX_QUOTATION = 400
"""A quotation mark with no partner in this many characters of its line opens nothing."""

CLOSING_MARKS = QUOTATION_MARKS.replace("„", "")
QUOTATION = re.compile(rf"[{QUOTATION_MARKS}](?P<words>[^{QUOTATION_MARKS}\n]{{0,{MAX_QUOTATION}}})[{CLOSING_MARKS}]")
"""The one definition of a quotation; `clinragen.claims.quotations` says it in words."""

# A quotation is passed over as a whole, so that a full stop inside it ends nothing.
_QUOTATION_OR_END = re.compile(rf"(?P<quotation>{QUOTATION.pattern})|[.!?]+[)\]]*(?=\s|$)|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:dr|mr|mrs|ms|vs|st|approx|pt|resp|ca|cf|e\.g|i\.e|a\.m|p\.m)\.\Z", re.IGNORECASE
)
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,2}\.\Z")
_LONGEST_ABBREVIATION = 12


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text stand, as (start, end) characters without the blanks around them.

    A sentence ends at a full stop, question mark or exclamation mark before a blank, at a line break, or at the end of
    the text. Those inside a quotation, of common abbreviations and of list numbers end nothing. Every character that
    is not blank belongs to exactly one sentence, and the sentences of a text that is cut after one of them are the
    same up to there.
    """
    spans = []
    start = 0
    for found in _QUOTATION_OR_END.finditer(text):
        if found["quotation"] is not None:
            continue
        before = text[max(start, found.end() - _LONGEST_ABBREVIATION) : found.end()]
        if found.group().startswith(".") and (_ABBREVIATION.search(before) or _LIST_NUMBER.search(before)):
            continue
        spans.append((start, found.end()))
        start = found.end()
    spans.append((start, len(text)))
    return [span for span in (_stripped(text, *span) for span in spans) if span[0] < span[1]]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


__all__ = ["CLOSING_MARKS", "MAX_QUOTATION", "QUOTATION", "QUOTATION_MARKS", "sentence_spans"]

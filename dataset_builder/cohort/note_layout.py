"""The way a note writes its headings, where it keeps to one: what stands in the place of known headings is one too.

A form may write "[Chief complaint] cough", "Chief complaint = cough", or all of it in one line. Its words show which:
of the texts that stand in such places, many are headings that are known. Then all of them are headings, known or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from dataset_builder.cohort.heading_terms import Kind, Meaning

_FEWEST_KNOWN = (4, 2)
_LEAST_SHARE = 0.4
"""Known headings among the texts in one kind of place, also in one of `_RARE`, and their share, that make a layout."""

_MOST_WORDS = 8
_FEWEST = 2
_MOSTLY = 0.8
"""What is left of a note shows its layout by fewer headings, if nearly all are known."""
_MOST_DIGITS = 2
_LONGEST_ANSWER = 6
_MOST_PLACES = 1000
"""Places that are looked at: a longer form has shown its layout by then."""

_RARE = ("bracket", "cell", "tag", "quoted", "hash", "starred")
"""Places where little else stands."""

_MARKS = r"(?:[-–—•*●◦▪>]+ ?|\(?\d{1,2}[.)] ?|[IVX]{1,5}[.)] |[A-Za-z][.)] )?"
_PLACES = {
    name: re.compile(pattern, re.MULTILINE)
    for name, pattern in {
        "colon": rf"^{_MARKS}(?P<heading>[^\W\d_][^:\n|]{{0,59}}?) ?:(?=\s|$)",
        "equals": rf"^{_MARKS}(?P<heading>[^\W\d_][^=\n]{{0,59}}?) ?={{1,2}}>?(?=.)",
        "dash": rf"^{_MARKS}(?P<heading>[^\W\d_][^\n]{{0,59}}?) (?:--?|–|—|-?>|→) ",
        "bracket": rf"^{_MARKS}\[(?P<heading>[^\]\n]{{1,60}})\]:?",
        "parenthesis": r"^\((?P<heading>[^()\n]{2,60})\):?",
        "cell": r"^\|? ?(?P<heading>[^\W\d_][^|\n]{0,59}?) ?\|",
        "tag": r"<(?P<heading>[A-Za-z][\w-]{0,40})>",
        "quoted": r"\"(?P<heading>[A-Za-z][\w ]{0,40})\" ?:",
        "hash": r"^#{1,6} (?P<heading>[^\n:]{1,70}?):?$",
        "starred": r"^[*=~-]{2,} ?(?P<heading>[^\W\d_][^\n:*=~]{1,70}?):? ?[*=~-]{2,}:?$",
        "numbered": r"^\(?(?:\d{1,2}|[IVX]{1,5})[.)] (?P<heading>[^\W\d_][^\n:]{1,70}):?$",
        "capitals": r"^(?P<heading>[A-Z][A-Z0-9/&'(),.-]{0,30}(?: [A-Z0-9/&'(),.-]{1,30}){1,7}|[A-Z]{5,30}):?$",
        "apart": r"(?:\A|(?<=\n\n))(?P<heading>[A-Z][^\n:.;,]{1,60}):?$(?=\n\S)",
        "semicolon": r"(?:^|;) ?(?P<heading>[A-Za-z][^:;\n]{0,40}?) ?:(?=\s)",
        "sentence": r"(?:^|[.;,]) ?(?P<heading>[A-Z][^:.;,\n]{0,50}?) ?:(?=\s)",
    }.items()
}


_SIGNS = {"equals": "=", "bracket": "[", "cell": "|", "tag": "<", "quoted": '"', "hash": "#", "semicolon": ";"}
"""What a note must have for a place of this kind, which is quickly seen."""


def in_the_layout(text: str, says: Callable[[str], Meaning]) -> Iterator[tuple[int, int, Meaning]]:
    """(start, end, meaning) of the headings in every layout that the note keeps to; the same may come twice.

    Args:
        text: A cleaned note.
        says: Reads a heading.
    """
    for name, places in _PLACES.items():
        if _SIGNS.get(name, "") not in text:
            continue
        found = []
        for number, place in enumerate(places.finditer(text)):
            if number == _MOST_PLACES:
                break
            written = place.group("heading").strip(" *_=\"'")
            if not _is_answer(text, place.start(), written):
                found.append((place, written, says(written)))
        known = [written for _, written, said in found if _is_known(said)]
        parts = sum(said.kind is Kind.INNER and said.complete for _, _, said in found)
        fewest = _FEWEST_KNOWN[name in _RARE]
        shown = len(known) + parts
        if len(known) < _FEWEST or shown < len(found) * (_LEAST_SHARE if shown >= fewest else _MOSTLY):
            continue
        capital = sum(written[:1].isupper() for written in known) >= len(known) * _MOSTLY
        for place, written, said in found:
            like_them = _is_known(said) or ((written[:1].isupper() or not capital) and _is_short(written, said))
            if like_them:
                yield place.start() + _separator(place.group()), place.end(), said


def _is_known(said: Meaning) -> bool:
    clear = said.kind not in (Kind.UNKNOWN, Kind.INNER) and said.unknown <= 1 and said.words <= _MOST_WORDS
    return clear and not said.sentence


def _is_short(written: str, said: Meaning) -> bool:
    digits = sum(letter.isdigit() for letter in written)
    return 0 < said.words <= _MOST_WORDS and digits <= _MOST_DIGITS and not (said.sentence and said.unknown)


def _is_answer(text: str, start: int, written: str) -> bool:
    """Whether this is the "A:" below a question."""
    return len(written) <= _LONGEST_ANSWER and text[max(start - 2, 0) : start].rstrip().endswith("?")


def _separator(written: str) -> int:
    """How many characters belong to the section before: the end of its last sentence."""
    return len(written) - len(written.lstrip(".;, "))

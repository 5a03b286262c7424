"""Where the items of a cue begin behind an insertion, and where a list of negated items gives way to a statement."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A cue and its object may be parted by an insertion ("no sign of, or complaint of, melena"); a cue may also be part of
# one ("compatible with, but not diagnostic of, gout"). Its beginning is looked for within this many characters.
INSERTED_REACH = 30

_LINKS = ("of", "for", "with", "to", "from")
_INSERTION = re.compile(
    r",\s*(?:but|or|and|nor|if|yet|not|without|rather|although|though|as well as)\b[^,.;:\n]{1,60},", re.IGNORECASE
)
_INSERTED = re.compile(r",\s*(?:but|or|and|nor|if|yet|although|though)\s[^,.;:\n]*\Z", re.IGNORECASE)

_SEEN = re.compile(
    r"\b(?:seen|noted|identified|found|present|detected|visuali[sz]ed|evident|demonstrated)\s*\Z", re.IGNORECASE
)
# A verb that ends the reach of a negation and has the item in front of it for its subject.
_VERB = re.compile(
    r"\s*(?:persist(?:s|ed)?|remain(?:s|ed)?|continue[sd]?|develop(?:s|ed)|has been|have been|was treated"
    r"|(?:is|was|are) positive|started|begun|was started)\b",
    re.IGNORECASE,
)
# An item with a verb of its own, but for one that only says that something was found.
_CLAUSE = re.compile(
    r"\s*(?:(?!(?:that|which|who|when|if|or|nor|and|as|than)\b)[\w/'-]+\s+){1,5}?(?:has|have|is|are|was|were)\s"
    r"(?!(?:(?:also|been)\s+)*(?:seen|noted|reported|identified|found|appreciated|evident|detected|elicited|endorsed"
    r"|observed|demonstrated|absent|denied|heard|palpated|palpable|visible|visuali[sz]ed|described)\b)",
    re.IGNORECASE,
)


def object_place(text: str, begin: int, cue: tuple[int, int], limit: int) -> int:
    """Where that begins that a cue works on: right behind it, or behind an insertion.

    Args:
        text: The note.
        begin, limit: Start of the cue's sentence, and the end of what the cue may reach.
        cue: The span of the cue.
    """
    start, place = cue
    if not text.startswith(",", place) or place == start:
        return place
    if text[start:place].lower().endswith(_LINKS):
        inserted = _INSERTION.match(text, place, limit)
        if inserted is not None:
            return inserted.end()
    return place + 1 if _INSERTED.search(text, max(begin, start - INSERTED_REACH), place) else place


def statement_start(text: str, place: int, parts: Sequence[int], end: int, crosses: bool) -> int:
    """Where a list of negated items ends because an item is a statement of its own, or `end`.

    Args:
        text: The note.
        place: Start of the first item.
        parts: The commas in the reach of the negation, and its end; at least two.
        end: The end of the list so far.
        crosses: Whether the list goes on across commas whatever its items are ("denies").
    """
    if not crosses and _SEEN.search(text, place, parts[0]):
        return parts[0]  # "No fracture was seen, laceration sutured"
    if end == parts[-1] and text[parts[-2] + 1 : end].strip():
        # "Denies fever, cough persists": the subject of the verb is the last item.
        clause = _CLAUSE.match(text, parts[-2] + 1)
        if _VERB.match(text, end) or (clause is not None and clause.end() <= end):
            return parts[-2]
    return end

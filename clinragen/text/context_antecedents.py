"""Cues that are about something else than what is beside them, and words that hand a sentence back to the patient.

"Hives, which have cleared", "Hives on Monday. None since." and "Father had gout, the patient himself has lupus" need
more than a reach up to a comma.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from clinragen.text.context_layout import Layout
from clinragen.text.context_rules import ContextRules
from clinragen.text.term_index import Match, Word

_WORD = re.compile(r"\w+")
# Characters around a word for the patient that are read for whose it is, and for what the patient tells.
BEFORE_PATIENT, BEHIND_PATIENT = 20, 40

_BE = re.compile(r"\b(?:is|was|are|were)\b")
_STATES = re.compile(
    r"\b(?:is|was|are|were|has|had|remain(?:s|ed)?|ensued|followed|developed|occurred|began|started|persist(?:s|ed)|continue[sd])\b"
)
_AND = re.compile(r"\band\b")
_LAST_CLAUSE = re.compile(r"\b(?:but|who|and (?:had|has|is|was|now))\b")


@dataclass(frozen=True, slots=True)
class SentenceParts:
    """A sentence that starts at `begin`: its words with their starts, its terminators, its commas and brackets."""

    begin: int
    words: Sequence[Word]
    word_starts: Sequence[int]
    terminators: Sequence[Match[str]]
    chunks: Sequence[tuple[int, int]]


def antecedent_start(
    text: str, rules: ContextRules, layout: Layout, parts: SentenceParts, span: tuple[int, int]
) -> int:
    """Where that begins that the pronoun or the gap in front of a cue stands for.

    Args:
        text, rules, layout: The note, the cues, and the note's structure.
        parts: The sentence of the cue.
        span: From the first character that the cue may work on to the start of the cue.
    """
    begin, place = span
    words, statements = parts.words, rules.statements
    first, number = bisect_left(parts.word_starts, begin), bisect_left(parts.word_starts, place)
    fillers = {word.folded for word in words[number : number + 1]}
    while number > first and words[number - 1].folded in statements.fillers:
        number -= 1
        fillers.add(words[number].folded)
    if number <= first:
        return _sentence_before(text, layout, begin) if begin == parts.begin else begin
    upto = words[number - 1].end
    start = begin
    for found in reversed(parts.terminators):
        if begin <= found.start and found.end < upto and _begins_clause(text, found):
            start = found.end
            break
    if start == parts.begin and words[0].folded in statements.pronouns:
        return _sentence_before(text, layout, begin)  # "It lasted an hour and has not come back."
    if not fillers.isdisjoint(statements.plurals):
        return start
    for comma in reversed([last for first, last in parts.chunks if start <= first and last <= upto]):
        if words[bisect_left(parts.word_starts, comma)].folded not in statements.circumstances:
            return comma
    return start


def _begins_clause(text: str, found: Match[str]) -> bool:
    """Whether a terminator begins a clause ("but", "and had") and is not a mere verb or time ("on arrival")."""
    said = text[found.start : found.end].lower()
    return "terminators" in found.owners or (" " in said and not said.startswith("on "))


def _sentence_before(text: str, layout: Layout, end: int) -> int:
    """Start of the last clause of the sentence that ends at a character, if it stands in the same line; else `end`."""
    if not end:
        return end
    begin, _ = layout.sentence(end - 1)
    said = text[begin:end].rstrip()
    if "\n" in text[begin + len(said) : end] or said.endswith(":"):
        return end
    clauses = [found.end() for found in _LAST_CLAUSE.finditer(said)]
    return begin + (clauses[-1] if clauses else 0)


def second_statement(text: str, place: int, limit: int) -> int:
    """Where "and" joins a second statement with a verb of its own, before the next comma; or `limit`.

    "No bleeding was seen and her anemia was stable" denies nothing of the anemia.
    """
    comma = text.find(",", place, limit)
    end = comma if comma >= 0 else limit
    verb = _BE.search(text, place, end)
    joint = _AND.search(text, verb.end(), end) if verb else None
    return joint.start() if joint and _STATES.search(text, joint.end(), end) else limit


def patient_place(text: str, rules: ContextRules, words: list[Word], limit: int) -> int:
    """The end of the first of some words that stands for the patient and begins something new, or `limit`."""
    patients = rules.patients
    for found in patients.names.find(text, words):
        if found.end >= limit:
            break
        before = text[max(0, found.start - BEFORE_PATIENT) : found.start].split()
        behind = text[found.end : found.end + BEHIND_PATIENT].lstrip(" ,")
        if not (before and before[-1].lower() in patients.owners) and not patients.tells.match(behind):
            return found.end
    return limit


def first_word(text: str, start: int) -> str:
    """The word of a text at a character, in lower case."""
    found = _WORD.match(text, start)
    return found.group().lower() if found else ""

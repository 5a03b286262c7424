"""Checks the quotations of a rationale against the note: are the words there, and does the note affirm them?"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

from clinragen.claims.lexicon import Lexicon
from clinragen.claims.patterns import load_patterns
from clinragen.claims.quotations import QUOTATION
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim, Evidence
from clinragen.text.context import NoteContext, load_context_rules, read_context
from modeling_clinragen.note_clinragen import find_spans

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
# Characters before a quotation, and of its sentence, that are read for what the rationale says about it.
MAX_BEFORE, MAX_SENTENCE = 60, 2000
_REASONS = {
    "negated": "the note negates it",
    "family": "the note says it of a relative",
    "hypothetical": "the note speaks of what may come",
    "historical": "the note mentions it as history only",
    "uncertain": "the note leaves it open",
}


class NoteChecker:
    """Checks quotations against one note.

    Args:
        note: The note; without one, quotations are unverifiable.
        lexicon: Names of the diseases.
        history_counts: By disease key, whether a past mention still supports the disease.
    """

    def __init__(self, note: str | None, lexicon: Lexicon, history_counts: Mapping[str, bool]) -> None:
        self._note = note
        self._lexicon = lexicon
        self._history_counts = history_counts
        self._context: NoteContext | None = None
        self._found: dict[str, list[set[str]]] = {}

    def check(self, text: str) -> list[Claim]:
        """One claim per quotation, in order."""
        claims = []
        patterns = load_patterns()
        allowed: dict[tuple[int, int], bool] = {}
        ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
        for found in QUOTATION.finditer(text):
            number = bisect_left(ends, found.end())
            start, end = ends[max(0, bisect_left(ends, found.start()) - 1)], ends[number]
            sentence = (start, min(end, start + MAX_SENTENCE))
            if sentence not in allowed:
                allowed[sentence] = self._allows_history(text[slice(*sentence)])
            before = text[max(start, found.start() - MAX_BEFORE) : found.start()]
            denied = bool(patterns.denied.search(before))
            history = allowed[sentence] or bool(patterns.past.search(before))
            verdict, evidence = self._verdict(found["words"].strip(" .,;:\t"), denied, history)
            claims.append(Claim(found.group(), found.span(), None, "note", verdict, evidence, negated=denied))
        return claims

    def _allows_history(self, sentence: str) -> bool:
        """Whether a past mention still supports each of the diseases that a sentence names."""
        named = self._lexicon.diseases_in(sentence)
        return bool(named) and all(self._history_counts.get(key, False) for key in named)

    def _verdict(self, quote: str, denied: bool, history_allowed: bool) -> tuple[str, Evidence]:
        if self._note is None:
            return UNVERIFIABLE, Evidence("there is no note to check against")
        if not quote:
            return UNVERIFIABLE, Evidence("the quotation is empty")
        if quote not in self._found:
            self._found[quote] = self._effects(self._note, quote)
        effects = self._found[quote]
        if not effects:
            return (SUPPORTED if denied else CONTRADICTED), Evidence("the note does not contain these words")
        if denied:
            negated = any("negated" in found for found in effects)
            reason = "the note negates it" if negated else "the note affirms it"
            return (SUPPORTED if negated else CONTRADICTED), Evidence(reason)
        for found in effects:
            if not found & set(_REASONS) or (history_allowed and found == {"historical"}):
                return SUPPORTED, Evidence("the note says so")
        if any(found - {"historical"} == {"uncertain"} for found in effects):
            return UNVERIFIABLE, Evidence(_REASONS["uncertain"])
        worst = next(name for name in _REASONS if any(name in found for found in effects))
        return CONTRADICTED, Evidence(_REASONS[worst])

    def _effects(self, note: str, quote: str) -> list[set[str]]:
        """The context effects on each of the places where the words are."""
        spans = find_spans(note, quote)
        if spans and self._context is None:
            self._context = read_context(note, load_context_rules())
        return [self._context.effects(*span) for span in spans] if self._context is not None else []

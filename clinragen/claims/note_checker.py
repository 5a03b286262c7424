"""Quotations in a rationale against the note: are the words there, and does the note affirm them for this patient?"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from functools import lru_cache
from importlib.resources import files

from dataset_builder.contract.vocabulary import Disease, load_diseases

from clinragen.claims.lexicon import Lexicon
from clinragen.claims.patterns import load_patterns
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim, Evidence
from clinragen.text.context import NoteContext, load_context_rules, read_context

_QUOTE = re.compile(r"[\"“”„«]([^\"“”„«»\n]{1,400})[\"“”»]")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
# Characters before a quotation, and of its sentence, that are read for what the rationale says of it.
TOLD_BEFORE, SENTENCE = 60, 2000
_REASONS = {
    "negated": "the note negates it",
    "family": "the note says it of a relative",
    "hypothetical": "the note speaks of what may come",
    "historical": "the note mentions it as history only",
    "uncertain": "the note leaves it open",
}


class NoteChecker:
    """Checks quotations against one note; None where there is no note to check against."""

    def __init__(self, note: str | None, lexicon: Lexicon) -> None:
        self._note = note
        self._lexicon = lexicon
        self._context: NoteContext | None = None
        self._found: dict[str, list[set[str]]] = {}

    def check(self, text: str) -> list[Claim]:
        """One claim per quotation, in order."""
        claims = []
        patterns = load_patterns()
        allowed: dict[tuple[int, int], bool] = {}
        ends = [0, *(found.end() for found in _SENTENCE_END.finditer(text)), len(text)]
        for found in _QUOTE.finditer(text):
            number = bisect_left(ends, found.end())
            start, end = ends[max(0, bisect_left(ends, found.start()) - 1)], ends[number]
            sentence = (start, min(end, start + SENTENCE))
            if sentence not in allowed:
                allowed[sentence] = self._allows_history(text[slice(*sentence)])
            told = text[max(start, found.start() - TOLD_BEFORE) : found.start()]
            denied = bool(patterns.denied.search(told))
            history = allowed[sentence] or bool(patterns.past.search(told))
            verdict, evidence = self._verdict(found.group(1).strip(" .,;:\t"), denied, history)
            claims.append(Claim(found.group(), found.span(), None, "note", verdict, evidence, negated=denied))
        return claims

    def _allows_history(self, sentence: str) -> bool:
        """Whether all the diseases that a sentence names are such that a past mention still supports them."""
        named = [found.group().lower() for found in self._lexicon.diseases.finditer(sentence)]
        counts = _history_counts(load_diseases())
        return bool(named) and all(counts.get(name, False) for name in named)

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
        """What the note does to each of the places where the words stand; blanks and case do not matter."""
        words = quote.split()
        left = r"(?<!\w)" if words[0][:1].isalnum() else ""
        right = r"(?!\w)" if words[-1][-1:].isalnum() else ""
        pattern = re.compile(left + r"\s+".join(map(re.escape, words)) + right, re.IGNORECASE)
        places = [found.span() for found in pattern.finditer(note)]
        if places and self._context is None:
            self._context = read_context(note, load_context_rules())
        return [self._context.effects(*place) for place in places] if self._context is not None else []


@lru_cache(maxsize=4)
def _history_counts(diseases: tuple[Disease, ...]) -> dict[str, bool]:
    """By name in lower case, whether a past mention of a disease says that it is still there."""
    content = json.loads((files("clinragen.knowledge") / "resources" / "knowledge.json").read_text(encoding="utf-8"))[
        "diseases"
    ]
    shipped = {key: bool(entry["history_counts"]) for key, entry in content.items()}
    return {disease.name.lower(): shipped.get(disease.key, disease.kind == "chronic") for disease in diseases}

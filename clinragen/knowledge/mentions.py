"""Finds affirmed, current mentions of diseases in a note, as exact quotes, and the terms in a quotation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from clinragen.knowledge.base import TERM_KINDS, KnowledgeBase, ValueRule
from clinragen.text.context import ContextRules, NoteContext, load_context_rules, read_context
from clinragen.text.term_index import Match, TermIndex, Word, split_words

_DRUG = TERM_KINDS.index("drug")
# A mention with one of these effects is not evidence. A past mention may be, by disease; a past drug never is.
EXCLUDING = frozenset(("negated", "uncertain", "family", "hypothetical"))
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SERIES = re.compile(r"-|–|→|>")
_DOSE = re.compile(r"\s?(?:m?c?g|gm|units?|meq|ml|tab|puff|drop)s?\b(?!/)", re.IGNORECASE)
_VALUE_REST = re.compile(r"%|/\d+")  # "88%", "80/40"
_SPACES = re.compile(r"\s+")
# Most words between the name of a measurement and its value.
VALUE_WORDS = 5


@dataclass(frozen=True, slots=True)
class Mention:
    """A quote from a note that supports a disease. `rank` orders mentions: the lowest is the strongest.

    `past` tells that the note has it as history, which is evidence for some diseases.
    """

    disease: str
    term: str
    start: int
    end: int
    quote: str
    rank: tuple[int, int, int]
    past: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A term of a knowledge base in a text, read by itself.

    Args:
        disease: Key of the disease that the term belongs to.
        term: The term.
        cited: Whether the term supports the disease.
        fault: Why it does not, here: an effect of the context ("negated"), "value" for a number within the limit,
            "number" for a measurement without its number, or "" for none.
    """

    disease: str
    term: str
    cited: bool
    fault: str


@dataclass(frozen=True, slots=True)
class _Owner:
    disease: str
    term: str
    kind: int
    cited: bool
    rule: ValueRule | None = None


class MentionFinder:
    """Finds the terms and measurements of a knowledge base in notes; built once, used for every note.

    Args:
        knowledge: Terms and measurements of the diseases.
        rules: How the context of a term is read.
    """

    def __init__(self, knowledge: KnowledgeBase, rules: ContextRules) -> None:
        self._rules = rules
        self._history_counts = knowledge.history_counts
        phrases: list[tuple[str, _Owner]] = []
        for entry in knowledge.diseases:
            for term in entry.terms:
                owner = _Owner(entry.key, term.term, TERM_KINDS.index(term.kind), term.cited)
                phrases += [(surface, owner) for surface in term.surfaces]
            finding = TERM_KINDS.index("finding")
            for rule in entry.values:
                owner = _Owner(entry.key, rule.names[0], finding, True, rule)
                phrases += [(name, owner) for name in rule.names]
        # The owner of a masking phrase supports nothing: the terms inside it are not read.
        nobody = _Owner("", "", len(TERM_KINDS), False)
        self._index = TermIndex(phrases + [(mask, nobody) for mask in rules.masks])

    def find(self, note: str, context: NoteContext | None = None) -> dict[str, list[Mention]]:
        """Mentions by disease key, best first. Negated, uncertain, family and past ones are left out.

        `context` is the context of the same note by the same rules, if it has been read before.
        """
        words = split_words(note) if context is None else context.words
        matches = [match for match in self._index.find(note, words) if any(owner.cited for owner in match.owners)]
        if not matches:
            return {}
        context = read_context(note, self._rules, words) if context is None else context
        by_start = {word.start: number for number, word in enumerate(words)}
        found: dict[str, list[Mention]] = {}
        for match in matches:
            effects = context.effects(match.start, match.end)
            if effects & EXCLUDING:
                continue
            for owner in match.owners:
                if not owner.cited:
                    continue
                past = "historical" in effects
                if past and (not self._history_counts[owner.disease] or owner.kind == _DRUG):
                    continue
                span = self._span(note, words, by_start[match.start], match, owner, context)
                if span is None:
                    continue
                quote = _SPACES.sub(" ", note[slice(*span)])
                rank = (owner.kind, len(match.owners), match.start)
                one = Mention(owner.disease, owner.term, *span, quote, rank, past)
                found.setdefault(owner.disease, []).append(one)
        return {disease: sorted(mentions, key=lambda item: item.rank) for disease, mentions in found.items()}

    def known(self, text: str, context: NoteContext | None = None) -> list[Known]:
        """Everything that the knowledge base knows in a text, such as a quotation, read by itself.

        Terms that a program extracted are not among it: no person has judged them. `context` is as in `find`.
        """
        words = split_words(text) if context is None else context.words
        matches = self._index.find(text, words)
        if not matches:
            return []
        context = read_context(text, self._rules, words) if context is None else context
        by_start = {word.start: number for number, word in enumerate(words)}
        found = []
        for match in matches:
            effects = context.effects(match.start, match.end)
            for owner in match.owners:
                if not owner.disease:
                    continue
                fault = next((effect for effect in sorted(effects & EXCLUDING)), "")
                past = "historical" in effects and (not self._history_counts[owner.disease] or owner.kind == _DRUG)
                if not fault and past:
                    fault = "historical"
                if not fault and self._span(text, words, by_start[match.start], match, owner, context) is None:
                    fault = "value" if _NUMBER.search(text, match.end) else "number"
                found.append(Known(owner.disease, owner.term, owner.cited, fault))
        return found

    def _span(
        self, note: str, words: list[Word], first: int, match: Match[_Owner], owner: _Owner, context: NoteContext
    ) -> tuple[int, int] | None:
        if owner.rule is not None:
            end = self._value_end(note, words, first, match.end, owner.rule, context)
            return None if end is None else (match.start, end)
        start = match.start
        while first > 0 and words[first - 1].folded in self._rules.modifiers:
            if note[words[first - 1].end : start] not in (" ", "-"):
                break
            first -= 1
            start = words[first].start
        return start, match.end

    def _value_end(
        self, note: str, words: list[Word], first: int, name_end: int, rule: ValueRule, context: NoteContext
    ) -> int | None:
        """The end of a measurement whose value (the last of "1.0 -> 3.2") is beyond the limit; else None."""
        _, sentence_end = context.sentence(name_end)
        value = None
        end = place = name_end
        between = 0
        for word in words[first:]:
            if word.start < name_end:
                continue
            gap = note[place : word.start]
            if word.end > sentence_end or any(mark in gap for mark in ",(;"):
                break
            number = _NUMBER.fullmatch(word.text) is not None
            if value is not None and not (word.text == "to" or (number and (_SERIES.search(gap) or between))):
                break
            if number:
                value, end, between = float(word.text), word.end, 0
            elif word.folded in self._rules.value_links or word.text.lower() in self._rules.value_links:
                between += 1
                if between > VALUE_WORDS:
                    break
            else:
                break
            place = word.end
        if value is None or not rule.holds(value) or _DOSE.match(note, end):
            return None
        rest = _VALUE_REST.match(note, end)
        if rest is not None and rest.group().startswith("/") and rule.unit != "mmHg":
            return None  # "BUN/creatinine 26.8/1.2", "H/H 8/24": unclear which number belongs to which name
        return rest.end() if rest else end


@lru_cache(maxsize=4)
def load_finder(knowledge: KnowledgeBase) -> MentionFinder:
    """The finder of a knowledge base, by the shipped rules of context; the same one every time."""
    return MentionFinder(knowledge, load_context_rules())

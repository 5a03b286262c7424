"""Which diseases a sentence may name: those that its evidence supports, and that are diagnosed.

What supports which disease is not known here. It is given as values, by whoever has a knowledge base.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .numbers_clinragen import VariableNames, direction_of
from .sentences_clinragen import QUOTATION

_ABSENCE = re.compile(r"\b(?:not|no|nothing|none|neither|nor|never)\b", re.IGNORECASE)
_NOTE = re.compile(r"\bnotes?\b", re.IGNORECASE)
_SERIES = re.compile(r"\b(?:measurements?|readings?|vital signs?|vitals|labs?|series|variables?)\b", re.IGNORECASE)
# Behind these words, and evidence, a disease has to follow.
_LINK = re.compile(
    r"\b(?:supports?|points?\s+to|fits?|in\s+keeping\s+with|consistent\s+with|suggestive\s+of|indicative\s+of)\s*\Z",
    re.IGNORECASE,
)
_LONGEST_LINK = 24
_LINK_ENDS = ("support", "supports", "fit", "fits", "to", "with", "of", "and", "or", ",")
# A name with digits, quotation marks or full stops is read by its characters.
_PLAIN_NAME = re.compile(r"(?:(?![\d_])[\w \-,;:()/'])+")
# Behind a disease and these words, or a comma, comes a further one.
_LISTING = re.compile(r"(?:,|,?\s+(?:and|or))\s*\Z")


@dataclass(frozen=True)
class Support:
    """The evidence for each disease in one patient's data, by a knowledge base; diseases by their names.

    Args:
        phrases: Phrases of the note, with white space folded, and the diseases that they support. Only whole ones are
            quoted.
        signs: By variable key and direction (one of `DIRECTIONS`), the diseases that it is a sign of.
        noted: Diseases that the note supports.
        signed: Diseases that have a sign in the series.
    """

    phrases: Mapping[str, frozenset[str]]
    signs: Mapping[tuple[str, str], frozenset[str]]
    noted: frozenset[str]
    signed: frozenset[str]


@dataclass
class DiseaseNames:
    """The names of diseases that may stand in the sentences of one patient's rationale.

    Args:
        names: The configured diseases.
        variables: The variables' names.
        support: See `Support`; None where nothing is known, so that only the diagnoses restrict the names.
        never: A name that no sentence may hold.
    """

    names: Sequence[str]
    variables: VariableNames
    support: Support | None
    never: str = ""
    _beginnings: frozenset[str] = field(init=False)
    _whole: re.Pattern[str] = field(init=False)
    _allowed: dict[tuple[str, frozenset[str] | None], frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._beginnings, self._whole = _spelt(tuple(self.names))

    def whole(self, text: str, place: int) -> str:
        """The longest name that stands at a place in a text, "" where none does."""
        found = self._whole.match(text, place)
        return found.group() if found else ""

    def begun(self, typed: str) -> bool:
        """Whether a name begins with what has been typed of it."""
        return typed in self._beginnings

    def allowed(self, sentence: str, listed: frozenset[str] | None) -> frozenset[str]:
        """The diseases that may be named behind the words of a sentence so far; `listed` are the diagnoses."""
        key = (sentence, listed)
        if key not in self._allowed:
            self._allowed[key] = self._supported(sentence, frozenset(self.names) if listed is None else listed)
        return self._allowed[key]

    def fits(self, phrase: str, sentence: str, listed: frozenset[str] | None) -> bool:
        """Whether a phrase of the note supports a disease that may be named behind the words of a sentence so far.

        Where no disease is diagnosed, it may support any: "no disease is diagnosed, although ...".
        """
        if self.support is None:
            return True
        supported = self.support.phrases.get(phrase, frozenset())
        return bool(supported & self.allowed(sentence, listed) if listed or listed is None else supported)

    def demanded(self, sentence: str, listed: frozenset[str] | None) -> frozenset[str] | None:
        """The diseases of which one has to follow words such as '"cough" fits '; None where none has to."""
        if self.support is None or sentence[-1:] != " " or not _LINK.search(sentence[-_LONGEST_LINK:]):
            return None
        # "Nothing points to any of the diseases."
        return None if _ABSENCE.search(QUOTATION.sub(" ", sentence)) else self.allowed(sentence, listed)

    def leads_nowhere(self, sentence: str, listed: frozenset[str] | None) -> bool:
        """Whether the words so far have to go on with a disease, and there is none that the evidence supports."""
        if self.support is None or not sentence[-_LONGEST_LINK:].rstrip().lower().endswith(_LINK_ENDS):
            return False
        listing = _LISTING.search(sentence)
        if not _LINK.search(sentence[-_LONGEST_LINK:]) and not (
            listing and sentence[: listing.start()].endswith(tuple(self.names))
        ):
            return False
        return not self.allowed(sentence, listed)

    def _supported(self, sentence: str, listed: frozenset[str]) -> frozenset[str]:
        # None twice in a sentence.
        left = frozenset(name for name in listed if name not in sentence and name != self.never)
        if self.support is None:
            return left
        quoted = [found["words"] for found in QUOTATION.finditer(sentence)]
        for words in quoted:
            left &= self.support.phrases.get(words, frozenset())
        if quoted:
            return left
        if _ABSENCE.search(sentence):
            if _NOTE.search(sentence):
                left -= self.support.noted
            if _SERIES.search(sentence):
                left -= self.support.signed
            return left
        named = self.variables.last(sentence)
        if named is None:
            return left
        phrase, end = named
        key = self.variables.vocabulary.variables[phrase.variable].key
        direction = phrase.says or direction_of(sentence[end:])
        signs = self.support.signs
        if direction:
            return left & signs.get((key, direction), frozenset())
        return left & frozenset().union(*(found for (variable, _), found in signs.items() if variable == key))


@lru_cache(maxsize=8)
def _spelt(names: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str]]:
    """The beginnings of names, and a pattern of the whole ones without digits, quotation marks and full stops."""
    beginnings = frozenset(name[:end] for name in names for end in range(1, len(name) + 1))
    plain = sorted((name for name in names if _PLAIN_NAME.fullmatch(name)), key=len, reverse=True)
    return beginnings, re.compile(rf"(?:{'|'.join(map(re.escape, plain))})(?!\w)" if plain else r"(?!)")


__all__ = ["DiseaseNames", "Support"]

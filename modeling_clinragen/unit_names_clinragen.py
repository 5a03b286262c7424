"""Which words stand for a variable's unit, and which for that of another one."""

from __future__ import annotations

import re

from .vocabulary_clinragen import Vocabulary

_BEHIND_A_NUMBER = re.compile(r"\d ?(?P<word>[^\W\d_]+|[%°])\Z")
_LONGEST = 24
_WORD = re.compile(r"[^\W\d_]+|[%°]")
_SAID_OF_ANY = frozenset(("per",))


def behind_number(sentence: str) -> str:
    """The word that stands at the end of a sentence right behind a number, or ""."""
    found = _BEHIND_A_NUMBER.search(sentence[-_LONGEST:])
    return "" if found is None else found["word"]


class UnitNames:
    """The units of a vocabulary's variables, by the first word of each spelling: "mmHg", "mg" of "mg/dL", "%".

    Args:
        vocabulary: The variables.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        own = []
        for variable in vocabulary.variables:
            spellings = [words for unit in variable.units for words in unit.spellings]
            spellings += [variable.unit, variable.text_unit, *(words for words, _ in variable.words.units)]
            found = (_WORD.search(words) for words in spellings)
            own.append({one.group().lower() for one in found if one is not None})
        every = set().union(*own)
        self._others = [every - firsts - _SAID_OF_ANY for firsts in own]

    def is_another_s(self, word: str, variable: int) -> bool:
        """Whether a word is of the unit of another variable and not of this one's, in whatever unit that is given."""
        return word.lower() in self._others[variable]


__all__ = ["UnitNames", "behind_number"]

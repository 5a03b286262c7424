"""The words of a sentence that nothing has checked: neither a claim nor an argument has taken them up.

A sentence is only as true as all of its words. "Heart rate is high, severe hematemesis" holds a claim that is true and
words that nobody has looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from clinragen.claims.argument_words import load_argument_words
from clinragen.claims.arguments import Argument, SentenceArguments
from clinragen.claims.directions import directions_of
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.types import Statement
from clinragen.text.names import names_pattern
from modeling_clinragen.vocabulary_clinragen import RangeSet

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")


class RemainderReader:
    """Finds the unread words of sentences.

    Args:
        meanings: By disease key, variable key and direction, what the sign means according to the knowledge base.
        range_set: What is low, normal and high.
        lexicon: The names of variables and units.
    """

    def __init__(
        self,
        meanings: Mapping[tuple[str, str, str], str],
        range_set: RangeSet,
        lexicon: Lexicon,
    ) -> None:
        self._plain = load_argument_words().plain
        self._meanings = meanings
        self._range_set = range_set
        self._lexicon = lexicon

    def unread(
        self, text: str, sentence: SentenceArguments, statements: Iterable[Statement]
    ) -> tuple[tuple[int, int], ...]:
        """The places of a sentence that are not understood, as (first, last exclusive) characters of the text.

        The meaning that the knowledge base gives a sign counts as understood beside that sign and its disease.

        Args:
            text: The rationale.
            sentence: What its sentence argues, with the places that this has taken up.
            statements: The statements of the text about the series.
        """
        start, end = sentence.span
        read = [*sentence.read, *(one.span for one in statements if start <= one.span[0] < end)]
        for argument in sentence.arguments:
            for meaning in self._meant(argument):
                read += [found.span() for found in names_pattern([meaning]).finditer(text, start, end)]
        left: list[tuple[int, int]] = []
        for first, last in _outside(read, start, end):
            near = False
            for word in _WORD.finditer(text, first, last):
                if word.group().lower() in self._plain:
                    near = False
                    continue
                left.append((left.pop()[0], word.end()) if near else word.span())
                near = True
        return tuple(left)

    def _meant(self, argument: Argument) -> set[str]:
        """The meanings of the argument's evidence for all of its diseases."""
        if argument.negated:
            return set()
        said = {
            (variable, direction)
            for statement in argument.statements
            for variable in statement.subject.variables
            for direction in directions_of(argument.statements, variable, self._range_set, self._lexicon)
        }
        of_each = [
            {self._meanings[key, *sign] for sign in said if (key, *sign) in self._meanings}
            for key in argument.diseases
        ]
        return set.intersection(*of_each) if of_each else set()


def _outside(places: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    """The stretches from `start` to `end` that no place covers."""
    found, at = [], start
    for first, last in sorted(places):
        if first > at:
            found.append((at, min(first, end)))
        at = max(at, last)
    if at < end:
        found.append((at, end))
    return found

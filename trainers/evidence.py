"""The evidence that rationales cite, as places in the input: tokens of the note and variables, by disease."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from modeling_clinragen.note_clinragen import find_spans
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.reading_clinragen import Reading, tokenize
from modeling_clinragen.sentences_clinragen import QUOTATION, sentence_spans
from modeling_clinragen.vocabulary_clinragen import Variable

Places = tuple[tuple[int, int], ...]
"""Pairs of a place, a token's or a variable's, and the number of the disease that it is evidence for."""


class Cited(NamedTuple):
    """The tokens of a reading that a rationale quotes, and the variables that it names, both in order."""

    tokens: Places
    variables: Places


class CitedEvidence:
    """Reads in rationales which evidence they cite for which disease.

    What a sentence quotes from the note, and each variable that it speaks of outside quotations, is evidence for the
    diseases that it names. A sentence that names none cites nothing: it is better to miss evidence than to make it up.

    Args:
        processor: The model's processor; its vocabulary has the names.
    """

    def __init__(self, processor: ClinRaGenProcessor) -> None:
        vocabulary = processor.require_vocabulary()
        self._tokenizer = processor.tokenizer
        self._diseases = _Names([(name,) for name in vocabulary.disease_names])
        self._variables = _Names([_words_of(variable) for variable in vocabulary.variables])

    def read(self, rationale: str, reading: Reading) -> Cited:
        """The evidence that a rationale cites, with its places in what is read of the note."""
        quoted: list[tuple[int, int, set[int]]] = []
        named: set[tuple[int, int]] = set()
        for first, last in sentence_spans(rationale):
            sentence = rationale[first:last]
            unquoted = QUOTATION.sub(" ", sentence)
            diseases = self._diseases.named(unquoted)
            if not diseases:
                continue
            named |= {(variable, disease) for variable in self._variables.named(unquoted) for disease in diseases}
            for quotation in QUOTATION.finditer(sentence):
                quoted += [(*span, diseases) for span in find_spans(reading.text, quotation["words"])]
        return Cited(self._tokens(quoted, reading), tuple(sorted(named)))

    def _tokens(self, quoted: Sequence[tuple[int, int, set[int]]], reading: Reading) -> Places:
        if not quoted:
            return ()
        places = tokenize(reading.text, self._tokenizer).places
        found = {
            (place, disease)
            for start, end, diseases in quoted
            for place, (low, high) in enumerate(places)
            if low < end and start < high
            for disease in diseases
        }
        return tuple(sorted(found))


class _Names:
    """Finds things by their names, whatever the case; within a longer name a shorter one does not count."""

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        self._number = {_folded(name): number for number, own in enumerate(names) for name in own}
        alternatives = "|".join(
            r"\s+".join(map(re.escape, name.split())) for name in sorted(self._number, key=len, reverse=True)
        )
        self._pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)

    def named(self, text: str) -> set[int]:
        return {self._number[_folded(found.group())] for found in self._pattern.finditer(text)}


def _folded(name: str) -> str:
    return " ".join(name.lower().split())


def _words_of(variable: Variable) -> list[str]:
    words = variable.words
    implied = [word for condition in words.conditions for word in condition.words]
    return [variable.name, variable.short, *variable.aliases, *words.names, *implied]


__all__ = ["Cited", "CitedEvidence", "Places"]

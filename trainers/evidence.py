"""The evidence that rationales cite, as places in the input: tokens of the note and variables, by disease."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from modeling_clinragen.note_clinragen import find_spans
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.reading_clinragen import Reading, tokenize
from modeling_clinragen.sentences_clinragen import QUOTATION, sentence_spans
from modeling_clinragen.vocabulary_clinragen import Variable

Places = tuple[tuple[int, int], ...]
"""Pairs of a place, a token's or a variable's, and the number of the disease that it is evidence for."""


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

    def tokens(self, rationales: Iterable[str], reading: Reading) -> Places:
        """The tokens of what is read of a note that the rationales quote, by disease."""
        places = tokenize(reading.text, self._tokenizer).places
        found = set()
        for diseases, sentence in self._sentences(rationales):
            for quotation in QUOTATION.finditer(sentence):
                for start, end in find_spans(reading.text, quotation["words"]):
                    inside = [place for place, (low, high) in enumerate(places) if low < end and start < high]
                    found |= {(place, disease) for place in inside for disease in diseases}
        return tuple(sorted(found))

    def variables(self, rationales: Iterable[str]) -> Places:
        """The variables that the rationales name, by disease."""
        found = set()
        for diseases, sentence in self._sentences(rationales):
            named = self._variables.named(QUOTATION.sub(" ", sentence))
            found |= {(variable, disease) for variable in named for disease in diseases}
        return tuple(sorted(found))

    def _sentences(self, rationales: Iterable[str]) -> Iterable[tuple[set[int], str]]:
        for text in rationales:
            for start, end in sentence_spans(text):
                sentence = text[start:end]
                diseases = self._diseases.named(QUOTATION.sub(" ", sentence))
                if diseases:
                    yield diseases, sentence


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


__all__ = ["CitedEvidence", "Places"]

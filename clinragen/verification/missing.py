"""Evidence of the listed diseases that a rationale leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clinragen.claims.sentences import CheckedSentence, SentenceChecker


@dataclass(frozen=True)
class Gap:
    """A disease whose evidence in one source no sentence cites.

    Args:
        disease, name: Its key and its name.
        begins: The texts that a sentence about the evidence can begin with, behind the text so far.
        spans: Parts of the note that show the disease; None for evidence in the series.
    """

    disease: str
    name: str
    begins: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] | None

    def filled(self, sentences: Sequence[CheckedSentence]) -> bool:
        """Whether one of the sentences cites such evidence."""
        return any(
            claim.disease == self.disease
            # A tie of the note is one of a quotation, which is about no variable.
            and (claim.variable is None) == (self.spans is not None)
            for sentence in sentences
            for claim in sentence.supported_ties
        )


def gaps(checker: SentenceChecker, sentences: Sequence[CheckedSentence]) -> list[Gap]:
    """The evidence of the listed diseases that no sentence cites; that of the note first."""
    vocabulary = checker.patient.series.vocabulary
    evidence = checker.evidence
    listed = [(vocabulary.key_of_disease[name], name) for name in checker.diagnoses or ()]
    found = []
    for key, name in listed:
        if evidence.mentions.get(key):
            spans = tuple((mention.start, mention.end) for mention in evidence.mentions[key])
            found.append(Gap(key, name, (' "',), spans))
    for key, name in listed:
        if evidence.signs.get(key):
            variables = dict.fromkeys(sign.variable for sign in evidence.signs[key])
            begins = tuple(f" {_capital(vocabulary.variable(variable).name)}" for variable in variables)
            found.append(Gap(key, name, begins, None))
    return [gap for gap in found if not gap.filled(sentences)]


def _capital(name: str) -> str:
    # "pH" keeps its small letter.
    return name if any(character.isupper() for character in name) else name[0].upper() + name[1:]

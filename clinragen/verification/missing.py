"""Evidence of the listed diseases that a rationale leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from clinragen.claims.argument_words import NOTE, SERIES
from clinragen.claims.sentences import CheckedSentence, SentenceChecker
from dataset_builder.contract.series_signs import Finding
from dataset_builder.storage.files import faults_named, read_yaml
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RESOURCES = files("clinragen.verification") / "resources"


@dataclass(frozen=True)
class Gap:
    """A disease whose evidence in one source no sentence cites, or not the firmest.

    Args:
        disease, name: Its key and its name.
        source: "note" or "series".
        begins: The texts that a sentence about the evidence can begin with, behind the text so far.
        variable: The variable that has to be cited; None where any evidence of the source will do.
    """

    disease: str
    name: str
    source: str
    begins: tuple[str, ...]
    variable: str | None = None

    def filled(self, sentences: Sequence[CheckedSentence]) -> bool:
        """Whether one of the sentences cites such evidence."""
        return any(
            claim.disease == self.disease
            # A tie of the note is one of a quotation, which is about no variable.
            and (claim.variable is None) == (self.source == NOTE)
            and self.variable in (None, claim.variable)
            for sentence in sentences
            for claim in sentence.supported_ties
        )


@dataclass(frozen=True)
class Beginnings:
    """How a sentence begins that cites evidence: in the note, and by direction of a sign in the series."""

    note: str
    series: Mapping[str, str]


@lru_cache(maxsize=1)
def load_beginnings() -> Beginnings:
    """Read `resources/beginnings.yaml`."""
    source = RESOURCES / "beginnings.yaml"
    content = read_yaml(source)
    with faults_named(source):
        return Beginnings(content["note"], content["series"])


def gaps(checker: SentenceChecker, sentences: Sequence[CheckedSentence]) -> list[Gap]:
    """The evidence of the listed diseases that no sentence cites: of the note, the firmest sign, and any sign."""
    vocabulary, evidence, words = checker.patient.series.vocabulary, checker.evidence, load_beginnings()
    listed = [(vocabulary.key_of_disease[name], name) for name in checker.diagnoses or ()]
    found = [Gap(key, name, NOTE, (f" {words.note}",)) for key, name in listed if evidence.mentions.get(key)]
    for key, name in listed:
        sign = evidence.firmest_signs.get(key)
        if sign is not None and (begins := _begins(vocabulary, [sign])):
            found.append(Gap(key, name, SERIES, begins, sign.variable))
    # Only where it could not be said.
    for key, name in listed:
        if begins := _begins(vocabulary, evidence.signs.get(key, ())):
            found.append(Gap(key, name, SERIES, begins))
    return [gap for gap in found if not gap.filled(sentences)]


def _begins(vocabulary: Vocabulary, signs: Sequence[Finding]) -> tuple[str, ...]:
    words = load_beginnings().series
    return tuple(
        dict.fromkeys(
            " " + words[sign.direction].format(name=capital(vocabulary.variable(sign.variable).name))
            for sign in signs
            if sign.direction in words
        )
    )


def capital(name: str) -> str:
    """A variable's name as a sentence begins with it; "pH" keeps its small letter."""
    return name if any(character.isupper() for character in name) else name[0].upper() + name[1:]

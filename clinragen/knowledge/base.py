"""The parts of the domain knowledge K (paper, section 3.2): terms of each topic, and what supports a disease.

A topic is a disease or a variable. The terms become the prototypes of the model's attention, and they are what the
rule-based teacher looks for in a note and in a series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinragen.retrieval.passages import Passage
from modeling_clinragen.errors import SettingsError

SCHEMA_VERSION = 2
# In the order in which a rationale prefers them: a disease's own name says more than a drug that is given for it.
TERM_KINDS = ("name", "finding", "procedure", "symptom", "drug", "cause")
# A term of a variable says what a high or a low value may mean.
VARIABLE_KINDS = ("high", "low")
# An extracted term of which nobody said what it is.
RELATED = "related"


@dataclass(frozen=True)
class Term:
    """A term of a topic. `source` names where it can be checked: a reference, or the extractor that read it.

    `spellings` are synonyms, abbreviations and word forms of `term`; `passages` are the ids of the passages in which
    one of them stands. A term that is not `cited` belongs to the disease but occurs with too many others to support
    it, or nobody has judged it.
    """

    term: str
    kind: str
    cited: bool
    source: str
    spellings: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()

    @property
    def surfaces(self) -> tuple[str, ...]:
        """Every way in which the term may stand in a text."""
        return (self.term, *self.spellings)


@dataclass(frozen=True)
class ValueRule:
    """A number in a note that supports a disease: one of `names` with a value above or below a limit, in `unit`."""

    names: tuple[str, ...]
    above: float | None
    below: float | None
    unit: str
    source: str

    def holds(self, value: float) -> bool:
        """Whether `value` lies beyond the limit."""
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)


@dataclass(frozen=True)
class Sign:
    """A behaviour of one variable's series that supports a disease."""

    variable: str
    direction: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class TopicKnowledge:
    """What is known about a disease or a variable.

    `terms` were judged by a person; the rule-based teacher reads no others. `extracted` were read out of the passages.
    `passages` are the ids of those retrieved for the topic, best first.
    """

    key: str
    terms: tuple[Term, ...]
    extracted: tuple[Term, ...]
    passages: tuple[str, ...]

    @property
    def all_terms(self) -> tuple[Term, ...]:
        """The judged terms, then the extracted ones."""
        return self.terms + self.extracted


@dataclass(frozen=True, kw_only=True)
class DiseaseKnowledge(TopicKnowledge):
    """What is known about one disease. With `history_counts`, a past mention means that the disease is still there."""

    history_counts: bool
    values: tuple[ValueRule, ...]
    signs: tuple[Sign, ...]


@dataclass(frozen=True)
class KnowledgeBase:
    """Knowledge about every disease and variable of the vocabulary, in model order; `passages` by id."""

    schema_version: int
    origin: str
    made_by: Mapping[str, Any]
    diseases: tuple[DiseaseKnowledge, ...]
    variables: tuple[TopicKnowledge, ...]
    passages: Mapping[str, Passage]

    @property
    def topics(self) -> tuple[TopicKnowledge, ...]:
        """The diseases, then the variables."""
        return (*self.diseases, *self.variables)

    def disease(self, key: str) -> DiseaseKnowledge:
        """The entry of one disease. Raises `SettingsError` for an unknown key."""
        for entry in self.diseases:
            if entry.key == key:
                return entry
        raise SettingsError(f"knowledge: disease '{key}' is unknown; choose from phenotypes.yaml")

    def terms_for(self, key: str) -> tuple[str, ...]:
        """The terms of a disease or a variable, without spellings. Raises `SettingsError` for an unknown key."""
        entry = next((topic for topic in self.variables if topic.key == key), None) or self.disease(key)
        return tuple(term.term for term in entry.all_terms)

    def all_terms(self) -> tuple[str, ...]:
        """The knowledge vocabulary: every term of a disease or a variable once, in model order."""
        return tuple(dict.fromkeys(term.term for topic in self.topics for term in topic.all_terms))


def passage_id(passage: Passage) -> str:
    """What a knowledge base calls a passage, e.g. "pubmed:31234567"."""
    return ":".join(passage.key)

"""The parts of the domain knowledge K (paper, section 3.2): terms of each topic, and evidence for each disease.

A topic is a disease or a variable. The model's attention uses the terms as prototypes, and the rule-based teacher
searches for them in notes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from clinragen.retrieval.passages import Passage
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

SCHEMA_VERSION = 2
# In the order in which a rationale prefers them: a disease's name is stronger evidence than a drug given for it.
TERM_KINDS = ("name", "finding", "procedure", "symptom", "drug", "cause")
# A term of a variable is what a high or a low value may mean.
VARIABLE_KINDS = ("high", "low")
# The kind of an extracted term that has no other.
RELATED = "related"


@dataclass(frozen=True)
class Term:
    """A term of a topic.

    Args:
        term: The term.
        kind: One of `TERM_KINDS`, `VARIABLE_KINDS` or `RELATED`.
        cited: Whether it supports the disease. A term that does not occurs with too many other diseases, or was not
            judged by a person.
        source: Where it can be checked: a reference, or the extractor that found it.
        spellings: Synonyms, abbreviations and word forms.
        passages: Ids of the passages that contain it in any spelling.
    """

    term: str
    kind: str
    cited: bool
    source: str
    spellings: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()

    @property
    def surfaces(self) -> tuple[str, ...]:
        """Every form in which the term may occur in a text."""
        return (self.term, *self.spellings)

    @property
    def source_name(self) -> str:
        """The source without the page or heading: what stands before the colon."""
        return self.source.partition(":")[0]


@dataclass(frozen=True)
class ValueRule:
    """A number in a note that supports a disease: a measurement called one of `names`, beyond a limit in `unit`."""

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
    """A finding in one variable's series that supports a disease."""

    variable: str
    direction: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class TopicKnowledge:
    """Knowledge about one disease or variable.

    Args:
        key: The topic's key.
        terms: Terms that people have judged; the rule-based teacher uses only these.
        extracted: Terms that a program extracted from the passages.
        passages: Ids of the passages that were retrieved for the topic, best first.
    """

    key: str
    terms: tuple[Term, ...]
    extracted: tuple[Term, ...]
    passages: tuple[str, ...]

    @property
    def all_terms(self) -> tuple[Term, ...]:
        """The judged terms, then the extracted ones."""
        return self.terms + self.extracted


Topic = TypeVar("Topic", bound=TopicKnowledge)


@dataclass(frozen=True, kw_only=True)
class DiseaseKnowledge(TopicKnowledge):
    """Knowledge about one disease.

    Args:
        history_counts: Whether a past mention means that the disease is still present.
        values: Numbers in a note that support the disease.
        signs: Findings in series that support it.
    """

    history_counts: bool
    values: tuple[ValueRule, ...]
    signs: tuple[Sign, ...]


@dataclass(frozen=True)
class KnowledgeBase:
    """Knowledge about every disease and variable of a vocabulary, in model order; `passages` by id."""

    schema_version: int
    origin: str
    made_by: Mapping[str, Any]
    diseases: tuple[DiseaseKnowledge, ...]
    variables: tuple[TopicKnowledge, ...]
    passages: Mapping[str, Passage]

    def __hash__(self) -> int:
        # Mappings have no hash; equal bases have equal diseases.
        return hash((self.schema_version, self.origin, tuple(entry.key for entry in self.diseases)))

    @property
    def topics(self) -> tuple[TopicKnowledge, ...]:
        """The diseases, then the variables."""
        return (*self.diseases, *self.variables)

    @property
    def history_counts(self) -> dict[str, bool]:
        """By disease key, whether a past mention means that the disease is still present."""
        return {entry.key: entry.history_counts for entry in self.diseases}

    def disease(self, key: str) -> DiseaseKnowledge:
        """The entry of one disease. Raises `SettingsError` for an unknown key."""
        for entry in self.diseases:
            if entry.key == key:
                return entry
        known = ", ".join(entry.key for entry in self.diseases)
        raise SettingsError(f"knowledge: unknown disease '{key}'; choose one of {known}")

    def disease_terms(self) -> dict[str, tuple[str, ...]]:
        """The terms of every disease, by its key."""
        return {entry.key: self.terms_for(entry.key) for entry in self.diseases}

    def terms_for(self, key: str) -> tuple[str, ...]:
        """The terms of a disease or variable, without spellings. Raises `SettingsError` for an unknown key."""
        entry = next((topic for topic in self.variables if topic.key == key), None) or self.disease(key)
        return tuple(term.term for term in entry.all_terms)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where terms can be checked: the part of a term's source before the colon (`MeSH: Hypotension`), sorted."""
        return tuple(sorted({term.source_name for topic in self.topics for term in topic.all_terms}))

    def without_sources(self, names: Collection[str]) -> KnowledgeBase:
        """The knowledge without the terms of some sources; signs and numbers stay.

        Raises:
            SettingsError: No term is from one of them, or all are from these.
        """
        unknown = sorted(set(names) - set(self.sources))
        if unknown:
            raise SettingsError(f"no term is from '{unknown[0]}'; choose from {', '.join(self.sources)}")
        if names and set(names) == set(self.sources):
            raise SettingsError("without these sources no term is left; for no knowledge set knowledge_fusion: none")
        return replace(
            self,
            diseases=tuple(_without(entry, names) for entry in self.diseases),
            variables=tuple(_without(entry, names) for entry in self.variables),
        )

    def all_terms(self) -> tuple[str, ...]:
        """The knowledge vocabulary: every term of a disease or variable once, in model order."""
        return tuple(dict.fromkeys(term.term for topic in self.topics for term in topic.all_terms))


def _without(entry: Topic, names: Collection[str]) -> Topic:
    terms, extracted = (
        tuple(term for term in part if term.source_name not in names) for part in (entry.terms, entry.extracted)
    )
    return replace(entry, terms=terms, extracted=extracted)


def passage_id(passage: Passage) -> str:
    """The id of a passage in a knowledge base, such as "pubmed:31234567"."""
    return ":".join(passage.key)


def topic_names(vocabulary: Vocabulary) -> dict[str, str]:
    """Names of all topics by key: the diseases, then the variables."""
    return {**vocabulary.name_of_disease, **{variable.key: variable.name for variable in vocabulary.variables}}

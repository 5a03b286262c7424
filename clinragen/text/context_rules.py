"""The content of the cue file of the context rules, as values; `context_cues.py` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from clinragen.text.term_index import TermIndex

# What a cue speaks about: cues of different dimensions do not hide one another where they overlap.
DIMENSIONS = {"historical": "time", "hypothetical": "plan", "family": "person", "none": "all"}

# A shorter line was ended on purpose; a longer one may be a wrapped sentence.
WRAPPED_LINE = 50


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue's effect, its direction ("forward" or not), its reach, and its words where their plural matters.

    `dimension` is what it speaks about: assertion, time, plan, person or, for a cue without effect, all of them. One
    that is `opening` is read only where it begins its sentence, or stands behind a colon; one that is `closing` only
    where its part of the sentence ends behind it, but for a time or a circumstance.
    """

    effect: str
    forward: bool
    reach: str
    verbatim: str = ""
    dimension: str = "assertion"
    opening: bool = False
    closing: bool = False
    limited: bool = field(init=False)  # whether it is not read everywhere

    def __post_init__(self) -> None:
        object.__setattr__(self, "limited", bool(self.verbatim or self.opening or self.closing))


# A relative by itself; whether the sentence is about the relative is seen by what stands around.
SUBJECT = Cue("family", True, "subject", dimension=DIMENSIONS["family"])


@dataclass(frozen=True)
class MarkRules:
    """Marks and values that give one item of a list its status: check boxes, signs, values behind a label.

    Args:
        boxes, signs, values: Status by mark or value, in lower case.
        box, sign: Match a mark right at a place.
        box_start, sign_start: Find the characters that a mark may begin with.
        linked_value: Matches a colon or the like with a value and what shows that the value is one.
        plain_value: Finds a value at the end of an item, without a colon.
        value: Matches a value right at a place.
    """

    boxes: dict[str, str]
    signs: dict[str, str]
    values: dict[str, str]
    box: re.Pattern[str]
    sign: re.Pattern[str]
    box_start: re.Pattern[str]
    sign_start: re.Pattern[str]
    linked_value: re.Pattern[str]
    plain_value: re.Pattern[str]
    value: re.Pattern[str]


@dataclass(frozen=True)
class PatientRules:
    """Words for the patient, which end what is said of relatives.

    Args:
        names: Words for the patient.
        owners: Words in front of them that make them somebody's ("the mother of the patient").
        tells: What follows them where the patient only tells of somebody.
    """

    names: TermIndex[bool]
    owners: frozenset[str]
    tells: re.Pattern[str]


@dataclass(frozen=True)
class RelativeRules:
    """Other people, and where a sentence is about them.

    Args:
        names: Words for them, in lower case.
        articles: Words that may stand in front of one at the start of a clause.
        clause: A comma and what follows it where the sentence goes on about a relative.
        tells: What follows a relative who only tells of the patient, or is only present.
    """

    names: frozenset[str]
    articles: frozenset[str]
    clause: re.Pattern[str]
    tells: re.Pattern[str]


@dataclass(frozen=True)
class DoubleNegations:
    """Negations that are none, because of another one or of what they negate.

    Args:
        cancellers: Phrases that cancel a negation behind them, with the first words of the negations that they cancel.
        aspects: A negated aspect of a finding that is there ("improvement of"), right behind a negation.
        firsts: The first words of aspects and actions.
        actions: What is not done about a finding that is there ("workup needed for"), right behind "no further".
    """

    cancellers: TermIndex[frozenset[str]]
    aspects: re.Pattern[str]
    actions: re.Pattern[str]
    firsts: frozenset[str]


@dataclass(frozen=True)
class SplitCues:
    """Cues in two parts around what they work on, or around something else.

    Args:
        patterns: By effect, cues around what they work on: "rules", "out".
        firsts: Their first words.
        orders: Orders, which speak of what stands behind their "for": "call your surgeon for".
        order_firsts: The first words of orders.
    """

    patterns: dict[str, re.Pattern[str]]
    firsts: frozenset[str]
    orders: re.Pattern[str]
    order_firsts: frozenset[str]


@dataclass(frozen=True)
class StatementRules:
    """How far back a cue with the reach `statement` works.

    Args:
        fillers: Words between such a cue and what it is about.
        pronouns: Those of them that stand for something in the sentence before, if they begin one.
        plurals: Those of them that stand for a whole list.
        circumstances: First words of a part that only says when or why.
        leads: Words that a sentence with such a cue may begin with, if it is about the sentence before.
    """

    fillers: frozenset[str]
    pronouns: frozenset[str]
    plurals: frozenset[str]
    circumstances: frozenset[str]
    leads: frozenset[str]


@dataclass(frozen=True)
class ContextRules:
    """The content of the cue file."""

    cues: TermIndex[Cue]
    terminators: TermIndex[str]  # by the name of their list
    details: TermIndex[bool]
    openers: frozenset[str]
    states: frozenset[str]
    masks: tuple[str, ...]
    sections: dict[str, str]
    section_words: int
    relatives: RelativeRules
    double_negations: DoubleNegations
    split_cues: SplitCues
    conditions: frozenset[str]
    patients: PatientRules
    statements: StatementRules
    lasting: TermIndex[str]
    followers: frozenset[str]
    marks: MarkRules
    value_links: frozenset[str]
    modifiers: frozenset[str]
    complaints: frozenset[str]
    named_persons: re.Pattern[str]  # the person behind "never" or "former", up to the "with" of what that person has
    first_thoughts: frozenset[str]
    list_leads: frozenset[str]
    continuations: re.Pattern[str]
    refutations: TermIndex[bool]
    relapses: re.Pattern[str]
    persistences: TermIndex[bool]
    onsets: re.Pattern[str]
    quantities: re.Pattern[str]

    def cues_of_assertion(self, text: str) -> bool:
        """Whether a short text has a cue that affirms nothing and denies something, such as "denies"."""
        return any(cue.dimension == "assertion" for match in self.cues.find(text) for cue in match.owners)

    def section_effect(self, name: str) -> str | None:
        """The effect of a heading ("none" for one without), or None if the heading is unknown."""
        words = name.lower().replace("/", " / ").split()
        for count in range(min(len(words), self.section_words), 0, -1):
            effect = self.sections.get(" ".join(words[:count]))
            if effect is not None:
                return effect
        return None

"""The parser's memory of a sentence, and how a new token relates to the clause that is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from clinragen.claims.clauses import Clause
from clinragen.claims.scopes import Carrier
from clinragen.claims.tokens import Token
from clinragen.claims.types import Subject


class Tie(Enum):
    """How the next token relates to the open clause."""

    NONE = "no clause is open"
    RESUMED = "no clause is open, but 'it' or 'but' refers to the last subjects"
    TIED = "it belongs to the clause"
    LOOSE = "other words stand between: a bare number or level is about those"
    CLOSED = "another noun is the subject now: nothing belongs to the clause any more"


# By event, the states that it changes; all others stay. Names and predicates are tokens of that kind; "noun" is an
# unknown word after a comma or conjunction, "word" any other unknown word.
TRANSITIONS: Mapping[str, Mapping[Tie, Tie]] = {
    "name": dict.fromkeys(Tie, Tie.TIED),
    "resumption": {Tie.RESUMED: Tie.TIED},
    "predicate": {Tie.LOOSE: Tie.TIED},
    "copula": {Tie.LOOSE: Tie.TIED},
    "pronoun": {Tie.NONE: Tie.RESUMED, Tie.LOOSE: Tie.TIED},
    "with": {Tie.TIED: Tie.LOOSE},
    "word": {Tie.RESUMED: Tie.NONE, Tie.TIED: Tie.LOOSE},
    "noun": {Tie.RESUMED: Tie.NONE, Tie.TIED: Tie.CLOSED, Tie.LOOSE: Tie.CLOSED},
    "interpretation": dict.fromkeys(Tie, Tie.NONE),
    "stop": dict.fromkeys(Tie, Tie.NONE),
    "break": dict.fromkeys(Tie, Tie.RESUMED),
}


@dataclass
class State:
    """The parser's memory of the sentence so far."""

    tie: Tie = Tie.NONE
    clause: Clause | None = None
    leads: list[Token] = field(default_factory=list)  # "In the first 24 hours, ...": holds for the whole sentence
    fronted: list[Token] = field(default_factory=list)  # those of them that no comma parts from the first name
    before: list[Token] = field(default_factory=list)  # what describes the next name
    last: tuple[Subject, ...] = ()
    interpreting: bool = False
    scope: str = "now"
    goal: bool = False  # what is wanted, up to the next comma
    others: bool = False  # about somebody else, up to the end of the sentence
    carrier: Carrier | None = None  # what opened the list that is being read ("no", "history of")
    conjunction: str = ""  # the last comma or conjunction, whatever it joins
    plural: bool = False  # the last form of "to be" was one of several
    marks_lead: bool = False  # "(+) cough (-) fever": marks stand before what they are about
    significant: str = ""  # the kind of the last token that is not a filler
    preposition: str = ""
    dropped: bool = False  # the token was of something else: it does not stand between the others


class ParserMemory:
    """The memory that all readers of tokens share: the tokens, the state of the sentence, and the clauses so far."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._state = State()
        self._clauses: list[Clause] = []
        self._sentence = 0  # the first of `_clauses` that belongs to this sentence

    def _on(self, event: str) -> None:
        self._state.tie = TRANSITIONS[event].get(self._state.tie, self._state.tie)

    def _close(self) -> None:
        """Finish the open clause, if there is one; the caller says what follows it."""
        clause = self._state.clause
        if clause is None:
            return
        if clause.same and not clause.parts and self._clauses:
            clause.parts = [replace(part) for part in self._clauses[-1].parts]
        if not clause.interpreting or clause.stands_alone(self._state.last):
            self._clauses.append(clause)
        self._state.last = tuple(subject for subject, _ in clause.subjects)
        self._state.clause = None


def _negates(token: Token) -> bool:
    return token.kind == "negation" and token.meaning is not None and token.meaning.word in ("plain", "never")

"""From tokens to statements: which variable each level, number, trend, count and time belongs to.

The parser reads tokens from left to right, once. It keeps at most one clause open; `Tie` says how a new token relates
to it, and `_TRANSITIONS` is the whole table of how that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from clinragen.claims.clauses import QUALIFIERS, Clause, Part
from clinragen.claims.lexer import Token
from clinragen.claims.statements import statements_of
from clinragen.claims.types import Statement, Subject


class Tie(Enum):
    """How the next token relates to the open clause."""

    NONE = "no clause is open"
    RESUMED = "no clause is open, but 'it' or 'but' refers to the last subjects"
    TIED = "it belongs to the clause"
    LOOSE = "other words stand between: a bare number or level is about those"
    CLOSED = "another noun is the subject now: nothing belongs to the clause any more"


# By event, the states that it changes; all others stay. Names and predicates are tokens of that kind; "noun" is an
# unknown word after a comma or conjunction, "word" any other unknown word.
_TRANSITIONS: Mapping[str, Mapping[Tie, Tie]] = {
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

# What may stand before the name that it describes ("persistently low heart rate").
_BEFORE = frozenset(
    (
        *("level", "trend", "extreme", "negation", "hedge", "time", "quantifier", "approximately", "filler", "stay"),
        *("copula", "reading", "past", "hypothetical", "measured", "soft"),
    )
)
# Tokens that describe the name before them, even with another name ahead.
_NEVER_BEFORE = frozenset(("number", "span", "pair", "compare", "unmeasured"))
_PREDICATES = frozenset(("level", "trend", "extreme", "compare", "number", "span", "pair", "measured", "unmeasured"))
# These describe only what is next to them: after another noun they are about that noun.
_BOUND = frozenset(("level", "compare", "number", "span", "pair", "measured", "unmeasured"))
_AFTER_COLON = frozenset(("number", "pair", "span", "approximately", "level"))
_PREPOSITIONS = frozenset(("to", "by", "from", "of", "at", "in"))


@dataclass
class _State:
    """The parser's memory of the sentence so far."""

    tie: Tie = Tie.NONE
    clause: Clause | None = None
    leads: list[Token] = field(default_factory=list)  # "In the first 24 hours, ...": holds for the whole sentence
    before: list[Token] = field(default_factory=list)  # what describes the next name
    last: tuple[Subject, ...] = ()
    interpreting: bool = False
    scope: str = "now"
    significant: str = ""  # the kind of the last token that is not a filler
    preposition: str = ""


class Parser:
    """Reads the tokens of one text, in linear time."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._names_ahead = _names_ahead(tokens)
        self._state = _State()
        self._clauses: list[Clause] = []

    def parse(self) -> list[Statement]:
        """The statements in the order of their clauses."""
        for index, token in enumerate(self._tokens):
            self._read(index, token)
        self._close()
        return [statement for clause in self._clauses for statement in statements_of(clause)]

    def _read(self, index: int, token: Token) -> None:
        if token.kind in ("stop", "break", "colon"):
            self._end_sentence(index, token)
            return
        read = _READERS.get(token.kind)
        if read is not None:
            read(self, index, token)
        state = self._state
        if token.kind == "filler":
            if token.text.lower() in _PREPOSITIONS:
                state.preposition = token.text.lower()
        elif token.kind != "approximately":
            state.preposition = ""
            if token.kind not in ("reading", "soft"):
                state.significant = token.kind

    def _on(self, event: str) -> None:
        self._state.tie = _TRANSITIONS[event].get(self._state.tie, self._state.tie)

    def _read_name(self, index: int, token: Token) -> None:
        state = self._state
        if token.meaning is None or not token.meaning.subjects:
            return
        clause = state.clause
        if clause is not None and not state.before and self._joins(clause, token):
            clause.add(token)
        else:
            before = [one for one in state.before if one.kind != "same"]
            same = len(before) < len(state.before)
            self._close()
            clause = Clause([*state.leads], before, scope=state.scope, same=same, interpreting=state.interpreting)
            clause.add(token)
            state.clause = clause
        state.before = []
        self._on("name")

    def _joins(self, clause: Clause, token: Token) -> bool:
        """Whether this name continues the list of names that the clause begins with."""
        if clause.parts or self._state.tie is Tie.CLOSED or not clause.subjects or clause.inherited:
            return False
        if clause.conditions != (token.kind == "condition"):
            return False
        conjunction = clause.conjunction
        if conjunction == "" and self._state.significant in ("name", "condition"):
            return True  # "heart rate (HR)"
        if conjunction == "and" and clause.conditions and clause.plainly_negated:
            return False  # "not hypotensive and tachycardic"
        return conjunction in (",", "and", "or", "nor", "/")

    def _read_same(self, index: int, token: Token) -> None:
        """ "..., as is the respiratory rate" repeats a statement, "A as well as B are high" only lists names."""
        clause = self._state.clause
        if clause is not None and not clause.parts and not clause.conditions and token.text.lower() == "as well as":
            clause.conjunction = "and"
        else:
            self._state.before.append(token)

    def _read_description(self, index: int, token: Token) -> None:
        """A predicate or a qualifier: of the name to come, of the clause so far, or of something else."""
        state = self._state
        # "Heart rate high ..." continues about the heart rate, "..., low blood pressure" begins something new.
        fresh = state.tie is Tie.TIED and state.significant in ("name", "condition", "copula", "stay")
        if self._names_ahead[index] and token.kind not in _NEVER_BEFORE and not fresh:
            state.before.append(token)
            return
        if state.clause is None and not self._resume(token):
            if token.kind in QUALIFIERS:
                state.leads.append(token)
            return
        clause = state.clause
        if clause is None or state.tie is Tie.CLOSED:
            return
        following = self._tokens[index + 1].kind if index + 1 < len(self._tokens) else ""
        foreign = following == "word" and state.significant not in ("copula", "stay")
        led_back = token.kind == "level" and bool(clause.parts) and state.significant == "comma"
        if token.kind in _BOUND and state.tie is Tie.LOOSE and not led_back:
            return
        if token.kind in ("level", "trend", "extreme") and foreign:
            return  # "rising lactate"
        clause.parts.append(Part(token, state.preposition, token.kind))
        clause.end = max(clause.end, token.end)
        if token.kind in _PREDICATES:
            self._on("predicate")

    def _resume(self, token: Token) -> bool:
        """Continue about the last subjects ("it falls", "but falls later"), if that is what the words do."""
        state = self._state
        if not (state.tie is Tie.RESUMED and state.last and token.kind in _PREDICATES):
            return False
        clause = Clause([*state.leads], [], scope=state.scope)
        clause.subjects = [(subject, None) for subject in state.last]
        clause.inherited = True
        clause.start = token.start
        state.clause = clause
        self._on("resumption")
        return True

    def _read_conjunction(self, index: int, token: Token) -> None:
        state, clause = self._state, self._state.clause
        word = "," if token.kind == "comma" else (token.meaning.word.lower() if token.meaning is not None else "and")
        if clause is not None:
            if not clause.parts:
                clause.conjunction = word if word != "," or not clause.conjunction else clause.conjunction
            clause.add_boundary(token)
            if word == "with":
                self._on("with")
        if token.kind == "comma" and state.scope == "past":
            state.scope = "now"
        if state.before and clause is None:
            # "Initially, heart rate was high": what stood before a comma leads the sentence.
            state.leads += [one for one in state.before if one.kind in QUALIFIERS and one.kind != "negation"]
        state.before = []

    def _read_copula(self, index: int, token: Token) -> None:
        state = self._state
        if state.clause is not None and state.tie is not Tie.CLOSED:
            state.clause.copula = True
            state.clause.parts.append(Part(token, "", "copula"))
            self._on("copula")

    def _read_interpretation(self, index: int, token: Token) -> None:
        self._interpret()

    def _interpret(self) -> None:
        self._close()
        self._state.before = []
        self._state.interpreting = True
        self._on("interpretation")

    def _read_scope(self, index: int, token: Token) -> None:
        self._state.scope = token.kind

    def _read_pronoun(self, index: int, token: Token) -> None:
        self._on("pronoun")

    def _read_reading(self, index: int, token: Token) -> None:
        if self._state.clause is not None and self._state.significant == "name":
            self._state.clause.readings = True

    def _read_word(self, index: int, token: Token) -> None:
        state = self._state
        state.before = [one for one in state.before if one.kind == "negation" and state.significant == "negation"]
        noun = token.kind == "word" and state.significant in ("comma", "conjunction")
        self._on("noun" if noun else "word")

    def _end_sentence(self, index: int, token: Token) -> None:
        state = self._state
        following = self._tokens[index + 1] if index + 1 < len(self._tokens) else None
        if token.kind == "colon":
            if following is not None and following.kind in _AFTER_COLON:
                return
            if state.clause is not None and (state.clause.parts or state.clause.conditions):
                self._interpret()
                return
        leading = [*state.leads, *(state.clause.before if state.clause is not None else [])]
        self._close()
        # "In the first day X rose while Y fell": a span of time still holds, a point of time does not.
        spans = ("window", "final") if token.kind == "break" else ()
        leads = [one for one in leading if one.meaning and one.meaning.when and one.meaning.when.kind in spans]
        self._state = _State(leads=leads, last=state.last, significant=token.kind)
        self._on("break" if token.kind == "break" else "stop")

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


_READERS: Mapping[str, Callable[[Parser, int, Token], None]] = {
    **dict.fromkeys(("name", "condition"), Parser._read_name),
    **dict.fromkeys(("comma", "conjunction"), Parser._read_conjunction),
    **dict.fromkeys(("past", "hypothetical"), Parser._read_scope),
    **dict.fromkeys(("word", "blank"), Parser._read_word),
    **dict.fromkeys(_PREDICATES | QUALIFIERS | {"approximately"}, Parser._read_description),
    "interpretation": Parser._read_interpretation,
    "pronoun": Parser._read_pronoun,
    "copula": Parser._read_copula,
    "same": Parser._read_same,
    "reading": Parser._read_reading,
}


def _names_ahead(tokens: list[Token]) -> list[bool]:
    """For each token, whether a name follows with nothing between but what may describe a name."""
    ahead = [False] * len(tokens)
    for index in range(len(tokens) - 2, -1, -1):
        following = tokens[index + 1].kind
        ahead[index] = following in ("name", "condition") or (following in _BEFORE and ahead[index + 1])
    return ahead


def parse(tokens: list[Token]) -> list[Statement]:
    """The statements about variables in a row of tokens."""
    return Parser(tokens).parse()

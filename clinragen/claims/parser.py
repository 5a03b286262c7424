"""From tokens to statements: which variable each level, number, trend, count and time belongs to.

The parser reads tokens from left to right, once. It keeps at most one clause open; `Tie` says how a new token relates
to it, and `TRANSITIONS` (parser_state.py) is the whole table of how that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from clinragen.claims.clauses import NUMBERS, QUALIFIERS, Clause, Part, resume_opposites, settle
from clinragen.claims.coincidences import link_clauses, relate
from clinragen.claims.leftovers import leave_open
from clinragen.claims.lexicon import Meaning
from clinragen.claims.lookahead import (
    OF_OTHERS,
    begins_anew,
    binds_back,
    ends_at,
    is_fronted,
    limits_next,
    names_ahead,
    of_next,
    of_verb,
    states_next,
)
from clinragen.claims.parser_state import State, Tie
from clinragen.claims.rewrites import rewrite
from clinragen.claims.scope_reader import ScopeReader, deny
from clinragen.claims.scopes import ENDERS, Carrier, alternative_ahead, looks_forward
from clinragen.claims.statements import statements_of
from clinragen.claims.times_beside import take_times_beside
from clinragen.claims.tokens import Token
from clinragen.claims.types import Statement, When
from clinragen.claims.wanted import leave_wanted

# Tokens that describe the name before them, even with another name ahead.
_NEVER_BEFORE = frozenset(("number", "span", "pair", "compare", "unmeasured"))
_PREDICATES = frozenset(
    (
        *("level", "trend", "extreme", "compare", "number", "span", "pair", "measured", "unmeasured", "comparative"),
        *("factor", "ratio", "against"),
    )
)
# These describe only what is next to them: after another noun they are about that noun.
_BOUND = frozenset(("level", "compare", "number", "span", "pair", "measured", "unmeasured"))
_AFTER_COLON = frozenset(
    (
        *("number", "pair", "span", "approximately", "level", "denied", "doubted", "negation", "mark", "trend"),
        *("extreme", "quantifier"),
    )
)
_PREPOSITIONS = frozenset(("within", "to", "by", "from", "of", "at", "in", "on", "for", "into"))
_UNREAD = Meaning("time", when=When("unread"))
_NOW = Meaning("time", when=When("now"))
_AGAIN = frozenset(("again", "back", "once more"))
_FILLERS = frozenset(("filler", "restart", "foreign", "present"))


class Parser(ScopeReader):
    """Reads the tokens of one text, in linear time."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self._names_ahead = names_ahead(tokens)
        self._first = 0  # the first token of the sentence

    def parse(self) -> list[Statement]:
        """The statements in the order of their clauses."""
        for index, token in enumerate(self._tokens):
            self._read(index, token)
        self._close()
        self._finish(len(self._tokens))
        resume_opposites(self._clauses)
        leave_wanted(self._tokens, self._clauses)
        stated = [statements_of(clause) for clause in self._clauses]
        relate(stated, link_clauses(self._tokens, self._clauses))
        take_times_beside(self._tokens, self._clauses, stated)
        return [statement for of_clause in stated for statement in of_clause]

    def _read(self, index: int, token: Token) -> None:
        if token.kind in ("stop", "break", "colon"):
            self._end_sentence(index, token)
            return
        state = self._state
        if token.kind in ENDERS:
            state.carrier = None
        state.dropped = False
        read = _READERS.get(token.kind)
        if read is not None:
            read(self, index, token)
        if token.kind in _FILLERS:
            if token.text.lower() in _PREPOSITIONS:
                state.preposition = token.text.lower()
            elif token.text.lower() in _AGAIN and state.clause is not None:
                state.clause.again = True
        elif token.kind not in ("approximately", "only") and not state.dropped:
            state.preposition = ""
            if token.kind not in ("reading", "soft"):
                state.significant = token.kind

    def _finish(self, end: int) -> None:
        """Settle all that takes a whole sentence, which ends at the token `end`."""
        tokens, clauses = (self._tokens[self._first : end], self._clauses[self._sentence :])
        settle(tokens, clauses)
        leave_open(tokens, clauses)
        if end < len(self._tokens) and self._tokens[end].text == "?":
            for clause in clauses:
                clause.scope = "open" if clause.scope == "now" else clause.scope  # "Is the heart rate 135?"

    def _read_name(self, index: int, token: Token) -> None:
        state = self._state
        if token.meaning is None or not token.meaning.subjects:
            return
        clause = state.clause
        if clause is not None and clause.header and state.conjunction == "" and not clause.parts:
            # "Initial vitals notable for heart rate 130": a header says nothing itself, only when.
            state.leads += [one for one in clause.before if one.kind == "time"]
            state.clause = clause = None
        if clause is not None and self._narrows(clause, token):
            return
        if clause is not None and not state.before and self._joins(clause, token, index):
            clause.add(token)
        else:
            before = [one for one in state.before if one.kind != "same"]
            same = len(before) < len(state.before)
            self._close()
            fronted = [one for one in before if one.kind == "time" and is_fronted(self._tokens, self._first, one)]
            if fronted:
                # "At hour 22 she was afebrile and not hypoxic": it holds for the whole sentence.
                state.leads += fronted
                state.fronted = fronted
                before = [one for one in before if one not in fronted]
            leads, scope = [*state.leads], state.scope
            carrier = self._carrier(index, token, before)
            if carrier is not None:
                leads += [carrier.token] if carrier.kind == "negation" else []
                scope = scope if carrier.kind == "negation" else carrier.kind
            led = not fronted and any(one in leads for one in state.fronted)
            clause = Clause(leads, before, scope=scope, same=same, interpreting=state.interpreting, led=led)
            clause.add(token)
            state.clause = clause
        state.before = []
        state.conjunction = ""
        self._on("name")

    def _narrows(self, clause: Clause, token: Token) -> bool:
        """ "BP below 110 systolic", "BP systolic 110": the name says which of the pressures is meant."""
        state = self._state
        behind = clause.numbered and state.significant in NUMBERS
        beside = not clause.parts and state.significant in ("name", "condition") and not clause.conditions
        return state.tie is Tie.TIED and not state.before and (behind or beside) and clause.narrow(token)

    def _joins(self, clause: Clause, token: Token, index: int) -> bool:
        """Whether this name continues the list of names that the clause begins with."""
        if clause.parts or self._state.tie is Tie.CLOSED or not clause.subjects or clause.inherited:
            return False
        if clause.conditions != (token.kind == "condition"):
            return False
        if clause.states_otherwise(token):
            return False  # "from tachycardic to bradycardic"
        conjunction = clause.conjunction
        if conjunction == "" and self._state.significant in ("name", "condition"):
            # "heart rate (HR)", not "on 0.8 FiO2 the SpO2 was 86 %"
            return not any(one.kind in NUMBERS for one in clause.before)
        if conjunction in ("and", ",") and clause.conditions and clause.plainly_negated:
            # "not hypotensive and tachycardic", but "not hypotensive, tachycardic or febrile"
            return conjunction == "," and alternative_ahead(self._tokens, index)
        negated = clause.conditions and any(_negates(one) for one in clause.before)
        if negated and conjunction in ("and", ",") and states_next(self._tokens, index):
            return False  # "no hypoxia, and the fever resolved"
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
        if _negates(token):
            state.carrier = Carrier("negation", token)
        if token.kind in NUMBERS and of_next(self._tokens, index, state):
            state.before.append(token)
            return
        # "Heart rate high ..." continues about the heart rate, "..., low blood pressure" begins something new.
        if token.kind == "stay" and state.preposition == "to" and self._names_ahead[index]:
            return  # "needed to keep SpO2 above 90 %"
        fresh = state.tie is Tie.TIED and state.significant in ("name", "condition", "copula", "stay")
        fresh = fresh and not (_negates(token) and begins_anew(self._tokens, index, state.clause))
        forward = _negates(token) and looks_forward(token)
        if token.kind == "extreme" and state.clause is not None and state.clause.conditions:
            forward = self._tokens[index + 1 : index + 2] != [] and self._tokens[index + 1].kind == "name"
        if self._names_ahead[index] and token.kind not in _NEVER_BEFORE and (forward or not fresh):
            state.before.append(token)
            return
        if state.clause is None and not self._resume(token):
            # "No rash, and heart rate is high": a negation leads nothing but its list.
            if token.kind in QUALIFIERS and not _negates(token):
                state.leads.append(token)
            elif token.kind in NUMBERS and self._names_ahead[index]:
                following = self._tokens[index + 1].kind
                if following not in ("trend", "level", "extreme"):
                    return
                state.leads.append(replace(token, kind="time", meaning=_UNREAD))  # "an 11% drop in saturation"
            return
        clause = state.clause
        answers = state.significant == "colon" and ends_at(self._tokens, index)
        if forward and _negates(token) and (answers or not binds_back(self._tokens, index, state.significant)):
            if ends_at(self._tokens, index) and clause is not None:
                self._answer(token, deny, several=True)  # "fever and rash denied"
            return
        if clause is None or state.tie is Tie.CLOSED:
            return
        following = self._tokens[index + 1].kind if index + 1 < len(self._tokens) else ""
        foreign = following == "word" and state.significant not in ("copula", "stay")
        led_back = token.kind == "level" and bool(clause.parts) and state.significant == "comma"
        # "on 3 drips", "86% on 80%"
        others = following == "word" or clause.numbered
        counted = token.kind in NUMBERS and others and state.preposition in OF_OTHERS
        if counted or (
            token.kind in _BOUND
            and state.tie is Tie.LOOSE
            and not led_back
            and not of_verb(self._tokens, index, state.preposition)
        ):
            state.dropped = True
            if token.kind in NUMBERS and not counted and not {following, state.significant} & {"word", "blank"}:
                clause.parts.append(Part(token, "", "unread"))
            return
        if token.kind == "number" and state.preposition == "within":
            clause.parts.append(Part(token, "", "unread"))  # "within 2 mmHg of the first value"
            return
        if token.kind in ("level", "trend", "extreme") and foreign:
            return  # "rising lactate"
        if token.kind == "level" and state.preposition == "from":
            return  # "from normal to 130"
        clause.parts.append(Part(token, state.preposition, token.kind))
        clause.start, clause.end = (min(clause.start, token.start), max(clause.end, token.end))
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
        if clause is not None and clause.header and not clause.parts and token.text:
            self._head(clause)  # "Arrival vitals - HR 62"
            return
        word = "," if token.kind == "comma" else (token.meaning.word.lower() if token.meaning is not None else "and")
        state.conjunction = word
        if word in ("with", "then", "and then", "also", "plus"):
            state.carrier = None
        if word in ("then", "and then"):
            state.leads = [one for one in state.leads if one.kind != "time"]  # "Initially afebrile, then febrile"
        if clause is not None:
            if not clause.parts:
                clause.conjunction = word if word != "," or not clause.conjunction else clause.conjunction
            clause.add_boundary(token)
            if word == "with":
                self._on("with")
        if token.kind == "comma" and state.goal and limits_next(self._tokens, index):
            pass  # "Call for HR > 120, SBP < 90"
        elif token.kind == "comma" and not state.others and (state.scope == "past" or state.goal):
            state.scope, state.goal = "now", False
        if state.before and clause is None:
            # "Initially, heart rate was high": what stood before a comma leads the sentence.
            state.leads += [one for one in state.before if one.kind in QUALIFIERS and one.kind != "negation"]
        state.before = []

    def _read_copula(self, index: int, token: Token) -> None:
        state = self._state
        state.plural = token.text.lower() in ("were", "are")
        if state.clause is not None and state.tie is not Tie.CLOSED:
            if state.clause.parts and state.clause.parts[-1].kind == "than":
                return  # "lower at hour 40 than it had been at hour 20"
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

    def _read_now(self, index: int, token: Token) -> None:
        self._restart()
        self._read_description(index, replace(token, kind="time", meaning=_NOW))

    def _read_arrow(self, index: int, token: Token) -> None:
        if self._state.clause is not None and self._state.tie is Tie.TIED:
            self._state.clause.parts.append(Part(token, "", "arrow"))

    def _read_than(self, index: int, token: Token) -> None:
        if self._state.clause is not None and self._state.tie is not Tie.CLOSED:
            self._state.clause.parts.append(Part(token, "", "than"))

    def _read_pronoun(self, index: int, token: Token) -> None:
        self._on("pronoun")

    def _read_reading(self, index: int, token: Token) -> None:
        if self._state.clause is not None and self._state.significant == "name":
            self._state.clause.readings = True

    def _read_word(self, index: int, token: Token) -> None:
        state = self._state
        state.before = [one for one in state.before if one.kind == "negation" and state.significant == "negation"]
        noun = token.kind == "word" and state.significant in ("comma", "conjunction")
        # "Heart rate variability was 20": the compound is another thing.
        follows = [one.kind for one in self._tokens[max(index - 1, 0) : index + 2]]
        noun = noun or (token.kind == "word" and follows == ["name", "word", "copula"])
        self._on("noun" if noun else "word")

    def _head(self, header: Clause) -> None:
        """ "Vitals at hour 16: ...": the time holds for what the header heads."""
        leads = [*self._state.leads, *header.before, *(part.token for part in header.parts)]
        self._state = State(leads=[one for one in leads if one.kind == "time"], significant="colon")

    def _end_sentence(self, index: int, token: Token) -> None:
        state = self._state
        following = self._tokens[index + 1] if index + 1 < len(self._tokens) else None
        if token.kind == "colon":
            if following is not None and following.kind in _AFTER_COLON:
                state.significant = "colon"
                return
            if state.clause is None and (state.scope != "now" or state.leads):
                return  # "Past history: ...", "At hour 16: ..."
            if state.clause is not None and state.clause.header:
                self._head(state.clause)
                return
            if state.clause is not None and (state.clause.parts or state.clause.conditions):
                self._interpret()
                return
        state.carrier = None
        leading = [*state.leads, *(state.clause.before if state.clause is not None else [])]
        self._close()
        self._finish(index)
        # "In the first day X rose while Y fell": a span of time still holds, a point of time does not.
        spans = ("window", "final") if token.kind == "break" else ()
        leads = [one for one in leading if one.meaning and one.meaning.when and one.meaning.when.kind in spans]
        self._state = State(leads=leads, last=state.last, significant=token.kind)
        self._sentence, self._first = len(self._clauses), index + 1
        self._on("break" if token.kind == "break" else "stop")


def _negates(token: Token) -> bool:
    return token.kind == "negation" and token.meaning is not None and token.meaning.word in ("plain", "never")


_READERS: Mapping[str, Callable[[Parser, int, Token], None]] = {
    **dict.fromkeys(("name", "condition"), Parser._read_name),
    **dict.fromkeys(("comma", "conjunction"), Parser._read_conjunction),
    **dict.fromkeys(("past", "hypothetical"), Parser._read_scope),
    **dict.fromkeys(("word", "blank"), Parser._read_word),
    **dict.fromkeys(_PREDICATES | QUALIFIERS | {"approximately"}, Parser._read_description),
    "now": Parser._read_now,
    "present": Parser._read_present,
    "restart": Parser._read_restart,
    "denied": Parser._read_denied,
    "doubted": Parser._read_doubted,
    "goal": Parser._read_goal,
    "others": Parser._read_others,
    "mark": Parser._read_mark,
    "arrow": Parser._read_arrow,
    "than": Parser._read_than,
    "interpretation": Parser._read_interpretation,
    "pronoun": Parser._read_pronoun,
    "copula": Parser._read_copula,
    "same": Parser._read_same,
    "reading": Parser._read_reading,
}


def parse(tokens: list[Token]) -> list[Statement]:
    """The statements about variables in a row of tokens."""
    return Parser(rewrite(tokens)).parse()

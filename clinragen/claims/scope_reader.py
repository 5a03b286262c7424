"""Reads what a statement is subject to: history, goals, "was ruled out", check marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from clinragen.claims.clauses import Clause, Part
from clinragen.claims.lexicon import Meaning
from clinragen.claims.parser_state import ParserMemory, Tie
from clinragen.claims.scopes import Carrier
from clinragen.claims.tokens import Token

# Goals that may stand behind the name ("MAP goal > 65").
_GOAL_NOUNS = ("goal", "target", "threshold", "alarm", "cutoff", "cut", "limit", "parameter")
_OF_MODALS = (
    *("would", "should", "will", "ought", "expected", "needs to", "need to", "has to", "have to", "must"),
    *("is to", "are to", "was to", "were to", "is supposed", "was supposed", "are supposed", "were supposed", "meant"),
    *("is meant", "was meant", "desired", "wanted"),
    *("forecast", "project", "predict", "extrapolat", "is going", "are going", "going to"),
)
_PERSONS = frozenset(("he", "she", "patient", "pt"))
_ABSENT = Meaning("negation", "plain")


class ScopeReader(ParserMemory):
    """The part of the parser that says of what time, of whom and whether at all a statement is made."""

    def _read_scope(self, index: int, token: Token) -> None:
        state = self._state
        if state.others:
            return
        if token.text.lower().startswith(_OF_MODALS) and state.clause is not None and state.tie is Tie.TIED:
            state.clause.scope = token.kind  # "tachycardia would suggest ..."
        self._state.scope = token.kind
        self._state.goal = False
        if token.kind == "past":
            self._state.carrier = Carrier("past", token)

    def _carrier(self, index: int, token: Token, before: list[Token]) -> Carrier | None:
        """The word that opened the list that this name is an item of, or None."""
        state = self._state
        carrier = state.carrier
        described = [one for one in before if one.kind not in ("filler", "soft", "reading")]
        if carrier is None or state.significant in ("", "negation") or carrier.token in before:
            return None
        levels = all(one.kind == "level" and one.meaning and one.meaning.word != "normal" for one in described)
        if not (token.kind == "condition" or described) or not levels:
            return None
        return carrier if carrier.reaches(self._tokens, index, state.conjunction) else None

    def _read_others(self, index: int, token: Token) -> None:
        self._state.scope, self._state.others = "past", True

    def _read_goal(self, index: int, token: Token) -> None:
        """ "MAP goal > 65", "titrate to MAP > 65": what is wanted, up to the next comma."""
        state = self._state
        # "MAP goal", "a MAP of 65 is the goal"
        behind = state.significant in ("name", "copula")
        if state.clause is not None and state.tie is Tie.TIED and behind:
            if token.text.lower().startswith(_GOAL_NOUNS):
                state.clause.scope = "hypothetical"
        else:
            state.scope, state.goal = "hypothetical", True

    def _read_restart(self, index: int, token: Token) -> None:
        """A verb or a person: a history that has had its finding ends here."""
        clause = self._state.clause
        if clause is None:
            return
        self._restart()
        negated = any(one.kind == "negation" for one in clause.before)
        if negated and clause.conditions and self._state.significant == "comma" and token.text.lower() in _PERSONS:
            # "Far from being normothermic, she spiked to 39.6"
            self._close()
            self._state.tie = Tie.RESUMED

    def _restart(self) -> None:
        if self._state.scope == "past" and not self._state.others:
            self._state.scope = "now"

    def _read_denied(self, index: int, token: Token) -> None:
        """ "... was ruled out": it holds for the finding before it, or for all of "fever and rash were absent"."""
        if self._state.clause is None or self._state.before:
            # "did not develop fever, rash or hypoxia"
            negation = replace(token, kind="negation", meaning=_ABSENT)
            self._state.before.append(negation)
            self._state.carrier = Carrier("negation", negation)
            return
        self._answer(token, deny)

    def _read_doubted(self, index: int, token: Token) -> None:
        """ "... was not ruled out": nothing is stated."""

        def leave_open(clause: Clause) -> None:
            clause.scope = "open"

        self._answer(token, leave_open)

    def _answer(self, token: Token, answer: Callable[[Clause], None], several: bool = False) -> None:
        state, clause = self._state, self._state.clause
        words = token.text.lower()
        several = several or state.plural or state.significant == "colon" or "were" in words or "are" in words
        if clause is None or not (clause.conditions or clause.before):
            return
        listed = clause.parts == [] or all(part.kind == "copula" for part in clause.parts)
        if state.tie is Tie.CLOSED and not (several and listed):
            return
        answer(clause)
        clause.end = max(clause.end, token.end)
        if several and listed:
            for earlier in reversed(self._clauses[self._sentence :]):
                if not earlier.bare or earlier.scope != "now":
                    break
                answer(earlier)

    def _read_present(self, index: int, token: Token) -> None:
        """ "..., positive for fever": not an item of the list before."""
        self._state.before.append(token)

    def _read_mark(self, index: int, token: Token) -> None:
        """ "fever (-)" or "(-) fever", "[ ] fever": the first mark of a line shows on which side they stand."""
        state = self._state
        absent = token.meaning is not None and token.meaning.kind == "negation"
        if not state.marks_lead and state.clause is not None and state.significant in ("name", "condition"):
            if absent and state.clause.conditions:
                deny(state.clause)
                state.clause.end = max(state.clause.end, token.end)
            elif not absent:
                state.clause.parts.append(Part(token, "", "present"))  # nothing joins it
            return
        state.marks_lead = True
        self._close()
        state.carrier = None
        state.before = [replace(token, kind="negation")] if absent else []


def deny(clause: Clause) -> None:
    """Add a negation behind what the clause has."""
    clause.parts.append(Part(Token("negation", clause.end, clause.end, _ABSENT), "", "negation"))

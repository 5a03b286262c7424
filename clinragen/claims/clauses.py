"""A clause: a list of names with the tokens before and after it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import pairwise

from clinragen.claims.tokens import Token
from clinragen.claims.types import Subject

# Kinds of tokens that qualify a predicate.
QUALIFIERS = frozenset(("time", "quantifier", "hedge", "negation", "stay", "only", "onset"))
NUMBERS = frozenset(("number", "pair", "span"))
# What a value in a row of values consists of.
_ROW = frozenset((*NUMBERS, "time", "approximately", "boundary"))
# What follows the last of several names that were or were not measured.
_MEASURED = frozenset(("measured", "copula", "time", "quantifier"))
_BELOW, _ABOVE = frozenset(("below", "at_most")), frozenset(("above", "at_least"))


@dataclass(frozen=True)
class Part:
    """A token of a clause, with the preposition right before it."""

    token: Token
    preposition: str
    kind: str


@dataclass
class Clause:
    """One list of names and everything that a text says about it.

    Args:
        leads: Qualifiers that hold for the whole sentence ("In the first 24 hours, ...").
        before: Tokens right before the first name that describe it ("persistently low heart rate").
        scope: "now", "past" or "hypothetical".
        subjects: What is named, each with the token of a name that says something itself ("febrile", "Tmax").
        parts: What follows the names.
        conditions: Whether the names are conditions.
        inherited: Whether the subjects are those of the clause before ("it falls").
        interpreting: Whether the clause explains instead of stating.
        same: Whether it repeats what the clause before says ("as is the respiratory rate").
        copula: Whether it has a form of "to be".
        conjunction: The conjunction after the last name so far.
        readings: Whether it is about the readings themselves ("pH measurements").
        header: Whether its name heads a list of other names ("Vitals: ...").
        again: Whether it is so "again": what was before does not matter.
        unknown: Whether it holds a word whose meaning is not known.
        led: Whether it has its time from a clause before it ("At hour 22 she was afebrile, and ...").
        start, end: Its characters in the text; -1 while it is empty.
    """

    leads: list[Token]
    before: list[Token]
    scope: str = "now"
    subjects: list[tuple[Subject, Token | None]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    conditions: bool = False
    inherited: bool = False
    interpreting: bool = False
    same: bool = False
    copula: bool = False
    conjunction: str = ""
    readings: bool = False
    header: bool = False
    again: bool = False
    unknown: bool = False
    led: bool = False
    start: int = -1
    end: int = -1

    def add(self, token: Token) -> None:
        """Add a name. The same variable a second time ("heart rate (HR)") is not another subject."""
        assert token.meaning is not None
        own = token if token.meaning.says is not None else None
        self.conditions = token.kind == "condition"
        self.header = not self.subjects and token.meaning.word == "header"
        known = [subject for subject, _ in self.subjects]
        self.subjects += [(subject, own) for subject in token.meaning.subjects if subject not in known]
        if self.start < 0:
            self.start = min([token.start, *(before.start for before in self.before)])
        self.end = max(self.end, token.end)
        self.conjunction = ""

    def states_otherwise(self, token: Token) -> bool:
        """Whether a condition says something else of a variable that the clause is about."""
        assert token.meaning is not None
        said = [
            own.meaning.says
            for subject, own in self.subjects
            if own is not None and own.meaning is not None and subject in token.meaning.subjects
        ]
        return bool(said) and token.meaning.says not in said

    def add_boundary(self, token: Token) -> None:
        """Add a comma or a conjunction after the names: what follows may be another predicate."""
        if self.parts:
            self.parts.append(Part(token, "", "boundary"))

    @property
    def tokens(self) -> list[Token]:
        """The tokens it has taken up, but for names that only name."""
        owns = [own for _, own in self.subjects if own is not None]
        return [*self.leads, *self.before, *owns, *(part.token for part in self.parts)]

    @property
    def bare(self) -> bool:
        """Whether nothing but names of conditions has been read: an item of a list."""
        return self.conditions and not self.parts

    @property
    def numbered(self) -> bool:
        """Whether a number stands behind the names since the last comma or conjunction."""
        for part in reversed(self.parts):
            if part.kind in NUMBERS or part.kind == "boundary":
                return part.kind in NUMBERS
        return False

    def narrow(self, token: Token) -> bool:
        """Say which of several variables is meant ("BP 110 systolic"); False where the name is another subject."""
        assert token.meaning is not None
        if len(self.subjects) != 1 or len(token.meaning.subjects) != 1 or token.meaning.says is not None:
            return False
        (group, own), (part,) = self.subjects[0], token.meaning.subjects
        if group.difference or len(group.variables) < 2 or not set(part.variables) < set(group.variables):
            return False
        self.subjects = [(part, own)]
        self.end = max(self.end, token.end)
        return True

    @property
    def plainly_negated(self) -> bool:
        """Negated by a word that applies to one adjective only ("not hypotensive and ...")."""
        return any(token.kind == "negation" and token.text.lower() in ("not", "never") for token in self.before)

    def stands_alone(self, known: tuple[Subject, ...]) -> bool:
        """Whether it states something even as an explanation: it has a verb or number, or a variable of `known`."""
        keys = {key for subject in known for key in subject.variables}
        named = any(keys & set(subject.variables) for subject, _ in self.subjects)
        return self.copula or any(part.kind in NUMBERS for part in self.parts) or named


def settle(tokens: list[Token], clauses: list[Clause]) -> None:
    """Give the clauses of one sentence what its other clauses say for them."""
    _share_last_times(clauses)
    _share_last_measured(clauses)
    _share_outside(tokens, clauses)
    _keep_times(tokens, clauses)


def _share_last_times(clauses: list[Clause]) -> None:
    """ "T 39, HR 120, BP 80/40 at hour 16": the time behind a row of bare values holds for all of them."""
    times: list[Part] = []
    for clause in reversed(clauses):
        kinds = [part.kind for part in clause.parts]
        own = [part for part in clause.parts if part.kind == "time"]
        bare = not clause.conditions and any(kind in NUMBERS for kind in kinds) and not clause.before
        if not bare or not set(kinds) <= _ROW:
            times = []
        elif own:
            times = own if kinds[-1] == "time" else []
        else:
            clause.parts += times


def resume_opposites(clauses: list[Clause]) -> None:
    """ "DBP < 50 at hour 12; >= 50 from hour 24": it is so again; what was before the first does not matter."""
    for before, clause in pairwise(clauses):
        same = [one.variables for one, _ in before.subjects] == [one.variables for one, _ in clause.subjects]
        words = _limit(before) | _limit(clause)
        if same and len(words) == 2 and words & _BELOW and words & _ABOVE:
            clause.again = True


def _limit(clause: Clause) -> set[str]:
    """The one comparison of a clause; empty where there is none or several."""
    words = [part.token.meaning.word for part in clause.parts if part.kind == "compare" and part.token.meaning]
    return set(words) if len(words) == 1 else set()


def _share_last_measured(clauses: list[Clause]) -> None:
    """ "No pH, no FiO2 charted": the verb behind a row of denied names holds for all of them."""
    measured: list[Part] = []
    for clause in reversed(clauses):
        denied = not clause.conditions and any(token.kind == "negation" for token in clause.before)
        if not denied:
            measured = []
        elif clause.parts:
            measured = clause.parts if {part.kind for part in clause.parts} <= _MEASURED else []
        else:
            clause.parts += measured


def _share_outside(tokens: list[Token], clauses: list[Clause]) -> None:
    """ "EMS reported HR 150 and SBP 70": what was elsewhere was so for both."""
    for before, clause in pairwise(clauses):
        elsewhere = [one for one in (*before.leads, *before.before) if _is_outside(one)]
        if not elsewhere or any(part.kind == "time" for part in clause.parts) or clause.leads:
            continue
        first, last = (bisect_left(tokens, place, key=_start) for place in (before.end, clause.start))
        between = tokens[first:last]
        if between and all(one.kind == "filler" or one.text.lower() in ("and", "with") for one in between):
            clause.leads = elsewhere


def _start(token: Token) -> int:
    return token.start


def _is_outside(token: Token) -> bool:
    when = token.meaning.when if token.kind == "time" and token.meaning is not None else None
    return when is not None and when.kind == "outside"


def _keep_times(tokens: list[Token], clauses: list[Clause]) -> None:
    """ "HR 98 at hour 36, RR still 30": what is "still" so is so at the time that was given last."""
    for token in tokens:
        if token.text.lower() != "still" or len(clauses) < 2:
            continue
        place = next((index for index, clause in enumerate(clauses) if clause.end > token.start), 0)
        times = [part for part in clauses[place - 1].parts if part.kind == "time"] if place else []
        if times and not any(part.kind == "time" for part in clauses[place].parts):
            clauses[place].parts += times

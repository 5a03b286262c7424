"""A clause: a list of names with the tokens before and after it."""

from __future__ import annotations

from dataclasses import dataclass, field

from clinragen.claims.lexer import Token
from clinragen.claims.types import Subject

# Kinds of tokens that qualify a predicate.
QUALIFIERS = frozenset(("time", "quantifier", "hedge", "negation", "stay"))
NUMBERS = frozenset(("number", "pair", "span"))


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
    start: int = -1
    end: int = -1

    def add(self, token: Token) -> None:
        """Add a name. The same variable a second time ("heart rate (HR)") is not another subject."""
        assert token.meaning is not None
        own = token if token.meaning.says is not None else None
        self.conditions = token.kind == "condition"
        known = [subject for subject, _ in self.subjects]
        self.subjects += [(subject, own) for subject in token.meaning.subjects if subject not in known]
        if self.start < 0:
            self.start = min([token.start, *(before.start for before in self.before)])
        self.end = max(self.end, token.end)
        self.conjunction = ""

    def add_boundary(self, token: Token) -> None:
        """Add a comma or a conjunction after the names: what follows may be another predicate."""
        if self.parts:
            self.parts.append(Part(token, "", "boundary"))

    @property
    def plainly_negated(self) -> bool:
        """Negated by a word that applies to one adjective only ("not hypotensive and ...")."""
        return any(token.kind == "negation" and token.text.lower() in ("not", "never") for token in self.before)

    def stands_alone(self, known: tuple[Subject, ...]) -> bool:
        """Whether it states something even as an explanation: it has a verb or number, or a variable of `known`."""
        keys = {key for subject in known for key in subject.variables}
        named = any(keys & set(subject.variables) for subject, _ in self.subjects)
        return self.copula or any(part.kind in NUMBERS for part in self.parts) or named

"""How far a negation or a history reaches: over the items of a list, also over those that are not variables.

"No fevers, chills, hypotension or tachycardia" denies all four. The carrier is the word that opens the list; it holds
until a verb, a number or another statement ends the list.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinragen.claims.tokens import Token

# What ends a list wherever it stands.
ENDERS = frozenset(
    (
        *("stop", "break", "colon", "copula", "pronoun", "interpretation", "restart", "now", "present", "unmeasured"),
        *("number", "pair", "span", "measured", "same", "denied", "doubted"),
    )
)
# Behind an item, these say that it begins a statement of its own.
_STATES = frozenset(("copula", "number", "pair", "span", "trend", "extreme", "stay", "compare", "restart", "colon"))
_ITEM_ENDS = frozenset(("comma", "conjunction", "stop", "break", "interpretation"))
_LOOKAHEAD = 12
_ADJECTIVE = ("ic", "ive", "ed", "ile", "ing")
_OF_ADJECTIVES = frozenset(
    ("not", "isn't", "wasn't", "aren't", "weren't", "isnt", "wasnt", "non", "nor was", "nor is")
)
_VERBS = frozenset(("cannot", "can't be", "doesn't", "didn't", "hasn't", "haven't", "hadn't", "nor did", "nor does"))
_OF_ANY = frozenset(("neither", "never"))
_ALTERNATIVES = frozenset(("or", "nor", "/"))


def looks_forward(token: Token) -> bool:
    """Whether a negation is about what follows it ("without fever"), whatever stands before it."""
    return token.text.lower() not in _OF_ADJECTIVES | _OF_ANY | _VERBS


@dataclass(frozen=True)
class Carrier:
    """The word that opens a list; `kind` is "negation", "past" or "hypothetical"."""

    kind: str
    token: Token

    def reaches(self, tokens: list[Token], index: int, conjunction: str) -> bool:
        """Whether the finding `tokens[index]`, behind `conjunction`, is an item of the list."""
        adjective = tokens[index].text.lower().endswith(_ADJECTIVE)
        word = self.token.text.lower()
        if word not in _OF_ANY and adjective != (word in _OF_ADJECTIVES):
            return False
        if conjunction in _ALTERNATIVES:
            return True
        if not _ends_item(tokens, index):
            return False
        return not adjective or alternative_ahead(tokens, index)


def _ends_item(tokens: list[Token], index: int) -> bool:
    """Whether the item at `index` is bare: a comma or the end of the sentence follows, and no statement about it."""
    for token in tokens[index + 1 : index + 1 + _LOOKAHEAD]:
        if token.kind in _ITEM_ENDS:
            return True
        if token.kind in _STATES:
            return False
    return True


def alternative_ahead(tokens: list[Token], index: int) -> bool:
    """Whether the list goes on with "or": of adjectives, only such a list is one ("not febrile, hypoxic or ...")."""
    for token in tokens[index + 1 : index + 1 + _LOOKAHEAD]:
        if token.kind == "conjunction" and token.meaning is not None and token.meaning.word.lower() in _ALTERNATIVES:
            return True
        if token.kind in ENDERS:
            return False
    return False

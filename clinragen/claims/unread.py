"""The net under all other rules: nothing is supported by half a sentence.

Every word, and every number, of a sentence is either known (a part of a statement, or one of the words of
plain_words.yaml that change nothing) or unread. What is unread leaves the statements open that it may be about: they
can still be wrong, but not right. An unread word is about the part of the sentence that it stands in; behind a
preposition it may say where, when or of whom all of the sentence is said, and an unread number may be the value of any
of it.

Harmless are an unread word in a part of its own ("cough, HR 130"), behind a verb that explains ("suggests
hemoconcentration") or a colon, and beside an amount ("salbutamol 5 mg").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from clinragen.claims.clauses import Clause
from clinragen.claims.tokens import Token

# Kinds of tokens that part a sentence.
ZONE_ENDS = frozenset(("stop", "break", "comma", "colon", "interpretation", "conjunction"))
WORDS = frozenset(("word", "soft"))
_NUMBERS = frozenset(("number", "pair", "span"))
_NAMES = frozenset(("name", "condition"))
_PREPOSITIONS = frozenset(("on", "for", "in", "of", "to", "by", "from", "at", "with", "into", "within", "during"))
_COUNTING = frozenset(("each", "every"))
# What stands between a noun and its number ("lactate rising to 4").
_TO_NUMBER = frozenset(("filler", "approximately", "copula", "compare", "extreme", "trend", "colon", "level"))
# Behind these a number belongs to something that is not read.
_NOUNS = frozenset(("word", "blank", "conjunction", "number", "span", "pair", "foreign"))
# So many tokens stand between a number and the clause that it belongs to, at most.
_REACH = 20


def leave_unread(tokens: list[Token], clauses: list[Clause]) -> None:
    """Leave the clauses open that an unread word or number of their sentence may be about.

    Args:
        tokens: Those of one sentence.
        clauses: Its clauses.
    """
    taken = frozenset(one.start for clause in clauses for one in clause.tokens)
    _leave_words(tokens, clauses, taken)
    _leave_numbers(tokens, clauses, taken)


def _leave_words(tokens: list[Token], clauses: list[Clause], taken: frozenset[int]) -> None:
    for zone, explained in _zones(tokens):
        if explained:
            continue
        led = _unread(zone, taken)
        if led is None:
            continue
        for clause in clauses if led else _standing_in(zone, clauses):
            clause.unknown = True


def _zones(tokens: list[Token]) -> Iterator[tuple[list[Token], bool]]:
    """The parts of a sentence, and whether each explains: "meets SIRS criteria", ": bleeding or a procedure"."""
    first, explained, named = 0, False, False
    for index in range(len(tokens) + 1):
        if index < len(tokens) and tokens[index].kind not in ZONE_ENDS:
            continue
        zone = tokens[first:index]
        names = any(token.kind in _NAMES for token in zone)
        if first > 0 and tokens[first - 1].kind != "conjunction":
            explained = tokens[first - 1].kind == "interpretation" or (tokens[first - 1].kind == "colon" and named)
        elif names:
            explained = False
        if zone:
            yield zone, explained
        named = named or names
        first = index + 1


def _unread(zone: list[Token], taken: frozenset[int]) -> bool | None:
    """Whether a preposition leads to an unread word of a part; None where all of it is read."""
    found: bool | None = None
    behind = False
    for place, token in enumerate(zone):
        if token.kind in WORDS:
            if token.meaning is not None:
                behind = behind or token.meaning.word == "adjunct"
            elif not _is_measured_out(zone, place, taken):
                if behind:
                    return True
                found = False
        elif token.kind == "filler":
            behind = behind or token.text.lower() in _PREPOSITIONS
            if token.text.lower() in _COUNTING:
                found = False
        elif token.kind not in ("foreign", "blank"):
            behind = False
    return found


def _is_measured_out(zone: list[Token], place: int, taken: frozenset[int]) -> bool:
    """Whether an amount stands beside a word: it is what was given ("diltiazem 20 mg", "2 L of plasmalyte")."""
    for step in (-1, 1):
        beside = place + step
        while 0 <= beside < len(zone) and (zone[beside].kind in WORDS or zone[beside].text.lower() == "of"):
            beside += step
        if 0 <= beside < len(zone) and zone[beside].kind == "foreign":
            return True
    # "after 2 drips": the number is that of the word
    return place > 0 and zone[place - 1].kind == "number" and zone[place - 1].start not in taken


def _standing_in(zone: list[Token], clauses: list[Clause]) -> Iterator[Clause]:
    places = {token.start for token in zone}
    names = [token.start for token in zone if token.kind in _NAMES]
    for clause in clauses:
        owned = [one for one in clause.tokens if one not in clause.leads]
        if any(one.start in places for one in owned) or any(clause.start <= name < clause.end for name in names):
            yield clause


def _leave_numbers(tokens: list[Token], clauses: list[Clause], taken: frozenset[int]) -> None:
    for index, token in enumerate(tokens):
        if token.kind not in _NUMBERS or token.start in taken:
            continue
        following = tokens[index + 1].kind if index + 1 < len(tokens) else ""
        if following in ("word", "name"):
            continue
        if _is_stray(tokens, index):
            for clause in clauses:
                clause.unknown = True
        elif _is_said(tokens, index):
            place = bisect_left(clauses, token.start, key=_start)
            behind = clauses[place] if place < len(clauses) else None
            if behind is not None and _is_beside(tokens, index, behind):
                behind.unknown = True  # "after a rise to 157 the heart rate came down"
            elif place:
                clauses[place - 1].unknown = True


def _is_stray(tokens: list[Token], index: int) -> bool:
    """Whether a number belongs to no noun that stands before it."""
    for token in reversed(tokens[:index]):
        if token.kind not in _TO_NUMBER:
            return token.kind not in _NOUNS
    return True


def _start(clause: Clause) -> int:
    return clause.start


def _is_beside(tokens: list[Token], index: int, clause: Clause) -> bool:
    """Whether a clause begins behind a token in the same part of the sentence."""
    for token in tokens[index + 1 : index + 1 + _REACH]:
        if token.kind in ZONE_ENDS:
            return False
        if token.start >= clause.start:
            return True
    return False


def _is_said(tokens: list[Token], index: int) -> bool:
    """Whether a verb of change leads to a number ("then cooled off to 38.8"), not a noun that is not known."""
    particles, said = 0, False
    for token in reversed(tokens[:index]):
        if token.kind in ZONE_ENDS:
            break
        if token.kind in _NAMES:
            return False
        if token.kind == "word" and token.meaning is not None and token.meaning.word == "adjunct":
            continue  # "after a rise to 157"
        if token.kind == "word" and said:
            return False  # "lactate peaking at 6.2"
        particles += token.kind == "word"
        said = said or token.kind in ("trend", "extreme", "compare") or (token.kind == "soft" and not token.meaning)
    return said and particles <= 1

"""Values without a time beside statements that have one: "hypotensive at hour 6 (82/42, MAP 55)".

Such a value may be of that time or of any. It is supported only if both are so; where two times stand beside it, one
before it and one behind it, either will do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace

from clinragen.claims.clauses import Clause
from clinragen.claims.tokens import Token
from clinragen.claims.types import Statement, When

# Times at which a value is read.
_POINTS = frozenset(
    ("at", "start", "admission", "end", "window", "from", "until", "final", "early", "later", "first half")
) | {"second half"}
_VALUES = frozenset(("near", "pair", "between", "compare"))
_ENDS = frozenset(("stop", "break"))
_THEN = frozenset(("then", "and then"))


def take_times_beside(tokens: list[Token], clauses: list[Clause], stated: list[list[Statement]]) -> None:
    """Give every value that has no time those of the statements beside it, as times that it may be of.

    Args:
        tokens: Those of a text.
        clauses: Its clauses.
        stated: The statements of each clause; they are replaced in place.
    """
    timed = [any(_points(one) for one in of_clause) for of_clause in stated]
    if not any(timed) or all(timed):
        return
    ends = [token.start for token in tokens if token.kind in _ENDS or token.text.lower() in _THEN]
    parts = [bisect_right(ends, clause.start) for clause in clauses]
    for place, of_clause in enumerate(stated):
        if any(one.times or one.beside_times for one in of_clause) or _has_time(clauses[place]):
            continue
        before = (reversed(stated[at]) for at in range(place - 1, -1, -1) if parts[at] == parts[place])
        behind = (stated[at] for at in range(place + 1, len(stated)) if parts[at] == parts[place])
        beside = [found for found in (_nearest(before), _nearest(behind)) if found]
        if beside:
            stated[place] = [replace(one, beside_times=tuple(beside)) if _is_value(one) else one for one in of_clause]


def _nearest(statements: Iterable[Iterable[Statement]]) -> tuple[When, ...]:
    found = (_points(one) for of_clause in statements for one in of_clause)
    return next((points for points in found if points), ())


def _points(statement: Statement) -> tuple[When, ...]:
    if statement.scope != "now":
        return ()
    now = statement.beside_times[0] if statement.beside_times else ()  # "now in the 80s, SBP 120"
    return tuple(when for when in statement.times or now if when.kind in _POINTS)


def _has_time(clause: Clause) -> bool:
    return any(token.kind == "time" for token in clause.tokens)


def _is_value(statement: Statement) -> bool:
    """Whether it says of some reading that it has a value, and nothing of the others."""
    whole = statement.negation or statement.quantifier or statement.persistent or statement.lasting
    return statement.predicate.kind in _VALUES and not whole and statement.scope == "now" and not statement.beside[1]

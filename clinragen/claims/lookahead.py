"""Looks at the tokens behind a token: a name that it describes, another noun, or the end of the statement."""

from __future__ import annotations

from clinragen.claims.clauses import NUMBERS, Clause
from clinragen.claims.parser_state import State, Tie
from clinragen.claims.tokens import Token

# What may stand before the name that it describes ("persistently low heart rate").
_BEFORE = frozenset(
    (
        *("level", "trend", "extreme", "negation", "hedge", "time", "quantifier", "approximately", "filler", "stay"),
        *(
            "copula",
            "reading",
            "past",
            "hypothetical",
            "measured",
            "soft",
            "restart",
            "foreign",
            "now",
            "comparative",
            "only",
        ),
        *("mark", "goal", "denied", "present"),
    )
)
_DESCRIBED = frozenset(("level", "trend", "extreme", "compare", "number", "span", "measured"))
_TRANSPARENT = frozenset(("filler", "soft", "approximately", "reading"))
# "never had to be raised": what follows is said of the subject.
_NEGATED_VERBS = ("never had", "did not have", "didn't have", "does not have", "doesn't have", "not once", "at no")
# Prepositions that lead from an unknown verb to its value.
_LEADING = frozenset(("to", "at", "around"))
_ENDS = frozenset(("stop", "comma", "break", "conjunction"))
# A number behind these belongs to the word that follows it ("on 3 drips").
OF_OTHERS = frozenset(("on", "for"))
# Times that, at the head of a sentence, hold for all of it.
_FRONTED = frozenset(("at", "window", "first readings", "last readings", "final", "from", "until"))
_OPENING = frozenset(("at", "on", "upon", "in", "by", "during", "initially", "finally"))


def names_ahead(tokens: list[Token]) -> list[bool]:
    """For each token, whether a name follows with nothing between but what may describe a name."""
    ahead = [False] * len(tokens)
    for index in range(len(tokens) - 2, -1, -1):
        following = tokens[index + 1].kind
        between = following in _BEFORE or (following in NUMBERS and tokens[index + 2 : index + 3] != [])
        if following in NUMBERS and between:
            # "nadir 78 systolic": the number is the name's if nothing else of that name follows.
            rest = [token.kind for token in tokens[index + 2 : index + 4]]
            between = rest[0] == "name" and len(rest) > 1 and rest[1] not in (*NUMBERS, "copula", "compare")
        ahead[index] = following in ("name", "condition") or (between and ahead[index + 1])
    return ahead


def ends_at(tokens: list[Token], index: int) -> bool:
    """Whether the statement ends behind a token."""
    return index + 1 >= len(tokens) or tokens[index + 1].kind in _ENDS


def binds_back(tokens: list[Token], index: int, significant: str) -> bool:
    """Whether "no" is about what follows in the same clause ("showed no increase"), not about another noun."""
    verb = tokens[index].text.lower().startswith(_NEGATED_VERBS)
    for token in tokens[index + 1 : index + 4]:
        if token.kind not in _TRANSPARENT and not (verb and token.kind == "copula"):
            if token.kind in _DESCRIBED:
                return True
            break
    return significant in ("condition", "copula", "colon") and ends_at(tokens, index)


def of_verb(tokens: list[Token], index: int, preposition: str) -> bool:
    """Whether a number is led to by an unknown verb right behind the name ("the pulse bolted to 132")."""
    if tokens[index].kind not in NUMBERS or preposition not in _LEADING:
        return False
    place = index - 1
    while place and tokens[place].kind in ("filler", "approximately"):
        place -= 1
    return place > 0 and tokens[place].kind == "word" and tokens[place - 1].kind == "name"


def states_next(tokens: list[Token], index: int) -> bool:
    """Whether a name is the subject of a change of its own ("the fever resolved")."""
    following = [
        token.kind for token in tokens[index + 1 : index + 4] if token.kind not in ("filler", "soft", "restart")
    ]
    return following[:1] == ["trend"]


def begins_anew(tokens: list[Token], index: int, clause: Clause | None) -> bool:
    """Whether "not" is about a condition behind a conjunction: "it was 37.4 and she was not febrile"."""
    said = [part.kind for part in clause.parts if part.kind != "copula"] if clause is not None else []
    return said[-1:] == ["boundary"] and index + 1 < len(tokens) and tokens[index + 1].kind == "condition"


def limits_next(tokens: list[Token], index: int) -> bool:
    """Whether a name with its limits follows, as an item of what is wanted ("HR > 120, SBP < 90")."""
    rest = [token.kind for token in tokens[index + 1 : index + 5]]
    following = rest[1:] if rest[:1] == ["conjunction"] else rest
    return following[:1] == ["name"] and following[1:2] in (["compare"], ["span"])


def is_fronted(tokens: list[Token], first: int, token: Token) -> bool:
    """Whether a time with its preposition opens the sentence that begins at `first`."""
    when = token.meaning.when if token.meaning is not None else None
    opening = (when is not None and when.kind in _FRONTED) or token.text.lower().split(" ")[0] in _OPENING
    return opening and first < len(tokens) and tokens[first] is token


def of_next(tokens: list[Token], index: int, state: State) -> bool:
    """Whether a number belongs to the name right behind it: "98% on 80% FiO2", "with 86% saturation"."""
    following = [token.kind for token in tokens[index + 1 : index + 3]]
    if following[:1] != ["name"] or following[1:] in (["number"], ["pair"], ["span"], ["copula"], ["compare"]):
        return False
    clause, name = state.clause, tokens[index + 1]
    if clause is None or state.tie is Tie.LOOSE:
        return state.significant != "word" and state.tie is not Tie.CLOSED
    groups = [set(subject.variables) for subject, _ in clause.subjects if len(subject.variables) > 1]
    parts = {key for subject in name.meaning.subjects for key in subject.variables} if name.meaning else set()
    if not clause.numbered and any(parts < group for group in groups):
        return False
    kinds = [*(part.kind for part in clause.parts), *(before.kind for before in clause.before)]
    numbered = any(kind in NUMBERS for kind in kinds)
    return numbered or state.preposition in OF_OTHERS

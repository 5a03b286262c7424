"""Times that refer back to the one named before: "normal by hour 24, and no fever since", "not below 65 again"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Meaning
from clinragen.claims.patterns import JUST, UNREAD
from clinragen.claims.tokens import Token
from clinragen.claims.types import When

_SINCE = frozenset(("since", "since then", "ever since", "from then on", "from there on", "from that point on"))
_THEN = frozenset(("thereafter", "afterwards", "afterward", "later", "later on", "subsequently", "after that"))
# "Once it fell below 38 at hour 16, it stayed there": from that hour on.
_OPENINGS = frozenset(("once", "after", "when", "as soon as"))
_HAS_BEEN, _LEAST = frozenset(("has been", "have been", "been")), frozenset(("at_least", "at_most"))
_SO = frozenset(("so", "that way", "there"))
_AGAIN = frozenset(("again", "anymore", "any more"))
_NO_MORE = frozenset(("further", "more", "recurrent", "recurrence"))
# So far ahead, and back, a time of the same part of the sentence is looked for.
_REACH = 14
# Tokens that neither refer back nor are referred to.
_PASSED = frozenset(
    ("number", "pair", "span", "name", "condition", "copula", "level", "trend", "extreme", "compare", "foreign")
)
_ENDS = frozenset(("stop", "break", "comma", "conjunction"))
_UNREAD = Meaning("time", when=UNREAD)


def refer_back(tokens: list[Token]) -> list[Token]:
    """The tokens with such words as the time from the last one named in the sentence on.

    Where none was named, "since" and "not ... again" are times that are not understood.
    """
    result: list[Token] = []
    last: float | None = None
    named: When | None = None  # the time that was named last, in any sentence
    opened = False  # the sentence begins with "once"
    negated = timed = False  # in this part of the sentence
    prolonged = False  # "stayed" was read, "so" follows
    for index, token in enumerate(tokens):
        if token.kind in _PASSED:
            result.append(token)
            continue
        words = token.text.lower()
        ends = index + 1 == len(tokens) or tokens[index + 1].kind in _ENDS
        if token.kind == "stop":
            last, opened = None, False
        if words in _OPENINGS and (not result or result[-1].kind == "stop"):
            opened = True
        if token.kind in _ENDS:
            negated = timed = False
        if token.kind == "negation":
            negated = negated or (token.meaning is not None and token.meaning.word != "none")
        if _refers(token) or (words == "then" and ends and result and result[-1].kind not in _ENDS):
            token = replace(token, kind="time", meaning=_UNREAD if named is None else Meaning("time", when=named))
            timed = True
        elif opened and last is not None and _goes_on(tokens, index):
            result += [
                *([] if result[-1].kind == "comma" else [Token("comma", token.start, token.start)]),
                token,
                Token("time", token.end, token.end, Meaning("time", when=When("window", last, whole=True))),
            ]
            opened, timed = False, True
            continue
        elif (words in _SINCE and ends and token.kind in ("word", "time", "soft")) or (
            words in _AGAIN and negated and not timed and token.kind == "filler" and not _timed_ahead(tokens, index)
        ):
            token = replace(token, kind="time", meaning=_from(last))
            timed = True
        elif _stays_so(tokens, index) and last is not None and _prolong(result, last):
            prolonged = True
            continue
        elif _stays_so(tokens, index) and last is None and tokens[index + 1].text.lower() != "that way":
            result.insert(
                _boundary(result), Token("time", token.start, token.start, _UNREAD)
            )  # "hit 135 and stayed so"
        elif prolonged and words in _SO:
            prolonged = False
            continue
        elif (
            words in _THEN
            and token.kind == "time"
            and last is not None
            and not timed
            and not _is_time(tokens, index + 1)
        ):
            token = replace(token, meaning=Meaning("time", when=When("window", last + JUST)))
            timed = True
        elif token.kind == "time":
            token = _kept_since(token, result)
            point = _point(token)
            last = point if point is not None else last
            when = token.meaning.when if token.meaning is not None else None
            named = when if point is not None and when is not None else named
            timed = True
        result.append(token)
        no_more = token.kind == "negation" and bool(_NO_MORE & set(words.split()))
        if no_more and last is not None and not _timed_ahead(tokens, index):
            result.append(Token("time", token.end, token.end, _from(last)))
    return result


def _kept_since(token: Token, before: list[Token]) -> Token:
    """ "has been 91 or better since hour 62": all of that time, whatever was before."""
    when = token.meaning.when if token.meaning is not None else None
    if when is None or when.kind != "from" or not token.text.lower().startswith("since"):
        return token
    zone = before[-_REACH:]
    limited = any(one.kind == "compare" and one.meaning and one.meaning.word in _LEAST for one in zone)
    if not limited or not any(one.text.lower() in _HAS_BEEN for one in zone):
        return token
    return replace(token, meaning=Meaning("time", when=When("window", when.first, whole=True)))


def _refers(token: Token) -> bool:
    """Whether a time is the one named before ("at that time")."""
    when = token.meaning.when if token.kind == "time" and token.meaning is not None else None
    return when is not None and when.kind == "then"


def _goes_on(tokens: list[Token], index: int) -> bool:
    """ "..., it stayed below 38" """
    if tokens[index].kind not in ("pronoun", "restart"):
        return False
    following = tokens[index + 1 : index + 2]
    return bool(following) and (following[0].kind == "stay" or following[0].text.lower() in ("never", "was never"))


def _stays_so(tokens: list[Token], index: int) -> bool:
    """ "normotensive at hour 12 and stayed so" """
    if tokens[index].kind != "stay":
        return False
    following = tokens[index + 2] if index + 2 < len(tokens) else None
    when = following.meaning.when if following is not None and following.meaning is not None else None
    ends = following is None or following.kind in _ENDS or (when is not None and when.kind in ("whole", "end"))
    return ends and index + 1 < len(tokens) and tokens[index + 1].text.lower() in _SO


def _boundary(before: list[Token]) -> int:
    """The place of the comma or conjunction that the last part of the sentence begins with."""
    places = range(len(before) - 1, max(-1, len(before) - 1 - _REACH), -1)
    return next((at for at in places if before[at].kind in ("comma", "conjunction")), len(before))


def _prolong(before: list[Token], last: float) -> bool:
    """Let what was said at the last time hold from there on."""
    least = max(-1, len(before) - 1 - _REACH)
    place = next((at for at in range(len(before) - 1, least, -1) if before[at].kind == "time"), None)
    if place is None or any(token.kind == "stop" for token in before[place:]):
        return False
    before[place] = replace(before[place], meaning=Meaning("time", when=When("window", last, whole=True)))
    del before[place + 1 :]
    return True


def _from(last: float | None) -> Meaning:
    return _UNREAD if last is None else Meaning("time", when=When("window", last + JUST, whole=True))


def _is_time(tokens: list[Token], index: int) -> bool:
    return index < len(tokens) and tokens[index].kind == "time"


def _timed_ahead(tokens: list[Token], index: int) -> bool:
    """Whether this part of the sentence goes on to name a time itself."""
    for token in tokens[index + 1 : index + 1 + _REACH]:
        if token.kind in _ENDS:
            return False
        if token.kind == "time":
            return True
    return False


def _point(token: Token) -> float | None:
    """The hour from which on "since then" counts."""
    when = token.meaning.when if token.meaning is not None else None
    if when is None:
        return None
    if when.kind in ("at", "from", "until"):
        return when.first
    if when.kind == "window" and when.last < float("inf"):
        return when.last
    return 0.0 if when.kind in ("start", "admission") else None

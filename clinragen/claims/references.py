"""Times that refer back to the one named before: "normal by hour 24, and no fever since", "not below 65 again"."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.lexicon import Meaning
from clinragen.claims.patterns import JUST, UNREAD
from clinragen.claims.tokens import Token
from clinragen.claims.types import When

_SINCE = frozenset(("since", "since then", "ever since", "from then on", "from there on", "from that point on"))
_THEN = frozenset(("thereafter", "afterwards", "afterward", "later", "later on", "subsequently", "after that"))
_SO = frozenset(("so", "that way", "there"))
_AGAIN = frozenset(("again", "anymore", "any more"))
_NO_MORE = frozenset(("further", "more", "recurrent", "recurrence"))
# So far ahead, and back, a time of the same part of the sentence is looked for.
_REACH = 14
_ENDS = frozenset(("stop", "break", "comma", "conjunction"))
_UNREAD = Meaning("time", when=UNREAD)


def refer_back(tokens: list[Token]) -> list[Token]:
    """The tokens with such words as the time from the last one named in the sentence on.

    Where none was named, "since" and "not ... again" are times that are not understood.
    """
    result: list[Token] = []
    last: float | None = None
    negated = timed = False  # in this part of the sentence
    prolonged = False  # "stayed" was read, "so" follows
    for index, token in enumerate(tokens):
        words = token.text.lower()
        ends = index + 1 == len(tokens) or tokens[index + 1].kind in _ENDS
        if token.kind == "stop":
            last = None
        if token.kind in _ENDS:
            negated = timed = False
        if token.kind == "negation":
            negated = negated or (token.meaning is not None and token.meaning.word != "none")
        if (words in _SINCE and ends and token.kind in ("word", "time", "soft")) or (
            words in _AGAIN and negated and not timed and token.kind == "filler" and not _timed_ahead(tokens, index)
        ):
            token = replace(token, kind="time", meaning=_from(last))
            timed = True
        elif _stays_so(tokens, index) and last is not None and _prolong(result, last):
            prolonged = True
            continue
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
            point = _point(token)
            last = point if point is not None else last
            timed = True
        result.append(token)
        no_more = token.kind == "negation" and bool(_NO_MORE & set(words.split()))
        if no_more and last is not None and not _timed_ahead(tokens, index):
            result.append(Token("time", token.end, token.end, _from(last)))
    return result


def _stays_so(tokens: list[Token], index: int) -> bool:
    """ "normotensive at hour 12 and stayed so" """
    if tokens[index].kind != "stay":
        return False
    ends = index + 2 >= len(tokens) or tokens[index + 2].kind in _ENDS
    return ends and index + 1 < len(tokens) and tokens[index + 1].text.lower() in _SO


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

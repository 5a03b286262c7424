"""Predicates with the qualifiers that they share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from clinragen.claims.tokens import Token
from clinragen.claims.types import Predicate, Quantifier, When, is_absence

_BEGINNING = frozenset(("compare", "crossing", "level"))
_OF_VERBS = frozenset(("not", "never", "didn't", "didn\u2019t", "did not have", "didn't have"))
# Times with which a bare extreme ("peaked at hour 20") is complete.
_EXTREME_TIMES = ("at", "window", "start", "end", "final", "early", "later", "first half", "second half")


@dataclass
class Segment:
    """Predicates with their shared qualifiers; `end` is the last character of the last one, -1 for the clause's."""

    predicates: list[Predicate] = field(default_factory=list)
    quantifier: Quantifier | None = None
    times: list[When] = field(default_factory=list)
    negation: str = ""
    hedged: bool = False
    stays: bool = False
    unmeasured: bool = False
    unread: bool = False
    only: bool = False
    episode: bool = False  # "lasted from hour 4 to hour 20": one of possibly several
    reversed: bool = False  # "it is not true that ..."
    ended: bool = False  # "no longer"
    delayed: bool = False  # "did not", which "until" makes a beginning
    lasting: When | None = None
    taking: When | None = None  # the duration of a change
    onset: str = ""  # "from" in "first exceeded 38 at hour 8", "until" in "last exceeded 38 at hour 28"
    alternative: bool = False  # "or" joins it to the one before
    level: str = ""  # what the change says as a level ("reduced")
    steady: bool = False  # "fell steadily"
    backwards: bool = False  # it was before the segment before it ("fell after peaking")
    end: int = -1

    def qualify(self, token: Token) -> None:
        """Add one qualifier."""
        meaning = token.meaning
        if token.kind == "hedge":
            self.hedged = True
        elif token.kind == "stay":
            self.stays = True
        elif token.kind == "only":
            self.only = True
            self.episode = self.episode or token.text.lower() in ("lasted", "lasting")
            return
        elif token.kind == "onset":
            self.onset = "until" if "last" in token.text.lower() else "from"
            return
        elif meaning is None:
            return
        elif token.kind == "negation" and meaning.word == "reversed":
            self.reversed = True
        elif token.kind == "negation" and meaning.word == "plain" and self.negation == "never" and _is_not(token):
            self.negation, self.quantifier = ("", Quantifier("every"))  # "at no time was she not normotensive"
        elif token.kind == "negation" and meaning.word != "none":
            self.negation = "never" if "never" in (meaning.word, self.negation) else "plain"
            self.ended = self.ended or meaning.word == "ended"
            self.delayed = self.delayed or token.text.lower() in _OF_VERBS
        elif token.kind == "time" and meaning.when is not None:
            if meaning.when.kind == "lasting":
                self.unread = self.unread or self.lasting is not None
                self.lasting = meaning.when
            elif meaning.when.kind == "taking":
                self.unread = self.unread or self.taking is not None
                self.taking = meaning.when
            elif meaning.when.kind == "unread":
                self.unread = True
            else:
                self.times.append(meaning.when)
        elif token.kind == "quantifier" and meaning.quantifier is not None:
            self.unread = self.unread or self.quantifier not in (None, meaning.quantifier)
            self.quantifier = meaning.quantifier
        self.end = max(self.end, token.end)


def take_time(segment: Segment) -> None:
    """ "from 92 to 132 within 12 hours": known of a change with both of its values only."""
    both = all(
        one.kind == "course" or (one.kind == "trend" and one.first is not None and one.second is not None)
        for one in segment.predicates
    )
    if segment.taking is None:
        return
    if both and segment.predicates and segment.lasting is None:
        segment.lasting = replace(segment.taking, kind="lasting")
    else:
        segment.unread = True


def _is_not(token: Token) -> bool:
    return token.text.lower() in ("not", "wasn't", "isn't", "weren't", "without", "non")


def spanned(times: list[When]) -> list[When]:
    """ "at hour 12 and so until hour 20": from the one to the other."""
    starts = [when for when in times if when.kind in ("at", "from")]
    ends = [when for when in times if when.kind == "until"]
    if len(starts) != 1 or len(ends) != 1 or starts[0].first >= ends[0].first:
        return times
    return [
        *(w for w in times if w not in (starts[0], ends[0])),
        When("window", starts[0].first, ends[0].first, whole=True),
    ]


def begin_there(segment: Segment, onset: str) -> None:
    """ "first exceeded 38 at hour 8": the time is when it began."""
    points = [when for when in segment.times if when.kind == "at"]
    if len(points) != 1 or any(one.kind not in ("compare", "level", "own") for one in segment.predicates):
        segment.unread = True
    segment.times = [replace(when, kind=onset, by=True) if when in points else when for when in segment.times]


def begin_late(segment: Segment) -> None:
    """ "did not fall below 100 until hour 28": it was so from then on, and not before."""
    stated = [one for one in segment.predicates if one.kind != "own"]
    if [when.kind for when in segment.times] != ["until"] or not {one.kind for one in stated} <= _BEGINNING:
        return
    if any(is_absence(one) for one in stated):
        return
    segment.negation = ""
    segment.predicates = [
        replace(one, kind="compare") if one.kind == "crossing" else one for one in segment.predicates
    ]
    segment.times = [replace(segment.times[0], kind="from", by=True)]


def by_then(when: When) -> When:
    """ "no longer febrile by hour 36" is about the last reading until then."""
    first_hours = when.kind == "window" and when.first == 0 and not when.whole
    return When("until then", when.last) if first_hours else when


def is_complete(predicate: Predicate, segment: Segment) -> bool:
    """Whether a predicate states something by itself."""
    if predicate.kind == "extreme" and predicate.first is None and predicate.word == "either":
        return False
    if predicate.kind == "extreme" and predicate.first is None and predicate.word in ("mean", "median"):
        return False
    if predicate.kind == "extreme" and predicate.first is None:
        return any(when.kind in _EXTREME_TIMES for when in segment.times)
    if predicate.kind == "compare":
        return predicate.first is not None
    if predicate.kind == "measured":
        return len(segment.predicates) == 1 or segment.only  # "measured at admission only (80 kg)"
    return not (predicate.kind == "trend" and predicate.word == "ranging")

"""The claim checker's vocabulary of types: a parsed `Statement`, and the `Claim` that says whether it is true."""

from __future__ import annotations

from dataclasses import dataclass

SUPPORTED, CONTRADICTED, UNVERIFIABLE = "supported", "contradicted", "unverifiable"
VERDICTS = (SUPPORTED, CONTRADICTED, UNVERIFIABLE)
KINDS = ("level", "normality", "value", "extreme", "trend", "timing", "count", "measurement", "note", "tie", "absence")

LIMIT = -2


@dataclass(frozen=True)
class Evidence:
    """The reason for a verdict, and the data behind it.

    Args:
        reason: In words.
        hours, values: The readings that decide, since ICU admission and in the variable's unit; same length.
        spans: The places in the note that decide, as (first, last exclusive) characters.
        cue: The words of the note that change the meaning of a quotation ("denies"); "" where nothing does.
        cue_span: The place of the cue in the note.
    """

    reason: str
    hours: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    cue: str = ""
    cue_span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Claim:
    """One checked statement of a rationale.

    Args:
        text, span: The words, and their first and last character (exclusive) in the rationale.
        variable: Key of the variable; None for a quotation and for statements about all variables at once.
        kind: One of `KINDS`.
        verdict: One of `VERDICTS`.
        evidence: What decides.
        hedged: Stated as a guess ("possibly"); it is checked all the same, and a wrong guess is contradicted.
        negated: Stated as an absence ("no fever").
        disease: Key of the disease that a tie or an absence is about; None for claims of other kinds, and for an
            absence of every disease.
    """

    text: str
    span: tuple[int, int]
    variable: str | None
    kind: str
    verdict: str
    evidence: Evidence
    hedged: bool = False
    negated: bool = False
    disease: str | None = None


@dataclass(frozen=True)
class Quantity:
    """A number as written: `low` equals `high` except for "in the 120s".

    `decimals` is -1 for tens, and `LIMIT` where it bounds a change ("by more than 40").
    """

    low: float
    high: float
    decimals: int
    unit: str | None = None
    approximate: bool = False


@dataclass(frozen=True)
class Subject:
    """The variables a statement is about; with several of them, it is true if it is true of any.

    With `difference` it is about the first less the second ("pulse pressure").
    """

    variables: tuple[str, ...]
    everything: bool = False
    difference: bool = False


@dataclass(frozen=True)
class Quantifier:
    """In how many readings: a `name` of the shares or counts in claims.yaml, or a number of readings, or a share.

    `operator` is "=", ">=", "<=" or "~", of a share also ">" or "<"; a negative `count` is "all but" so many; `total`
    is the 12 of "five of 12"; with `runs`, episodes count as well.
    """

    name: str = ""
    operator: str = "="
    count: int | None = None
    total: int | None = None
    share: float | None = None
    runs: bool = False


@dataclass(frozen=True)
class When:
    """A time, by `kind`: "from", "until", "at", "window" (hours `first` to `last`), "final" (the last `first` hours),
    "until then" (the last reading up to hour `first`), "nth" (the reading at place `first`, negative from the last),
    "first readings" and "last readings" (so many), "stay" (a span of `first` hours that is the whole stay),
    "until max", "since max" and the same of "min" (up to the extreme reading, from it on), or a key of `times` in
    claims.yaml ("start", "admission", "end", "now", "early", "later", "first half", "second half", "whole", "outside",
    "future").

    What is said of a `whole` window is said of all of it ("from hour 4 to hour 20"), not of some moment in it ("in the
    first 24 hours"); with `by`, something is so at its end ("by hour 36"), and a "from" is a beginning only
    ("developed at hour 4"). Three kinds say nothing about when: "lasting" (a duration of `first` to `last` hours),
    "taking" (the same, of a change) and "unread" (a time that the checker does not understand, so that nothing can be
    supported by it).
    """

    kind: str
    first: float = 0.0
    last: float = float("inf")
    approximate: bool = False
    whole: bool = False
    by: bool = False


@dataclass(frozen=True)
class Point:
    """A value at a time: one number, two of "120/80", or none; `extreme` is "max" or "min" for "a nadir of 78"."""

    numbers: tuple[Quantity, ...] = ()
    times: tuple[When, ...] = ()
    extreme: str = ""


@dataclass(frozen=True)
class Predicate:
    """The part of a statement that is about its subject.

    `kind`: "level" (`word` low, high, normal, abnormal), "compare" (`word` above, below, at_least, at_most),
    "crossing" (the same, after a reading that was not), "near", "between" (two numbers), "outside" (of them),
    "trend" (`word` of claims.yaml; numbers are start and end, `by` the change), "extreme" (`word` max, min, mean,
    median, with or without its number), "range" (numbers are minimum and maximum), "spread" (their difference),
    "pair" ("120/80"), "measured", "own" (what the name itself says: "febrile"), "course" (values in the order of
    time, each with or without its own time: `points`; `word` is the trend), "versus" (the first of two `points` is
    above, below or the same as the second, by its number), "factor" (`word` is how many times the first value,
    with "~" about so many, with ">" or "<" changed by more or less than that), "against" (above or below the `other`
    variable at the same time). With `moved`, a limit was passed ("fell below 90"): it was not so before. With
    `bounding`, it is said of all readings ("no higher than 129").
    """

    kind: str
    word: str = ""
    first: Quantity | None = None
    second: Quantity | None = None
    by: Quantity | None = None
    points: tuple[Point, ...] = ()
    other: str = ""
    moved: bool = False
    bounding: bool = False


def is_absence(predicate: Predicate) -> bool:
    """Whether a level means that nothing abnormal is seen, which has to be true of every reading."""
    return predicate.kind == "level" and predicate.word in ("normal", "not low", "not high")


@dataclass(frozen=True)
class Statement:
    """One parsed statement.

    `negation` is "", "plain" or "never"; `scope` "now", "past", "hypothetical", "open" (a question) or "unread" (a
    word beside it was not understood). `unread`: it holds a number, a time or a comparison that was not understood, so
    that it can't be supported; `unknown`: the same of a word, so that it can be wrong but not right. `lasting` is for
    how long it is said to hold; with `only`, it holds at no other time, as an `episode` not right before or behind
    it. A value that is part of a condition is one of the readings `within` it ("tachycardic at 130"). `by_name`: the
    name of a condition says it ("tachycardic"), which a value in the same clause may specify. `beside`: it is said to
    be so "when", "while", "whenever", "only when", "before" or "after" one of the other statements holds. A value
    without a time of its own has to be so at one of the `beside_times` as well, where there are any.
    """

    subject: Subject
    predicate: Predicate
    span: tuple[int, int]
    quantifier: Quantifier | None = None
    times: tuple[When, ...] = ()
    negation: str = ""
    persistent: bool = False
    hedged: bool = False
    scope: str = "now"
    unread: bool = False
    unknown: bool = False
    lasting: When | None = None
    only: bool = False
    episode: bool = False
    within: Predicate | None = None
    by_name: bool = False
    beside: tuple[str, tuple[Statement, ...]] = ("", ())
    beside_times: tuple[tuple[When, ...], ...] = ()

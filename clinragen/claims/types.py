"""The claim checker's vocabulary of types: a parsed `Statement`, and the `Claim` that says whether it is true."""

from __future__ import annotations

from dataclasses import dataclass

SUPPORTED, CONTRADICTED, UNVERIFIABLE = "supported", "contradicted", "unverifiable"
VERDICTS = (SUPPORTED, CONTRADICTED, UNVERIFIABLE)
KINDS = ("level", "normality", "value", "extreme", "trend", "timing", "count", "measurement", "note")


@dataclass(frozen=True)
class Evidence:
    """The readings that decide: `hours` since ICU admission and `values` in the variable's unit, same length."""

    reason: str
    hours: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


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
    """

    text: str
    span: tuple[int, int]
    variable: str | None
    kind: str
    verdict: str
    evidence: Evidence
    hedged: bool = False
    negated: bool = False


@dataclass(frozen=True)
class Quantity:
    """A number as written: `low` equals `high` except for "in the 120s". `decimals` is -1 for tens."""

    low: float
    high: float
    decimals: int
    unit: str | None = None
    approximate: bool = False


@dataclass(frozen=True)
class Subject:
    """The variables a statement is about; with several of them, it is true if it is true of any."""

    variables: tuple[str, ...]
    everything: bool = False


@dataclass(frozen=True)
class Quantifier:
    """In how many readings: a `name` of the shares or counts in claims.yaml, or a number of readings, or a share.

    `operator` is "=", ">=", "<=" or "~"; `total` is the 12 of "five of 12"; with `runs`, episodes count as well.
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
    or a key of `times` in claims.yaml ("start", "admission", "end", "early", "later", "whole", "outside")."""

    kind: str
    first: float = 0.0
    last: float = float("inf")
    approximate: bool = False


@dataclass(frozen=True)
class Predicate:
    """The part of a statement that is about its subject.

    `kind`: "level" (`word` low, high, normal, abnormal), "compare" (`word` above, below, at_least, at_most), "near",
    "between" (two numbers), "trend" (`word` of claims.yaml; numbers are start and end, `by` the change), "extreme"
    (`word` max, min, mean, median, with or without its number), "range" (numbers are minimum and maximum), "pair"
    ("120/80"), "measured", "own" (what the name itself says: "febrile").
    """

    kind: str
    word: str = ""
    first: Quantity | None = None
    second: Quantity | None = None
    by: Quantity | None = None


@dataclass(frozen=True)
class Statement:
    """One parsed statement. `negation` is "", "plain" or "never"; `scope` "now", "past" or "hypothetical"."""

    subject: Subject
    predicate: Predicate
    span: tuple[int, int]
    quantifier: Quantifier | None = None
    times: tuple[When, ...] = ()
    negation: str = ""
    persistent: bool = False
    hedged: bool = False
    scope: str = "now"

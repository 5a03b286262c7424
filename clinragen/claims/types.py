"""What the claim checker says about a rationale: one `Claim` per statement, with the readings that decide it."""

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
    """One statement of a rationale.

    - `text`, `span`  the words and their characters in the rationale
    - `variable`      key of the variable; None for a quotation and for statements about all variables at once
    - `kind`          one of `KINDS`
    - `verdict`       one of `VERDICTS`
    - `hedged`        told as a guess ("possibly"); it is checked all the same, and a wrong guess is contradicted
    - `negated`       told as an absence ("no fever")
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
    """A number as told: `low` equals `high` but for "in the 120s". `decimals` are those written, -1 for tens."""

    low: float
    high: float
    decimals: int
    unit: str | None = None
    approximate: bool = False


@dataclass(frozen=True)
class Subject:
    """One or several variables a statement is about; with several, it holds if it holds for any of them."""

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
    or one of the words of claims.yaml ("start", "admission", "end", "early", "later", "whole", "outside")."""

    kind: str
    first: float = 0.0
    last: float = float("inf")
    approximate: bool = False


@dataclass(frozen=True)
class Predicate:
    """What is said.

    `kind`: "level" (`word` low, high, normal, abnormal), "compare" (`word` above, below, at_least, at_most), "near",
    "between" (two numbers), "trend" (`word` of claims.yaml; numbers are start and end, `by` the change), "extreme"
    (`word` max, min, mean, median, with or without its number), "range" (numbers are least and greatest), "measured",
    "own" (what the word for the variable itself says).
    """

    kind: str
    word: str = ""
    first: Quantity | None = None
    second: Quantity | None = None
    by: Quantity | None = None


@dataclass(frozen=True)
class Statement:
    """One statement, taken apart. `negation` is "", "plain" or "never"; `scope` "now", "past" or "hypothetical"."""

    subject: Subject
    predicate: Predicate
    span: tuple[int, int]
    quantifier: Quantifier | None = None
    times: tuple[When, ...] = ()
    negation: str = ""
    persistent: bool = False
    hedged: bool = False
    scope: str = "now"

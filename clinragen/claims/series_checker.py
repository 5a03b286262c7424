"""Checks statements against a stay's series: supported, contradicted or unverifiable."""

from __future__ import annotations

from dataclasses import replace

from clinragen.claims.levels import Outcome, check_readings
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import Readings, is_absence, split_readings
from clinragen.claims.trends import check_extreme, check_trend
from clinragen.claims.types import (
    CONTRADICTED,
    SUPPORTED,
    UNVERIFIABLE,
    Claim,
    Evidence,
    Predicate,
    Quantifier,
    Statement,
    Subject,
)
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import RangeSet

_KINDS = {"level": "level", "trend": "trend", "extreme": "extreme", "range": "extreme", "measured": "measurement"}
_ELSEWHEN = {
    "past": "it is about a time before the stay",
    "hypothetical": "it is about what may happen, not about what was measured",
}


class SeriesChecker:
    """Checks statements against one series; `range_set` says what is high, low and normal."""

    def __init__(self, series: LabSeries, range_set: RangeSet, lexicon: Lexicon) -> None:
        self._readings = split_readings(series, range_set)
        self._range_set = range_set
        self._lexicon = lexicon
        self._measured = bool(series.observed.any())

    def check(self, statement: Statement, text: str) -> list[Claim]:
        """The claims of one statement: a level with a count and a time is one of each."""
        if statement.predicate.kind == "pair":
            return [claim for half in self._halves(statement) for claim in self.check(half, text)]
        if statement.subject.everything and statement.predicate.kind == "measured":
            variable, outcomes = None, [self._anything(statement)]
        else:
            found = [(key, self._outcomes(statement, self._readings[key])) for key in statement.subject.variables]
            variable, outcomes = _decide(statement, found)
        return [
            Claim(
                text=text[slice(*statement.span)],
                span=statement.span,
                variable=variable,
                kind=outcome.kind,
                verdict=outcome.verdict,
                evidence=outcome.evidence,
                hedged=statement.hedged,
                negated=bool(statement.negation),
            )
            for outcome in outcomes
        ]

    def _halves(self, statement: Statement) -> list[Statement]:
        """ "120/80" as a systolic and a diastolic value."""
        predicate = statement.predicate
        kind = "compare" if predicate.word else "near"
        return [
            replace(statement, subject=Subject((key,)), predicate=Predicate(kind, predicate.word, number))
            for key, number in zip(self._lexicon.pair, (predicate.first, predicate.second), strict=True)
            if key in self._readings
        ]

    def _anything(self, statement: Statement) -> Outcome:
        agrees = self._measured != bool(statement.negation)
        reason = "something was measured" if self._measured else "nothing was measured"
        return Outcome("measurement", SUPPORTED if agrees else CONTRADICTED, Evidence(reason))

    def _outcomes(self, statement: Statement, readings: Readings) -> list[Outcome]:
        kind = statement.predicate.kind
        if statement.scope != "now":
            return [Outcome(_KINDS.get(kind, "value"), UNVERIFIABLE, Evidence(_ELSEWHEN[statement.scope]))]
        if kind == "measured":
            return [self._measurement(statement, readings)]
        if not len(readings):
            return [Outcome(_KINDS.get(kind, "value"), UNVERIFIABLE, Evidence("it was never measured"))]
        if kind == "trend":
            return [check_trend(statement, readings, self._range_set, self._lexicon)]
        if kind in ("extreme", "range"):
            return [check_extreme(statement, readings, self._lexicon)]
        return check_readings(statement, readings, self._lexicon)

    def _measurement(self, statement: Statement, readings: Readings) -> Outcome:
        total = len(readings)
        agrees = total > 0
        quantifier: Quantifier | None = statement.quantifier
        if quantifier is not None and quantifier.count is not None:
            wanted = quantifier.count
            agrees = {">=": total >= wanted, "<=": total <= wanted}.get(quantifier.operator, total == wanted)
        if statement.negation:
            agrees = not agrees
        reason = f"it was measured {total} times"
        return Outcome("measurement", SUPPORTED if agrees else CONTRADICTED, Evidence(reason))


def _decide(statement: Statement, found: list[tuple[str, list[Outcome]]]) -> tuple[str, list[Outcome]]:
    """One answer for several variables: a positive statement has to be true of one, any other of all."""
    predicate = statement.predicate
    universal = bool(statement.negation) or is_absence(predicate)
    order = (CONTRADICTED, SUPPORTED, UNVERIFIABLE) if universal else (SUPPORTED, CONTRADICTED, UNVERIFIABLE)
    worst = (CONTRADICTED, UNVERIFIABLE, SUPPORTED)

    def rank(entry: tuple[str, list[Outcome]]) -> int:
        verdicts = [outcome.verdict for outcome in entry[1]]
        return order.index(min(verdicts, key=worst.index))

    return min(found, key=rank)

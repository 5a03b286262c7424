"""Checks statements against a stay's series: supported, contradicted or unverifiable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from clinragen.claims.coincidences import coincide, is_universal, moments
from clinragen.claims.courses import (
    check_course,
    check_factor,
    check_spread,
    check_versus,
    is_numbered_change,
    numbered_change,
)
from clinragen.claims.levels import Outcome, check_readings
from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import Readings, split_readings, subtract, window_of
from clinragen.claims.trends import check_extreme, check_trend
from clinragen.claims.types import (
    CONTRADICTED,
    SUPPORTED,
    UNVERIFIABLE,
    Claim,
    Evidence,
    Predicate,
    Quantifier,
    Quantity,
    Statement,
    Subject,
    is_absence,
)
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.vocabulary_clinragen import RangeSet

_KINDS = {
    **{
        "level": "level",
        "trend": "trend",
        "extreme": "extreme",
        "range": "extreme",
        "spread": "extreme",
        "measured": "measurement",
    },
    **{"course": "trend", "versus": "trend", "factor": "trend"},
}
# Statements about several readings at once.
_OF_SEVERAL = frozenset(("trend", "extreme", "range", "spread", "course", "versus", "factor"))
_ELSEWHEN = {
    "past": "it is about a time before the stay",
    "hypothetical": "it is about what may happen, not about what was measured",
    "open": "it is left open",
    "unread": "a word beside it was not understood",
}
_UNREAD = "a number, a time or a comparison in it was not understood"
_UNKNOWN = "a word in it was not understood"
_ELSEWHERE = "it is so, but not at the time that is named beside it"
# So many characters may stand between a condition and the statement that specifies it.
_BESIDE = 12
# A statement that something occurs stays wrong, whatever else is said of it.
_OCCURRENCES = frozenset(("near", "compare", "pair", "level"))


class SeriesChecker:
    """Checks statements against one series; `range_set` says what is high, low and normal."""

    def __init__(self, series: LabSeries, range_set: RangeSet, lexicon: Lexicon) -> None:
        self._readings = split_readings(series, range_set)
        self._range_set = range_set
        self._lexicon = lexicon
        self._rows = len(series.hours)
        self._measured = bool(series.observed.any())
        self._decide = lru_cache(maxsize=1024)(self._decided)  # drafts of a text share most of their statements

    def check_all(self, statements: Iterable[Statement], text: str) -> list[Claim]:
        """The claims of all statements, in their order.

        A condition and the value behind it are one statement ("desaturated to 74 %"): where the value is
        contradicted, the condition is not supported on its own.
        """
        claims: list[Claim] = []
        statement_of: dict[int, int] = {}  # by the claim's identity
        named: Claim | None = None  # the condition that was named last, while what follows may specify it
        for place, statement in enumerate(statements):
            found = self.check(statement, text)
            statement_of.update((id(one), place) for one in found)
            if named is not None and not statement.by_name and any(_specifies(one, named, text) for one in found):
                if any(one.verdict == CONTRADICTED for one in found):
                    claims.remove(named)
                    named = None
            elif named is not None and found and found[0].span != named.span:
                named = None
            supported = [one for one in found if one.verdict == SUPPORTED]
            if statement.by_name and len(found) == len(supported) == 1:
                named = found[0]
            claims += found
        return _consistent([(statement_of[id(one)], one) for one in claims])

    def check(self, statement: Statement, text: str) -> list[Claim]:
        """The claims of one statement: a level with a count and a time is one of each."""
        if statement.predicate.kind == "pair" or _has_pairs(statement.predicate):
            return [claim for half in self._halves(statement) for claim in self.check(half, text)]
        keys: tuple[str | None, ...]
        if statement.predicate.kind == "against" or statement.subject.difference:
            keys, outcomes = self._of_two(statement)
            return self._claims(statement, text, keys, outcomes)
        if statement.subject.everything and statement.predicate.kind == "measured":
            variable, outcomes = None, [self._anything(statement)]
        else:
            variable, outcomes = self._decide(replace(statement, span=(0, 0)))
        return self._claims(statement, text, (variable,), outcomes)

    def _claims(
        self, statement: Statement, text: str, keys: tuple[str | None, ...], outcomes: list[Outcome]
    ) -> list[Claim]:
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
            for variable in keys
            for outcome in outcomes
        ]

    def _of_two(self, statement: Statement) -> tuple[tuple[str, ...], list[Outcome]]:
        """A statement about the difference of two variables as a claim about each of them."""
        predicate, subject = statement.predicate, statement.subject
        keys = subject.variables if subject.difference else (*subject.variables[:1], predicate.other)
        if len(keys) != 2 or not set(keys) <= set(self._readings):
            return (), []
        difference = subtract(*(self._readings[key] for key in keys))
        if predicate.kind != "against":
            return keys, self._outcomes(statement, difference)
        if subject.difference:
            return keys, [Outcome("value", UNVERIFIABLE, Evidence(_UNREAD))]
        zero = Predicate("compare", predicate.word, Quantity(0.0, 0.0, difference.variable.decimals))
        found = self._outcomes(replace(statement, predicate=zero), difference)
        if statement.times or statement.quantifier is not None or statement.negation or len(difference) == 0:
            return keys, found
        # Without a time it is said of all of them.
        always = self._outcomes(replace(statement, predicate=zero, quantifier=Quantifier("every")), difference)
        partly = any(one.verdict == CONTRADICTED for one in always)
        return keys, [
            replace(one, verdict=UNVERIFIABLE) if partly and one.verdict == SUPPORTED else one for one in found
        ]

    def _decided(self, statement: Statement) -> tuple[str, list[Outcome]]:
        found = [(key, self._outcomes(statement, self._readings[key])) for key in statement.subject.variables]
        return _decide(statement, found)

    def _halves(self, statement: Statement) -> list[Statement]:
        """ "120/80" as a systolic and a diastolic value."""
        predicate = statement.predicate
        extreme = predicate.word in ("max", "min", "mean", "median", "either")
        kind = "extreme" if extreme else "compare" if predicate.word else "near"
        halves = []
        for side, key in enumerate(self._lexicon.pair):
            points = tuple(replace(point, numbers=(point.numbers[side],)) for point in predicate.points)
            number = (predicate.first, predicate.second)[side]
            half = replace(predicate, points=points) if points else Predicate(kind, predicate.word, number)
            within = statement.within if key in statement.subject.variables else None
            if key in self._readings:
                halves.append(replace(statement, subject=Subject((key,)), predicate=half, within=within))
        return halves

    def _anything(self, statement: Statement) -> Outcome:
        agrees = self._measured != bool(statement.negation)
        reason = "something was measured" if self._measured else "nothing was measured"
        return Outcome("measurement", SUPPORTED if agrees else CONTRADICTED, Evidence(reason))

    def _outcomes(self, statement: Statement, readings: Readings) -> list[Outcome]:
        outcomes = self._read(statement, readings)
        if statement.beside[1]:
            outcomes = self._at_the_time(statement, readings, outcomes)
        certain = statement.predicate.kind in _OCCURRENCES and not is_absence(statement.predicate)
        certain = certain and not (
            statement.negation or statement.quantifier or statement.times or statement.persistent
        )
        if statement.unknown:
            outcomes = [
                replace(one, verdict=UNVERIFIABLE, evidence=replace(one.evidence, reason=_UNKNOWN))
                if one.verdict == SUPPORTED or statement.negation
                else one
                for one in outcomes
            ]
        if statement.beside_times and any(one.verdict == SUPPORTED for one in outcomes):
            outcomes = self._at_times_beside(statement, readings, outcomes)
        if not statement.unread:
            return outcomes
        return [
            replace(one, verdict=UNVERIFIABLE, evidence=replace(one.evidence, reason=_UNREAD))
            if one.verdict == SUPPORTED or not certain
            else one
            for one in outcomes
        ]

    def _at_times_beside(self, statement: Statement, readings: Readings, outcomes: list[Outcome]) -> list[Outcome]:
        """ "hypotensive at hour 6 (82/42, MAP 55)": what is supported has to be so at a time beside it as well."""
        for times in statement.beside_times:
            found = self._outcomes(replace(statement, times=times, beside_times=()), readings)
            if all(one.verdict == SUPPORTED for one in found):
                return outcomes
        return [
            replace(one, verdict=UNVERIFIABLE, evidence=replace(one.evidence, reason=_ELSEWHERE))
            if one.verdict == SUPPORTED
            else one
            for one in outcomes
        ]

    def _at_the_time(self, statement: Statement, readings: Readings, outcomes: list[Outcome]) -> list[Outcome]:
        """ "135 when the SBP was 77": what is supported has to be so at the time of the other statement."""
        relation, others = statement.beside
        universal = is_universal(statement)
        said = replace(statement, negation="plain" if statement.negation else "")
        mine = moments(said, readings, self._lexicon)
        if mine is None or (universal and relation not in ("when", "while")):
            return outcomes
        found = set()
        for other in others:
            half = self._halves(other)[0] if other.predicate.kind == "pair" else other
            for key in half.subject.variables:
                theirs = moments(half, self._readings[key], self._lexicon) if other.scope == "now" else None
                if theirs is not None:
                    hours = self._readings[key].hours
                    found.add(coincide("whenever" if universal else relation, mine, readings.hours, theirs, hours))
        if not found:
            return outcomes
        order = (SUPPORTED, CONTRADICTED, UNVERIFIABLE)
        verdict = min(found, key=order.index)
        reason = f"at the time of the other statement it is {verdict}"
        return [
            replace(one, verdict=verdict, evidence=replace(one.evidence, reason=reason))
            if one.verdict == SUPPORTED != verdict or (universal and one.verdict == CONTRADICTED != verdict)
            else one
            for one in outcomes
        ]

    def _read(self, statement: Statement, readings: Readings) -> list[Outcome]:
        kind = statement.predicate.kind
        if statement.scope != "now":
            return [Outcome(_KINDS.get(kind, "value"), UNVERIFIABLE, Evidence(_ELSEWHEN[statement.scope]))]
        if kind == "measured":
            return [self._measurement(statement, readings)]
        if not len(readings):
            return [Outcome(_KINDS.get(kind, "value"), UNVERIFIABLE, Evidence("it was never measured"))]
        if statement.lasting is not None and kind in _OF_SEVERAL:
            return [self._lasting(statement, readings)]
        if kind == "course":
            return [check_course(statement, readings, self._lexicon)]
        if kind == "versus":
            return [check_versus(statement, readings, self._lexicon)]
        if kind == "factor":
            return [check_factor(statement, readings, self._lexicon)]
        if kind == "trend":
            return [check_trend(statement, readings, self._range_set, self._lexicon)]
        if kind == "spread":
            return [check_spread(statement, readings, self._lexicon)]
        if kind in ("extreme", "range"):
            return [check_extreme(statement, readings, self._lexicon)]
        return check_readings(statement, readings, self._lexicon)

    def _lasting(self, statement: Statement, readings: Readings) -> Outcome:
        """ "fell from 0.8 to 0.2 over 28 hours": the change, and how long it took."""
        assert statement.lasting is not None
        (found,) = self._read(replace(statement, lasting=None), readings)
        said, took = (statement.lasting, numbered_change(statement, readings, self._lexicon))
        slack = self._lexicon.limits["at_hours"]
        if is_numbered_change(statement) and took and found.verdict == CONTRADICTED:
            found = replace(found, verdict=SUPPORTED)  # both values are there, wherever in the course
        if found.verdict != SUPPORTED or len(found.evidence.hours) < 2:
            return found
        if any(said.first - slack <= hours <= said.last + slack for hours in took):
            return found
        verdict = CONTRADICTED if took else UNVERIFIABLE
        return replace(found, verdict=verdict, evidence=replace(found.evidence, reason="its duration differs"))

    def _measurement(self, statement: Statement, readings: Readings) -> Outcome:
        total = len(readings)
        agrees = total > 0
        quantifier: Quantifier | None = statement.quantifier
        if quantifier is not None and quantifier.count is not None:
            wanted = quantifier.count if quantifier.count >= 0 else self._rows + quantifier.count
            agrees = {">=": total >= wanted, "<=": total <= wanted}.get(quantifier.operator, total == wanted)
        if quantifier is not None and quantifier.name == "every":
            # "at all eight time points", "at every time point"
            agrees = total == (self._rows if quantifier.total is None else quantifier.total)
        if statement.times and total:
            window = window_of(readings, statement.times, self._lexicon)
            agrees = bool(window.mask.any()) and not (statement.only and total > window.mask.sum())
        if statement.negation:
            agrees = not agrees
        reason = f"it was measured {total} times"
        return Outcome("measurement", SUPPORTED if agrees else CONTRADICTED, Evidence(reason))


def _consistent(claims: list[tuple[int, Claim]]) -> list[Claim]:
    """The claims, each with the place of its statement, without those that a contradicted part makes wrong.

    No claim is supported whose words include a contradicted part about the same variable, and a row of values is one
    statement.
    """
    wrong = [(place, claim) for place, claim in claims if claim.verdict == CONTRADICTED]
    if not wrong:
        return [claim for _, claim in claims]
    return [
        claim
        for place, claim in claims
        if claim.verdict == CONTRADICTED or not any(place != at and _includes(claim, part) for at, part in wrong)
    ]


def _includes(claim: Claim, part: Claim) -> bool:
    row = claim.kind == part.kind and claim.kind in ("value", "extreme")
    return claim.variable == part.variable and claim.span[0] == part.span[0] and (row or claim.span[1] >= part.span[1])


def _specifies(claim: Claim, named: Claim, text: str) -> bool:
    """Whether a claim says more of a condition: in the same clause, or in the next ("acidemia with a pH of 7.1")."""
    between = text[named.span[1] : claim.span[0]]
    beside = claim.span == named.span or (len(between) <= _BESIDE and not set(between) & set(".;\n"))
    return beside and claim.variable == named.variable


def _has_pairs(predicate: Predicate) -> bool:
    return any(len(point.numbers) == 2 for point in predicate.points)


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

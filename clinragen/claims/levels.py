"""Checks levels, limits and values against the readings: in how many of them, from when, until when."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clinragen.claims.lexicon import Lexicon
from clinragen.claims.readings import Readings, count_runs, evidence, flipped, holds, near, read_band, window_of
from clinragen.claims.types import (
    CONTRADICTED,
    SUPPORTED,
    UNVERIFIABLE,
    Evidence,
    Predicate,
    Quantifier,
    Statement,
    When,
    is_absence,
)
from dataset_builder.contract.series_signs import load_sign_rules

# One reading on the wrong side of an onset is a stray one up to this share of all readings.
_STRAY_SHARE = 0.1
# A duration shorter than the run by up to this share of it is neither right nor wrong.
_LOOSE_DURATION = 0.7
# "From hour 4 to hour 20" is supported from this share of the readings on, and contradicted below the second.
_WHOLE_SHARE, _WHOLE_LEAST = 0.8, 0.7
_BY_COUNT = frozenset(("first readings", "last readings"))


@dataclass(frozen=True)
class Outcome:
    """The verdict on one side of a statement."""

    kind: str
    verdict: str
    evidence: Evidence


def check_readings(statement: Statement, readings: Readings, lexicon: Lexicon) -> list[Outcome]:
    """Check a statement that is true or false of each reading: its count, its time, or that it occurs at all."""
    predicate = statement.predicate
    at = holds(readings, predicate, lexicon)
    kind = _kind(predicate)
    if at is None:
        reason = "it has no reference range" if predicate.kind == "level" else "the unit is not one of this variable's"
        return [Outcome(kind, UNVERIFIABLE, Evidence(reason))]
    bounds = [when for when in statement.times if when.kind in ("from", "until")]
    points = [when for when in statement.times if when.kind == "at"]
    timed = predicate.kind in ("compare", "outside") or (predicate.kind == "level" and not is_absence(predicate))
    if statement.lasting is not None:
        bounded = all(when.kind == "window" for when in statement.times)
        if (
            not (timed or predicate.kind == "near")
            or statement.negation
            or statement.quantifier is not None
            or not bounded
        ):
            return [Outcome("timing", UNVERIFIABLE, Evidence("its duration was not understood"))]
        lasts = Outcome("timing", *_lasting(readings, at, statement.lasting, lexicon))
        if not statement.times:
            return [lasts]
        # "for about 12 hours, between hours 12 and 24": all of that time
        every = replace(statement, lasting=None, quantifier=Quantifier("every"))
        return [lasts, *check_readings(every, readings, lexicon)]
    quantifier = statement.quantifier or _implied(statement)
    if predicate.kind == "between" and predicate.word == "range" and not statement.negation:
        return [Outcome(kind, *_range(statement, readings, at, lexicon))]
    outcomes: list[Outcome] = []
    if timed and not statement.negation and bounds:
        for when in bounds:
            verdict, found = _edge(readings, at, when, lexicon)
            until = readings.hours <= when.first
            if verdict == CONTRADICTED and statement.persistent and when.kind == "until" and at[until].all():
                verdict = UNVERIFIABLE if until.any() else verdict  # it remained so until then, and longer
            outcomes.append(Outcome("timing", verdict, found))
        if statement.quantifier is None:
            return outcomes
    if points and statement.quantifier is not None and not statement.negation:
        outcomes += [Outcome("timing", *_occurs(readings, at, when, lexicon)) for when in points]
    whole = any(when.whole for when in statement.times)
    if quantifier is not None and quantifier.name == "persistent" and whole and timed and not statement.negation:
        quantifier = None  # "persistently above 38 for the first 28 hours": all of that time
    if quantifier is not None:
        named = "count" if statement.quantifier is not None else kind
        outcomes.append(Outcome(named, *_counted(statement, readings, at, quantifier, bool(outcomes), lexicon)))
        return outcomes
    window = window_of(readings, statement.times, lexicon)
    if window.unknown:
        return [Outcome(kind, UNVERIFIABLE, Evidence(window.unknown))]
    if statement.within is not None:
        inside = holds(readings, statement.within, lexicon)
        at = at & inside if inside is not None else at
    outcome = _by_then(statement, readings, at, lexicon) if not statement.negation else None
    if outcome is not None:
        return [outcome]
    limited = any(when.kind != "whole" for when in statement.times)
    named = "timing" if limited and predicate.kind == "level" else kind
    if timed and not statement.negation and any(when.whole for when in statement.times):
        return [Outcome(named, *_most(readings, at, window.mask, statement, lexicon))]
    outcome = Outcome(named, *_plain(statement, readings, at, window.mask, lexicon))
    if predicate.bounding and not limited and outcome.verdict == SUPPORTED and not at[window.mask].all():
        reason = "not all readings are; that some are says little"  # "no higher than 129"
        outcome = replace(outcome, verdict=UNVERIFIABLE, evidence=replace(outcome.evidence, reason=reason))
    if predicate.moved and outcome.verdict == SUPPORTED and not statement.negation:
        outcome = _passed(outcome, at, window.mask)
    if statement.only and limited and timed and not statement.negation:
        outcome = Outcome(
            named, *_only(readings, at, window.mask, statement, (outcome.verdict, outcome.evidence), lexicon)
        )
    return [outcome]


def _passed(outcome: Outcome, at: np.ndarray, window: np.ndarray) -> Outcome:
    """ "fell below 90 at hour 8": it passed the limit then; that it was below it before as well does not decide."""
    crossing = at & np.concatenate(([False], ~at[:-1]))
    if (crossing & window).any():
        return outcome
    reason = "it was so before, and did not pass the limit then"
    return replace(outcome, verdict=UNVERIFIABLE, evidence=replace(outcome.evidence, reason=reason))


def _by_then(statement: Statement, readings: Readings, at: np.ndarray, lexicon: Lexicon) -> Outcome | None:
    """ "back above 100 by hour 20": so at that hour; what was so before it only does not decide."""
    ends = [When("until then", when.last) for when in statement.times if when.by and when.kind == "window"]
    if len(ends) != 1 or statement.predicate.kind not in ("near", "compare"):
        return None
    then = window_of(readings, ends, lexicon).mask
    window = window_of(readings, statement.times, lexicon).mask
    found = at & then
    if found.any() or not (at & window).any():
        return None
    reason = "it was so before that hour, not then"
    return Outcome(_kind(statement.predicate), UNVERIFIABLE, evidence(reason, readings, then, lexicon))


def _range(statement: Statement, readings: Readings, at: np.ndarray, lexicon: Lexicon) -> tuple[str, Evidence]:
    """ "HR 70-79": every reading lies in it, and the least and the greatest at its ends, or near them."""
    window = window_of(readings, statement.times, lexicon)
    predicate = statement.predicate
    if window.unknown or predicate.first is None or predicate.second is None:
        return UNVERIFIABLE, Evidence(window.unknown)
    ends = [read_band(one, readings.variable, lexicon) for one in (predicate.first, predicate.second)]
    values, inside = readings.values[window.mask], at[window.mask]
    low, high = (band.low if band is not None else np.nan for band in ends)
    off = max(float(values.min()) - min(low, high), max(low, high) - float(values.max()))
    about = near(readings.variable) + 10.0**-readings.variable.decimals
    verdict = SUPPORTED if off <= about else UNVERIFIABLE if off <= 2 * about else CONTRADICTED
    verdict = verdict if inside.all() else CONTRADICTED
    reason = f"from {values.min():g} to {values.max():g}"
    return verdict, evidence(reason, readings, window.mask, lexicon)


def _most(
    readings: Readings, at: np.ndarray, window: np.ndarray, statement: Statement, lexicon: Lexicon
) -> tuple[str, Evidence]:
    """ "from hour 4 to hour 20": all of that time, but for a stray reading."""
    share = float(at[window].mean())
    counted = any(when.kind in _BY_COUNT for when in statement.times)  # "the first five readings" are all five
    verdict = (
        SUPPORTED
        if share >= (1.0 if counted else _WHOLE_SHARE)
        else UNVERIFIABLE
        if share >= _WHOLE_LEAST
        else CONTRADICTED
    )
    count, total = int((at & window).sum()), int(window.sum())
    reason = f"{count} of {total} readings are {_words(statement.predicate)}"
    against = window & ~at
    found = (verdict, evidence(reason, readings, window if verdict == SUPPORTED else against, lexicon))
    return _only(readings, at, window, statement, found, lexicon) if statement.only else found


def _only(
    readings: Readings,
    at: np.ndarray,
    window: np.ndarray,
    statement: Statement,
    found: tuple[str, Evidence],
    lexicon: Lexicon,
) -> tuple[str, Evidence]:
    """ "only from hour 4 to hour 20": not at other times."""
    elsewhere = at & ~window
    if statement.episode:
        beside = np.convolve(window, np.ones(3), mode="same") > 0
        elsewhere &= beside
    if found[0] != SUPPORTED or not elsewhere.any():
        return found
    verdict = CONTRADICTED if statement.episode or is_sign(elsewhere) else UNVERIFIABLE
    return verdict, evidence("readings at other times are at that level too", readings, elsewhere, lexicon)


def _kind(predicate: Predicate) -> str:
    if predicate.kind != "level":
        return "value"
    return "normality" if predicate.word in ("normal", "abnormal") else "level"


def _implied(statement: Statement) -> Quantifier | None:
    """How many readings "stays" and "between" imply."""
    predicate = statement.predicate
    if statement.negation:
        return None
    if predicate.kind == "between":
        return Quantifier("every")
    if not statement.persistent:
        return None
    if predicate.kind == "level" and not is_absence(predicate):
        return Quantifier("persistent")
    return Quantifier("every" if predicate.kind != "near" else "persistent")


def is_sign(at: np.ndarray) -> bool:
    """Whether enough readings are at a level to count as a finding."""
    rules, count, share = load_sign_rules(), int(at.sum()), float(at.mean())
    several = count >= rules.level_readings and share >= rules.level_share
    return several or (count > 0 and share >= rules.level_alone)


def _plain(
    statement: Statement, readings: Readings, at: np.ndarray, window: np.ndarray, lexicon: Lexicon
) -> tuple[str, Evidence]:
    """Check a statement without a quantifier."""
    predicate = statement.predicate
    found = at & window
    count, total = int(found.sum()), int(window.sum())
    if predicate.kind != "level":
        verdict = SUPPORTED if count else CONTRADICTED
    elif is_absence(predicate):
        beyond = ~at[window]
        verdict = SUPPORTED if not beyond.any() else CONTRADICTED if is_sign(beyond) else UNVERIFIABLE
    else:
        verdict = CONTRADICTED if not count else SUPPORTED if is_sign(at[window]) else UNVERIFIABLE
    if statement.negation == "never":
        verdict = CONTRADICTED if count else SUPPORTED
    elif statement.negation:
        verdict = flipped(verdict)
    against = window & ~at if is_absence(predicate) else found
    shown = against if against.any() else window
    return verdict, evidence(f"{count} of {total} readings are {_words(predicate)}", readings, shown, lexicon)


def _words(predicate: Predicate) -> str:
    if predicate.kind == "level":
        return predicate.word
    limit = f"{predicate.word.replace('_', ' ')} the limit"
    words = {"compare": limit, "crossing": f"{limit} again", "between": "between the two"}
    return words.get(predicate.kind, "at the value")


def _counted(
    statement: Statement,
    readings: Readings,
    at: np.ndarray,
    quantifier: Quantifier,
    also_whole: bool,
    lexicon: Lexicon,
) -> tuple[str, Evidence]:
    """Check a number or share of readings. With "from hour 4" it may refer to all readings or to those since."""
    times = statement.times
    if quantifier.count is not None:
        # "once at hour 12" counts all readings: there is only that one.
        times = tuple(when for when in times if when.kind != "at")
    windows = [window_of(readings, times, lexicon)]
    if also_whole:
        windows.append(window_of(readings, (), lexicon))
    best = (UNVERIFIABLE, Evidence(windows[0].unknown))
    order = (SUPPORTED, UNVERIFIABLE, CONTRADICTED)
    judged = []
    for window in windows:
        if not window.unknown:
            found = at & window.mask
            verdict = _quantity(found[window.mask], quantifier, lexicon)
            verdict = flipped(verdict) if statement.negation else verdict
            reason = f"{int(found.sum())} of {int(window.mask.sum())} readings are {_words(statement.predicate)}"
            shown = found if found.any() else window.mask
            judged.append((verdict, evidence(reason, readings, shown, lexicon)))
    return min(judged, key=lambda one: order.index(one[0]), default=best)


def _quantity(at: np.ndarray, quantifier: Quantifier, lexicon: Lexicon) -> str:
    count, total = int(at.sum()), len(at)
    share = count / total
    if quantifier.name == "every" and quantifier.total not in (None, total):
        return CONTRADICTED  # "in all twelve measurements", of nine
    if quantifier.name == "intermittent":
        if count in (0, total):
            return CONTRADICTED
        return SUPPORTED if count_runs(at) > 1 or count_runs(~at) > 1 else UNVERIFIABLE
    if quantifier.name:
        extent = lexicon.extents[quantifier.name]
        amount = count if extent.counted else share
        if _inside(amount, count, extent.supported, extent.strictly_above):
            return SUPPORTED
        inside = _inside(amount, count, extent.tolerated, extent.strictly_above)
        return UNVERIFIABLE if inside else CONTRADICTED
    if quantifier.share is not None:
        return _share(share - quantifier.share, quantifier.operator, lexicon)
    wanted = quantifier.count or 0
    wanted = wanted if wanted >= 0 else total + wanted
    if quantifier.total is not None and quantifier.total != total:
        return CONTRADICTED
    amounts = {count, count_runs(at)} if quantifier.runs else {count}
    slack = max(1.0, lexicon.limits["count_band"] * wanted) if quantifier.operator == "~" else 0.0
    agrees = {">=": max(amounts) >= wanted, "<=": min(amounts) <= wanted}.get(
        quantifier.operator, any(abs(amount - wanted) <= slack for amount in amounts)
    )
    return SUPPORTED if agrees else CONTRADICTED


def _share(off: float, operator: str, lexicon: Lexicon) -> str:
    """How a share of the readings agrees that is off by so much from the one given."""
    if operator in (">", "<"):
        # Exactly half is neither clearly more than half nor clearly not.
        beyond = off if operator == ">" else -off
        return UNVERIFIABLE if abs(off) <= 1e-9 else SUPPORTED if beyond > 0 else CONTRADICTED
    if operator in (">=", "<="):
        return SUPPORTED if (off if operator == ">=" else -off) >= -1e-9 else CONTRADICTED
    band = lexicon.limits["share_band" if operator == "~" else "percent_band"]
    loose = lexicon.limits["share_loose"] if operator == "~" else band
    return SUPPORTED if abs(off) <= band else UNVERIFIABLE if abs(off) <= loose else CONTRADICTED


def _inside(amount: float, count: int, bounds: tuple[float, float], strictly_above: bool) -> bool:
    low, high = bounds
    if low == 0 and high > 0 and count == 0:
        return False
    return (amount > low if strictly_above else amount >= low - 1e-9) and amount <= high + 1e-9


def _edge(readings: Readings, at: np.ndarray, when: When, lexicon: Lexicon) -> tuple[str, Evidence]:
    """ "from hour 4": nothing before, much after. "until" is the same with time reversed."""
    limits = lexicon.limits
    reach = limits["onset_hours"] * (2 if when.approximate else 1)
    hours, edge = readings.hours, when.first
    if when.kind == "until":
        hours, edge, at = -hours[::-1], -edge, at[::-1]
    beyond, outside = at & (hours >= edge - reach), at & (hours < edge - reach)
    within = hours >= edge - reach
    order = slice(None, None, -1) if when.kind == "until" else slice(None)

    def judged(verdict: str, reason: str, mask: np.ndarray) -> tuple[str, Evidence]:
        return verdict, evidence(reason, readings, mask[order], lexicon)

    if not at.any():
        return judged(CONTRADICTED, "no reading is at that level", np.ones(len(hours), dtype=np.bool_))
    if not beyond.any():
        return judged(CONTRADICTED, "no reading on that side is at that level", at)
    if outside.any():
        few = load_sign_rules().level_readings
        stray = outside.sum() == 1 and beyond.sum() >= few and outside.sum() <= _STRAY_SHARE * len(at)
        verdict = UNVERIFIABLE if stray else CONTRADICTED
        return judged(verdict, "readings on the other side of that hour are at that level too", outside)
    nearest = float(hours[beyond][0])
    between = ~at & (hours >= edge) & (hours < nearest)
    if nearest > edge + reach and between.any():
        return judged(CONTRADICTED, "the readings next to that hour are not at that level", between)
    share = float(at[within].mean())
    if share < limits["onset_least"]:
        return judged(CONTRADICTED, "few readings on that side are at that level", beyond)
    verdict = SUPPORTED if when.by or share >= limits["onset_share"] else UNVERIFIABLE
    return judged(verdict, "the level begins or ends at that hour", beyond)


def _lasting(readings: Readings, at: np.ndarray, when: When, lexicon: Lexicon) -> tuple[str, Evidence]:
    """ "for 12 hours": the longest run of readings lasts at least from its first to its last reading, and less than
    from the reading before it to the one after it."""
    hours = readings.hours
    if not at.any():
        return CONTRADICTED, evidence("no reading is at that level", readings, ~at, lexicon)
    edges = np.flatnonzero(np.diff(at.astype(np.int8), prepend=0, append=0))
    runs = [(int(first), int(last) - 1) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    first, last = max(runs, key=lambda run: hours[run[1]] - hours[run[0]])
    least = float(hours[last] - hours[first])
    most = float((hours[last + 1] if last + 1 < len(hours) else np.inf) - (hours[first - 1] if first else -np.inf))
    run = np.zeros(len(hours), dtype=np.bool_)
    run[first : last + 1] = True
    slack = lexicon.limits["at_hours"] * (2 if when.approximate else 1)
    if when.last == np.inf:
        verdict = SUPPORTED if least >= when.first - slack else CONTRADICTED if most <= when.first else UNVERIFIABLE
    elif when.first == 0:
        verdict = SUPPORTED if most <= when.last + slack else CONTRADICTED if least > when.last else UNVERIFIABLE
    else:
        inside = least - slack <= when.first <= most + slack
        loose = _LOOSE_DURATION * least <= when.first
        verdict = SUPPORTED if inside else UNVERIFIABLE if loose and when.first < least else CONTRADICTED
    return verdict, evidence(f"the longest run lasts {least:g} hours", readings, run, lexicon)


def _occurs(readings: Readings, at: np.ndarray, when: When, lexicon: Lexicon) -> tuple[str, Evidence]:
    """ "once at hour 12": a reading then is at the level."""
    window = window_of(readings, (when,), lexicon).mask
    if (at & window).any():
        return SUPPORTED, evidence("a reading at that hour is at that level", readings, at & window, lexicon)
    shown = window if window.any() else at
    return CONTRADICTED, evidence("no reading at that hour is at that level", readings, shown, lexicon)

"""Expressions that mean the same for every source and on every engine."""

from __future__ import annotations

import ibis

from dataset_builder.cohort.cells import number_of


def seconds(time: ibis.Column) -> ibis.Column:
    """Full seconds on the source's own clock: most sources write times, some count minutes since the stay began."""
    # Cut off, because some engines round the fraction of a second.
    return time.truncate("s").epoch_seconds() if time.type().is_timestamp() else time * 60.0


def hours_between(time: ibis.Column, start: ibis.Column) -> ibis.Column:
    """Hours from `start` to `time`."""
    # Not delta(unit="hour"): it counts boundaries, rounds or truncates depending on the engine.
    return (seconds(time) - seconds(start)) / 3600.0


def number_in(text: ibis.Column) -> ibis.Column:
    """The number in a charted text, a percent sign aside ("40", " 7.31", "60%"); null for any other text."""
    return number_of(text.re_replace("%", ""))


def is_midnight(time: ibis.Column) -> ibis.Column:
    """Whether a time is a midnight, as a date without a time of day is; null without a time, or for minutes."""
    return time.truncate("D") == time if time.type().is_timestamp() else ibis.null("boolean")

"""Rows that a build leaves out because they cannot be read: counted, recorded, refused where they are too many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dataset_builder.engines.places import Place
from modeling_clinragen.errors import InputDataError

# Reasons for which a row cannot be read, each with its cure.
CURES = {
    "unknown_stay": "ids must be whole numbers",
    "no_time": "times must be as published, such as 2150-03-01 09:00:00 without a time zone",
    "no_time_of_day": "times need a time of day (a table of dates is declared with whole_days in the source's file)",
    "not_a_number": "numbers need a decimal point and no unit",
    "no_code": "codes must be written as they were published",
}
MOST_FORMS = 3
# Fewer times than this may all be at midnight by chance.
FEW_TIMES = 10


class Rejects:
    """Counts of unreadable rows by table, in `log`, and in `warnings` what a user must know, in words.

    Args:
        limit: The largest share of a table's rows that may be unreadable.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.log: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def add(
        self,
        place: Place,
        rows: int,
        reasons: Mapping[str, int],
        forms: Sequence[str] = (),
        *,
        may_stop: bool = True,
    ) -> None:
        """Record a table.

        Args:
            place: The table.
            rows: How many rows concern the cohort.
            reasons: How many of them cannot be read, by reason (`CURES`).
            forms: How the unreadable cells are written (`form_of`), the most frequent first.
            may_stop: Whether too many of them end the build; otherwise they make a warning, and fewer none.

        Raises:
            InputDataError: More than the limit cannot be read; the message names the reasons, the forms and the cure.
        """
        reasons = {reason: count for reason, count in reasons.items() if count}
        if not reasons:
            return
        shown = [_shown(form) for form in forms[:MOST_FORMS]]
        self.log.append({"table": place.name, "rows": rows, "reasons": dict(reasons), "forms": shown})
        counted = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
        looks = f", written like {' or '.join(shown)}" if shown else ""
        said = f"{sum(reasons.values()):,} of {rows:,} rows cannot be read ({counted}{looks})"
        if may_stop and sum(reasons.values()) > self._limit * rows:
            cures = "; ".join(CURES[reason] for reason in reasons)
            raise InputDataError(
                f"{place}: {said}; {cures}; use the table as it was published, or allow more (max_unreadable)"
            )
        if may_stop or sum(reasons.values()) > self._limit * rows:
            self.warnings.append(f"{place.name}: {said}")

    def warn(self, place: Place, sentence: str) -> None:
        """Record something else that a user must know about a table."""
        self.warnings.append(f"{place.name}: {sentence}")


def most_frequent(forms: Mapping[str, int]) -> list[str]:
    """Forms, the most frequent first."""
    return [form for form, _ in sorted(forms.items(), key=lambda item: (-item[1], item[0]))]


def counts_in_words(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each table of measurements: how many of its rows were used, and why not the others.

    Args:
        items: The log of `dataset_builder.cohort.measurements.extract_measurements`.
    """
    lines = []
    for table in dict.fromkeys(item["table"] for item in items):
        of_table = [item for item in items if item["table"] == table]
        rows, used = (sum(item[name] for item in of_table) for name in ("rows", "used"))
        rejected: Counter[str] = Counter()
        for item in of_table:
            rejected.update(item["rejected"])
        why = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in rejected.most_common())
        lines.append(f"{table}: {used:,} of {rows:,} rows used{f' ({why})' if why else ''}")
    return lines


def _shown(form: str) -> str:
    """A form with the T and Z of ISO times, which are letters between or behind digits."""
    return re.sub("(?<=d)a$", "Z", re.sub("(?<=d)a(?=d)", "T", form))

"""The parts of an intervention: a name, a title, and a function from a patient to a changed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clinragen.interventions.patient import Case, Group, Shown

Change = Callable[[Case, Group], Shown | None]


@dataclass(frozen=True)
class Intervention:
    """One change of the input.

    Args:
        name: Key in interventions.json.
        title: How the report calls it.
        change: The changed patient of a case, or None where it does not apply. What is drawn is drawn by the group.
    """

    name: str
    title: str
    change: Change


@dataclass(frozen=True)
class Pair:
    """Cited evidence removed, and the same amount of uncited evidence; both apply to the same cases.

    Args:
        name: Key in interventions.json.
        title: How the report calls it.
        cited, uncited: The two interventions.
    """

    name: str
    title: str
    cited: Intervention
    uncited: Intervention

"""What every teacher gives: two rationales for one example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Rationale:
    """R_m and R_t of one example (paper, section 3.2).

    `note_support` and `lab_support` are the keys of the diseases for which the note and the series gave evidence; None
    where the teacher does not know.
    """

    note: str
    lab: str
    note_support: frozenset[str] | None = None
    lab_support: frozenset[str] | None = None


class Teacher(Protocol):
    """A writer of rationales. `name` and `settings` (JSON-able) go into the provenance of what it wrote."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    def write(self, example: Mapping[str, Any]) -> Rationale:
        """The rationales of one example of the data contract, given its `diagnoses`."""
        ...

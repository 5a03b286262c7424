"""What every teacher gives, two rationales for one example, and what is said of them before a student learns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar


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


REJECTED = Rationale("", "")


@dataclass(frozen=True)
class Complaint:
    """One fault of a rationale: the reason for a rejection, what it is about, and what shows it. Patient data."""

    reason: str
    subject: str = ""
    evidence: str = ""


class Verdict(Protocol):
    """Whether a rationale may be distilled, and what a repair would have to change."""

    @property
    def kept(self) -> bool: ...

    @property
    def complaints(self) -> Sequence[Complaint]: ...


V = TypeVar("V", bound=Verdict)


class Judge(Protocol[V]):
    """Decides on rationales and adds up what it decided; keeps no text."""

    def judge(self, example: Mapping[str, Any], rationale: Rationale) -> V:
        """What is wrong with a rationale of `example`, if anything."""
        ...

    def settle(self, example: Mapping[str, Any], first: V, final: V) -> None:
        """Count one example: what was said of its first rationale, and of the one after a repair, if there was one."""
        ...

    def report(self) -> dict[str, Any]:
        """JSON-able: rejections by reason and disease so far."""
        ...


class Teacher(Protocol):
    """A writer of rationales. `name` and `settings` (JSON-able) go into the provenance of what it wrote.

    `concurrency` is how many examples it may be given at once.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    @property
    def concurrency(self) -> int: ...

    @property
    def services(self) -> Sequence[Mapping[str, Any]]:
        """What `governance.require_local` recorded of whoever was asked; nobody, for a teacher that asks nobody."""
        ...

    @property
    def usage(self) -> Mapping[str, Any]:
        """JSON-able: what its answers took, tokens and cost; empty for a teacher that asks nobody."""
        ...

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        """The rationales of one example of the data contract, given its `diagnoses`."""
        ...

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        """Another attempt after complaints; None where this teacher would only say the same again."""
        ...

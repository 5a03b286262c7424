"""The interfaces of a teacher and of a judge of its rationales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from clinragen.claims.rationale import Complaint, Rationale

REJECTED = Rationale("", "")
"""Stands for rationales that may not be distilled: no phase learns from an empty one."""


class Verdict(Protocol):
    """Whether a rationale may be distilled, and what a repair would have to change."""

    @property
    def kept(self) -> bool: ...

    @property
    def complaints(self) -> Sequence[Complaint]: ...


V = TypeVar("V", bound=Verdict)


class Judge(Protocol[V]):
    """Decides on rationales and counts its decisions; keeps no text.

    `range_set` is the name of what it calls low, normal and high.
    """

    @property
    def range_set(self) -> str: ...

    def judge(self, example: Mapping[str, Any], rationale: Rationale) -> V:
        """The verdict on one rationale of `example`."""
        ...

    def settle(self, example: Mapping[str, Any], first: V, final: V) -> None:
        """Count one example: the verdict on its first rationale, and on the repaired one, if there was a repair."""
        ...

    def report(self) -> dict[str, Any]:
        """Rejections by reason and disease so far, JSON-able."""
        ...


class Teacher(Protocol):
    """A writer of rationales. `name` and `settings` (JSON-able) go into the provenance of the rationales.

    `concurrency` is the number of examples that it takes at a time.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    @property
    def concurrency(self) -> int: ...

    @property
    def services(self) -> Sequence[Mapping[str, Any]]:
        """The record of `governance.require_local` for every service used; empty where none is used."""
        ...

    @property
    def usage(self) -> Mapping[str, Any]:
        """Tokens and cost of its answers, JSON-able; empty for a teacher that uses no service."""
        ...

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        """The rationales of one example of the data contract, given its `diagnoses`."""
        ...

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        """Another attempt after complaints; None where this teacher would only write the same again."""
        ...

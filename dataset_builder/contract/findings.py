"""Findings of a check: one fault or remark in one line, with its cure, and whether the work can go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that a check found. It names files, columns and counts, and has no value of a patient's.

    Args:
        where: The file, table or column.
        problem: What is wrong with it.
        cure: What to do.
        blocks: Whether nothing can be built or read before it is mended; otherwise it is something to know.
    """

    where: str
    problem: str
    cure: str
    blocks: bool = True

    @classmethod
    def of_error(cls, where: str, message: str, otherwise: str) -> Finding:
        """An error's message, which ends with its cure; `otherwise` is the cure of one that has none."""
        problem, _, cure = message.rpartition("; ")
        return cls(where, problem or cure, cure if problem else otherwise)

    def line(self) -> str:
        """As it is printed."""
        return f"{'error' if self.blocks else 'note'}: {self.where}: {self.problem}; {self.cure}"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once: first what blocks, otherwise in the order in which they were found."""
    return sorted(dict.fromkeys(findings), key=lambda one: not one.blocks)

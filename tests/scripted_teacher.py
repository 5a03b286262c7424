"""A teacher that says what a test wants, and a judge that lets everything pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.teachers.teacher import Complaint, Rationale, Teacher
from clinragen.teachers.write_cohort import write_rationales


class ScriptedTeacher:
    """Writes `says(example)`, and on a complaint `mends(example, complaints)`."""

    name = "scripted"
    concurrency = 3
    services = ()
    usage: Mapping[str, Any] = {}

    def __init__(
        self,
        says: Callable[[Mapping[str, Any]], Rationale] = lambda _: Rationale("Note.", "Lab."),
        mends: Callable[[Mapping[str, Any], Sequence[Complaint]], Rationale | None] = lambda _, __: None,
    ) -> None:
        self.says, self.mends = says, mends
        self.settings: dict[str, Any] = {}

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        await asyncio.sleep(0)
        return self.says(example)

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        await asyncio.sleep(0)
        return self.mends(example, complaints)


class Kept:
    """The verdict on whatever is said."""

    kept = True
    complaints: tuple[Complaint, ...] = ()


class LenientJudge:
    """Keeps everything."""

    def judge(self, example: Mapping[str, Any], rationale: Rationale) -> Kept:
        return Kept()

    def settle(self, example: Mapping[str, Any], first: Any, final: Any) -> None:
        pass

    def report(self) -> dict[str, Any]:
        return {}


def taught(cohort: Path, output: Path, teacher: Teacher | None = None, **options: Any) -> dict[str, Any]:
    """`write_rationales` without a filter, by a teacher of two words unless another is given."""
    options = {"judge": LenientJudge(), **options}
    return asyncio.run(write_rationales(cohort, output, teacher or ScriptedTeacher(), **options))

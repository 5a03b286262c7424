"""A teacher that writes what a test wants, and a judge that keeps everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.claims.rationale import Complaint, Rationale
from clinragen.teachers.teacher import Teacher
from clinragen.teachers.write_cohort import fill_rationales


class ScriptedTeacher:
    """Writes `writes(example)`, and on a complaint `repairs(example, complaints)`."""

    name = "scripted"
    concurrency = 3
    services = ()
    usage: Mapping[str, Any] = {}

    def __init__(
        self,
        writes: Callable[[Mapping[str, Any]], Rationale] = lambda _: Rationale("Note.", "Lab."),
        repairs: Callable[[Mapping[str, Any], Sequence[Complaint]], Rationale | None] = lambda _, __: None,
    ) -> None:
        self.writes, self.repairs = writes, repairs
        self.settings: dict[str, Any] = {}

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        await asyncio.sleep(0)
        return self.writes(example)

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        await asyncio.sleep(0)
        return self.repairs(example, complaints)


class Kept:
    """The verdict on everything."""

    kept = True
    complaints: tuple[Complaint, ...] = ()


class LenientJudge:
    """Keeps everything."""

    range_set = "clinical"

    def judge(self, example: Mapping[str, Any], rationale: Rationale) -> Kept:
        return Kept()

    def settle(self, example: Mapping[str, Any], first: Any, final: Any) -> None:
        pass

    def report(self) -> dict[str, Any]:
        return {}


def with_rationales(cohort: Path, output: Path, teacher: Teacher | None = None, **options: Any) -> dict[str, Any]:
    """`fill_rationales` into a new folder without a filter, by a teacher of two words unless another is given."""
    options = {"judge": LenientJudge(), **options}
    output.mkdir(exist_ok=True)
    return asyncio.run(fill_rationales(cohort, output, teacher or ScriptedTeacher(), **options))

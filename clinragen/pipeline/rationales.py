"""Which teacher writes the rationales: the rules, or a language model behind a server or in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.llm.providers import KINDS, ModelSettings, open_asker
from clinragen.pipeline.config import split_settings
from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    from clinragen.claims.judge import RationaleJudge
    from clinragen.llm.client import Progress
    from clinragen.teachers.distill import Shard
    from clinragen.teachers.teacher import Teacher

RULES = "rules"

Report = Callable[[float, float | None, str], None]


@dataclass(frozen=True)
class TeacherSettings:
    """The teacher and what decides its rationales.

    `range_set` says what is high and low, to the teacher and to the filter. `max_tokens` (per rationale),
    `temperature` and `model` are those of a language model; `seed` draws the wording of the rules, and what a language
    model samples.
    """

    teacher: str = RULES
    range_set: str = "clinical"
    seed: int = 0
    max_tokens: int = 400
    temperature: float = 0.0
    model: ModelSettings | None = None

    def __post_init__(self) -> None:
        if self.teacher not in (RULES, *KINDS):
            raise SettingsError(f"teacher '{self.teacher}' is unknown; choose one of {', '.join((RULES, *KINDS))}")
        if (self.model is None) != (self.teacher == RULES):
            raise SettingsError(f"teacher '{self.teacher}' needs {'no' if self.model else 'a'} model")

    @classmethod
    def of(cls, settings: Mapping[str, Any], seed: int) -> TeacherSettings:
        """From the `rationales` part of a recipe. Raises `SettingsError` for what is no setting, or cannot be one."""
        chosen, asked = split_settings("rationales", settings, cls)
        teacher = chosen.get("teacher", RULES)
        if teacher == RULES and asked:
            raise SettingsError(f"rationales: '{min(asked)}' is of no use to the rules; name another teacher")
        model = None if teacher == RULES else ModelSettings(teacher, asked.pop("model_name", None), **asked)
        return cls(**{"seed": seed, **chosen}, model=model)

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the rationales; where the model is served, and how often it is asked, does not."""
        content = asdict(self)
        content["model"] = None if self.model is None else self.model.model_name
        return content


@dataclass(frozen=True)
class _Lesson:
    """Everybody who takes part in teaching."""

    teacher: Teacher
    judge: RationaleJudge
    on_progress: Callable[[int, int], None]


def teach_cohort(
    cohort: Path,
    knowledge: Path | None,
    settings: TeacherSettings,
    output: Path,
    journals: Path,
    report: Report,
) -> dict[str, Any]:
    """Let the teacher write the rationales of a cohort to `output`; returns the report.

    `knowledge` is the base's file (None for the shipped one), `journals` the folder for a language model's answers.
    """
    from clinragen.teachers.write_cohort import write_rationales

    async def write() -> dict[str, Any]:
        async with _lesson(cohort, knowledge, settings, journals, "answers", report) as our:
            folder = None if knowledge is None else knowledge.parent
            return await write_rationales(
                cohort, output, our.teacher, our.judge, knowledge=folder, on_progress=our.on_progress
            )

    return asyncio.run(write())


def teach_shard(
    cohort: Path, knowledge: Path | None, settings: TeacherSettings, shard: Shard, journals: Path, report: Report
) -> int:
    """Ask for one part of a cohort only and keep the answers in `journals`; returns the number of examples.

    When every part is done, `teach_cohort` with the same journals finds all answers there. Raises `SettingsError` for
    the rules, which have nothing to ask.
    """
    from clinragen.teachers.distill import teach

    if settings.model is None:
        raise SettingsError("the rules need no shards; leave --shard out")

    async def ask() -> int:
        journal = f"shard-{shard.number}-of-{shard.of}"
        async with _lesson(cohort, knowledge, settings, journals, journal, report) as our:
            taught = await teach(cohort, our.teacher, our.judge, shard=shard, on_progress=our.on_progress)
        return len(taught)

    return asyncio.run(ask())


@asynccontextmanager
async def _lesson(
    cohort: Path, knowledge: Path | None, settings: TeacherSettings, journals: Path, journal: str, report: Report
) -> AsyncIterator[_Lesson]:
    from dataset_builder.contract.vocabulary import load_range_set, vocabulary_of

    from clinragen.claims.judge import RationaleJudge
    from clinragen.knowledge import load_knowledge
    from clinragen.teachers.llm_teacher import ModelTeacher
    from clinragen.teachers.prompt import Prompt
    from clinragen.teachers.rules import RuleTeacher
    from dataset_builder.storage.governance import carry_provenance, read_provenance

    remark = _Remark()

    def on_progress(done: int, total: int) -> None:
        report(done, total, remark.text)

    with vocabulary_of(cohort):
        base, ranges = load_knowledge(knowledge), load_range_set(settings.range_set)
        if settings.model is None:
            rules = RuleTeacher(base, ranges, settings.seed)
            yield _Lesson(rules, RationaleJudge(rules.name, ranges), on_progress)
            return
        # What is in a prompt decides where it may be sent: an example, and terms of the base.
        told = [read_provenance(folder) for folder in (cohort, *([] if knowledge is None else [knowledge.parent]))]
        provenance = carry_provenance(told, "rationales", {})
        asking = open_asker(settings.model, provenance, journals, journal=journal, on_progress=remark.hear)
        async with asking as asker:
            teacher = ModelTeacher(
                asker,
                Prompt(base, ranges),
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                seed=settings.seed,
                concurrency=settings.model.concurrency,
            )
            yield _Lesson(teacher, RationaleJudge(teacher.name, ranges), on_progress)


class _Remark:
    """What is said beside the bar: examples, and how the asking goes."""

    def __init__(self) -> None:
        self.text = "examples"

    def hear(self, progress: Progress) -> None:
        parts = ["examples"]
        if progress.per_second is not None:
            parts.append(f"{progress.per_second:.1f} answers/s")
        parts.append(f"{(progress.prompt_tokens + progress.completion_tokens) / 1e6:.2f} M tokens")
        if progress.cost is not None:
            parts.append(f"cost {progress.cost:.2f}")
        if progress.failures:
            parts.append(f"{sum(progress.failures.values())} attempts failed")
        self.text = ", ".join(parts)

"""Stage `rationales`: a teacher writes the rationales that the model learns from, the rules or a language model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.kept import journal_folder
from clinragen.pipeline.local_models import llm_content
from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from dataset_builder.storage.progress import Progress, Report
from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    from clinragen.claims.judge import RationaleJudge
    from clinragen.teachers.teacher import Teacher

RULES, LLM = "rules", "llm"
KNOWLEDGE_FILE = "knowledge.json"


@dataclass(frozen=True, kw_only=True)
class RationalesConfig:
    """The teacher and how it writes.

    Raises:
        SettingsError: Teacher and language model do not fit together, or a value is out of its range.
    """

    teacher: str = setting(RULES, help="Who writes the rationales.", choices=(RULES, LLM))
    range_set: str | None = setting(
        None, help="What is low and high, for teacher, filter and evaluation [default: as the cohort was built]."
    )
    filter: bool = setting(
        True,
        help="Keep only rationales without a contradiction; without, everything that the teacher writes is learned "
        "(ablations).",
    )
    seed: int = setting(
        0, help="Seed of the rules' wording, and of what a language model samples.", at_least=0, at_most=LARGEST_SEED
    )
    max_tokens: int = setting(400, help="Maximum tokens per answer of the language model.", unit="tokens", at_least=1)
    temperature: float = setting(0.0, help="Sampling temperature; 0 takes the likeliest token.", at_least=0)
    llm: LLMConfig | None = setting(None, help="The language model, with teacher: llm.")

    def __post_init__(self) -> None:
        check_values(self)
        if self.teacher == LLM and self.llm is None:
            raise SettingsError("teacher 'llm' needs a language model; give --model-name (llm: in a recipe)")
        if self.teacher == RULES and self.llm is not None:
            raise SettingsError(
                "teacher 'rules' uses no language model; choose teacher 'llm', or leave its settings out"
            )

    @property
    def deciding_content(self) -> Mapping[str, Any]:
        """Of a language model in a folder the files decide, not where they lie."""
        return {"llm": llm_content(self.llm)}


@dataclass(frozen=True)
class _Session:
    """The teacher of one run and the judge of what it writes."""

    teacher: Teacher
    judge: RationaleJudge


def run(config: RationalesConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Fill `output` with the input `cohort` and its rationales, from the input `knowledge` or the cohort's own terms.

    What a language model answers is kept in a journal beside the folder.
    """
    from clinragen.teachers.write_cohort import fill_rationales

    async def write() -> None:
        async with _session(config, inputs, output, "answers", report) as (session, relay):
            await fill_rationales(
                Path(inputs["cohort"]),
                output,
                session.teacher,
                session.judge,
                knowledge=inputs.get("knowledge"),
                report=relay,
            )

    asyncio.run(write())


def ask_shard(output: Path, inputs: Mapping[str, Any], config: RationalesConfig, shard: str, report: Report) -> int:
    """Answer one part of a cohort only and keep the answers in the journal beside `output`.

    When every part is done, the stage finds all answers there.

    Args:
        output: The folder that the stage will write.
        inputs: `cohort`, and `knowledge` where it is given.
        config: The stage's settings.
        shard: Which part, such as "2/8".
        report: Called with the progress of the work.

    Returns:
        The number of examples.

    Raises:
        SettingsError: The teacher is the rules, which have nothing to ask; or the part cannot be read.
    """
    from clinragen.teachers.distill import Shard, distill
    from dataset_builder.storage.files import output_folder

    part = Shard.parse(shard)
    if config.llm is None:
        raise SettingsError("the rules need no shards; leave --shard out")
    output_folder(output, [Path(path) for path in inputs.values()])

    async def ask() -> int:
        journal = f"shard-{part.number}-of-{part.of}"
        async with _session(config, inputs, output, journal, report) as (session, relay):
            written = await distill(
                Path(inputs["cohort"]),
                session.teacher,
                session.judge,
                shard=part,
                filtering=config.filter,
                report=relay,
            )
        return len(written)

    return asyncio.run(ask())


@asynccontextmanager
async def _session(
    config: RationalesConfig, inputs: Mapping[str, Any], output: Path, journal: str, report: Report
) -> AsyncIterator[tuple[_Session, Report]]:
    from clinragen.claims.check import Checking
    from clinragen.claims.judge import RationaleJudge
    from clinragen.knowledge.assemble import base_of
    from clinragen.knowledge.reader import load_knowledge, parse_knowledge
    from clinragen.llm.providers import open_client
    from clinragen.teachers.llm_teacher import LLMTeacher
    from clinragen.teachers.prompt import Prompt
    from clinragen.teachers.rules import RuleTeacher
    from dataset_builder.contract.cohort_splits import range_set_of
    from dataset_builder.contract.definitions import read_definitions
    from dataset_builder.storage.governance import carry_provenance, read_provenance

    cohort = Path(inputs["cohort"])
    definitions = read_definitions(cohort)
    vocabulary = definitions.vocabulary
    parents = [read_provenance(cohort)]
    ranges = vocabulary.range_set(config.range_set or range_set_of(parents[0]))
    if "knowledge" in inputs:
        folder = Path(inputs["knowledge"])
        parents.append(read_provenance(folder))
        base = load_knowledge(folder / KNOWLEDGE_FILE, vocabulary)
    else:
        base = parse_knowledge(base_of(definitions), "the cohort's vocabulary", vocabulary)
    checking = Checking(vocabulary, ranges, base)
    if config.llm is None:
        rules = RuleTeacher(base, vocabulary, ranges, config.seed)
        yield _Session(rules, RationaleJudge(rules.name, checking)), report
        return
    remark = _Remark()
    # What is in a prompt decides where it may be sent: an example, and terms of the base.
    provenance = carry_provenance(parents, "rationales", {})
    opened = open_client(config.llm, provenance, journal_folder(output), journal=journal, report=remark.hear)
    async with opened as client:
        teacher = LLMTeacher(
            client,
            Prompt(base, vocabulary, ranges),
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=config.seed,
            concurrency=config.llm.concurrency,
        )

        def relay(progress: Progress) -> None:
            report(Progress(progress.done, progress.total, progress.unit, remark.text))

        yield _Session(teacher, RationaleJudge(teacher.name, checking)), relay


class _Remark:
    """The last remark of the language model's client, shown beside the number of examples."""

    def __init__(self) -> None:
        self.text = ""

    def hear(self, progress: Progress) -> None:
        """Keep the remark of a client's progress."""
        self.text = progress.remark

"""Makes a knowledge base: which sources are asked, what reads terms out of their passages, and what it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinragen.llm.providers import KINDS, ModelSettings, open_asker
from clinragen.pipeline.config import split_settings
from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    from clinragen.knowledge.extraction import Extractor
    from clinragen.llm.client import Asker, Progress

CURATED, STATISTICAL = "curated", "statistical"
EXTRACTORS = (CURATED, STATISTICAL, *KINDS)
WEB = ("pubmed", "wikipedia")
# What decides the answers besides this project's own code.
LIBRARIES = ("biopython", "bm25s", "sentence-transformers")

Report = Callable[[float, float | None, str], None]


@dataclass(frozen=True, kw_only=True)
class KnowledgeSettings:
    """What decides a knowledge base. Without `sources` it is the shipped one.

    Args:
        sources: "pubmed", "wikipedia" and folders with a local corpus.
        extract: Which of `EXTRACTORS` give the terms.
        per_topic: Passages of each source for each topic.
        pubmed_address, wikipedia_address: Of a mirror or a proxy; None: NCBI's own and the English Wikipedia's.
        encoder: Sentence encoder that re-ranks local passages; None: BM25 alone.
        tokenizer: Tokenizer in whose tokens the vocabulary is counted.
        max_tokens: Longest answer of a language model.
        model: The language model; with "openai" or "transformers" among `extract`.

    Raises:
        SettingsError: The choices do not fit together.
    """

    sources: tuple[str, ...] = ()
    extract: tuple[str, ...] = (CURATED, STATISTICAL)
    per_topic: int = 20
    pubmed_address: str | None = None
    wikipedia_address: str | None = None
    encoder: str | None = None
    tokenizer: str | None = None
    max_tokens: int = 800
    model: ModelSettings | None = None

    def __post_init__(self) -> None:
        for name in self.extract:
            if name not in EXTRACTORS:
                raise SettingsError(f"extract '{name}' is unknown; choose from {', '.join(EXTRACTORS)}")
        for folder in self.folders:
            if not folder.is_dir():
                raise SettingsError(f"source '{folder}' is unknown; give pubmed, wikipedia or a folder with a corpus")
        asked = [name for name in self.extract if name in KINDS]
        if len(asked) > 1:
            raise SettingsError("only one language model reads the passages; choose openai or transformers")
        if asked != ([] if self.model is None else [self.model.kind]):
            raise SettingsError("a language model is named by --extract openai or transformers and by --model-name")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> KnowledgeSettings:
        """From the `knowledge` part of a recipe. Raises `SettingsError` for what is no setting, or cannot be one."""
        chosen, asked = split_settings("knowledge", settings, cls)
        kind = next((name for name in chosen.get("extract", ()) if name in KINDS), None)
        if kind is None and asked:
            raise SettingsError(f"knowledge: '{min(asked)}' is a language model's; extract by openai or transformers")
        model = None if kind is None else ModelSettings(kind, asked.pop("model_name", None), **asked)
        return cls(**chosen, model=model)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The local corpora."""
        return tuple(Path(name) for name in self.sources if name not in WEB)

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the result; where the model is served, and how often it is asked, does not."""
        content = asdict(self)
        content["model"] = None if self.model is None else self.model.model_name
        return content


def make_knowledge(
    cohort: Path, output: Path, settings: KnowledgeSettings, cache: Path, journals: Path, report: Report
) -> dict[str, Any]:
    """Write the folder of the `knowledge` stage; returns the stage's counts.

    `cache` keeps what sources answered and `journals` what a language model did, so that an interrupted run asks
    nobody twice.
    """
    from clinragen.knowledge import write_knowledge
    from clinragen.knowledge.writer import passages_provenance
    from dataset_builder.contract.schema import load_examples
    from dataset_builder.storage.governance import read_provenance

    content = None
    parents = [read_provenance(cohort)]
    details: dict[str, Any] = {}
    if settings.sources:
        published = passages_provenance(settings.folders)
        content, details = asyncio.run(_build(settings, published, cache, journals, report))
        parents.append(published)
    notes = load_examples(cohort)["train"]["note"]
    return write_knowledge(
        output, notes, content, parents=parents, details=details, tokenizer=_tokenizer(settings.tokenizer)
    )


async def _build(
    settings: KnowledgeSettings, published: Mapping[str, Any], cache: Path, journals: Path, report: Report
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The knowledge base and what the provenance says of how it was made."""
    from clinragen.knowledge.assemble import build_knowledge
    from clinragen.knowledge.curated import NOTHING_CURATED, load_curated
    from clinragen.retrieval.config import RetrievalSettings
    from clinragen.retrieval.retrieve import open_sources, retrieve
    from clinragen.retrieval.topics import load_topics

    topics = load_topics()
    addresses = {"pubmed_address": settings.pubmed_address, "wikipedia_address": settings.wikipedia_address}
    given: dict[str, Any] = {name: address for name, address in addresses.items() if address is not None}
    sources = open_sources(settings.sources, RetrievalSettings(encoder=settings.encoder, **given))
    retrieved = retrieve(topics, sources, per_topic=settings.per_topic, cache_dir=cache, on_progress=report)
    curated = load_curated() if CURATED in settings.extract else NOTHING_CURATED
    recorded = [{"source": source.name, "per_topic": settings.per_topic} for source in sources]
    expected = sum(len(passages) for passages in retrieved.values())
    async with _extractors(settings, published, journals, expected, report) as (extractors, asker):
        content = await build_knowledge(topics, retrieved, curated, extractors, recorded)
        services = [] if asker is None else [dict(service) for service in asker.services]
    details = {
        "sources": [source.recorded() for source in sources],
        "extract": list(settings.extract),
        "versions": {name: version(name) for name in LIBRARIES},
        "services": services,
    }
    return content, details


@asynccontextmanager
async def _extractors(
    settings: KnowledgeSettings, published: Mapping[str, Any], journals: Path, expected: int, report: Report
) -> AsyncIterator[tuple[Sequence[Extractor], Asker | None]]:
    """The extractors besides the curated terms, and who asks the language model that one of them uses."""
    from clinragen.knowledge.statistical import StatisticalExtractor
    from clinragen.knowledge.teacher import TeacherExtractor

    statistical = [StatisticalExtractor()] if STATISTICAL in settings.extract else []
    if settings.model is None:
        yield statistical, None
        return

    def hear(progress: Progress) -> None:
        report(progress.answered + progress.from_journal, expected, "passages read")

    async with open_asker(settings.model, published, journals, expected=expected, on_progress=hear) as asker:
        teacher = TeacherExtractor(asker, max_tokens=settings.max_tokens)
        yield [*statistical, teacher], asker


def _tokenizer(name: str | None) -> Any:
    if name is None:
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise SettingsError(f"tokenizer '{name}' cannot be loaded; give the folder of a model") from error

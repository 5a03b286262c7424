"""Stage `knowledge`: the knowledge base of a cohort's vocabulary, and how much of it the training notes mention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.kept import journal_folder, kept_beside
from clinragen.pipeline.local_models import llm_content
from dataset_builder.storage.config_fields import check_values, setting
from dataset_builder.storage.progress import Report
from modeling_clinragen.errors import InputDataError, SettingsError

if TYPE_CHECKING:
    from clinragen.knowledge.extraction import Extractor
    from clinragen.llm.client import LLMClient
    from dataset_builder.contract.definitions import Definitions

CURATED, STATISTICAL, LLM = "curated", "statistical", "llm"
WEB = ("pubmed", "wikipedia")
DEFAULT_EXTRACT = (CURATED, STATISTICAL)
# What decides the answers besides this project's own code.
LIBRARIES = ("biopython", "bm25s", "sentence-transformers")


@dataclass(frozen=True, kw_only=True)
class KnowledgeConfig:
    """Sources and extractors of a knowledge base; without sources it holds what people wrote about each topic.

    Raises:
        SettingsError: A source is unknown, or the choices do not fit together.
    """

    MAY_BE_FOLDERS: ClassVar[tuple[str, ...]] = ("sources", "encoder", "tokenizer")

    sources: tuple[str, ...] = setting((), help="pubmed, wikipedia, or a folder with a local corpus; repeatable.")
    extract: tuple[str, ...] = setting(
        DEFAULT_EXTRACT, help="What gives the terms; repeatable.", choices=(CURATED, STATISTICAL, LLM)
    )
    per_topic: int = setting(20, help="Passages of each source for each topic.", unit="passages", at_least=1)
    pubmed_address: str | None = setting(None, help="Another address for E-utilities.")
    wikipedia_address: str | None = setting(
        None, help="Another MediaWiki API, such as a mirror's or another language's."
    )
    encoder: str | None = setting(
        None, help="Folder of a sentence-transformers model that re-ranks local passages [default: BM25 alone]."
    )
    tokenizer: str | None = setting(None, help="Folder of a model in whose tokens the vocabulary is counted.")
    max_tokens: int = setting(800, help="Maximum tokens per answer of the language model.", unit="tokens", at_least=1)
    llm: LLMConfig | None = setting(None, help="The language model that extracts terms, with extract: llm.")

    def __post_init__(self) -> None:
        check_values(self)
        for folder in self.folders:
            if not folder.is_dir():
                raise SettingsError(f"unknown source '{folder}'; give pubmed, wikipedia or a folder with a corpus")
        if (LLM in self.extract) != (self.llm is not None):
            raise SettingsError("extract 'llm' and a language model go together; give both (--model-name), or neither")
        if self.llm is not None and not self.sources:
            raise SettingsError("a language model reads retrieved passages; give a source as well")
        if tuple(self.extract) != DEFAULT_EXTRACT and not self.sources:
            raise SettingsError("extract chooses what reads retrieved passages; give a source, or leave extract out")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The local corpora."""
        return tuple(Path(name) for name in self.sources if name not in WEB)

    @property
    def deciding_content(self) -> Mapping[str, Any]:
        """Of a local corpus or model the files decide, not where they lie; a corpus is cited by its folder's name."""
        return {
            "sources": [name if name in WEB else [Path(name).name, Path(name)] for name in self.sources],
            "encoder": _folder_or_name(self.encoder),
            "tokenizer": _folder_or_name(self.tokenizer),
            "llm": llm_content(self.llm),
        }


def run(config: KnowledgeConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Fill `output` with the knowledge base of the input `cohort`.

    What sources and a language model answer is kept beside the folder, so that an interrupted run asks nobody twice.
    """
    from clinragen.knowledge.assemble import base_of
    from clinragen.knowledge.writer import fill_knowledge, passages_provenance
    from dataset_builder.contract.definitions import read_definitions
    from dataset_builder.contract.schema import load_examples
    from dataset_builder.storage.governance import read_provenance

    cohort = Path(inputs["cohort"])
    definitions = read_definitions(cohort)
    parents = [read_provenance(cohort)]
    details: dict[str, Any] = {}
    if config.sources:
        published = passages_provenance(config.folders)
        content, details = asyncio.run(_retrieve(config, definitions, published, output, report))
        parents.append(published)
    else:
        content = base_of(definitions)
    notes = load_examples(cohort)["train"]["note"]
    tokenizer = _tokenizer(config.tokenizer)
    fill_knowledge(output, content, definitions, notes, parents=parents, details=details, tokenizer=tokenizer)


async def _retrieve(
    config: KnowledgeConfig, definitions: Definitions, published: Mapping[str, Any], output: Path, report: Report
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The knowledge base, and what the provenance says of how it was made."""
    from clinragen.knowledge.assemble import Material, build_knowledge
    from clinragen.retrieval.config import RetrievalConfig
    from clinragen.retrieval.retrieve import open_sources, retrieve
    from clinragen.retrieval.topics import load_topics

    topics = load_topics(definitions)
    addresses = {"pubmed_address": config.pubmed_address, "wikipedia_address": config.wikipedia_address}
    given: dict[str, Any] = {name: address for name, address in addresses.items() if address is not None}
    sources = open_sources(config.sources, RetrievalConfig(encoder=config.encoder, **given))
    cache = kept_beside(output, ".retrieved")
    retrieved = retrieve(topics, sources, per_topic=config.per_topic, cache_dir=cache, report=report)
    recorded = [{"source": source.name, "per_topic": config.per_topic} for source in sources]
    expected = sum(len(passages) for passages in retrieved.values())
    async with _extractors(config, published, output, expected, report) as (extractors, client):
        material = Material(topics, retrieved, recorded)
        curated = CURATED in config.extract
        content = await build_knowledge(definitions, material, extractors, curated=curated)
        services = [] if client is None else [dict(service) for service in client.services]
    details = {
        "sources": [source.describe() for source in sources],
        "extract": list(config.extract),
        "versions": {name: version(name) for name in LIBRARIES},
        "services": services,
    }
    return content, details


@asynccontextmanager
async def _extractors(
    config: KnowledgeConfig, published: Mapping[str, Any], output: Path, expected: int, report: Report
) -> AsyncIterator[tuple[Sequence[Extractor], LLMClient | None]]:
    """The extractors besides the curated terms, and the client of the language model that one of them uses."""
    from clinragen.knowledge.llm_extractor import LLMExtractor
    from clinragen.knowledge.statistical import StatisticalExtractor
    from clinragen.llm.providers import open_client

    statistical = [StatisticalExtractor()] if STATISTICAL in config.extract else []
    if config.llm is None:
        yield statistical, None
        return
    journals = journal_folder(output)
    async with open_client(config.llm, published, journals, expected=expected, report=report) as client:
        yield [*statistical, LLMExtractor(client, max_tokens=config.max_tokens)], client


def _folder_or_name(name: str | None) -> Path | str | None:
    return Path(name) if name is not None and Path(name).is_dir() else name


def _tokenizer(name: str | None) -> Any:
    if name is None:
        return None
    from transformers import AutoTokenizer

    from modeling_clinragen.loading_clinragen import load_part

    try:
        return load_part(AutoTokenizer, name)
    except InputDataError as error:
        raise SettingsError(f"tokenizer '{name}' cannot be loaded: {error}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"tokenizer '{name}' cannot be loaded; give the folder of a model") from error

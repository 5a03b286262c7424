"""The interface of term extractors: passages in, candidates out, by topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from clinragen.knowledge.base import RELATED
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic

Retrieved = Mapping[str, Sequence[Passage]]
"""The passages of each topic by its key, best first."""


@dataclass(frozen=True)
class Candidate:
    """A term that an extractor proposes for a topic, as a passage writes it."""

    term: str
    kind: str = RELATED
    spellings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extraction:
    """The candidates by topic key, best first, and the extractor's own counts."""

    candidates: Mapping[str, Sequence[Candidate]]
    counts: Mapping[str, int]


class Extractor(Protocol):
    """Anything that extracts terms from passages. `settings` (JSON-able) decide the result."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    async def extract(self, topics: Sequence[Topic], retrieved: Retrieved) -> Extraction:
        """The candidates of each topic that occur in its passages."""
        ...

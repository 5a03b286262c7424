"""What every extractor of terms does: passages in, candidates out, by topic."""

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
    """The candidates by topic key, best first, and what the extractor counted on its way."""

    candidates: Mapping[str, Sequence[Candidate]]
    counts: Mapping[str, int]


class Extractor(Protocol):
    """Anything that reads terms out of passages. `settings` (JSON-able) decide what it finds."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> dict[str, Any]: ...

    async def extract(self, topics: Sequence[Topic], retrieved: Retrieved) -> Extraction:
        """The candidates of each topic that stand in its passages."""
        ...

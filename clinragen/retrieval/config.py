"""How the sources are asked: who asks, where, how patiently, and the encoder that re-ranks local passages."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.download import Patience
from modeling_clinragen.errors import SettingsError

RESOURCES = files("clinragen.retrieval") / "resources"

EMAIL, API_KEY = "NCBI_EMAIL", "NCBI_API_KEY"
MOST_RECORDS = 10_000  # that E-utilities give out for one PubMed query


@lru_cache(maxsize=1)
def web_sources() -> dict[str, dict[str, Any]]:
    """What `resources/web_sources.yaml` says of "pubmed" and "wikipedia"."""
    content: dict[str, dict[str, Any]] = yaml.safe_load((RESOURCES / "web_sources.yaml").read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings:
    """The choices; one that cannot work is refused when it is made.

    Args:
        email: Told to NCBI and to Wikipedia, which both ask programs for a contact. From NCBI_EMAIL by default.
        api_key: NCBI's, for 10 requests a second instead of 3; from NCBI_API_KEY by default. It is never shown.
        pubmed_address, wikipedia_address: Other addresses than NCBI's and the English Wikipedia's.
        page_size: Records that PubMed is asked for at a time.
        patience: Time-out of a connection and of its silence, and how often to try again.
        encoder: Folder or Hub id of the sentence-transformers model that re-ranks local passages; None: BM25 alone.

    Raises:
        SettingsError: The page size is none.
    """

    email: str = field(default_factory=lambda: os.environ.get(EMAIL, ""))
    api_key: str = field(default_factory=lambda: os.environ.get(API_KEY, ""), repr=False)
    pubmed_address: str = field(default_factory=lambda: str(web_sources()["pubmed"]["address"]))
    wikipedia_address: str = field(default_factory=lambda: str(web_sources()["wikipedia"]["address"]))
    page_size: int = 200
    patience: Patience = field(default_factory=lambda: Patience(silence=30.0))
    encoder: str | Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.page_size <= MOST_RECORDS:
            raise SettingsError(f"page_size is {self.page_size}; give a number from 1 to {MOST_RECORDS}")

    def contact(self) -> str:
        """The e-mail address. Raises `SettingsError` where there is none."""
        if "@" not in self.email or any(not letter.isprintable() or letter.isspace() for letter in self.email):
            raise SettingsError(f"PubMed and Wikipedia ask who is asking; set {EMAIL} to your e-mail address")
        return self.email

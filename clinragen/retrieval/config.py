"""Settings of retrieval: contact, servers, retries, and the encoder that re-ranks local passages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from dataset_builder.storage.config_fields import check_values, setting
from dataset_builder.storage.http import RetryPolicy
from modeling_clinragen.errors import SettingsError

RESOURCES = files("clinragen.retrieval") / "resources"

EMAIL_VARIABLE, API_KEY_VARIABLE = "NCBI_EMAIL", "NCBI_API_KEY"
MAX_RECORDS = 10_000  # per PubMed query, a limit of E-utilities


@lru_cache(maxsize=1)
def web_sources() -> dict[str, dict[str, Any]]:
    """The entries "pubmed" and "wikipedia" of `resources/web_sources.yaml`."""
    content: dict[str, dict[str, Any]] = yaml.safe_load((RESOURCES / "web_sources.yaml").read_text(encoding="utf-8"))
    return content


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """How the sources are queried.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    email: str | None = setting(
        None,
        help=f"E-mail address, sent to NCBI and Wikipedia as contact [default: {EMAIL_VARIABLE} of the environment].",
        decides=False,
    )
    # The name of a variable, not the key itself: settings are printed and written to files.
    api_key_variable: str = setting(
        API_KEY_VARIABLE,
        help="Environment variable with an NCBI API key, which allows 10 requests per second instead of 3.",
        decides=False,
    )
    pubmed_address: str = setting(str(web_sources()["pubmed"]["address"]), help="Base URL of E-utilities.")
    wikipedia_address: str = setting(
        str(web_sources()["wikipedia"]["address"]),
        help="Base URL of a MediaWiki API, for example of another language or a mirror.",
    )
    page_size: int = setting(
        200, help="Records per PubMed request.", unit="records", at_least=1, at_most=MAX_RECORDS, decides=False
    )
    encoder: str | None = setting(
        None, help="Folder of a sentence-transformers model that re-ranks local passages [default: BM25 alone]."
    )
    retry: RetryPolicy = setting(RetryPolicy(read_s=30.0), help="Timeouts and retries.", decides=False)

    def __post_init__(self) -> None:
        check_values(self)

    def contact(self) -> str:
        """The e-mail address, from the environment where none is set. Raises `SettingsError` where there is none."""
        email = os.environ.get(EMAIL_VARIABLE, "") if self.email is None else self.email
        if "@" not in email or any(not letter.isprintable() or letter.isspace() for letter in email):
            raise SettingsError(f"PubMed and Wikipedia require a contact; set {EMAIL_VARIABLE} to your e-mail address")
        return email

    def api_key(self) -> str:
        """The NCBI API key of the environment; empty without one."""
        return os.environ.get(self.api_key_variable, "")

"""Opens a language model by settings, ready to be asked: a server or this process, with a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.llm.client import Asker, Prices, Progress
from clinragen.llm.journal import Journal
from clinragen.llm.types import LanguageModel
from dataset_builder.storage.governance import ServiceAcknowledgement
from modeling_clinragen.errors import SettingsError

KINDS = ("openai", "transformers")


@dataclass(frozen=True)
class ModelSettings:
    """Which language model is asked, and how. See `OpenAIServer`, `InProcessModel` and `Asker` for the fields.

    `kind` is "openai", any server that speaks that protocol, or "transformers", a model in this process, whose folder
    is `model_name`.
    """

    kind: str
    model_name: str | None
    base_url: str | None = None
    key_variable: str | None = None
    acknowledgement: ServiceAcknowledgement | None = None
    timeout: float = 120.0
    concurrency: int = 32
    max_attempts: int = 8
    batch_size: int = 8
    enforce_schema: bool = True
    limit_field: str = "max_tokens"
    prices: Prices | None = None

    def open(self, provenance: Mapping[str, Any]) -> LanguageModel:
        """The model, for requests that hold data of this `provenance`. Raises `SettingsError`, `GovernanceError`."""
        if self.kind not in KINDS:
            raise SettingsError(f"'{self.kind}' is no kind of language model; choose one of {', '.join(KINDS)}")
        if self.model_name is None:
            raise SettingsError(f"'{self.kind}' needs a model; name it with --model-name")
        if self.kind == "transformers":
            if self.base_url is not None:
                raise SettingsError("'transformers' runs in this process; leave --base-url out, or choose openai")
            from clinragen.llm.in_process import InProcessModel

            return InProcessModel(self.model_name, batch_size=self.batch_size)
        from clinragen.llm.openai_server import OpenAIServer

        if self.base_url is None:
            raise SettingsError("'openai' needs the server's address; give --base-url, e.g. http://127.0.0.1:8000/v1")
        return OpenAIServer(
            self.base_url,
            self.model_name,
            provenance,
            acknowledgement=self.acknowledgement,
            key_variable=self.key_variable,
            timeout=self.timeout,
            enforce_schema=self.enforce_schema,
            limit_field=self.limit_field,
        )


@asynccontextmanager
async def open_asker(
    settings: ModelSettings,
    provenance: Mapping[str, Any],
    folder: Path,
    *,
    journal: str = "answers",
    expected: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> AsyncIterator[Asker]:
    """An `Asker` of the model that `settings` describe, with the journal `folder`/`journal`.jsonl."""
    model = settings.open(provenance)
    with Journal(folder, journal) as kept:
        async with Asker(
            model,
            kept,
            concurrency=settings.concurrency,
            max_attempts=settings.max_attempts,
            prices=settings.prices,
            expected=expected,
            on_progress=on_progress,
        ) as asker:
            yield asker

"""Language models by provider: the table of providers, the settings of a model, and a client that is ready to use.

To add a provider, write its `LanguageModel` in a file of its own and add a row to `PROVIDERS`; a setting that only it
needs is a field of `LLMConfig`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from clinragen.llm.client import DEFAULT_RETRY, LLMClient, Prices
from clinragen.llm.journal import Journal
from clinragen.llm.types import LanguageModel
from dataset_builder.storage.config_fields import check_values, setting
from dataset_builder.storage.governance import ServiceAcknowledgement
from dataset_builder.storage.http import RetryPolicy
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import SettingsError

# In the order of the fields of `ServiceAcknowledgement`.
SERVICE_STATEMENTS = ("service_keeps_nothing", "service_trains_on_nothing", "service_nobody_reads")


@dataclass(frozen=True)
class Provider:
    """One way to reach a language model.

    Args:
        open_model: Called with the model's name, the provenance of what requests will contain, and `fields` by name.
        fields: The fields of `LLMConfig` that `open_model` takes, besides `model_name`.
        required: Those of `fields` that must be given.
        summary: One line for the command line's help.
    """

    open_model: Callable[..., LanguageModel]
    fields: tuple[str, ...]
    required: tuple[str, ...]
    summary: str


def _open_openai(model_name: str, provenance: Mapping[str, Any], *, base_url: str, **given: Any) -> LanguageModel:
    from clinragen.llm.openai_server import OpenAIServer

    statements = [given.pop(name) for name in SERVICE_STATEMENTS]
    acknowledgement = ServiceAcknowledgement(*statements) if any(statements) else None
    return OpenAIServer(base_url, model_name, provenance, acknowledgement=acknowledgement, **given)


def _open_transformers(model_name: str, provenance: Mapping[str, Any], *, batch_size: int) -> LanguageModel:
    from clinragen.llm.in_process import InProcessModel

    return InProcessModel(model_name, batch_size=batch_size)


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider(
        _open_openai,
        fields=("base_url", "key_variable", *SERVICE_STATEMENTS, "timeout", "enforce_schema", "limit_field"),
        required=("base_url",),
        summary="any server with the OpenAI chat protocol",
    ),
    "transformers": Provider(
        _open_transformers, fields=("batch_size",), required=(), summary="a model in this process"
    ),
}


@dataclass(frozen=True, kw_only=True)
class LLMConfig:
    """A language model and how it is reached.

    Raises:
        SettingsError: A value has the wrong type or is out of its range, or the provider lacks a setting or does not
            use one that is given.
    """

    provider: str = setting("openai", help="Where the language model runs.", choices=tuple(PROVIDERS))
    model_name: str = setting(
        "", help="The server's name of the model, or for transformers its folder or hf://owner/name."
    )
    base_url: str | None = setting(
        None, help="openai: base URL of the server, such as http://127.0.0.1:8000/v1.", decides=False
    )
    key_variable: str | None = setting(
        None,
        help="openai: environment variable with the API key [default: OPENAI_API_KEY, if set].",
        decides=False,
    )
    service_keeps_nothing: bool = setting(
        False, help="openai: you have it in writing that the service does not keep what is sent.", decides=False
    )
    service_trains_on_nothing: bool = setting(
        False, help="openai: you have it in writing that the service trains nothing on what is sent.", decides=False
    )
    service_nobody_reads: bool = setting(
        False, help="openai: you have it in writing that nobody at the service reads what is sent.", decides=False
    )
    timeout: float = setting(
        120.0, help="openai: time limit of one attempt.", unit="seconds", at_least=0.1, decides=False
    )
    concurrency: int = setting(
        32, help="Requests in flight at the same time.", unit="requests", at_least=1, decides=False
    )
    max_attempts: int = setting(
        8, help="Attempts per request before the run stops.", unit="attempts", at_least=1, decides=False
    )
    batch_size: int = setting(8, help="transformers: requests per batch.", unit="requests", at_least=1, decides=False)
    enforce_schema: bool = setting(
        True, help="openai: send JSON schemas to the server, which then enforces them; off where it refuses them."
    )
    limit_field: str = setting(
        "max_tokens",
        help="openai: the protocol's field for the maximum tokens, such as max_completion_tokens.",
        decides=False,
    )
    prices: tuple[float, float] | None = setting(
        None, help="Costs of a million tokens of prompts and of answers, for the cost of a run.", decides=False
    )

    def __post_init__(self) -> None:
        check_values(self)
        used = PROVIDERS[self.provider]
        if not self.model_name:
            raise SettingsError(f"provider '{self.provider}' needs a model; give --model-name")
        for name in used.required:
            if getattr(self, name) is None:
                raise SettingsError(f"provider '{self.provider}' needs a {name}; give --{name.replace('_', '-')}")
        others = {name for provider in PROVIDERS.values() for name in provider.fields} - set(used.fields)
        for field in fields(self):
            if field.name in others and getattr(self, field.name) != field.default:
                raise SettingsError(f"provider '{self.provider}' does not use {field.name}; leave it out")

    @property
    def retry(self) -> RetryPolicy:
        """Attempts and pauses of one request."""
        return RetryPolicy(attempts=self.max_attempts, first_pause_s=DEFAULT_RETRY.first_pause_s)

    def open_model(self, provenance: Mapping[str, Any]) -> LanguageModel:
        """Open the model for requests that contain data of this `provenance`.

        Raises:
            SettingsError: An address or key cannot work, or a library is not installed.
            GovernanceError: Credentialed data would leave this machine.
            InputDataError: The folder contains no such model.
        """
        provider = PROVIDERS[self.provider]
        given = {name: getattr(self, name) for name in provider.fields}
        return provider.open_model(self.model_name, provenance, **given)


@asynccontextmanager
async def open_client(
    config: LLMConfig,
    provenance: Mapping[str, Any],
    folder: Path,
    *,
    journal: str = "answers",
    expected: int | None = None,
    report: Report = no_report,
) -> AsyncIterator[LLMClient]:
    """Open a client of the configured model.

    Args:
        config: The model.
        provenance: Of everything that requests will contain; decides where they may be sent.
        folder: Folder of the journal, which keeps all answers.
        journal: The journal's name; answers of the folder's other journals are known as well.
        expected: Number of requests, as far as known.
        report: Called after every answer.

    Raises:
        SettingsError, GovernanceError, InputDataError: As `LLMConfig.open_model`; the journal is damaged.
    """
    model = config.open_model(provenance)
    with Journal(folder, journal) as opened:
        async with LLMClient(
            model,
            opened,
            concurrency=config.concurrency,
            retry=config.retry,
            prices=None if config.prices is None else Prices(*config.prices),
            expected=expected,
            report=report,
        ) as client:
            yield client

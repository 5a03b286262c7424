"""Requests to a language model, its answers, and the interface of every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from dataset_builder.storage.files import fingerprint


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        messages: The chat so far.
        max_tokens: Maximum tokens of the answer, which is cut off there.
        temperature: 0 for greedy decoding.
        seed: Seed of the sampling; None leaves it to the model.
        json_schema: Schema of the answer. A model whose settings say `enforces_schema` decodes accordingly; for any
            other the prompt has to describe it. The caller validates the answer in both cases.
        key: Name of the request in errors and in the journal; never anything from a patient.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    json_schema: Mapping[str, Any] | None = None
    key: str = ""

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """A digest of everything that decides the answer of a model with these settings; `key` does not."""
        content = asdict(self)
        del content["key"]
        return fingerprint(dict(settings), content)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a model.

    Args:
        text: The answer.
        finish_reason: As in the OpenAI protocol: "stop", "length" where `max_tokens` cut the text off,
            "content_filter", …
        prompt_tokens, completion_tokens: None where a server does not count them.
        model: The model's name, as the server reports it.
        attempts: Number of attempts; this and the following are added by `LLMClient`.
        seconds: Duration of the last attempt.
        service: The model's `governance`.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str
    attempts: int = 1
    seconds: float = 0.0
    service: Mapping[str, Any] | None = field(default=None, hash=False)


class LanguageModel(Protocol):
    """Anything that answers requests."""

    @property
    def name(self) -> str:
        """The model's own name."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides its answers (JSON-able, no key, no address), for fingerprints and provenance."""
        ...

    @property
    def address(self) -> str | None:
        """The server's address; None for a model in this process."""
        ...

    @property
    def governance(self) -> dict[str, Any]:
        """The record of `governance.require_local`, for the provenance of the answers."""
        ...

    async def answer(self, request: Request) -> Answer:
        """One attempt.

        Raises:
            TransientError: Another attempt may succeed.
            ModelInputError: This request can never be answered.
            SettingsError: No request can be answered.
        """
        ...

    async def close(self) -> None:
        """Release connections and threads; no request follows."""
        ...


class TransientError(Exception):
    """An attempt failed in a way that may pass.

    Args:
        kind: How it failed.
        retry_after: The wait that the server asks for, in seconds.
    """

    def __init__(self, kind: str, retry_after: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.retry_after = retry_after

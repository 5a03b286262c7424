"""What is asked of a language model, what it answers, and what everything that answers has in common."""

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
    """One question.

    With `json_schema` the answer's text is to be JSON of that schema. A model whose settings say `enforces_schema`
    decodes it so; from any other the prompt has to ask for it in words. The caller reads the answer strictly in
    both cases: an answer that reached `max_tokens` is cut off anywhere. `key` names the request in errors and in the
    journal, so nothing from a patient belongs there.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    json_schema: Mapping[str, Any] | None = None
    key: str = ""

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """One digest of all that decides the answer of a model with these settings; `key` does not."""
        question = asdict(self)
        del question["key"]
        return fingerprint(dict(settings), question)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. The tokens are None where a server does not count them.

    `finish_reason` is the protocol's: "stop", "length" where `max_tokens` cut the text off, "content_filter", ….
    `attempts` is how often it was asked, `seconds` how long the last attempt took, and `service` the model's
    `governance`; an `Asker` adds these three.
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
        """What decides its answers (JSON-able, no key, no address): part of fingerprints and of the provenance."""
        ...

    @property
    def address(self) -> str | None:
        """Where the server is asked; None for a model in this process."""
        ...

    @property
    def governance(self) -> dict[str, Any]:
        """What `governance.require_local` recorded when the model was made; belongs in the answers' provenance."""
        ...

    async def answer(self, request: Request) -> Answer:
        """One attempt.

        Raises `TransientError` where another attempt may work, `ModelInputError` where this request can never be
        answered, and `SettingsError` where none can.
        """
        ...

    async def close(self) -> None:
        """Give back connections and threads; nothing is asked afterwards."""
        ...


class TransientError(Exception):
    """An attempt failed in a way that may pass; `kind` says how, `retry_after` (seconds) is the server's own wish."""

    def __init__(self, kind: str, retry_after: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.retry_after = retry_after

"""A language model on a server with the OpenAI chat protocol: vLLM, llama.cpp, TGI, `transformers serve`, Azure, …"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from clinragen.llm.types import Answer, Request, TransientError
from dataset_builder.storage.governance import ServiceAcknowledgement, require_local
from dataset_builder.storage.http import TRANSIENT_STATUSES, retry_after
from modeling_clinragen.errors import ClinRaGenError, ModelInputError, SettingsError

KEY_VARIABLE = "OPENAI_API_KEY"

# These libraries log addresses at INFO and more at DEBUG.
_VERBOSE_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
# 409 is temporary for these servers: another request holds the same resource.
_TRANSIENT = (*TRANSIENT_STATUSES, 409)
_KINDS = {408: "timeout", 409: "conflict", 425: "too early", 429: "too many requests"}
# Signs in error messages that this request alone is at fault, and repeating it is useless.
_TOO_LONG = (
    "context_length_exceeded",
    "exceed_context_size_error",
    "context length",
    "`inputs` must have less than",
    "`max_new_tokens` must be <=",
)
_FILTERED = ("content_filter", "content_policy_violation")
_NO_CREDIT = "insufficient_quota"
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}", re.ASCII)


class OpenAIServer:
    """A model on a server.

    Args:
        base_url: Base URL of the protocol, usually ending in /v1. Redirects are not followed.
        model_name: The server's name of the model.
        provenance: Of everything that requests will contain.
        acknowledgement: Confirmed conditions of a remote service, without which it gets no credentialed data.
        key_variable: Environment variable with the API key; None for OPENAI_API_KEY, if set. Most servers on this
            machine need no key.
        timeout: Seconds for one attempt, from the first byte sent to the last received.
        enforce_schema: Whether a request's JSON schema is sent; turn it off for servers that refuse it.
        limit_field: The protocol's field for the maximum tokens. OpenAI's reasoning models require
            "max_completion_tokens".

    Raises:
        GovernanceError: Credentialed data would leave this machine.
        SettingsError: The address is malformed, the key is missing, or it would travel unencrypted.
    """

    def __init__(
        self,
        base_url: str,
        model_name: str,
        provenance: Mapping[str, Any],
        *,
        acknowledgement: ServiceAcknowledgement | None = None,
        key_variable: str | None = None,
        timeout: float = 120.0,
        enforce_schema: bool = True,
        limit_field: str = "max_tokens",
    ) -> None:
        self.governance = require_local(provenance, base_url, acknowledgement)
        # A query could contain a key, and the address appears in errors.
        if self.governance["host"] == "unreadable" or {"?", "#"} & set(base_url):
            # Not repeated: it may contain a password.
            raise SettingsError(
                "the base URL must have only scheme, host, port and path, such as http://127.0.0.1:8000/v1"
            )
        self.address = base_url.rstrip("/")
        self.name = model_name
        self._key_variable = key_variable or KEY_VARIABLE
        self._timeout = timeout
        self._enforce_schema = enforce_schema
        self._limit_field = limit_field
        self._client = self._connect(_read_key(key_variable))

    @property
    def settings(self) -> dict[str, Any]:
        """The provider, the model, and whether the server enforces JSON schemas."""
        return {"kind": "openai", "model": self.name, "enforces_schema": self._enforce_schema}

    async def answer(self, request: Request) -> Answer:
        """One attempt; see `LanguageModel.answer`."""
        text = await self._post(self._body(request), request)
        try:
            return _read(json.loads(text), self.name)
        except (ValueError, RecursionError):
            failure = "not JSON"
        except (KeyError, IndexError, TypeError, AttributeError):
            failure = "no choices"
        # Raised outside the handler: the original error may quote the answer.
        raise TransientError(failure)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _connect(self, key: str | None) -> Any:
        try:
            import openai
        except ImportError as error:
            raise SettingsError("openai: not installed; pip install 'clinragen[teacher]'") from error
        local = self.governance["local"]
        if key is not None and not local and not self.address.startswith("https:"):
            raise SettingsError(
                f"{self.governance['host']}: the key would travel there unencrypted; give an https URL"
            )
        for name in _VERBOSE_LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        return openai.AsyncOpenAI(
            base_url=self.address,
            api_key=key or "none",
            max_retries=0,
            timeout=None,
            # Requests to this machine bypass any proxy that the environment names.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not local, timeout=None),
        )

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": request.temperature,
            self._limit_field: request.max_tokens,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.json_schema is not None and self._enforce_schema:
            schema = {"name": "answer", "schema": dict(request.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    async def _post(self, body: dict[str, Any], request: Request) -> str:
        import openai

        failure: Exception
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.chat.completions.with_raw_response.create(**body)
            return response.text
        except (TimeoutError, openai.APITimeoutError):
            failure = TransientError("timeout")
        except openai.APIConnectionError:
            failure = TransientError("connection")
        except openai.APIStatusError as error:
            status, answer = error.status_code, error.response
            if (status in _TRANSIENT and _NO_CREDIT not in answer.text) or status >= 500:
                kind = _KINDS.get(status, f"status {status}")
                failure = TransientError(kind, retry_after(answer.headers.get("retry-after")))
            else:
                failure = self._refusal(status, answer.text, request)
        # Raised outside the handler: the library's errors contain the request and the server's message.
        raise failure

    def _refusal(self, status: int, text: str, request: Request) -> ClinRaGenError:
        lowered, name = text.lower(), request.key or "a request"
        if status == 413 or any(sign in lowered for sign in _TOO_LONG):
            return ModelInputError(
                f"{name}: too long for {self.name}; shorten the note, or serve the model with a longer context"
            )
        if any(sign in lowered for sign in _FILTERED):
            return ModelInputError(f"{name}: refused by the content filter of {self.address}; leave it out")
        if status in (401, 403):
            cure = f"set {self._key_variable} to a key for this service"
        elif status == 404:
            cure = f"check the end of the base URL (usually /v1) and that the server has the model '{self.name}'"
        elif status == 429:
            cure = "the account has no credit left"
        elif status < 400:
            cure = "it redirects to another address; if that is right, give it as base URL"
        elif request.json_schema is not None and self._enforce_schema:
            cure = "it may not support JSON schemas; set enforce_schema to false"
        else:
            cure = "check what it supports"
        return SettingsError(f"{self.address}: refused with HTTP {status}{_error_code(text)}; {cure}")


def _read_key(variable: str | None) -> str | None:
    key = os.environ.get(variable or KEY_VARIABLE, "").strip()
    if variable is not None and not key:
        raise SettingsError(f"{variable}: not set; set it to the key, or name another variable")
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{variable or KEY_VARIABLE}: contains characters that are invalid in a key; set it again")
    return key or None


def _read(body: Any, model: str) -> Answer:
    choice = body["choices"][0]
    text = choice["message"]["content"] or ""
    usage = body.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Answer(
        # JSON can contain lone surrogates, which cannot be written to a file.
        text=text.encode("utf-8", "replace").decode("utf-8"),
        finish_reason=str(choice.get("finish_reason") or "unknown"),
        prompt_tokens=prompt if isinstance(prompt, int) else None,
        completion_tokens=completion if isinstance(completion, int) else None,
        model=str(body.get("model") or model),
    )


def _error_code(text: str) -> str:
    """The server's error code and field; its messages are left out, because they may quote the request."""
    try:
        error = json.loads(text)["error"]
        found = [error.get("code"), error.get("param")]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""
    words = [word for word in found if isinstance(word, str) and _NAME.fullmatch(word)]
    return f" ({', '.join(words)})" if words else ""

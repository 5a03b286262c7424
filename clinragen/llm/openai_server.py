"""A model behind a server with the OpenAI chat protocol: vLLM, llama.cpp, TGI, `transformers serve`, Azure, …."""

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
from dataset_builder.storage.retry_after import retry_after
from modeling_clinragen.errors import ClinRaGenError, ModelInputError, SettingsError

KEY_VARIABLE = "OPENAI_API_KEY"

# These libraries write addresses at INFO and more at DEBUG.
_TALKATIVE = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_TRANSIENT = {408: "time-out", 409: "conflict", 425: "too early", 429: "too many requests"}
# What servers write where one request alone is at fault, and none like it can be answered.
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
    """A model named `model_name` at `base_url` (as a rule it ends in /v1), for data of some `provenance`.

    Args:
        base_url: Where the protocol begins. Redirects are not followed.
        model_name: What the server calls the model.
        provenance: Of what will be in the requests.
        acknowledgement: What is stated of a service elsewhere before credentialed data goes there.
        key_variable: The environment variable with the key; OPENAI_API_KEY, where that is set. Most servers on this
            machine need none.
        timeout: Seconds for one attempt, from the first byte sent to the last received.
        enforce_schema: Whether a request's JSON schema is sent; for servers that refuse it, turn it off.
        limit_field: The protocol's field for the longest answer. OpenAI's reasoning models want
            "max_completion_tokens".

    Raises `GovernanceError` where credentialed data would leave this machine, and `SettingsError` for an address that
    is none, a missing key, or one that would travel unencrypted.
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
        # A query could be a key, and the address is named in errors.
        if self.governance["host"] == "unreadable" or {"?", "#"} & set(base_url):
            # Not repeated: it may hold a password.
            raise SettingsError("the base URL is not just scheme, host, port and path; write http://127.0.0.1:8000/v1")
        self.address = base_url.rstrip("/")
        self.name = model_name
        self._key_variable = key_variable or KEY_VARIABLE
        self._timeout = timeout
        self._enforce_schema = enforce_schema
        self._limit_field = limit_field
        self._client = self._connect(_read_key(key_variable))

    @property
    def settings(self) -> dict[str, Any]:
        """The protocol, the model, and whether answers are held to a schema."""
        return {"kind": "openai", "model": self.name, "enforces_schema": self._enforce_schema}

    async def answer(self, request: Request) -> Answer:
        """One attempt; see `LanguageModel.answer`."""
        text = await self._post(self._body(request), request)
        try:
            return _read(json.loads(text), self.name)
        except (ValueError, RecursionError):
            failure = "no JSON"
        except (KeyError, IndexError, TypeError, AttributeError):
            failure = "no choices"
        # Raised here, not there: what the library tells of a failure may quote the answer.
        raise TransientError(failure)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _connect(self, key: str | None) -> Any:
        try:
            import openai
        except ImportError as error:
            raise SettingsError("openai: is not installed; pip install 'clinragen[teacher]'") from error
        local = self.governance["local"]
        if key is not None and not local and not self.address.startswith("https:"):
            raise SettingsError(
                f"{self.governance['host']}: the key would travel there unencrypted; give an https URL"
            )
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.WARNING))
        return openai.AsyncOpenAI(
            base_url=self.address,
            api_key=key or "none",
            max_retries=0,
            timeout=None,
            # What was found to stay on this machine goes to it directly, whatever proxy the environment names.
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
            failure = TransientError("time-out")
        except openai.APIConnectionError:
            failure = TransientError("connection")
        except openai.APIStatusError as error:
            status, answer = error.status_code, error.response
            if (status in _TRANSIENT and _NO_CREDIT not in answer.text) or status >= 500:
                kind = _TRANSIENT.get(status, f"status {status}")
                failure = TransientError(kind, retry_after(answer.headers.get("retry-after")))
            else:
                failure = self._refusal(status, answer.text, request)
        # Raised here, not there: the library's errors carry the request and the server's words.
        raise failure

    def _refusal(self, status: int, text: str, request: Request) -> ClinRaGenError:
        lowered, name = text.lower(), request.key or "a request"
        if status == 413 or any(sign in lowered for sign in _TOO_LONG):
            return ModelInputError(
                f"{name}: is longer than {self.name} can take; shorten the note, or serve the model "
                "with a longer context"
            )
        if any(sign in lowered for sign in _FILTERED):
            return ModelInputError(f"{name}: the content filter of {self.address} refused it; leave it out")
        if status in (401, 403):
            cure = f"put a key for this service into {self._key_variable}"
        elif status == 404:
            cure = (
                f"see that the base URL ends as the server wants (mostly /v1) and that it has the model '{self.name}'"
            )
        elif status == 429:
            cure = "the account has no credit left"
        elif status < 400:
            cure = "it sends us on to another address; if that is right, give it as base URL"
        elif request.json_schema is not None and self._enforce_schema:
            cure = "it may not know JSON schemas: ask without"
        else:
            cure = "see what it supports"
        return SettingsError(f"{self.address}: refused with HTTP {status}{_what(text)}; {cure}")


def _read_key(variable: str | None) -> str | None:
    key = os.environ.get(variable or KEY_VARIABLE, "").strip()
    if variable is not None and not key:
        raise SettingsError(f"{variable}: is not set; put the key into it, or name another variable")
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{variable or KEY_VARIABLE}: holds characters that no key has; set it again")
    return key or None


def _read(body: Any, model: str) -> Answer:
    choice = body["choices"][0]
    text = choice["message"]["content"] or ""
    usage = body.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Answer(
        # JSON can spell halves of characters, which no file takes.
        text=text.encode("utf-8", "replace").decode("utf-8"),
        finish_reason=str(choice.get("finish_reason") or "unknown"),
        prompt_tokens=prompt if isinstance(prompt, int) else None,
        completion_tokens=completion if isinstance(completion, int) else None,
        model=str(body.get("model") or model),
    )


def _what(text: str) -> str:
    """The server's own code and the field it names; its sentences may quote the request."""
    try:
        error = json.loads(text)["error"]
        found = [error.get("code"), error.get("param")]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""
    words = [word for word in found if isinstance(word, str) and _NAME.fullmatch(word)]
    return f" ({', '.join(words)})" if words else ""

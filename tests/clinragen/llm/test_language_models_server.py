"""One attempt at a server: where data may go, what is sent, and what a refusal says."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import ChatServer, chat_server, reply_to

from clinragen.llm.openai_server import OpenAIServer
from clinragen.llm.types import Answer, Message, Request, TransientError
from dataset_builder.storage.governance import ServiceAcknowledgement
from modeling_clinragen.errors import ClinRaGenError, GovernanceError, ModelInputError, SettingsError

OPEN, CLOSED = {"credentialed": False}, {"credentialed": True}
NOTE = "74F admitted with dyspnea"
KEY = "sk-S3CRET-k3y"
SCHEMA = {"type": "object", "properties": {"terms": {"type": "array", "items": {"type": "string"}}}}
REQUEST = Request((Message("system", "Explain."), Message("user", NOTE)), 50, key="request 1")


@pytest.fixture(scope="module")
def running() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.fixture
def server(running: ChatServer, monkeypatch: pytest.MonkeyPatch) -> ChatServer:
    for name in ("OPENAI_API_KEY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    running.behave()
    return running


def attempt(url: str, request: Request = REQUEST, provenance: Any = CLOSED, **settings: Any) -> Answer:
    async def one() -> Answer:
        model = OpenAIServer(url, "tiny", provenance, **settings)
        try:
            return await model.answer(request)
        finally:
            await model.close()

    return asyncio.run(one())


def test_a_request_and_its_answer(server: ChatServer) -> None:
    answer = attempt(server.url + "/")
    assert answer == Answer(reply_to(NOTE), "stop", 10, 5, "tiny")
    sent = server.counts()["last"]
    assert sent["path"] == "/v1/chat/completions"
    assert sent["body"] == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Explain."}, {"role": "user", "content": NOTE}],
        "temperature": 0.0,
        "max_tokens": 50,
    }


@pytest.mark.parametrize(
    ("fields", "settings", "expected"),
    [
        ({"seed": 7, "temperature": 0.5}, {}, {"seed": 7, "temperature": 0.5}),
        ({}, {"limit_field": "max_completion_tokens"}, {"max_completion_tokens": 50}),
        (
            {"json_schema": SCHEMA},
            {},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
                }
            },
        ),
    ],
)
def test_what_a_request_asks_for_is_sent(
    server: ChatServer, fields: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    attempt(server.url, Request(REQUEST.messages, 50, **fields), **settings)
    assert expected.items() <= server.counts()["last"]["body"].items()


def test_a_sloppy_answer_is_an_answer(server: ChatServer) -> None:
    server.behave(script=["odd"])
    assert attempt(server.url) == Answer("? half", "unknown", None, None, "tiny")


def test_a_schema_can_be_kept_back(server: ChatServer) -> None:
    attempt(server.url, Request(REQUEST.messages, 50, json_schema=SCHEMA), enforce_schema=False)
    assert "response_format" not in server.counts()["last"]["body"]


# --- where data may go


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "http://10.0.0.5:8000/v1", "http://127.0.0.1@evil.org/v1", "nonsense"]
)
def test_credentialed_data_stays_here(url: str) -> None:
    with pytest.raises(GovernanceError, match="stay on this machine"):
        OpenAIServer(url, "tiny", CLOSED)


def test_what_was_acknowledged_of_a_service_is_recorded() -> None:
    stated = ServiceAcknowledgement(keeps_nothing=True, trains_on_nothing=True, nobody_reads=True)
    model = OpenAIServer("https://llm.hospital.org/v1", "tiny", CLOSED, acknowledgement=stated)
    assert model.governance["acknowledgement"]["nobody_reads"] is True
    assert model.governance["host"] == "llm.hospital.org"


def test_a_server_here_is_reached_directly_whatever_proxy_is_set(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(GovernanceError, match="NO_PROXY"):
        attempt(server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert attempt(server.url).text == reply_to(NOTE)


def test_redirects_to_another_server_are_not_followed(server: ChatServer) -> None:
    with chat_server() as other:
        other.behave()
        server.behave(script=["307"], headers={"Location": f"{other.url}/chat/completions"})
        with pytest.raises(SettingsError, match="redirects to another address"):
            attempt(server.url)
        assert other.counts()["asked"] == {}


# --- the key


@pytest.mark.parametrize(("variable", "given"), [("OPENAI_API_KEY", None), ("HOSPITAL_KEY", "HOSPITAL_KEY")])
def test_the_key_goes_to_the_server_and_nowhere_else(
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    given: str | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(variable, KEY + "\n")
    attempt(server.url, key_variable=given)
    assert server.counts()["last"]["headers"]["authorization"] == f"Bearer {KEY}"
    model = OpenAIServer(server.url, "tiny", OPEN, key_variable=given)
    assert KEY not in repr((model.settings, model.governance, model.address, model.name)) + caplog.text


@pytest.mark.parametrize(
    ("key", "url", "variable", "message"),
    [
        (None, "http://127.0.0.1:1/v1", "HOSPITAL_KEY", "HOSPITAL_KEY: not set"),
        ("ключ", "http://127.0.0.1:1/v1", "HOSPITAL_KEY", "characters that are invalid in a key"),
        (KEY, "http://llm.hospital.org/v1", "HOSPITAL_KEY", "travel there unencrypted"),
        (KEY, "https://user:pass@llm.hospital.org/v1", None, "only scheme, host, port and path"),
        (None, "http://127.0.0.1:1/v1?key=pass@", None, "only scheme, host, port and path"),
    ],
)
def test_a_key_that_is_missing_broken_or_would_leak_is_refused(
    monkeypatch: pytest.MonkeyPatch, key: str | None, url: str, variable: str | None, message: str
) -> None:
    if key is not None:
        monkeypatch.setenv("HOSPITAL_KEY", key)
    with pytest.raises(SettingsError, match=message) as caught:
        OpenAIServer(url, "tiny", OPEN, key_variable=variable)
    assert "pass@" not in str(caught.value)


# --- refusals


@pytest.mark.parametrize(
    ("status", "error", "kind", "message"),
    [
        (401, {}, SettingsError, "refused with HTTP 401; set OPENAI_API_KEY to a key"),
        (403, {}, SettingsError, "HTTP 403; set OPENAI_API_KEY"),
        (404, {"code": "model_not_found"}, SettingsError, r"HTTP 404 \(model_not_found\).*has the model 'tiny'"),
        (400, {"code": "unsupported_parameter", "param": "max_tokens"}, SettingsError, r"parameter, max_tokens\)"),
        (400, {"code": f"about {NOTE}"}, SettingsError, "HTTP 400; check what it supports"),
        (422, {}, SettingsError, "HTTP 422"),
        (429, {"code": "insufficient_quota"}, SettingsError, "no credit"),
        (400, {"type": "exceed_context_size_error"}, ModelInputError, "request 1: too long for tiny"),
        (422, {"type": "`inputs` tokens + `max_new_tokens` must be <= 4096."}, ModelInputError, "too long"),
        (413, {}, ModelInputError, "request 1: too long"),
        (400, {"code": "content_filter"}, ModelInputError, "request 1: refused by the content filter"),
        (429, {}, TransientError, "too many requests"),
        (408, {}, TransientError, "timeout"),
        (502, {}, TransientError, "status 502"),
    ],
)
def test_a_refusal_names_the_cure_and_nothing_of_the_request(
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    error: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.behave(script=[str(status)], error=error)
    with pytest.raises(kind, match=message) as caught:
        attempt(server.url)
    # The server quotes the request in its refusal, as real ones do.
    whole = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__) + caplog.text
    assert NOTE not in whole
    assert KEY not in whole
    assert isinstance(caught.value, ClinRaGenError) is (kind is not TransientError)


def test_a_server_without_support_for_schemas_is_named(server: ChatServer) -> None:
    server.behave(script=["400"])
    with pytest.raises(SettingsError, match="may not support JSON schemas"):
        attempt(server.url, Request(REQUEST.messages, 50, json_schema=SCHEMA))


def test_an_unreachable_server_is_a_failure_that_may_pass() -> None:
    with pytest.raises(TransientError, match="connection"):
        attempt("http://127.0.0.1:9/v1")

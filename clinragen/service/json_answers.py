"""Answers in JSON whatever happens: the guard in front of the service refuses in text, as it does for a page."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse

from clinragen.demo.guard import App, Message, Receive, Send


class Json(JSONResponse):
    """JSON in ASCII: half of a surrogate pair, which a request may have, can be written in no encoding."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def refusal(said: str) -> dict[str, str]:
    """The content of an answer that refuses."""
    return {"error": said.strip()}


def json_refusals(app: App) -> App:
    """An application whose refusals in plain text become `{"error": text}`, with the same status and headers."""

    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        begun: Message | None = None

        async def send_json(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and message["status"] >= 400 and _is_text(message):
                begun = message
            elif begun is None:
                await send(message)
            else:
                # Such an answer has one part.
                body = Json(refusal(message["body"].decode())).body
                about = {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}
                headers = [(name, about.get(name.lower(), value)) for name, value in begun["headers"]]
                await send({**begun, "headers": headers})
                await send({**message, "body": body})
                begun = None

        await app(scope, receive, send_json)

    return answer


def _is_text(message: Message) -> bool:
    kinds = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/plain") for kind in kinds)

"""Serves the raters' pages on this machine; every answer is on the disk before the page says that it is saved.

Each rater has an address with a token of their own, so that nobody can answer for somebody else.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clinragen.demo.access import LOOPBACK, Access
from clinragen.demo.guard import App, Guard, Receive, Send
from clinragen.demo.serve import listening_socket
from clinragen.study.answers import RaterAnswers, parse_answer, read_answers, write_answers
from clinragen.study.folder import PAGE, Study
from dataset_builder.storage.files import folder_lock, read_text
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LARGEST_ANSWER = 2**16
"""Bytes of one answer as sent: the longest remark in any script, and all diseases."""
JSON = "application/json"


class AnswerFile:
    """The answers of one rater on the disk, which any number of pages and processes may add to.

    Args:
        study: The study.
        rater: One of its raters.
    """

    def __init__(self, study: Study, rater: str) -> None:
        self._asked = study.asked
        self._rater = rater
        self.path = study.answers / f"{rater}.json"

    def read(self) -> RaterAnswers:
        """All answers so far. Raises `InputDataError` where the file is damaged or another rater's."""
        if not self.path.exists():
            return RaterAnswers(self._rater, {})
        found = read_answers(self.path, self._asked)
        if found.rater != self._rater:
            raise InputDataError(f"{self.path}: is of another rater; move it away")
        return found

    def keep(self, item: str, content: Any) -> None:
        """Put one answer, finished or not, in the place of the one before.

        Raises:
            InputDataError: It is not possible, or the disk is full.
        """
        answer = parse_answer(content, item, self._asked, "the answer")
        # One after the other, or of two at once the first would be lost.
        with folder_lock(self.path):
            before = self.read()
            write_answers(self.path, replace(before, answers={**before.answers, item: answer}), self._asked.study)


@dataclass(frozen=True)
class _Desk:
    """One rater's part of the server: who may use it, and the application."""

    access: Access
    app: App


def serve_study(
    study: Study, raters: Sequence[str] = (), *, port: int = 0, announce: Callable[[str, str], None] | None = None
) -> None:
    """Serve the pages of raters on 127.0.0.1 until interrupted.

    Args:
        study: The study.
        raters: Those who are served; all of them by default.
        port: Port; 0 picks a free one.
        announce: Called with each rater and their address; by default these are written to standard output.

    Raises:
        SettingsError: The port is taken, or starlette and uvicorn, which come with the demo, are not installed.
        InputDataError: A rater is none of the study's, or their answers are damaged.
    """
    names = list(dict.fromkeys(raters)) or list(study.raters)
    pages = {name: read_text(study.rater_folder(name) / PAGE) for name in names}
    files = {name: AnswerFile(study, name) for name in names}
    for file in files.values():
        # Before anybody has answered anything.
        file.read()
    try:
        import starlette  # noqa: F401 (imported here so that the message names the extra)
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "the study's pages need starlette; install it with: pip install 'clinragen[demo]'"
        ) from error
    from clinragen.demo.server import run_server

    with listening_socket(LOOPBACK, port) as taken:
        taken.listen()
        number = taken.getsockname()[1]
        desks = {name: _Desk(_access(number, name), rater_app(pages[name], files[name])) for name in names}
        for name, desk in desks.items():
            (announce or _write)(name, f"http://{LOOPBACK}:{number}/{name}/?token={desk.access.token}")
        with suppress(KeyboardInterrupt):
            run_server(Desks(desks), taken)


class Desks:
    """The application of all raters: hands a request to the rater's own, which has a guard of its own."""

    def __init__(self, desks: Mapping[str, _Desk]) -> None:
        self._guards = {name: Guard(desk.app, desk.access) for name, desk in desks.items()}
        # For whatever is nobody's: it is refused as a request without a token is.
        self._other = Guard(_nothing, Access(next(iter(desks.values())).access.origins, secrets.token_urlsafe(32)))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        rater = str(scope.get("path", "")).split("/")[1:2]
        await self._guards.get(rater[0] if rater else "", self._other)(scope, receive, send)


def rater_app(page: str, file: AnswerFile) -> App:
    """One rater's page and answers as an ASGI application, without anything that keeps others out."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    async def show(request: Request) -> Response:
        return HTMLResponse(page)

    async def give(request: Request) -> Response:
        found = await run_in_threadpool(file.read)
        return JSONResponse({"answers": {item: one.content() for item, one in found.answers.items()}})

    async def keep(request: Request) -> Response:
        # A page of somebody else's can send a form, but not this type.
        if request.headers.get("content-type", "").partition(";")[0].strip() != JSON:
            return PlainTextResponse("refused: not JSON\n", 415)
        body = await request.body()
        if len(body) > LARGEST_ANSWER:
            return PlainTextResponse(f"refused: more than {LARGEST_ANSWER:,} bytes\n", 413)
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError):
            return PlainTextResponse("refused: not JSON\n", 400)
        if not isinstance(sent, dict) or not isinstance(sent.get("item"), str):
            return PlainTextResponse("refused: no answer to a rationale\n", 400)
        try:
            await run_in_threadpool(file.keep, sent["item"], sent.get("answer"))
        except ClinRaGenError as error:
            return PlainTextResponse(f"refused: {error}\n", 400)
        return JSONResponse({"saved": sent["item"]})

    name = file.path.stem
    routes = [
        Route(f"/{name}/", show, methods=["GET"]),
        Route(f"/{name}/answers", give, methods=["GET"]),
        Route(f"/{name}/answers", keep, methods=["POST"]),
    ]
    return Starlette(routes=routes)


def _access(port: int, rater: str) -> Access:
    # Cookies know neither ports nor raters: each needs a name of its own.
    return replace(Access.of_this_machine(port), cookie=f"clinragen-study-{port}-{rater}")


async def _nothing(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _write(rater: str, address: str) -> None:
    sys.stdout.write(f"Open {address}\n")
    sys.stdout.flush()

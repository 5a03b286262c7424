"""Serves the page of a model on this machine, to whoever knows its address."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from clinragen.demo.access import LOOPBACK, Access
from clinragen.demo.guard import Guard
from clinragen.demo.limits import LARGEST_FILE
from clinragen.demo.page import open_page
from clinragen.demo.uploads import OLDEST, private_uploads, remove_old
from clinragen.explain_config import ExplainConfig
from dataset_builder.storage.governance import is_credentialed, read_provenance
from modeling_clinragen.errors import SettingsError

logger = logging.getLogger(__name__)

# The browser's own memory would keep patients, the footer's links lead away from this machine, and an error that is
# not meant for the reader may quote a patient.
SERVED: dict[str, Any] = {
    "run_history": False,
    "footer_links": [],
    "show_error": False,
    "ssr_mode": False,
    "enable_monitoring": False,
    "mcp_server": False,
    "pwa": False,
    "max_file_size": LARGEST_FILE,
}
# Once the cookie is set, the token need not stand in the address bar and the browser's history.
_FORGET = (
    "<script>{const a = new URL(location); if (a.searchParams.has('token')) "
    "{a.searchParams.delete('token'); history.replaceState(null, '', a)}}</script>"
)


def serve(model: Path, config: ExplainConfig | None = None, *, cohort: Path | None = None, port: int = 7860) -> None:
    """Load a model and serve its page on 127.0.0.1 until interrupted. Its address is written to standard output.

    Args:
        model: Model folder.
        config: How patients are explained.
        cohort: Cohort whose test patients can be chosen; by default that of the run that made the model, if there is
            one and it is not credentialed. Credentialed patients are shown only where their cohort is named.
        port: Port; 0 picks a free one.

    Raises:
        SettingsError: gradio is not installed, the port is taken, or the cohort's vocabulary is not the model's.
        StageError: There is no model.
    """
    with listening_socket(LOOPBACK, port) as taken, private_uploads() as uploads:
        shown = cohort if cohort is not None else cohort_beside(model)
        page = open_page(model, config, cohort=shown, uploads=uploads)
        access = Access.of_this_machine(taken.getsockname()[1])
        run_page(page, access, taken, uploads)


def cohort_beside(model: Path) -> Path | None:
    """The cohort of the run that made a model, where its patients may be shown without being asked for."""
    beside = model.resolve().parent / "rationales"
    if not beside.is_dir():
        return None
    if is_credentialed(read_provenance(beside)):
        logger.warning("%s: credentialed, so its patients are not shown; name it with --cohort to show them", beside)
        return None
    return beside


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket bound to an address, before anything is loaded. Raises `SettingsError` where the port is taken."""
    taken = socket.socket()
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise SettingsError(f"port {port} of {host} cannot be used; choose another with --port") from error
    return taken


def run_page(
    page: Any, access: Access, taken: socket.socket, uploads: Path, announce: Callable[[str], None] | None = None
) -> None:
    """Serve a page until the process gets a signal to end.

    Args:
        page: The page (`gradio.Blocks`), built while `uploads` was the folder of uploads.
        access: Who may use it.
        taken: A bound socket.
        uploads: The folder of uploads; what lies there unread is removed after a while.
        announce: Gets the address when it can be opened; by default it is written to standard output.
    """
    from clinragen.demo.server import run_server

    app = Guard(asgi_app(page, uploads), access)
    try:
        taken.listen()
        (announce or _write)(address_of(access, taken))
        with suppress(KeyboardInterrupt):
            run_server(app, taken, uploads)
    finally:
        taken.close()


def address_of(access: Access, taken: socket.socket) -> str:
    """The address that opens a page."""
    host, port = taken.getsockname()[:2]
    return f"http://{host}:{port}/" + ("" if access.token is None else f"?token={access.token}")


def asgi_app(page: Any, uploads: Path) -> Any:
    """A page as an ASGI application, without anything that keeps others out (see `Guard`)."""
    from fastapi import FastAPI
    from gradio import mount_gradio_app

    from clinragen.demo.theme import looks

    @asynccontextmanager
    async def tidy(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_keep_tidy(uploads))
        yield
        task.cancel()

    app = FastAPI(lifespan=tidy, docs_url=None, redoc_url=None, openapi_url=None)
    look = looks()
    return mount_gradio_app(app, page, path="/", **SERVED, **{**look, "head": _FORGET + look["head"]})


async def _keep_tidy(uploads: Path) -> None:
    while True:
        await asyncio.sleep(OLDEST / 5)
        await asyncio.to_thread(remove_old, uploads)


def _write(address: str) -> None:
    sys.stdout.write(f"Open {address}\nWhoever has this address can use the page. Ctrl-C ends it.\n")
    sys.stdout.flush()

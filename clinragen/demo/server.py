"""The web server under a page, and how it ends.

Needs uvicorn, which comes with gradio: imported only where a page is served.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

# Seconds that open connections get when the page ends: every open browser holds one for ever.
_PATIENCE = 1
# So many seconds later the process ends though an explanation is under way, which nothing can interrupt.
_LAST = 2


def run_server(app: Any, taken: socket.socket, uploads: Path | None = None, patience: int = _PATIENCE) -> None:
    """Serve an ASGI application on a socket until the process gets SIGINT, SIGTERM or SIGHUP, which is then raised.

    After SIGTERM and SIGHUP open requests get `patience` seconds; soon after these the process ends, whatever is under
    way, and the folder `uploads`, where there is one, is gone.
    """
    # No log of the server's own: it has whole addresses, and messages that may quote a patient. `Guard` has one.
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=patience,
    )
    server = _Server(config, uploads, patience)
    hangup = None
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # The server itself knows the two others.
        hangup = signal.signal(signal.SIGHUP, server.handle_exit)
    try:
        server.run(sockets=[taken])
    finally:
        if hangup is not None:
            signal.signal(signal.SIGHUP, hangup)
    if server.hung_up:
        signal.raise_signal(signal.SIGHUP)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, uploads: Path | None, patience: int) -> None:
        super().__init__(config)
        self._patience = patience
        self.hung_up = False
        self._uploads = uploads

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in good order. After SIGINT the caller goes on; the other signals end the process, soon."""
        if sig != signal.SIGINT:
            threading.Thread(target=self._give_up, args=(sig,), daemon=True).start()
        self.hung_up |= sig == signal.SIGHUP
        super().handle_exit(sig, frame)

    def _give_up(self, number: int) -> None:
        # Python itself would wait for an explanation that is under way, and be killed with the uploads still there.
        time.sleep(self._patience + _LAST)
        if self._uploads is not None:
            shutil.rmtree(self._uploads, ignore_errors=True)
        os._exit(128 + number)

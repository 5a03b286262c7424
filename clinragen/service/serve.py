"""Serves a model to other programs over HTTP, to whoever has the token."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.demo.access import Access, Refusal
from clinragen.demo.serve import listening_socket
from clinragen.explain_config import ExplainConfig
from clinragen.service.config import HEALTH, TOKEN_VARIABLE, ServiceConfig
from modeling_clinragen.errors import InputDataError, SettingsError

PATIENCE = 30
"""Seconds that requests get which are under way when the service ends."""
SHORTEST = 16
"""Characters of a token."""


@dataclass(frozen=True)
class ServiceAccess(Access):
    """Who may use the service: as a page, but everybody on the machine may ask whether it is there."""

    def refusal(self, scope: Mapping[str, Any]) -> Refusal | None:
        """As `Access`."""
        found = super().refusal(scope)
        return None if found is not None and found.reason == "token" and scope["path"] == HEALTH else found


def find_token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The token of a file, else that of the environment; None where neither is given.

    Raises:
        InputDataError, SettingsError: As `read_token`.
    """
    if file is not None:
        return read_token(file)
    given = environment.get(TOKEN_VARIABLE)
    return None if given is None else _checked(given.strip(), TOKEN_VARIABLE)


def read_token(path: Path) -> str:
    """The token in the first line of a file.

    Raises:
        InputDataError: The file cannot be read, or others than its owner can.
        SettingsError: The token is too short, or has other characters than letters, digits, `-` and `_`.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise InputDataError(f"{path}: others can read this file; make it yours alone (chmod 600)")
        token = path.read_text(encoding="ascii").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputDataError(f"{path}: cannot be read as a line of ASCII; check the path") from error
    return _checked(token, f"{path}, first line")


def _checked(token: str, where: str) -> str:
    if len(token) < SHORTEST or re.fullmatch("[A-Za-z0-9_-]*", token) is None:
        raise SettingsError(
            f"{where}: expected at least {SHORTEST} letters, digits, - and _; make a token with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    return token


def serve_model(
    model: Path,
    explain: ExplainConfig,
    config: ServiceConfig,
    *,
    address: tuple[str, int],
    token: str | None = None,
    names: Sequence[str] = (),
) -> None:
    """Load a model and answer requests until the process gets a signal to end.

    Args:
        model: Model folder, or `hf://owner/name`.
        explain: How patients are explained.
        config: How requests are answered.
        address: Where to listen: 127.0.0.1, or within a container its own address, and the port; 0 picks a free one.
        token: What requests must bring (`Authorization: Bearer TOKEN`); by default a new one, which is written to
            standard output.
        names: Further host names, of a proxy on this machine that speaks HTTPS to the others.

    Raises:
        SettingsError: The port is taken, or fastapi is not installed.
        StageError: There is no model, or too little memory for as many as there are processes.
    """
    with listening_socket(*address) as taken:
        try:
            from clinragen.demo.server import run_server
            from clinragen.service.app import guarded_app
        except ImportError as error:
            raise SettingsError(
                "the service needs fastapi and uvicorn; install them with `pip install 'clinragen[serve]'`"
            ) from error
        from clinragen.inference import Explainer
        from clinragen.service.workers import Workers

        explainer = Explainer.from_pretrained(model, explain)
        own = Access.of_this_machine(taken.getsockname()[1])
        origins = own.origins | {f"https://{name}" for name in names}
        access = ServiceAccess(origins, token if token is not None else secrets.token_urlsafe(32), own.cookie)
        workers = Workers(explainer, model, explain, config.processes)
        taken.listen()
        host, port = taken.getsockname()[:2]
        shown = "" if token is not None else f"Authorization: Bearer {access.token}\n"
        sys.stdout.write(
            f"Serving http://{host}:{port} (POST /explain, POST /check, GET {HEALTH}, GET /openapi.json)\n{shown}"
        )
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            run_server(guarded_app(explainer, config, access, workers), taken, patience=PATIENCE)

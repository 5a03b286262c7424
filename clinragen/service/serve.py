"""Serves a model to other programs over HTTP, to whoever has the token."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinragen.checking.checked import check_text
from clinragen.checking.inputs import read_diagnoses
from clinragen.checking.render_json import result
from clinragen.claims.sentences import Patient
from clinragen.demo.access import Access, Refusal
from clinragen.demo.guard import Guard
from clinragen.demo.serve import LOOPBACK, listening_socket
from clinragen.explain_config import ExplainConfig
from clinragen.service.config import ServiceConfig
from modeling_clinragen.errors import InputDataError, SettingsError

HEALTH = "/healthz"
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
    if len(token) < SHORTEST or not all(letter.isalnum() or letter in "-_" for letter in token):
        raise SettingsError(
            f"{path}: expected at least {SHORTEST} letters, digits, - and _ in the first line; make a token with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
        )
    return token


def serve_model(
    model: Path,
    explain: ExplainConfig,
    config: ServiceConfig,
    *,
    port: int,
    token: str | None = None,
    names: Sequence[str] = (),
) -> None:
    """Load a model and answer requests on 127.0.0.1 until the process gets a signal to end.

    Args:
        model: Model folder, or `hf://owner/name`.
        explain: How patients are explained.
        config: How requests are answered.
        port: Port; 0 picks a free one.
        token: What requests must bring (`Authorization: Bearer TOKEN`); by default a new one, which is written to
            standard output.
        names: Further host names, of a proxy on this machine that speaks HTTPS to the others.

    Raises:
        SettingsError: The port is taken, or fastapi is not installed.
        StageError: There is no model.
    """
    try:
        from clinragen.demo.server import run_server
        from clinragen.service.app import service_app
    except ImportError as error:
        raise SettingsError("the service needs fastapi; install it with `pip install 'clinragen[demo]'`") from error
    with listening_socket(LOOPBACK, port) as taken:
        from clinragen.inference import Explainer
        from clinragen.service.render import explanation_result

        explainer = Explainer.from_pretrained(model, explain)
        checking = explainer.checking

        def check(text: str, patient: Patient, diagnoses: Sequence[str] | None) -> dict[str, Any]:
            listed = None if diagnoses is None else read_diagnoses("; ".join(diagnoses), checking.vocabulary)
            return result(check_text(text, patient, checking, listed))

        own = Access.of_this_machine(taken.getsockname()[1])
        origins = own.origins | {f"https://{name}" for name in names}
        access = ServiceAccess(origins, token if token is not None else secrets.token_urlsafe(32), own.cookie)
        app = Guard(service_app(explainer, explanation_result, check, config), access)
        taken.listen()
        address = f"http://{LOOPBACK}:{taken.getsockname()[1]}"
        shown = "" if token is not None else f"Authorization: Bearer {access.token}\n"
        sys.stdout.write(f"Serving {address} (POST /explain, POST /check, GET {HEALTH}, GET /openapi.json)\n{shown}")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            run_server(app, taken, patience=PATIENCE)

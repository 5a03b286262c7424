"""The command `serve`: a model for other programs, over HTTP."""

from __future__ import annotations

import os
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import typer

from clinragen.cli.explain import show_access_log
from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.demo.access import LOOPBACK
from clinragen.explain_config import ExplainConfig
from clinragen.service.config import TOKEN_VARIABLE, ServiceConfig
from modeling_clinragen.errors import SettingsError


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    command(
        app,
        "serve",
        [
            argument("model", Path, "Model folder, or hf://owner/name for a model on the Hub."),
            option("port", int, "Port; 0 picks a free one.", 8765),
            option(
                "bind",
                str,
                "Address to listen on: another than 127.0.0.1 only in a container, behind a port of this machine.",
                LOOPBACK,
            ),
            option(
                "token_file",
                Path | None,
                f"File with the token that requests bring [default: that in {TOKEN_VARIABLE}, or a new one].",
                None,
            ),
            option(
                "host",
                list[str] | None,
                "Host name of a proxy on this machine that speaks HTTPS to the others; once for each.",
                None,
            ),
            *config_parameters(ServiceConfig),
            *config_parameters(ExplainConfig),
        ],
        _serve,
        "Answer other programs over HTTP: patients in, checked explanations out.",
    )


def _serve(model: Path, port: int, bind: str, token_file: Path | None, host: list[str] | None, **values: Any) -> None:
    from clinragen.cli.display import quiet_libraries
    from clinragen.service.serve import find_token, serve_model

    if not 0 <= port <= 65535:
        raise SettingsError(f"--port: expected a whole number from 0 to 65535, got {port}")
    try:
        IPv4Address(bind)
    except ValueError as error:
        raise SettingsError(f"--bind: expected an address such as {LOOPBACK}, got '{bind}'") from error
    token = find_token(token_file, os.environ)
    config = config_from(ServiceConfig, values)
    explain = config_from(ExplainConfig, values)
    quiet_libraries()
    show_access_log()
    serve_model(model, explain, config, address=(bind, port), token=token, names=host or ())

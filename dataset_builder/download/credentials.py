"""User name and password for a server: from ~/.netrc, the environment or a prompt; kept only in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from netrc import NetrcParseError, netrc
from pathlib import Path

from modeling_clinragen.errors import SettingsError

USER = "PHYSIONET_USER"
PASSWORD = "PHYSIONET_PASSWORD"
HOW_TO_GIVE = f"give user name and password in ~/.netrc, in {USER} and {PASSWORD}, or at the prompt"


@dataclass(frozen=True)
class Credentials:
    """A user name and a password; neither is ever shown."""

    user: str = field(repr=False)
    password: str = field(repr=False)


Ask = Callable[[str], tuple[str, str]]
"""A prompt: given the host, it returns user name and password."""


def find_credentials(host: str, page: str, ask: Ask | None = None) -> Credentials:
    """The user's credentials for `host`: ~/.netrc first, then the environment, then `ask`.

    Raises `SettingsError` when there are none; the message says how to give them, and where the agreement is signed.
    """
    found = _from_netrc(host) or _from_environment()
    if found is None and ask is not None:
        found = Credentials(*ask(host))
    if found is None or not found.user or not found.password:
        raise SettingsError(
            f"{host}: a user name and a password are needed; {HOW_TO_GIVE} (first get an account, training and a "
            f"signed agreement: {page})"
        )
    return found


def _from_netrc(host: str) -> Credentials | None:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not path.is_file():
        return None
    try:
        # Only an entry for this very host: the entry "default" was not meant for it.
        entry = netrc(path).hosts.get(host)
    except NetrcParseError as error:
        # The parser's own message can quote a password.
        raise SettingsError(f"{path}: line {error.lineno} is not in netrc format; correct it") from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{path}: cannot be read as text; correct it") from None
    if entry is None:
        return None
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(f"{path}: others on this machine may read your passwords; run `chmod 600 {path}`")
    return Credentials(entry[0], entry[2] or "")


def _from_environment() -> Credentials | None:
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if not user and not password:
        return None
    if not user or not password:
        raise SettingsError(f"only one of {USER} and {PASSWORD} is set; set both")
    return Credentials(user, password)

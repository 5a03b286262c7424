"""The air gap: a process that reaches no other machine.

It belongs to the process: the environment says to libraries that they are offline, and Python itself asks a hook
before a socket is connected, a datagram sent, a port opened or a name resolved. The hook stays until the process ends,
since Python offers no way to remove one. It sees everything that goes through Python's sockets, whichever library that
is, and nothing that native code does on its own; docs/security.md says what to do about that.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from modeling_clinragen.errors import GovernanceError
from modeling_clinragen.loading_clinragen import AIR_GAP, air_gapped

OFFLINE = {
    AIR_GAP: "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    # The native client of the Hub's storage does not use Python's sockets.
    "HF_HUB_DISABLE_XET": "1",
    "WANDB_MODE": "offline",
    "COMET_MODE": "disabled",
    "MLFLOW_DISABLE_TELEMETRY": "1",
}
"""What tells libraries, and every process that this one starts, that there is no network."""
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRL_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
}
"""What tells libraries to report to nobody that they are used; the command line always sets it."""
LOCAL_NAMES = (None, "", "localhost", "localhost.localdomain", "ip6-localhost")
# The kernel's own, and files.
LOCAL_FAMILIES = tuple(getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if name in vars(socket))
_ADDRESSED = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind")
_NAMED = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
CURE = "the air gap is closed: only this machine (127.0.0.1) can be reached; leave --air-gap out, or use what is here"


def without_telemetry() -> None:
    """Tell the libraries that are loaded from now on to report to nobody; what the user has set stays."""
    for name, value in NO_TELEMETRY.items():
        os.environ.setdefault(name, value)


def close_air_gap() -> None:
    """Let this process, and those that it starts, reach no other machine; it cannot be undone.

    Best called before other libraries are loaded, which read the environment once. Everything that tries to reach
    another machine through Python's sockets raises `GovernanceError`.
    """
    os.environ |= {**NO_TELEMETRY, **OFFLINE}
    # A second time refuses the same.
    sys.addaudithook(_refuse_other_machines)
    # A name that one of these is given is resolved, by a question to another machine, before the hook is asked.
    for name in ("connect", "connect_ex", "sendto", "sendmsg", "bind"):
        setattr(socket.socket, name, _asked_first(name, getattr(socket.socket, name)))


def require_this_machine(host: str, what: str) -> None:
    """Raise `GovernanceError` where the air gap is closed and native code would connect to another machine.

    Args:
        host: Name, address or folder of a socket that a library was given.
        what: What is there, for the message.
    """
    if air_gapped() and not (host.startswith("/") or is_this_machine(host)):
        raise GovernanceError(f"{what} on {host}: {CURE}")


def is_this_machine(host: str | bytes | None) -> bool:
    """Whether a host's name or address is this machine's loopback, by its spelling alone: no name is looked up."""
    if isinstance(host, bytes):
        host = host.decode("ascii", errors="replace")
    if host is None or host.lower() in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    inside = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (inside is not None and inside.is_loopback)


def _refuse_other_machines(event: str, given: tuple[Any, ...]) -> None:
    if event in _ADDRESSED:
        _refuse_address(event, given[0], given[1])
    elif event in _NAMED:
        host = given[0][0] if isinstance(given[0], tuple) else given[0]
        if not is_this_machine(host):
            raise GovernanceError(f"{_shown(host)}: {CURE}")


def _refuse_address(event: str, through: socket.socket, address: Any) -> None:
    # A connected socket sends without an address, which was asked for before.
    if address is None or through.family in LOCAL_FAMILIES:
        return
    host = address[0] if isinstance(address, tuple) and isinstance(address[0], str | bytes) else "?"
    # Every address of this machine ("") is for others to connect to.
    if not is_this_machine(host) or (event == "socket.bind" and not host):
        raise GovernanceError(f"{_shown(host)}: {CURE}")


def _asked_first(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def asked(self: socket.socket, *given: Any) -> Any:
        addresses = [one for one in given if isinstance(one, tuple)]
        _refuse_address(f"socket.{name}", self, addresses[-1] if addresses else None)
        return method(self, *given)

    return asked


def _shown(host: str | bytes) -> str:
    text = host.decode("ascii", errors="replace") if isinstance(host, bytes) else host
    # A name that is looked up may be a whole URL by mistake, with a password in it.
    return (urlsplit(f"//{text}").hostname or "every address") if "@" in text or not text else text

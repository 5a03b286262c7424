"""The rules for patient data: privacy, publication, sending to services, and notices beside results.

They follow PhysioNet's data use agreement and its notice of September 2025; docs/governance.md says what is enforced
here and what cannot be. Where the origin of something is not recorded, the strictest rule holds.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from dataset_builder.storage.files import private_folder, read_json, write_json
from modeling_clinragen.errors import GovernanceError
from modeling_clinragen.loading_clinragen import air_gapped
from modeling_clinragen.provenance_clinragen import ORIGIN, PROVENANCE, UNRECORDED, is_credentialed, origins_of

UNRECORDED_STEP = {"step": "not recorded"}
SYNTHETIC_NOTICE = (
    "The patients are synthetic: they come from this project's synthetic hospital, and no number says anything about "
    "real patients."
)

LOCAL_TRACKERS = ("none", "tensorboard")
"""Experiment trackers that write to this machine's disk and send nothing."""

_LOOPBACK = {4: ipaddress.ip_network("127.0.0.0/8"), 6: ipaddress.ip_network("::1/128")}
# Letters, digits, dots and hyphens, or an IPv6 address in brackets, then perhaps a port: all else may be a trick.
_NETLOC = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?", re.ASCII)


def is_synthetic(provenance: Mapping[str, Any]) -> bool:
    """Whether the patients come from a synthetic hospital. Only a recorded "yes" is a yes."""
    return provenance.get("synthetic") is True


def provenance_notices(provenance: Mapping[str, Any]) -> list[str]:
    """Sentences that belong beside every result of these data: that patients are synthetic, and about the notes."""
    notices = [SYNTHETIC_NOTICE] if is_synthetic(provenance) else []
    about_notes = provenance.get("about_the_notes")
    return [*notices, about_notes] if isinstance(about_notes, str) and about_notes else notices


def read_provenance(folder: Path) -> dict[str, Any]:
    """Read `folder`'s provenance.json; a folder without one counts as credentialed data of unknown origin.

    Raises `InputDataError` when the file is there but cannot be read.
    """
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        return dict(UNRECORDED)
    content = read_json(path)
    return content if isinstance(content, dict) else dict(UNRECORDED)


def carry_provenance(parents: Iterable[Mapping[str, Any]], step: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of something made from `parents`; no parent at all counts as an unrecorded one.

    Everything that the first credentialed parent (else the first) says is kept. `origins` lists the source, release,
    title, version, licence and access of all parents, `credentialed` is true where one of them is credentialed,
    `synthetic` where one is and none is credentialed, and `steps` is the chain of what was done, this step last.

    Args:
        parents: Provenances of what it was made from.
        step: What was done.
        details: More about this step: JSON-able, and without anything from a patient.
    """
    known = [dict(parent) for parent in parents] or [dict(UNRECORDED)]
    base = next((parent for parent in known if is_credentialed(parent)), known[0])
    origins: list[Mapping[str, Any]] = []
    steps: list[Any] = []
    for parent in known:
        origins += [origin for origin in origins_of(parent) if origin not in origins]
        first = {"step": "build", "fingerprint": parent["fingerprint"]} if "fingerprint" in parent else UNRECORDED_STEP
        before = parent.get("steps") or [first]
        steps += [done for done in before if done not in steps]
    credentialed = any(is_credentialed(parent) for parent in known)
    return {
        **{key: UNRECORDED[key] for key in ORIGIN},
        **base,
        "credentialed": credentialed,
        # Published texts are among the parents of a knowledge base: they are not synthetic, and not patients.
        "synthetic": not credentialed and any(is_synthetic(parent) for parent in known),
        "origins": origins,
        "steps": [*steps, {"step": step, **details}],
    }


def write_provenance(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write `folder`/provenance.json; a folder with anything from credentialed data becomes private (0700)."""
    if is_credentialed(provenance):
        private_folder(folder)
    write_json(Path(folder) / PROVENANCE, dict(provenance))


def require_publishable(what: Path | Mapping[str, Any], destination: str) -> None:
    """Raise `GovernanceError` when `what` (a folder, or a provenance) comes from credentialed data.

    A private repository is refused as well: it is a third party's computer, and one click from being public.
    """
    provenance = what if isinstance(what, Mapping) else read_provenance(what)
    for origin in origins_of(provenance):
        if origin.get("credentialed") is False:
            continue
        name = "this" if isinstance(what, Mapping) else str(what)
        licence = origin.get("licence")
        terms = licence.get("name") if isinstance(licence, Mapping) else None
        raise GovernanceError(
            f"{name}: comes from {origin.get('title') or UNRECORDED['title']} "
            f"({terms or UNRECORDED['licence']['name']}) and cannot go to {destination}; publish code and aggregate "
            "results instead, or submit data and models to PhysioNet under the source's own licence"
        )


def require_local_trackers(trackers: Iterable[str]) -> None:
    """Raise `GovernanceError` when a tracker would send what a training on credentialed data shows elsewhere."""
    sending = sorted(set(trackers) - set(LOCAL_TRACKERS))
    if sending:
        raise GovernanceError(
            f"report_to: {', '.join(sending)} may send losses, settings and names to another machine, and this "
            f"training is on credentialed data; choose {' or '.join(LOCAL_TRACKERS)}"
        )


@dataclass(frozen=True)
class ServiceAcknowledgement:
    """A user's statements about a service that credentialed examples are sent to: PhysioNet's three conditions."""

    keeps_nothing: bool
    trains_on_nothing: bool
    nobody_reads: bool


def require_local(
    provenance: Mapping[str, Any], address: str, acknowledgement: ServiceAcknowledgement | None = None
) -> dict[str, Any]:
    """Raise `GovernanceError` when credentialed examples would leave this machine for a service at the URL `address`.

    They may leave only with an acknowledgement that makes all three statements, and nothing leaves where the air gap
    is closed. The returned record (the host, whether
    it is this machine, and the statements made) belongs in the provenance of the service's answers.
    """
    host, problem = _loopback(address)
    if problem is not None and air_gapped():
        raise GovernanceError(f"{problem}, and the air gap is closed; use a model served on 127.0.0.1")
    record = {"host": host, "local": problem is None, "acknowledgement": None}
    if problem is None or not is_credentialed(provenance):
        return record
    if acknowledgement is None:
        raise GovernanceError(
            f"credentialed examples stay on this machine, but {problem}; use a model served on 127.0.0.1, or "
            "acknowledge that the service keeps nothing, trains on nothing and nobody reads what is sent"
        )
    missing = [name.replace("_", " ") for name, stated in asdict(acknowledgement).items() if stated is not True]
    if missing:
        raise GovernanceError(
            f"credentialed examples stay on this machine, but {problem}; not acknowledged of the service: "
            f"{', '.join(missing)}"
        )
    return {**record, "acknowledgement": asdict(acknowledgement)}


def _loopback(address: str) -> tuple[str, str | None]:
    """The host of a URL, and why requests to it would leave this machine (None where they stay)."""
    try:
        parts = urlsplit(address)
        scheme, netloc, port = parts.scheme, parts.netloc, parts.port
    except ValueError:
        return "unreadable", "the service's address cannot be read; write http://127.0.0.1:PORT"
    # urlsplit drops tabs and line breaks that another parser might keep.
    if scheme not in ("http", "https") or not netloc or re.search(r"[\s\\\x00-\x1f]", address):
        return "unreadable", "the service's address is not a plain http or https URL; write http://127.0.0.1:PORT"
    match = _NETLOC.fullmatch(netloc)
    if match is None or port == 0:
        # Not repeated: it may contain a password.
        return "unreadable", "the service's address is more than a host and a port; write http://127.0.0.1:PORT"
    host = match.group(1).strip("[]").lower()
    if host == "localhost":
        if not _resolves_to_loopback(host):
            return host, "this machine resolves 'localhost' to another machine; write 127.0.0.1"
    else:
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return host, f"'{host}' is not this machine"
        # Not is_loopback: nobody serves a model on an IPv4 address inside an IPv6 one.
        if ip not in _LOOPBACK[ip.version]:
            return host, f"'{host}' is not this machine"
    proxies = getproxies()
    if (proxies.get(scheme) or proxies.get("all")) and not proxy_bypass(host):
        return host, f"a proxy is set that requests to '{host}' would go through; add it to NO_PROXY"
    return host, None


def _resolves_to_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found)

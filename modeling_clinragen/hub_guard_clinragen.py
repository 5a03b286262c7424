"""Keeps a process that holds something credentialed from writing to the Hub.

A rule on single classes would leave most ways open: an inner language model, a tokenizer, a view of a dataset, a PEFT
wrapper and `HfApi` itself each have a way of their own. All of them end in the HTTP client that huggingface_hub shares
between its functions, or in its native uploader (hf_xet). So both refuse to write, whoever asks.

The guard belongs to the process by nature, as the client does: once something credentialed has been loaded, nothing is
written to the Hub until the process ends, open data and models included. What one process cannot stop (`hf upload` in
another one, `cp`, an HTTP client of one's own) is listed in docs/security.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import GovernanceError

READING = ("GET", "HEAD", "OPTIONS")
# A list of paths that somebody asks about is posted, too; it changes nothing.
_LISTING = re.compile(r"/api/(models|datasets|spaces|buckets)/.+/paths-info(/.*)?")
_WRITE_TOKEN = re.compile(r"/xet-write-token(/|$)")
# By version of hf_xet: methods of the session, or functions of the module.
NATIVE_UPLOADS = (("XetSession", "new_upload_commit"), (None, "upload_files"), (None, "upload_bytes"))
CURE = (
    "this process has loaded data or a model under a data use agreement, or of an origin that is not recorded, so it "
    "writes nothing to the Hub; push what is open from a process that has loaded nothing else"
)


def refuse_hub_writes() -> None:
    """From now on the Hub's client in this process raises `GovernanceError` instead of writing.

    Reading stays possible. To be called by whatever loads something credentialed; a second call changes nothing.
    """
    from huggingface_hub.utils import _http

    # The setters are public; which factory is set is not, and one of the user's (a proxy, certificates) must stay.
    if not _guarded(_http._GLOBAL_CLIENT_FACTORY):
        _http.set_client_factory(_GuardedFactory(_http._GLOBAL_CLIENT_FACTORY, _refuse_write))
    if not _guarded(_http._GLOBAL_ASYNC_CLIENT_FACTORY):
        _http.set_async_client_factory(_GuardedFactory(_http._GLOBAL_ASYNC_CLIENT_FACTORY, _refuse_write_async))
    _close_native_uploads()


@dataclass(frozen=True)
class _GuardedFactory:
    """Makes the client of another factory, which asks `hook` before every request, redirected ones included."""

    make: Callable[[], Any]
    hook: Callable[[Any], Any]
    is_hub_guard: bool = True

    def __call__(self) -> Any:
        client = self.make()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "request": [self.hook, *hooks.get("request", [])]}
        return client


def _guarded(factory: Any) -> bool:
    # By its mark, not its class: a model loaded with its own copy of this file has a class of its own.
    return getattr(factory, "is_hub_guard", False)


def _refuse_write(request: Any) -> None:
    path = request.url.path
    reads = request.method in READING and not _WRITE_TOKEN.search(path)
    if not reads and not (request.method == "POST" and _LISTING.fullmatch(path)):
        raise GovernanceError(f"{request.method} {request.url.host}{path}: refused; {CURE}")


async def _refuse_write_async(request: Any) -> None:
    _refuse_write(request)


def _close_native_uploads() -> None:
    try:
        import hf_xet
    except ImportError:
        return
    for owner, name in NATIVE_UPLOADS:
        holder = hf_xet if owner is None else vars(hf_xet).get(owner)
        if holder is not None and name in vars(holder):
            setattr(holder, name, _refuse_upload)


def _refuse_upload(*args: Any, **kwargs: Any) -> Any:
    raise GovernanceError(f"an upload to the Hub was refused; {CURE}")

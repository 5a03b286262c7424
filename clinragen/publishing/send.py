"""Sends a shipment to the Hub with the Hub's own client, which finds the user's token and endpoint."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

from clinragen.publishing.shipment import Shipment
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError
from modeling_clinragen.library_errors import NO_HUB, raised_in, user_error

AGAIN = "what has arrived stays there, and the same command again completes it"
OURS = {
    "model": ("*.safetensors", "*.safetensors.index.json", "*.py"),
    "dataset": ("data/*.parquet",),
    "space": ("*.py", "model/*"),
}
"""By kind of repository, files of an earlier push that go where the new one has them no more."""


def require_way(repository: str) -> None:
    """Raise `SettingsError` where nothing could be sent from here: offline, or without a token."""
    from huggingface_hub import constants, get_token

    if constants.is_offline_mode():
        raise SettingsError(
            f"{repository}: HF_HUB_OFFLINE or the air gap keeps this process from the Hub; unset it, or add --dry-run"
        )
    if get_token() is None:
        raise SettingsError(
            f"{repository}: there is no token of yours; log in with `hf auth login`, set HF_TOKEN, or add --dry-run"
        )


def send(shipment: Shipment, *, private: bool = False) -> str:
    """Create the repository where there is none, and send the files as one commit.

    All files arrive or none: the commit is the last request. What was uploaded before a cut is not uploaded again.

    Args:
        shipment: The files.
        private: Whether a new repository is private; one that exists stays what it is.

    Returns:
        The address of the commit.

    Raises:
        InputDataError: The server cannot be reached or refuses; one line without anything of the files.
        GovernanceError: This process has loaded something credentialed.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api, repository, kind = HfApi(), shipment.repository, shipment.kind
    sdk = "gradio" if kind == "space" else None
    known: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError, *_http_errors())
    try:
        api.create_repo(repository, repo_type=kind, private=private or None, exist_ok=True, space_sdk=sdk)
        before = api.list_repo_files(repository, repo_type=kind)
        gone = [
            name
            for name in before
            if name not in shipment.files and any(fnmatch(name, pattern) for pattern in OURS[kind])
        ]
        operations: list[Any] = [CommitOperationDelete(name) for name in gone]
        operations += [CommitOperationAdd(name, content) for name, content in sorted(shipment.files.items())]
        message = f"Send a {kind} with clinragen"
        done = api.create_commit(repository, operations, commit_message=message, repo_type=kind)
    except known as error:
        named = _named(error, repository)
        if named is None:
            raise
        raise named from error
    return str(done.commit_url)


def _http_errors() -> tuple[type[Exception], ...]:
    """The errors of the HTTP library that this version of the client uses, for a connection that fails or is cut."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")


def _named(error: Exception, repository: str) -> ClinRaGenError | None:
    """An error of the client in one line; None for one that is not the client's."""
    from huggingface_hub.errors import HfHubHTTPError

    # Of one file among many, the client raises an error of its own.
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    answer = next((one for one in (error, cause) if isinstance(one, HfHubHTTPError)), None)
    if answer is not None:
        status = answer.response.status_code
        if status in (401, 403):
            return InputDataError(
                f"{repository}: the Hub refuses the token ({status}); log in with one that may write there"
            )
        return InputDataError(f"{repository}: the Hub answered {status}; {AGAIN}")
    known = user_error(cause)
    # Whichever library of HTTP the client uses, its errors are in that table.
    if isinstance(cause, ConnectionError | TimeoutError) or (known is not None and str(known) == NO_HUB):
        return InputDataError(f"{repository}: the connection to the Hub was cut or failed; {AGAIN}")
    if known is None and raised_in(error, "huggingface_hub"):
        return InputDataError(f"{repository}: the Hub's client stopped ({type(error).__name__}); {AGAIN}")
    return known

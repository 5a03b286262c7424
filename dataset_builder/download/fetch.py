"""Downloads the files of a PhysioNet dataset that the builder reads, in PhysioNet's own folders."""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.download.catalogue import DownloadSpec, find_dataset, needed_files, parse_checksums
from dataset_builder.download.credentials import HOW_TO_GIVE, Ask, Credentials, find_credentials
from dataset_builder.download.server import Server
from dataset_builder.sources.spec import Source, load_source
from dataset_builder.storage.files import atomic_file, disk_errors_named, file_digest, make_private, private_folder
from dataset_builder.storage.http import RetryPolicy, check_base_url
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import InputDataError

logger = logging.getLogger(__name__)

CHECKSUMS = "SHA256SUMS.txt"


@dataclass(frozen=True)
class Downloaded:
    """The result of a download: `root` is for `clinragen build SOURCE --root`; `kept` files were there before."""

    source: str
    root: Path
    fetched: tuple[Path, ...]
    kept: tuple[Path, ...]


@dataclass(frozen=True)
class _Wanted:
    folder: Path
    checksums: str
    digests: dict[str, str]


def download(
    dataset: str,
    folder: Path,
    *,
    version: str | None = None,
    base_url: str | None = None,
    credentials: Credentials | None = None,
    ask: Ask | None = None,
    report: Report = no_report,
    retry: RetryPolicy | None = None,
) -> Downloaded:
    """Download the files that the builder needs to `folder`/<slug>/<version>/, each verified by its SHA-256.

    Run again, it keeps what is complete and continues what is not. Folders of credentialed data are private (0700)
    before the first byte arrives.

    Args:
        dataset: One of `dataset_names()`.
        folder: Where PhysioNet's folders are made.
        version: Another version than the newest.
        base_url: Another address than PhysioNet's, with the same layout below it.
        credentials: User name and password; by default those of ~/.netrc, else of PHYSIONET_USER and
            PHYSIONET_PASSWORD, else what `ask(host)` returns. Only credentialed datasets need them.
        report: Called with the bytes of a file that are here and its size (None where the server does not give it);
            the remark is the file's path.
        retry: Timeouts and retries.

    Raises:
        SettingsError: Unknown dataset or version, a base URL that cannot work, or credentials are needed and missing.
        InputDataError: The server refuses or cannot be reached, a sum is wrong, a table is missing, the disk is full.
    """
    spec = find_dataset(dataset, version)
    source = load_source(spec.source, shipped_definitions())
    cure = f"leave them out and {HOW_TO_GIVE}"
    base = check_base_url(base_url or spec.base_url, credentialed=spec.credentialed, cure=cure)
    folder = Path(folder)
    _require_place(folder)
    if not spec.credentialed:
        credentials = None
    elif credentials is None:
        credentials = find_credentials(urlsplit(base).hostname or "", spec.parts[0].page, ask)
    fetched: list[Path] = []
    kept: list[Path] = []
    servers = [
        Server(
            f"{base}{part.slug}/{part.version}/",
            page=part.page,
            user_agent=spec.user_agent,
            credentials=credentials,
            retry=retry or RetryPolicy(),
        )
        for part in spec.parts
    ]
    # All lists first: a refusal or a missing table is found before hours of downloading.
    plans = _plan(spec, source, servers, folder)
    for server, wanted in zip(servers, plans, strict=True):
        _make_folder(wanted.folder, spec, folder)
        with atomic_file(wanted.folder / CHECKSUMS) as beside:
            beside.write_text(wanted.checksums, encoding="utf-8")
        with server:
            for path, digest in wanted.digests.items():
                target = wanted.folder / path
                _make_folder(target.parent, spec, folder)
                if target.is_file() and file_digest(target) == digest:
                    kept.append(target)
                    continue
                server.fetch(path, target, digest, private=spec.credentialed, report=report)
                fetched.append(target)
        if spec.credentialed:
            make_private(wanted.folder)
    logger.info("%s: %d files fetched, %d were there", spec.title, len(fetched), len(kept))
    return Downloaded(spec.source, plans[0].folder, tuple(fetched), tuple(kept))


def _require_place(folder: Path) -> None:
    """Raise `InputDataError` where no folder can be at `folder`, before anything is asked for or fetched."""
    with disk_errors_named(folder):
        for path in (folder, *folder.parents):
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(found.st_mode):
                raise InputDataError(f"{folder}: is or lies below a file; choose another output folder")
            return


def _plan(spec: DownloadSpec, source: Source, servers: list[Server], folder: Path) -> list[_Wanted]:
    plans, found = [], set()
    for part, server in zip(spec.parts, servers, strict=True):
        text = server.read_text(CHECKSUMS)
        sums = parse_checksums(text, f"{server.address}{CHECKSUMS}")
        tables, licences = needed_files(sums, source)
        if not licences:
            logger.warning("%s: lists no licence file; the builder will treat it as credentialed data", server.address)
        found |= set(tables)
        digests = {path: sums[path] for path in [*licences, *tables.values()]}
        plans.append(_Wanted(folder / part.slug / part.version, text, digests))
    missing = [table.file for table in source.tables.values() if not table.optional and table.file not in found]
    if missing:
        raise InputDataError(
            f"{servers[0].address}{CHECKSUMS}: lists no table '{missing[0]}'; check the version and the base URL"
        )
    return plans


def _make_folder(path: Path, spec: DownloadSpec, outer: Path) -> None:
    if not spec.credentialed:
        with disk_errors_named(path):
            path.mkdir(parents=True, exist_ok=True)
        return
    if not outer.exists():
        private_folder(outer)
    # Every level below the user's own folder, the highest first.
    below = [path, *path.parents][: len(path.relative_to(outer).parts)]
    for level in reversed(below):
        private_folder(level)

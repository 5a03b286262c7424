"""Reads FHIR resources from files, one after the other: NDJSON line by line, a Bundle as a whole."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from dataset_builder.fhir.elements import listed, mapping, name_of, text_of
from modeling_clinragen.errors import InputDataError

LINES = (".ndjson", ".jsonl")
PACKED = ".gz"


@dataclass(frozen=True)
class Found:
    """A resource, and the names by which others refer to it ("Patient/1", a URN)."""

    kind: str
    names: tuple[str, ...]
    content: Mapping[str, Any]


def resources(paths: Iterable[Path], only: tuple[str, ...] = ()) -> Iterator[Found]:
    """Every resource in files of NDJSON (.ndjson, .jsonl) and JSON (a Bundle or one resource), packed or not.

    Memory is that of one line, or of one file that is not of lines.

    Args:
        paths: The files.
        only: Types of resources; all without any. Lines of others are not even parsed.

    Raises:
        InputDataError: A file cannot be read, is cut off, or is not JSON; the message names the file and the line.
    """
    marks = [f'"{kind}"'.encode() for kind in only]
    for path in paths:
        with _opened(path) as stream:
            if path.name.removesuffix(PACKED).endswith(LINES):
                for number, line in enumerate(stream, start=1):
                    if line.strip() and (not marks or any(mark in line for mark in marks)):
                        yield from _in(_parsed(line, f"{path}: line {number}"), only)
            else:
                yield from _in(_parsed(stream.read(), str(path)), only)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as plain:
            yield cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if path.name.endswith(PACKED) else plain
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror or 'not gzip'}); check the file") from error
    except (EOFError, zlib.error) as error:
        raise InputDataError(f"{path}: is cut off or damaged; copy it again") from error


def _parsed(content: bytes, where: str) -> Any:
    try:
        return json.loads(content, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise InputDataError(
            f"{where}: is not JSON; the file is cut off or damaged, copy it again (a file with a resource in each "
            "line ends in .ndjson)"
        ) from error


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _in(content: Any, only: tuple[str, ...], address: str | None = None, depth: int = 0) -> Iterator[Found]:
    """The resources in a parsed document; a Bundle in a Bundle too."""
    resource = mapping(content)
    kind = text_of(resource.get("resourceType")) or ""
    if kind == "Bundle" and depth < 2:
        for entry in map(mapping, listed(resource.get("entry"))):
            yield from _in(entry.get("resource"), only, name_of(entry.get("fullUrl")), depth + 1)
    elif not only or kind in only:
        own = text_of(resource.get("id"))
        named = name_of(f"{kind}/{own}") if own is not None else None
        yield Found(kind, tuple(dict.fromkeys(name for name in (named, address) if name is not None)), resource)

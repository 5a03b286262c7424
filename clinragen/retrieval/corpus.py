"""Reads the passages in a folder: PubMed's baseline files, plain text, Markdown and JSON lines."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from clinragen.retrieval.passages import Passage, read_passages
from clinragen.retrieval.pubmed_xml import BrokenXMLError, passage_of, pmids_of, read_records
from modeling_clinragen.errors import InputDataError

PASSAGE_WORDS = 200  # paragraphs are joined up to this length; a longer paragraph stays whole
MAX_PASSAGES = 1_000_000  # about 10 GB of memory while they are indexed

Entry = tuple[tuple[str, str], Passage | None]
"""A key with its passage; None withdraws the passage of an earlier file."""


def corpus_files(folder: Path) -> list[Path]:
    """The readable files below `folder`, by name, without hidden ones.

    Raises `InputDataError` where there is none.
    """
    if not folder.is_dir():
        raise InputDataError(f"{folder}: not a folder; give one with a local corpus")
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name.endswith(tuple(READERS)) and not _hidden(path.relative_to(folder))
    ]
    if not found:
        raise InputDataError(f"{folder}: no corpus files ({', '.join(READERS)}); check the folder")
    return found


def read_corpus(folder: Path) -> list[Passage]:
    """All passages of a folder, file by file; of several with the same source and id, the last one.

    A citation that a later PubMed file deletes, retracts or leaves without an abstract is dropped. The id of a passage
    from a text file is "folder/file#number".

    Raises:
        InputDataError: A file is damaged or cut off, or there are too many passages to be ranked in memory.
    """
    passages: dict[tuple[str, str], Passage] = {}
    for path in corpus_files(folder):
        read = next(reader for ending, reader in READERS.items() if path.name.endswith(ending))
        for key, passage in read(path, f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"):
            passages.pop(key, None)
            if passage is not None:
                passages[key] = passage
            if len(passages) > MAX_PASSAGES:
                raise InputDataError(f"{folder}: more than {MAX_PASSAGES:,} passages; give fewer files")
    return list(passages.values())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_pubmed(path: Path, name: str) -> Iterator[Entry]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for record in read_records(stream):
                passage = passage_of(record)
                for pmid in pmids_of(record):
                    yield ("pubmed", pmid), passage
    except BrokenXMLError as error:
        raise InputDataError(f"{path}: {error}; download the file again") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputDataError(f"{path}: gzip file is incomplete; download the file again") from error


def _read_lines(path: Path, name: str) -> Iterator[Entry]:
    for passage in read_passages(path):
        yield passage.key, passage


def _read_text(path: Path, name: str) -> Iterator[Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputDataError(f"{path}: not UTF-8 text; save the file in UTF-8") from error
    for number, (title, piece) in enumerate(_pieces(text, path.stem)):
        passage = Passage("local", f"{name}#{number}", title, piece, date="", licence="", url="")
        yield passage.key, passage


def _pieces(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Title and text of each piece: paragraphs joined up to `PASSAGE_WORDS`, a new piece at each Markdown heading."""
    for block in re.split(r"^(?=#{1,6} )", text, flags=re.MULTILINE):
        heading = re.match(r"#+ +(\S.*)", block)
        title = f"{name}: {heading.group(1).strip()}" if heading else name
        body = block[heading.end() :] if heading else block
        joined: list[str] = []
        words = 0
        for paragraph in filter(None, map(str.strip, re.split(r"\n\s*\n", body))):
            size = len(paragraph.split())
            if joined and words + size > PASSAGE_WORDS:
                yield title, "\n\n".join(joined)
                joined, words = [], 0
            joined.append(paragraph)
            words += size
        if joined:
            yield title, "\n\n".join(joined)


READERS: dict[str, Callable[[Path, str], Iterator[Entry]]] = {
    ".xml.gz": _read_pubmed,
    ".xml": _read_pubmed,
    ".jsonl": _read_lines,
    ".txt": _read_text,
    ".md": _read_text,
}

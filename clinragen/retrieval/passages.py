"""A passage of text with its origin, and files of passages (JSON lines)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import atomic_file
from modeling_clinragen.errors import InputDataError

REQUIRED = ("source", "id", "text")
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?", re.ASCII)


@dataclass(frozen=True)
class Passage:
    """A piece of medical text as one source gives it; (`source`, `id`) names it.

    `source` is "pubmed", "wikipedia", "local" or what a user's own JSON lines say. `date` is ISO 8601, as precise as
    in the source: "2024-01-31", "2024-01", "2024" or "" where there is none. `licence` is in words and `url` is
    where the passage can be read; both may be empty.

    Raises:
        TypeError: A field is not a text.
        ValueError: Source, id or text is empty, or the date is malformed. The message quotes nothing.
    """

    source: str
    id: str
    title: str
    text: str
    date: str
    licence: str
    url: str

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str):
                raise TypeError(f"'{name}' must be a text")
            if name in REQUIRED and not value.strip():
                raise ValueError(f"'{name}' must not be empty")
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError(f"'{name}' contains half a character (a lone surrogate)")
        if self.date and not _DATE.fullmatch(self.date):
            raise ValueError("'date' must be like 2024-01-31, 2024-01 or 2024")

    @property
    def key(self) -> tuple[str, str]:
        """Source and id, which identify the passage."""
        return self.source, self.id

    def to_dict(self) -> dict[str, str]:
        """The fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Passage:
        """The passage that `to_dict` made; fields other than source, id and text may be left out.

        Raises:
            TypeError, ValueError: The content is malformed; the message names the field and quotes nothing.
        """
        if not isinstance(content, Mapping):
            raise TypeError("a passage must be an object")
        names = [field.name for field in fields(cls)]
        if unknown := sorted(set(content) - set(names)):
            raise ValueError(f"unknown field {unknown[0]!r}; use {', '.join(names)}")
        if missing := [name for name in REQUIRED if name not in content]:
            raise ValueError(f"'{missing[0]}' is missing")
        return cls(**{name: content.get(name, "") for name in names})


def write_passages(path: Path, passages: Iterable[Passage]) -> None:
    """Write passages as JSON lines (UTF-8), atomically."""
    with atomic_file(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as stream:
        for passage in passages:
            stream.write(json.dumps(passage.to_dict(), ensure_ascii=False) + "\n")


def read_passages(path: Path) -> Iterator[Passage]:
    """Read passages from JSON lines, one by one; empty lines are skipped.

    Raises `InputDataError` that names the file, and the line where one is faulty.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _parse(line, f"{path}: line {number}")
    except FileNotFoundError as error:
        raise InputDataError(f"{path}: missing; check the path") from error
    except UnicodeDecodeError as error:
        raise InputDataError(f"{path}: not UTF-8 text; save the file in UTF-8") from error


def _parse(line: str, where: str) -> Passage:
    try:
        return Passage.from_dict(json.loads(line))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputDataError(f"{where}: not JSON; write one object per line") from error
    except (TypeError, ValueError) as error:
        raise InputDataError(f"{where}: {error}; correct the line") from error

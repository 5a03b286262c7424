"""Where a table is: a file, several files that are one table, or a table in a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class DatabaseTable:
    """A table in a database."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Files:
    """Several files below one folder that are read together."""

    folder: Path
    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    def __str__(self) -> str:
        return str(self.folder)


Place: TypeAlias = Path | DatabaseTable | Files

"""Where a table is: a file, or a table in a database."""

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


Place: TypeAlias = Path | DatabaseTable

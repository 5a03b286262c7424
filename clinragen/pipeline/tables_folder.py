"""Where the tables of a synthetic hospital are in the output of the stage `synthesize`."""

from __future__ import annotations

from pathlib import Path

TABLES = "tables"
"""The folder with the tables, in the stage's own."""


def tables_of(folder: str | Path) -> Path:
    """The folder with the tables: the one in the output of the stage `synthesize`, else `folder` itself."""
    inner = Path(folder) / TABLES
    return inner if inner.is_dir() else Path(folder)

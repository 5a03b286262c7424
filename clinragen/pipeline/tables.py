"""A source's tables as an input of the stage `build`: a folder with what lies beside it, or a database."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.digests import HashCache
from clinragen.pipeline.synthesize import TABLES


class Tables:
    """The tables below `root`, a folder or a postgresql:// URL. They are read, never written."""

    def __init__(self, root: str | Path, config: BuildConfig) -> None:
        self._root = root
        self._config = config

    @property
    def location(self) -> Path | str:
        """The folder, or the database's URL as text."""
        from dataset_builder.sources.locate import is_database_url

        if is_database_url(str(self._root)):
            return str(self._root)
        inner = Path(self._root) / TABLES
        return inner if inner.is_dir() else Path(self._root)

    def input_digest(self, cache: HashCache, patterns: Iterable[str]) -> Any:
        """Digests of the tables that the build reads, their version and licence, and a database's state."""
        from dataset_builder.cohort.build import locate_for

        located = locate_for(self._config.source, self.location, self._config)
        return {
            "tables": {
                name: cache.digest(place) for name, place in sorted(located.paths.items()) if isinstance(place, Path)
            },
            "release": [located.release.name, located.release.credentialed, located.version],
            "states": dict(located.states),
            "source": cache.digest(located.source.path),
        }

"""A source's tables as an input of the stage `build`: a folder with what lies beside it, or a database."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.digests import HashCache
from clinragen.pipeline.tables_folder import tables_of

PLACE_OF_DATABASE = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
}
"""What tells one database from another in a URL, and the environment variable that stands in for it."""


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
        return tables_of(self._root)

    def input_digest(self, cache: HashCache, patterns: Iterable[str]) -> Any:
        """Digests of the tables that the build reads, their version and licence, and a database's state."""
        from dataset_builder.cohort.build import locate_for

        location = self.location
        database = _database_of(location) if isinstance(location, str) else None
        located = locate_for(self._config.source, location, self._config)
        return {
            "database": database,
            "tables": {
                name: cache.digest(place) for name, place in sorted(located.paths.items()) if isinstance(place, Path)
            },
            **_parts(located.paths.values(), cache),
            "release": [located.release.name, located.release.credentialed, located.version],
            "states": dict(located.states),
            "source": cache.digest(located.source.path),
        }


def _parts(places: Iterable[Any], cache: HashCache) -> dict[str, Any]:
    """Digests of the files that all tables of a source are seen in; nothing for one whose tables are files."""
    from dataset_builder.engines.places import Files

    files = {path for place in places if isinstance(place, Files) for path in place.paths}
    return {"parts": [cache.digest(path) for path in sorted(files)]} if files else {}


def _database_of(url: str) -> dict[str, str]:
    """Which database a URL names, without its role. Afterwards its counters of changed rows are complete."""
    from dataset_builder.engines.engine import missing_library_named

    with missing_library_named("postgres"):
        from psycopg.conninfo import conninfo_to_dict

        from dataset_builder.sources.postgres_catalog import wait_for_counters

    wait_for_counters(url)  # by these the states of the tables show a change
    parts = conninfo_to_dict(url)
    # Where the URL leaves something out, the client library takes it from the environment, and the database's name
    # from the role.
    found = {
        name: str(parts.get(name) or os.environ.get(variable) or "") for name, variable in PLACE_OF_DATABASE.items()
    }
    return {**found, "dbname": found["dbname"] or str(parts.get("user") or os.environ.get("PGUSER") or "")}

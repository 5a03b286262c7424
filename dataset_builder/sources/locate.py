"""Finds a source on the user's disk or in a database: the place of every table, the version, and the release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dataset_builder.engines.engine import missing_library_named
from dataset_builder.engines.places import DatabaseTable, Files, Place
from dataset_builder.sources.event_files import event_files, event_version, resource_files
from dataset_builder.sources.spec import LAYOUTS, Release, Source
from modeling_clinragen.errors import InputDataError, SettingsError

SUFFIXES = (".parquet", ".csv.gz", ".csv")
URL = "[A-Za-z][A-Za-z0-9+.:-]+:/"  # one letter is a Windows drive

NAMED_FOLDERS = 3  # "mimiciv/2.2/hosp"


@dataclass(frozen=True)
class LocatedSource:
    """A source that was found: the place of every logical table that is there, its version and its release.

    `root` is the folder, or the database's URL as text, without a password. `states` of tables in a database change
    when their rows change.
    """

    source: Source
    root: Path | str
    paths: Mapping[str, Place]
    version: str
    release: Release
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """The tables that are files, and the files of those that are several."""
        found = [place for place in self.paths.values() if isinstance(place, Path)]
        several = {path for place in self.paths.values() if isinstance(place, Files) for path in place.paths}
        return [*found, *sorted(several)]


def locate(source: Source, root: Path | str) -> LocatedSource:
    """Find the source's files below (or, for notes, beside) `root`, or its tables in the database that `root` names.

    A database has no licence file: of its releases the strictest is assumed. Raises `InputDataError` naming what is
    missing.
    """
    if is_database_url(root):
        return _locate_in_database(source, str(root))
    root = Path(root)
    if not root.is_dir():
        raise InputDataError(
            f"{root}: is not a folder; give the folder with the {source.title} tables{_made_by(source)}"
        )
    if source.layout != LAYOUTS[0]:
        return _locate_parts(source, root)
    paths: dict[str, Place] = {**find_tables(source, root)}
    for table in source.tables.values():
        if table.name not in paths and not table.optional:
            looked = ", ".join(dict.fromkeys(pattern for pattern in source.folders if not pattern.startswith("..")))
            raise InputDataError(
                f"{root}: has no table '{table.file}' (.csv, .csv.gz or .parquet; looked in {looked}); "
                f"give the {source.title} folder{_made_by(source)}"
            )
    found = {name: path for name, path in paths.items() if isinstance(path, Path)}
    return LocatedSource(source, root, paths, _find_version(source, found), _find_release(source, root, found))


def _locate_parts(source: Source, root: Path) -> LocatedSource:
    """A source whose tables are all seen in the same files."""
    place = event_files(root) if source.layout == "events" else resource_files(root)
    version = event_version(root) if source.layout == "events" else "unknown"
    release = _find_release(source, root, {"": place.paths[0]})
    return LocatedSource(source, root, dict.fromkeys(source.tables, place), version, release)


def find_tables(source: Source, root: Path) -> dict[str, Path]:
    """The files of the source's tables that are there, by the table's name."""
    folders = [folder for pattern in source.folders for folder in _folders(root, pattern)]
    found = {table.name: _find(folders, table.file) for table in source.tables.values()}
    return {name: path for name, path in found.items() if path is not None}


def _made_by(source: Source) -> str:
    return f", which `{source.tables_by}` makes" if source.tables_by else ""


def is_database_url(root: Path | str) -> bool:
    """Whether `root` names a database.

    Raises `SettingsError` for another URL, and for one that was made a path, which damages it. The message does not
    repeat it: it may contain a password.
    """
    if not re.match(URL, str(root)):
        return False
    if isinstance(root, Path):
        raise SettingsError("root is a URL that was converted to a path; pass it as text")
    if not root.startswith(("postgresql://", "postgres://")):
        raise SettingsError("root is a URL of an unknown kind; give a folder or postgresql://user@host:port/database")
    return True


def _locate_in_database(source: Source, url: str) -> LocatedSource:
    with missing_library_named("postgres"):
        from dataset_builder.sources.postgres_catalog import find_tables

    if not source.schemas:
        raise SettingsError(f"{source.title} is read from files only: its source file names no database schemas")
    names = {table.name: table.file.lower() for table in source.tables.values()}
    found, present = find_tables(url, source.schemas, list(names.values()))
    # Where several schemas have a table, the first schema wins, as the first folder does.
    found.sort(key=lambda table: source.schemas.index(table.schema), reverse=True)
    by_name = {table.name: table for table in found}
    missing = ", ".join(schema for schema in source.schemas if schema not in present)
    for table in source.tables.values():
        place = by_name.get(names[table.name])
        if place is None and not table.optional:
            raise InputDataError(
                f"{url}: has no table '{names[table.name]}' in the schemas {', '.join(source.schemas)}"
                + (f" (there is no schema {missing})" if missing else "")
                + f"; load {source.title} with mimic-code's scripts, or give the database that has it"
            )
        if place is not None and not place.readable:
            raise InputDataError(f"{place.schema}.{place.name}: this role cannot read it; ask for GRANT SELECT")
    located = {name: by_name[stem] for name, stem in names.items() if stem in by_name}
    return LocatedSource(
        source,
        url,
        {name: DatabaseTable(table.schema, table.name) for name, table in located.items()},
        "unknown",
        source.releases[-1],
        {name: table.state for name, table in located.items()},
    )


def _folders(root: Path, pattern: str) -> list[Path]:
    base = root.resolve()
    while pattern.startswith("../"):
        base, pattern = base.parent, pattern.removeprefix("../")
    if pattern == ".":
        return [root]
    if not any(mark in pattern for mark in "*?["):
        return [base / pattern]
    return sorted(path for path in base.glob(pattern) if path.is_dir())


def _find(folders: list[Path], stem: str) -> Path | None:
    """The table's file; file names are compared without case, which copies of MIMIC-III and eICU write differently."""
    for folder in folders:
        present = {path.name.lower(): path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
        for suffix in SUFFIXES:
            path = present.get(f"{stem}{suffix}".lower())
            if path is not None and path.is_file():
                return path
    return None


def _find_version(source: Source, paths: Mapping[str, Path]) -> str:
    """The version in the names of the tables' folders, or of the two above; "unknown" where there is none."""
    named: dict[str, Path] = {}
    for path in paths.values():
        # Folders further up are the user's own: a project's name says nothing about the tables.
        nearest = "/".join(path.resolve().parent.parts[-NAMED_FOLDERS:]).lower()
        matches = re.findall(source.version_pattern, nearest)
        if matches:
            # Of several, the folder nearest to the table counts.
            named.setdefault(matches[-1], path)
    if len(named) > 1:
        (first, one), (second, other) = list(named.items())[:2]
        raise InputDataError(
            f"{other}: is version {second}, but {one} is version {first}; give a folder with tables of one version"
        )
    version = next(iter(named), "unknown")
    if named and version not in source.versions:
        raise InputDataError(
            f"{named[version]}: is {source.title} {version}, which this builder does not know (it knows "
            f"{', '.join(source.versions)}); if its tables are the same, add the version to a copy of "
            f"{source.path.name} and build with that file as the source"
        )
    return version


def _find_release(source: Source, root: Path, paths: Mapping[str, Path]) -> Release:
    """The release by the tables' licences: each table's own counts, since notes are published apart; the strictest."""
    releases = [_release_of(source, root.resolve(), path.resolve()) for path in paths.values()]
    return next((release for release in releases if release.credentialed), releases[0])


def _release_of(source: Source, root: Path, table: Path) -> Release:
    # Within the root its licence holds for all; a table beside it has its own, in its folder or the one above.
    above = [table.parent, *table.parent.parents]
    folders = above[: above.index(root) + 1] if root in above else above[:2]
    for path in (folder / name for folder in folders for name in source.licence_files):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").lower()
            return next(release for release in source.releases if (release.contains or "").lower() in text)
    return source.releases[-1]

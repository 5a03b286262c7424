"""A data source as data: which files it has, what its columns mean, which items measure which variable.

`sources/<name>.yaml` holds it; adding a source of the same kind adds a file there and no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.vocabulary import Variable
from modeling_clinragen.errors import InputDataError, SettingsError

SOURCES = files("dataset_builder") / "sources"

# The logical columns that are not text; every source names its own columns after these.
COLUMN_TYPES = {
    **dict.fromkeys(("subject_id", "hadm_id", "stay_id", "anchor_age", "anchor_year", "icd_version"), "int64"),
    **dict.fromkeys(("sequence",), "int64"),
    **dict.fromkeys(("in_time", "out_time", "admit_time", "discharge_time", "birth_time", "time"), "timestamp"),
    "number": "float64",
}


@dataclass(frozen=True)
class TableSpec:
    """One logical table: `columns` maps logical names to the file's, `constants` gives columns the file lacks.

    `keep` limits text columns to the listed values. `events` marks a table of measurements.
    """

    name: str
    file: str
    columns: Mapping[str, str]
    constants: Mapping[str, Any]
    keep: Mapping[str, tuple[str, ...]]
    optional: bool
    events: bool


@dataclass(frozen=True)
class Piece:
    """One linear piece of a conversion: for values up to `up_to`, value * scale + offset."""

    up_to: float
    scale: float
    offset: float
    counted_as: str | None


@dataclass(frozen=True)
class Item:
    """One item id that measures a variable, in `unit`; `conversion` names how it gets to the variable's unit."""

    variable: str
    table: str
    item: str
    label: str
    unit: str
    conversion: str | None


@dataclass(frozen=True)
class Release:
    """One publication of a source, and what it may be used for. `credentialed` data stays on the user's machine.

    `contains` are words of its licence file; the last release of a source has none and stands for all others.
    """

    contains: str | None
    name: str
    title: str
    licence: str
    licence_name: str
    credentialed: bool


@dataclass(frozen=True)
class Source:
    """A source's yaml file, checked."""

    path: Path
    name: str
    title: str
    folders: tuple[str, ...]
    version_pattern: str
    licence_files: tuple[str, ...]
    releases: tuple[Release, ...]
    tables: Mapping[str, TableSpec]
    conversions: Mapping[str, tuple[Piece, ...]]
    items: tuple[Item, ...]

    @cached_property
    def event_tables(self) -> tuple[TableSpec, ...]:
        return tuple(table for table in self.tables.values() if table.events)


def source_names() -> list[str]:
    """The sources this package ships."""
    return sorted(path.name.removesuffix(".yaml") for path in SOURCES.iterdir() if path.name.endswith(".yaml"))


def load_source(name: str, variables: tuple[Variable, ...]) -> Source:
    """Read a shipped source by name, or a user's own from a path that ends in .yaml.

    Raises `SettingsError` for an unknown name and `InputDataError` for a faulty file.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in source_names():
        path = Path(str(SOURCES / f"{name}.yaml"))
    else:
        raise SettingsError(f"source '{name}' is unknown; choose one of {', '.join(source_names())} or a .yaml file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        source = _parse(content, path)
    except OSError as error:
        raise InputDataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputDataError(f"{path}: is not a readable YAML file; check its syntax") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputDataError(f"{path}: is incomplete or malformed near {error}; see mimic-iv.yaml") from error
    _check(source, variables, path)
    return source


def _parse(content: Mapping[str, Any], path: Path) -> Source:
    tables = {
        name: TableSpec(
            name=name,
            file=entry["file"],
            columns=dict(entry["columns"]),
            constants=dict(entry.get("constants", {})),
            keep={column: tuple(values) for column, values in entry.get("keep", {}).items()},
            optional=bool(entry.get("optional", False)),
            events=bool(entry.get("events", False)),
        )
        for name, entry in content["tables"].items()
    }
    conversions = {
        name: tuple(
            Piece(
                up_to=float(piece.get("up_to", "inf")),
                scale=float(piece.get("scale", 1)),
                offset=float(piece.get("offset", 0)),
                counted_as=piece.get("counted_as"),
            )
            for piece in pieces
        )
        for name, pieces in content["conversions"].items()
    }
    items = tuple(
        Item(variable, entry["table"], str(entry["item"]), entry["label"], entry["unit"], entry.get("conversion"))
        for variable, entries in content["items"].items()
        for entry in entries
    )
    releases = tuple(
        Release(
            contains=entry.get("contains"),
            name=entry["name"],
            title=entry["title"],
            licence=entry["licence"],
            licence_name=entry["licence_name"],
            credentialed=bool(entry["credentialed"]),
        )
        for entry in content["releases"]
    )
    return Source(
        path=path,
        name=content["name"],
        title=content["title"],
        folders=tuple(content["folders"]),
        version_pattern=content["version_pattern"],
        licence_files=tuple(content["licence_files"]),
        releases=releases,
        tables=tables,
        conversions=conversions,
        items=items,
    )


def _check(source: Source, variables: tuple[Variable, ...], path: Path) -> None:
    for table in ("patients", "admissions", "stays", "diagnoses"):
        if table not in source.tables:
            raise InputDataError(f"{path}: does not describe the table '{table}'; add it")
    if [release.contains is None for release in source.releases].index(True) != len(source.releases) - 1:
        raise InputDataError(f"{path}: exactly the last release must be without 'contains'; correct it")
    known = {variable.key for variable in variables}
    seen = set()
    for item in source.items:
        if item.variable not in known:
            raise InputDataError(f"{path}: items name the unknown variable '{item.variable}'; see variables.yaml")
        if item.table not in source.tables or not source.tables[item.table].events:
            raise InputDataError(f"{path}: item {item.item} is in '{item.table}', which is no event table; correct it")
        if item.conversion is not None and item.conversion not in source.conversions:
            raise InputDataError(f"{path}: item {item.item} needs the conversion '{item.conversion}'; describe it")
        if (item.table, item.item) in seen:
            raise InputDataError(f"{path}: item {item.item} is listed twice; keep one")
        seen.add((item.table, item.item))
    for variable in sorted(known - {item.variable for item in source.items}):
        raise InputDataError(f"{path}: no item measures the variable '{variable}'; add one under items")
    for name, pieces in source.conversions.items():
        bounds = [piece.up_to for piece in pieces]
        if not pieces or bounds != sorted(bounds) or bounds[-1] != float("inf"):
            raise InputDataError(f"{path}: conversion '{name}' needs rising up_to bounds and a last piece without one")

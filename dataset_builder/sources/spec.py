"""A data source as data: which files it has, what its columns mean, which items measure which variable.

It is described in `sources/<name>.yaml`; adding a source of the same kind adds a file there and no code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builder.contract.definition_entries import check_item
from dataset_builder.contract.definitions import Definitions
from dataset_builder.fhir.codes import FhirCodes, parse_codes
from dataset_builder.sources.event_views import EventView, parse_view
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError, SettingsError

SOURCES = files("dataset_builder.sources")

# The logical columns that are not text; every source names its own columns after these.
COLUMN_TYPES = {
    **dict.fromkeys(("subject_id", "hadm_id", "stay_id", "anchor_age", "anchor_year", "icd_version"), "int64"),
    **dict.fromkeys(("sequence", "error"), "int64"),
    **dict.fromkeys(("in_time", "out_time", "admit_time", "discharge_time", "birth_time", "time"), "timestamp"),
    "number": "float64",
}
# What is below a source's folder: tables as files; one table of events (MEDS); FHIR resources, which a build makes
# tables of.
LAYOUTS = ("tables", "events", "fhir")
NO_VERSION = "(?!)()"
NO_UNIT = ""
TIME_UNITS = {"timestamp": "timestamp", "minutes_since_stay": "float64"}

# Columns that a cohort is selected by: one of the tables patients, admissions and stays has each, or one of its
# alternatives.
STAY_COLUMNS = (
    *("hadm_id", "stay_id", "in_time", "out_time", "admit_time", "first_unit", "last_unit", "sex"),
    *("admission_type", "admission_location"),
)
STAY_CHOICES = ((("subject_id",), ("subject_code",)), (("age",), ("birth_time",), ("anchor_age", "anchor_year")))


@dataclass(frozen=True)
class TableSpec:
    """One logical table: `columns` maps logical names to the file's, `constants` gives columns the file lacks.

    `optional_columns` are read where the file has them; they are null where it does not.

    `keep` limits text columns to the listed values. `events` marks a table of measurements, `wide` one that has a
    column per item in place of an item column. `whole_days`: its times are dates without a time of day.
    `several_codes`: a cell lists diagnosis codes of both ICD versions, parted by commas, semicolons, slashes, spaces.
    `view` says how the table is seen in events, where the source has these in place of tables.
    """

    name: str
    file: str
    columns: Mapping[str, str]
    optional_columns: Mapping[str, str]
    constants: Mapping[str, Any]
    types: Mapping[str, str]
    keep: Mapping[str, tuple[str, ...]]
    optional: bool
    events: bool
    wide: bool
    whole_days: bool
    several_codes: bool
    view: EventView | None = None

    @property
    def has_times_of_day(self) -> bool:
        """Whether its times are timestamps: not minutes, nor the same for all rows."""
        return "time" in self.columns and self.types["time"] == "timestamp"

    def has(self, column: str) -> bool:
        """Whether the table has a logical column."""
        return column in self.columns or column in self.constants


@dataclass(frozen=True)
class Piece:
    """One linear piece of a conversion: for values up to `up_to`, value * scale + offset."""

    up_to: float
    scale: float
    offset: float
    counted_as: str | None


AS_IT_IS = Piece(float("inf"), 1.0, 0.0, None)


@dataclass(frozen=True)
class Item:
    """One item id that measures a variable, in `unit`; `conversion` names how it gets to the variable's unit.

    A value below `below` of an item with `remainder_of` is the rest of that item's value at the same time. Where the
    data say the unit, an item is one id in one unit (see `dataset_builder.cohort.found_items`), and `unit_known` says
    whether that is a unit of the variable.
    """

    variable: str
    table: str
    item: str
    label: str
    unit: str
    conversion: str | None
    remainder_of: str | None = None
    below: float = 0.0
    unit_known: bool = True


@dataclass(frozen=True)
class Release:
    """One publication of a source, and what it may be used for. `credentialed` data stays on the user's machine.

    `contains` are words of its licence file; the last release of a source has none and covers all others.
    `synthetic` patients were made by a program.
    """

    contains: str | None
    name: str
    title: str
    licence: str
    licence_name: str
    credentialed: bool
    synthetic: bool


@dataclass(frozen=True)
class Source:
    """A source's yaml file, checked.

    `last_as_text` names the variables whose several values at one time are settled as text (see mimic-iii.yaml).
    `tables_by` is the command that makes the tables where the source is published in another form. `layout` says what
    is below its folder (`LAYOUTS`), and `units` are spellings of units besides those that the variables know.
    """

    path: Path
    name: str
    title: str
    folders: tuple[str, ...]
    schemas: tuple[str, ...]
    version_pattern: str
    versions: tuple[str, ...]
    licence_files: tuple[str, ...]
    releases: tuple[Release, ...]
    tables: Mapping[str, TableSpec]
    conversions: Mapping[str, tuple[Piece, ...]]
    items: tuple[Item, ...]
    last_as_text: frozenset[str]
    tables_by: str | None = None
    layout: str = "tables"
    units: Mapping[str, str] = field(default_factory=dict)
    fhir: FhirCodes | None = None

    @cached_property
    def event_tables(self) -> tuple[TableSpec, ...]:
        return tuple(table for table in self.tables.values() if table.events)

    def pieces_of(self, item: Item) -> tuple[Piece, ...]:
        """The pieces of an item's conversion; an item without one keeps its values."""
        return (AS_IT_IS,) if item.conversion is None else self.conversions[item.conversion]

    @cached_property
    def max_pieces(self) -> int:
        """Number of pieces of the longest conversion of an item."""
        return max(len(self.pieces_of(item)) for item in self.items)


def source_names() -> list[str]:
    """The sources this package ships."""
    return sorted(path.name.removesuffix(".yaml") for path in SOURCES.iterdir() if path.name.endswith(".yaml"))


def source_path(name: str) -> Path:
    """The file of a shipped source, or of a user's own whose path ends in .yaml. Raises `SettingsError`."""
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name in source_names():
        return Path(str(SOURCES / f"{name}.yaml"))
    raise SettingsError(f"unknown source '{name}'; choose one of {', '.join(source_names())} or a .yaml file")


def load_source(name: str, definitions: Definitions) -> Source:
    """Read a source with the items that measure the variables of `definitions`.

    Args:
        name: A shipped source, or the path of a user's own that ends in .yaml.
        definitions: Its variables; one may bring items for a source that does not list it.

    Raises:
        SettingsError: The source is unknown.
        InputDataError: The file is faulty.
    """
    path = source_path(name)
    content = read_yaml(path)
    try:
        source = _parse(content, path, definitions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputDataError(f"{path}: is incomplete or malformed near {error}; see mimic-iv.yaml") from error
    _check(source, definitions.vocabulary.variable_keys, path)
    return source


def _parse(content: Mapping[str, Any], path: Path, definitions: Definitions) -> Source:
    # A variable of the user's own brings its items along; the source's own variables may be left out.
    listed = {
        key: [
            *definitions.items(key).get(content["name"], content["items"].get(key, ())),
            *_coded(content.get("loinc"), definitions, key),
        ]
        for key in definitions.vocabulary.variable_keys
    }
    layout = content.get("layout", LAYOUTS[0])
    if layout not in LAYOUTS:
        raise InputDataError(f"{path}: unknown layout '{layout}'; use one of {', '.join(LAYOUTS)}")
    for variable, entries in listed.items():
        for entry in entries:
            check_item(entry, f"{path}: {variable}")
    items = tuple(
        Item(
            variable,
            entry["table"],
            str(entry["item"]),
            entry["label"],
            entry["unit"],
            entry.get("conversion"),
            str(entry["remainder_of"]) if "remainder_of" in entry else None,
            float(entry["below"]) if "remainder_of" in entry else 0.0,
        )
        for variable, entries in listed.items()
        for entry in entries
    )
    time_type = TIME_UNITS[content.get("time_unit", "timestamp")]
    tables = {
        name: _parse_table(name, entry, time_type, [item.item for item in items if item.table == name])
        if layout != "events"
        else _parse_events(name, entry, content, path)
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
    releases = tuple(
        Release(
            contains=entry.get("contains"),
            name=entry["name"],
            title=entry["title"],
            licence=entry["licence"],
            licence_name=entry["licence_name"],
            credentialed=bool(entry["credentialed"]),
            synthetic=bool(entry.get("synthetic", False)),
        )
        for entry in content["releases"]
    )
    last_as_text = frozenset(content.get("last_as_text", ()))
    for name in sorted(last_as_text - set(content["items"])):
        raise InputDataError(f"{path}: last_as_text names the unknown variable '{name}'; use one of those under items")
    return Source(
        path=path,
        name=content["name"],
        title=content["title"],
        folders=tuple(content["folders"]),
        schemas=tuple(content.get("schemas", ())),
        version_pattern=content["version_pattern"] if layout == LAYOUTS[0] else NO_VERSION,
        versions=tuple(str(version) for version in content.get("versions", ())),
        licence_files=tuple(content["licence_files"]),
        releases=releases,
        tables=tables,
        conversions=conversions,
        items=items,
        last_as_text=last_as_text & set(listed),
        tables_by=content.get("tables_by"),
        layout=layout,
        units={str(spelling): str(unit) for spelling, unit in content.get("units", {}).items()},
        fhir=parse_codes(content["fhir"]) if layout == "fhir" else None,
    )


def _coded(entry: Mapping[str, str] | None, definitions: Definitions, key: str) -> list[dict[str, str]]:
    """Items of a variable by its LOINC codes, where a source says in which table and how these are written."""
    if entry is None:
        return []
    return [
        # The data say the unit, or nobody does.
        {"table": entry["table"], "item": entry["item"].format(code=code), "label": label, "unit": NO_UNIT}
        for code, label in definitions.loinc(key).items()
    ]


def _parse_events(name: str, entry: Mapping[str, Any], content: Mapping[str, Any], path: Path) -> TableSpec:
    """A table that is seen in events: its columns have their logical names already."""
    view = parse_view(name, entry, content, path)
    unread = {"file": name, "columns": {column: column for column in view.columns}, "optional_columns": {}}
    return replace(_parse_table(name, {**entry, **unread, "wide": False}, TIME_UNITS["timestamp"], []), view=view)


def _parse_table(name: str, entry: Mapping[str, Any], time_type: str, items: list[str]) -> TableSpec:
    wide = bool(entry.get("wide", False))
    types = {column: time_type if kind == "timestamp" else kind for column, kind in COLUMN_TYPES.items()}
    return TableSpec(
        name=name,
        file=entry["file"],
        columns={**entry["columns"], **({item: item for item in items} if wide else {})},
        optional_columns=dict(entry.get("optional_columns", {})),
        constants=dict(entry.get("constants", {})),
        types={**types, **(dict.fromkeys(items, "float64") if wide else {})},
        keep={column: tuple(values) for column, values in entry.get("keep", {}).items()},
        optional=bool(entry.get("optional", False)),
        events=bool(entry.get("events", False)),
        wide=wide,
        whole_days=bool(entry.get("whole_days", False)),
        several_codes=bool(entry.get("several_codes", False)),
    )


def missing_stay_columns(has: Collection[str]) -> Iterator[str]:
    """Columns that every stay needs and that are not among these, each as the columns that would do."""
    for choices in (*(((column,),) for column in STAY_COLUMNS), *STAY_CHOICES):
        if not any(all(name in has for name in names) for names in choices):
            yield " or ".join(" and ".join(names) for names in choices)


def _check(source: Source, variables: tuple[str, ...], path: Path) -> None:
    for table in ("stays", "diagnoses"):
        if table not in source.tables:
            raise InputDataError(f"{path}: does not describe the table '{table}'; add it")
    described = [source.tables[table] for table in ("stays", "admissions", "patients") if table in source.tables]
    for wanted in missing_stay_columns({name for spec in described for name in (*spec.columns, *spec.constants)}):
        raise InputDataError(f"{path}: no table of stays, admissions and patients has {wanted}; add the column")
    if [release.contains for release in source.releases].count(None) != 1 or source.releases[-1].contains is not None:
        raise InputDataError(f"{path}: exactly the last release must be without 'contains'; correct it")
    try:
        groups = re.compile(source.version_pattern).groups
    except re.error as error:
        raise InputDataError(f"{path}: version_pattern is not a regular expression ({error}); correct it") from error
    if groups != 1:
        raise InputDataError(f"{path}: version_pattern needs exactly one group, around the version; correct it")
    seen = set()
    for item in source.items:
        if item.table not in source.tables or not source.tables[item.table].events:
            raise InputDataError(
                f"{path}: item {item.item} is in '{item.table}', which is not an event table; correct it"
            )
        if item.conversion is not None and item.conversion not in source.conversions:
            raise InputDataError(f"{path}: item {item.item} needs the conversion '{item.conversion}'; describe it")
        if (item.table, item.item) in seen:
            raise InputDataError(f"{path}: item {item.item} is listed twice; keep one")
        seen.add((item.table, item.item))
    for item in source.items:
        others = {other.item for other in source.items if (other.table, other.variable) == (item.table, item.variable)}
        if item.remainder_of is not None and source.layout != LAYOUTS[0]:
            raise InputDataError(f"{path}: item {item.item} has remainder_of, which only tables can; remove it")
        if item.remainder_of is not None and item.remainder_of not in others - {item.item}:
            raise InputDataError(
                f"{path}: item {item.item} is the remainder of {item.remainder_of}, which does not measure the same "
                "variable in the same table; correct it"
            )
    for variable in sorted(set(variables) - {item.variable for item in source.items}):
        raise InputDataError(f"{path}: no item measures the variable '{variable}'; add one under items")
    for name, pieces in source.conversions.items():
        bounds = [piece.up_to for piece in pieces]
        if not pieces or bounds != sorted(bounds) or bounds[-1] != float("inf"):
            raise InputDataError(f"{path}: conversion '{name}' needs rising up_to bounds and a last piece without one")

"""Checks a source's YAML file: what it lacks or has wrong, all of it at once, each with its cure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dataset_builder.contract.definition_entries import check_item
from dataset_builder.contract.definitions import Definitions
from dataset_builder.contract.findings import Finding, in_order
from dataset_builder.contract.measurement_units import unit_of
from dataset_builder.sources.spec import LAYOUTS, Source, load_source, missing_stay_columns, source_path
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError

# fmt: off
CURES = {
    "name": "give the source a short name, such as my-hospital",
    "title": "give its full name",
    "folders": 'list the folders that its tables are in, such as ["."]',
    "version_pattern": "write a regular expression with one group around the version in a folder's path",
    "versions": "list the versions whose tables are as described",
    "licence_files": "list the names of licence files; the list may be empty",
    "releases": "say what the data may be used for (credentialed: true where nothing may leave this machine)",
    "tables": "describe the tables: stays, diagnoses, and those of measurements (events: true)",
    "conversions": "write {} where every item is in its variable's unit",
    "items": "list for each variable what measures it",
}
OPTIONAL = frozenset({"schemas", "time_unit", "last_as_text", "tables_by", "records"})
TABLE_KEYS = frozenset({
    "file", "columns", "optional_columns", "constants", "keep", "optional", "events", "wide", "whole_days",
    "several_codes",
})
OTHER_TABLES = frozenset({
    "stays", "diagnoses", "patients", "admissions", "notes", "services", "prescriptions", "microbiology",
    "past_history", "code_dictionary",
})
NEEDED = {"diagnoses": ("icd_code",), "notes": ("hadm_id", "sequence", "time", "text")}
# fmt: on
LIKE = "see mimic-iv.yaml"


def check_file(name: str, definitions: Definitions) -> tuple[list[Finding], Source | None]:
    """Check a source's file as such, without its tables.

    Args:
        name: A shipped source, or the path of a YAML file.
        definitions: The vocabulary whose variables it is to measure.

    Returns:
        What was found, and the source where it can be read.

    Raises:
        SettingsError: There is no source of this name.
    """
    path = source_path(name)
    where = path.name
    try:
        content = read_yaml(path)
    except InputDataError as error:
        return [Finding(where, str(error).removeprefix(f"{path}: "), "correct the file")], None
    if not isinstance(content, Mapping):
        return [Finding(where, "is not a mapping of keys to values", LIKE)], None
    is_tables = content.get("layout", LAYOUTS[0]) == LAYOUTS[0]
    findings: list[Finding] = []
    try:
        for found in (_keys(where, content), _tables(where, content), _items(where, content, definitions)):
            findings += found if is_tables else ()
    except (AttributeError, KeyError, TypeError) as error:
        # A text where a mapping or a list belongs.
        findings.append(Finding(where, f"is malformed near {error}", LIKE))
    if any(finding.blocks for finding in findings):
        return in_order(findings), None
    try:
        source = load_source(name, definitions)
    except InputDataError as error:
        return in_order([*findings, Finding.of_error(where, str(error).removeprefix(f"{path}: "), LIKE)]), None
    # Elsewhere the data say the unit of each value.
    return in_order([*findings, *(_unit_findings(where, source, definitions) if is_tables else ())]), source


def _keys(where: str, content: Mapping[str, Any]) -> Iterator[Finding]:
    for key, cure in CURES.items():
        if key not in content:
            yield Finding(where, f"has no '{key}'", cure)
    for key in sorted(map(str, set(content) - set(CURES) - OPTIONAL)):
        yield Finding(where, f"has the unknown key '{key}', which nothing reads", "correct or remove it", blocks=False)


def _tables(where: str, content: Mapping[str, Any]) -> Iterator[Finding]:
    tables = content.get("tables")
    if not isinstance(tables, Mapping):
        if "tables" in content:
            yield Finding(where, "'tables' is not a mapping of tables", LIKE)
        return
    for table in ("stays", "diagnoses"):
        if table not in tables:
            cure = "describe it; without codes, as optional and of a file that is not there"
            yield Finding(where, f"does not describe the table '{table}'", "describe it" if table == "stays" else cure)
    for table, entry in tables.items():
        yield from _table(f"{where}: tables: {table}", str(table), entry)
    described = [
        entry for name in ("stays", "admissions", "patients") if isinstance(entry := tables.get(name), Mapping)
    ]
    has = {str(column) for entry in described for part in ("columns", "constants") for column in entry.get(part) or ()}
    for wanted in missing_stay_columns(has):
        cure = "add the column, or a constant (null where nobody knows it)"
        yield Finding(f"{where}: tables", f"no table of stays, admissions and patients has {wanted}", cure)
    if not any(isinstance(entry, Mapping) and entry.get("events") for entry in tables.values()):
        yield Finding(f"{where}: tables", "none has measurements", "mark those that have with events: true")
    if "notes" not in tables:
        cure = "describe them where there are any; without, build with --note-policy structured"
        yield Finding(f"{where}: tables", "there are no notes", cure, blocks=False)


def _table(where: str, name: str, entry: Any) -> Iterator[Finding]:
    if not isinstance(entry, Mapping) or "file" not in entry or not isinstance(entry.get("columns"), Mapping):
        yield Finding(where, "needs 'file' and 'columns'", f"name the file and its columns, {LIKE}")
        return
    for key in sorted(map(str, set(entry) - TABLE_KEYS)):
        yield Finding(where, f"has the unknown key '{key}', which nothing reads", "correct or remove it", blocks=False)
    has = {str(column) for part in ("columns", "constants", "optional_columns") for column in entry.get(part) or ()}
    needed: list[tuple[str, ...]] = [(column,) for column in NEEDED.get(name, ())]
    if name == "diagnoses":
        needed.append(("stay_id", "hadm_id"))
        needed += [] if entry.get("several_codes") else [("icd_version",)]
    if entry.get("events"):
        needed += [("time",), ("stay_id", "hadm_id", "subject_id")]
        needed += [] if entry.get("wide") else [("item",), ("number", "text")]
    elif name not in OTHER_TABLES:
        cure = "mark a table of measurements with events: true, or remove it"
        yield Finding(where, "nothing reads this table", cure, blocks=False)
    for names in needed:
        if not set(names) & has:
            yield Finding(where, f"has no column {' or '.join(names)}", "say which of the file's columns it is")
    if entry.get("events") and "subject_id" in has and not {"stay_id", "hadm_id"} & has:
        yield Finding(where, "has no column hadm_id", "say which of the file's columns it is")


def _items(where: str, content: Mapping[str, Any], definitions: Definitions) -> Iterator[Finding]:
    listed = content.get("items")
    if not isinstance(listed, Mapping):
        if "items" in content:
            yield Finding(where, "'items' is not a mapping of variables to lists", LIKE)
        return
    variables = definitions.vocabulary.variable_keys
    for key in sorted(set(map(str, listed)) - set(variables)):
        yield Finding(f"{where}: items", f"the vocabulary has no variable '{key}'", "correct its key", blocks=False)
    tables, conversions = content.get("tables"), content.get("conversions")
    for key in variables:
        entries = definitions.items(key).get(str(content.get("name")), listed.get(key))
        if not entries:
            cure = "list what measures it, or leave the variable out by a vocabulary of your own"
            yield Finding(f"{where}: items", f"no item measures '{key}'", cure)
            continue
        for entry in entries:
            try:
                check_item(entry, f"{where}: items: {key}")
            except TypeError:
                yield Finding(f"{where}: items: {key}", "an item is not a mapping", LIKE)
                continue
            except InputDataError as error:
                found, problem, cure = str(error).rpartition(": ")[0], *str(error).rpartition(": ")[2].split("; ")
                yield Finding(found, problem, cure)
                continue
            place = f"{where}: items: {key}: {entry['item']}"
            table = tables.get(entry["table"]) if isinstance(tables, Mapping) else None
            if not isinstance(table, Mapping) or not table.get("events"):
                yield Finding(place, f"is in '{entry['table']}', which is not an event table", "correct the table")
            conversion = entry.get("conversion")
            if conversion is not None and not (isinstance(conversions, Mapping) and conversion in conversions):
                yield Finding(place, f"needs the conversion '{conversion}'", "describe it under conversions")


def _unit_findings(where: str, source: Source, definitions: Definitions) -> Iterator[Finding]:
    """Items whose unit is unknown, or that are not converted to the variable's unit."""
    variables = {variable.key: variable for variable in definitions.vocabulary.variables}
    for item in source.items:
        variable = variables[item.variable]
        place = f"{where}: items: {item.variable}: {item.item}"
        unit = unit_of(item.unit, variable)
        if unit is None:
            cure = f"write one of {', '.join(one.spellings[0] for one in variable.units)}, or a UCUM code"
            yield Finding(place, f"its unit '{item.unit}' cannot be converted to {variable.unit}", cure)
            continue
        # A piece that settles a doubt is for values that are not in the item's unit.
        pieces = [piece for piece in source.pieces_of(item) if piece.counted_as is None]
        if not any(_near(piece.scale, unit.scale) and _near(piece.offset, unit.offset) for piece in pieces):
            made = "is not converted" if item.conversion is None else f"'{item.conversion}' does not convert it"
            line = f"scale: {unit.scale:.10g}" + (f", offset: {unit.offset:.10g}" if unit.offset else "")
            cure = f"it needs a conversion with {{{line}}}" if unit.scale != 1 or unit.offset else "it needs none"
            yield Finding(place, f"its unit is {item.unit}, the variable's {variable.unit}, and {made}", cure)


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-6)

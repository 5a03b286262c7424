"""Checks a source's YAML file against its tables: what a build would stumble over, or leave out, all of it at once."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ibis
import numpy as np

from dataset_builder.cohort.expressions import number_in
from dataset_builder.cohort.labels import known_diseases, normalise_code
from dataset_builder.cohort.rejects import CURES, Rejects, most_frequent
from dataset_builder.cohort.session import connect, count_rows, errors_named, read_table, store
from dataset_builder.cohort.stays import select_stays
from dataset_builder.contract.check_values import UnitCounts
from dataset_builder.contract.definitions import Definitions, load_definitions
from dataset_builder.contract.findings import Finding, in_order
from dataset_builder.sources.check_file import check_file
from dataset_builder.sources.locate import LocatedSource, find_tables, is_database_url, locate
from dataset_builder.sources.spec import LAYOUTS, Item, Source, TableSpec
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Variable

MOST_VALUES = 20_000
"""So many values of an item are looked at for their unit."""
MOST_UNREADABLE = 0.5
ICD_VERSIONS = (9, 10)
AS_PUBLISHED = "use the table as it was published, or correct the source's file"


def check_source(source: str, root: Path, vocabulary: Path | None = None) -> list[Finding]:
    """Check a source's file, then whether its tables are as it says.

    Looked at are keys, tables and columns that are missing, items that occur nowhere, units that cannot be converted
    or that the values do not fit, times and ids that cannot be read, diagnosis codes, and notes. Nothing is written
    but temporary files, and no finding has a value of a patient's.

    Args:
        source: A shipped source, or the path of a YAML file.
        root: Folder with its tables.
        vocabulary: Folder of a vocabulary of the user's own.

    Raises:
        SettingsError: There is no such source, or `root` is a database.
        InputDataError: `root` is not a folder, or the vocabulary is faulty.
    """
    if is_database_url(str(root)):
        raise SettingsError("source check reads tables that are files; give a folder")
    root = Path(root)
    if not root.is_dir():
        raise InputDataError(f"{root}: is not a folder; give the folder with the source's tables")
    definitions = load_definitions(vocabulary)
    findings, described = check_file(source, definitions)
    if described is None:
        return findings
    if described.layout != LAYOUTS[0]:
        problem = "only its file was checked: it does not describe tables"
        return [*findings, Finding(str(root), problem, "`clinragen build` counts what it cannot read", blocks=False)]
    paths = find_tables(described, root)
    located = LocatedSource(described, root, paths, "unknown", described.releases[-1])
    findings += _table_findings(located)
    with tempfile.TemporaryDirectory() as scratch, connect("duckdb", located, Path(scratch)) as con:
        whole = []
        for name in paths:
            found = list(_column_findings(con, located, name))
            findings += found
            if not any(finding.blocks for finding in found):
                whole.append(name)
        for name in whole:
            findings += _cell_findings(con, located, name)
        findings += _item_findings(con, located, definitions, whole)
        if "diagnoses" in whole:
            findings += _code_findings(con, located, definitions)
        if not any(finding.blocks for finding in findings):
            findings += _stay_findings(con, located)
    return in_order(findings)


def _table_findings(located: LocatedSource) -> Iterator[Finding]:
    source = located.source
    for spec in source.tables.values():
        if spec.name in located.paths:
            continue
        cure = f"put {spec.file}.parquet, .csv.gz or .csv into one of the folders {', '.join(source.folders)}"
        if spec.name == "diagnoses" and spec.optional:
            problem = "is not there, so that all labels are unknown: patients can be explained, nothing can be trained"
            yield Finding(f"table {spec.name}", problem, cure, blocks=False)
        elif spec.name == "notes" and spec.optional:
            cure += ", or build with --note-policy structured"
            yield Finding(f"table {spec.name}", "is not there", cure, blocks=False)
        else:
            yield Finding(f"table {spec.name}", "is not there", cure, blocks=not spec.optional)
    if not any(spec.name in located.paths for spec in source.event_tables):
        yield Finding("tables", "none with measurements is there", "put at least one of them into the folder")


def _column_findings(con: Any, located: LocatedSource, name: str) -> Iterator[Finding]:
    spec, place = located.source.tables[name], located.paths[name]
    where = f"table {name} ({place.name})"
    try:
        with errors_named(con, place):
            present = {column.lower() for column in con.read(place).columns}
    except InputDataError as error:
        yield Finding(where, str(error).partition(": ")[2].partition(";")[0], "write or copy the file again")
        return
    for logical, physical in spec.columns.items():
        if physical.lower() not in present:
            problem = f"has no column '{physical}'" + ("" if logical == physical else f", which is to be {logical}")
            yield Finding(where, problem, AS_PUBLISHED)
    for logical, physical in spec.optional_columns.items():
        if physical.lower() not in present:
            problem = f"has no column '{physical}', so that {logical} is unknown"
            yield Finding(where, problem, "correct it if there is one", blocks=False)


def _cell_findings(con: Any, located: LocatedSource, name: str) -> Iterator[Finding]:
    """Times and ids that cannot be read, by the form in which they are written."""
    spec, place = located.source.tables[name], located.paths[name]
    where = f"table {name} ({place.name})"
    kinds = {column: spec.types.get(column, "string") for column in spec.columns}
    times = [column for column in kinds if column == "time" or column.endswith("_time")]
    ids = [column for column in kinds if column in ("subject_id", "hadm_id", "stay_id")]
    try:
        with errors_named(con, place):
            table = read_table(con, located, name, forms=[*times, *ids])
            # One pass over the table, which can be large: few combinations of forms occur.
            grouped = [f"{column}_form" for column in (*times, *ids)]
            by_form = table.group_by(grouped) if grouped else table
            counted = by_form.aggregate(rows=table.count()).to_pyarrow().to_pylist()
            rows = sum(row["rows"] for row in counted)
            if not rows:
                blocks = not (spec.optional or spec.events)
                yield Finding(where, "has no rows, of those that 'keep' leaves", AS_PUBLISHED, blocks=blocks)
                return
            for column in (*times, *ids):
                forms: Counter[str] = Counter()
                for row in counted:
                    forms.update({row[f"{column}_form"]: row["rows"]} if row[f"{column}_form"] is not None else {})
                lost = sum(forms.values())
                if lost:
                    looks = " or ".join(most_frequent(forms)[:3])
                    said = f"{lost:,} of {rows:,} cannot be read, written like {looks}"
                    problem = f"column '{spec.columns[column]}': {said}"
                    cure = CURES["no_time"] if column in times else CURES["unknown_stay"]
                    yield Finding(where, problem, cure, blocks=lost > MOST_UNREADABLE * rows)
    except InputDataError as error:
        problem, _, cure = str(error).partition(": ")[2].rpartition("; ")
        yield Finding(where, problem, cure)


def _item_findings(
    con: Any, located: LocatedSource, definitions: Definitions, tables: Sequence[str]
) -> Iterator[Finding]:
    """Items without a row, variables without an item that has one, and values that do not look like their unit."""
    variables = {variable.key: variable for variable in definitions.vocabulary.variables}
    seen: set[str] = set()
    present = [spec for spec in located.source.event_tables if spec.name in tables]
    for spec in present:
        items = [item for item in located.source.items if item.table == spec.name]
        if not items:
            continue
        place = located.paths[spec.name]
        made = _values(con, located, spec, [item.item for item in items])
        values = store(con, f"{spec.name}_values", made, place)
        counted = values.group_by("item").aggregate(rows=values.count()).to_pyarrow().to_pylist()
        counts = {row["item"]: row["rows"] for row in counted}
        absent: dict[str, list[str]] = {}
        for item in items:
            if not counts.get(item.item):
                absent.setdefault(item.variable, []).append(item.item)
                continue
            seen.add(item.variable)
            where = f"table {spec.name}, item {item.item} ({item.variable})"
            some = values.filter((values.item == item.item) & values.number.notnull()).limit(MOST_VALUES)
            numbers = some.to_pyarrow()["number"].to_numpy()
            if not len(numbers):
                yield Finding(where, "has rows but no number", CURES["not_a_number"], blocks=False)
            yield from _unit_findings(where, located.source, item, numbers, variables[item.variable])
        for key, ids in absent.items():
            problem = f"{', '.join(ids)} of it {'occurs' if len(ids) == 1 else 'occur'} nowhere"
            yield Finding(f"table {spec.name}, {key}", problem, "correct the ids, or remove these items", blocks=False)
    for key in variables:
        if present and key not in seen:
            problem = "no item of it occurs, so that it is never observed"
            yield Finding(f"variable {key}", problem, "add what measures it here", blocks=False)
    if present and not seen:
        yield Finding("items", "none of them occurs in any table", "correct the ids")


def _unit_findings(
    where: str, source: Source, item: Item, numbers: np.ndarray, variable: Variable
) -> Iterator[Finding]:
    """Whether an item's values, converted as the source's file says, look like the variable's unit."""
    read = np.full(len(numbers), np.nan)
    for piece in source.pieces_of(item):
        here = np.isnan(read) & (numbers <= piece.up_to)
        read[here] = numbers[here] * piece.scale + piece.offset
    units = UnitCounts(variable)
    units.add(read)
    unit = units.likely_unit()
    if unit is not None:
        problem = f"read as {item.unit}, most values look as if they were in {unit}"
        yield Finding(where, problem, "correct the unit and its conversion")
    elif 2 * units.implausible > units.values:
        low, high = variable.plausible
        problem = f"{units.implausible:,} of {units.values:,} values are implausible read as {item.unit}"
        yield Finding(where, problem, f"expected {low:g} to {high:g} {variable.unit}: correct the unit or the item")


def _values(con: Any, located: LocatedSource, spec: TableSpec, items: Sequence[str]) -> ibis.Table:
    """Item and number of the rows of these items, as the build finds them."""
    table = read_table(con, located, spec.name)
    if spec.wide:
        columns = [
            table.filter(table[item].notnull()).select(item=ibis.literal(item), number=table[item]) for item in items
        ]
        return columns[0] if len(columns) == 1 else ibis.union(*columns)
    table = table.mutate(item=ibis.ifelse(table.item.endswith(".0"), table.item.re_replace("[.]0$", ""), table.item))
    table = table.filter(table.item.isin(list(items)))
    if "number" not in table.columns:
        return table.select("item", number=number_in(table.text))
    if "text" not in table.columns:
        return table.select("item", "number")
    return table.select("item", number=ibis.coalesce(table.number, number_in(table.text)))


def _code_findings(con: Any, located: LocatedSource, definitions: Definitions) -> Iterator[Finding]:
    place = located.paths["diagnoses"]
    where = f"table diagnoses ({place.name})"
    spec = located.source.tables["diagnoses"]
    known = known_diseases(located, definitions)
    if not known.all():
        problem = f"cannot have codes of {int((~known).sum())} of {len(known)} diseases: their labels are unknown"
        yield Finding(where, problem, "train with a vocabulary of what the source records", blocks=False)
    listed = sorted({code for found in definitions.codes.values() for codes in found.values() for code in codes})
    with errors_named(con, place):
        rows = read_table(con, located, "diagnoses")
        if not spec.several_codes:
            odd = rows.filter(rows.icd_version.isnull() | rows.icd_version.notin([*ICD_VERSIONS, 0]))
            lost = count_rows(odd)
            if lost:
                problem = f"{lost:,} rows have an icd_version that is neither 9 nor 10"
                yield Finding(where, problem, "map the version to 9 or 10; such rows count for nothing", blocks=False)
        if known.any():
            # A cell of several codes is found by any of them.
            text = rows.icd_code.upper().re_replace("[,;/ \t\r\n]+", ",") if spec.several_codes else rows.icd_code
            codes = text.split(",").unnest().name("code") if spec.several_codes else text.name("code")
            plain = rows.select(codes)
            matched = plain.filter(normalise_code(plain.code).isin(listed))
            if not count_rows(matched):
                yield Finding(where, "has no code of any disease of the vocabulary", "check icd_code and its zeros")


def _stay_findings(con: Any, located: LocatedSource) -> Iterator[Finding]:
    """Faults that the selection of stays refuses: ids that are repeated or lost between tables."""
    try:
        locate(located.source, located.root)
        _, counts = select_stays(con, located, (), Rejects(1.0))
        if not counts[-1]["stays"]:
            cure = "check in_time and out_time"
            yield Finding("table stays", "no stay has an end after its beginning", cure)
    except InputDataError as error:
        yield Finding.of_error("tables", str(error), AS_PUBLISHED)


__all__ = ["check_source"]

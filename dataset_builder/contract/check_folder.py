"""Checks anyone's cohort folder against the data contract: its files and columns, then what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builder.contract.check_rows import RowChecks
from dataset_builder.contract.definitions import FILE, read_vocabulary
from dataset_builder.contract.findings import Finding, in_order
from dataset_builder.contract.schema import COHORT_FORMAT, SPLITS, example_schema
from dataset_builder.storage.governance import PROVENANCE, read_provenance
from modeling_clinragen.errors import InputDataError

ROWS = 256  # examples that are in memory at a time


@dataclass(frozen=True)
class ContractCheck:
    """Result of a check: the findings in a cohort folder, what blocks first, and the number of examples by split."""

    findings: list[Finding]
    examples: Mapping[str, int]

    @property
    def blocked(self) -> bool:
        """Whether the folder breaks the contract."""
        return any(finding.blocks for finding in self.findings)


def check_folder(folder: Path) -> ContractCheck:
    """Check a cohort folder, whoever wrote it. Nothing is written, and no finding has a value of a patient's.

    Looked at are files, columns and types, then row by row: identifiers, hours and their order, values and their units
    and ranges, labels and names of diseases, and patients in several splits (`RowChecks`).

    Args:
        folder: With vocabulary.json and data/train.parquet, data/validation.parquet and data/test.parquet.

    Raises:
        InputDataError: `folder` is not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputDataError(f"{folder}: is not a folder; give a folder with {FILE} and data/*.parquet")
    findings = list(_provenance_findings(folder))
    try:
        vocabulary = read_vocabulary(folder)
    except InputDataError:
        cure = "write it with write_definitions(folder, definitions), see docs/contract.md"
        findings.append(Finding(FILE, "is missing, damaged or of another format", cure))
        return ContractCheck(in_order(findings), {})
    checks = RowChecks(vocabulary)
    schema = example_schema(vocabulary)
    examples: Counter[str] = Counter()
    for split in SPLITS:
        path = folder / "data" / f"{split}.parquet"
        where = f"data/{path.name}"
        if not path.is_file():
            findings.append(Finding(where, "is missing", "write it, with no rows where the split has none"))
            continue
        try:
            file = pq.ParquetFile(path)
            found, usable = _column_findings(where, file.schema_arrow, schema)
            findings += found
            broken: set[str] = set()
            for batch in file.iter_batches(batch_size=ROWS, columns=usable):
                checks.add(split, where, dict(_cast(batch, schema, broken)))
                examples[split] += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            problem = f"is not a readable parquet file ({type(error).__name__})"
            findings.append(Finding(where, problem, "write it again"))
            continue
        for name in sorted(broken):
            problem = f"column '{name}' cannot be read as {schema.field(name).type}"
            findings.append(
                Finding(where, problem, "write it with the type, and lists of the length, of the contract")
            )
        if not examples[split]:
            findings.append(Finding(where, "has no examples", "training and evaluation need each split", blocks=False))
    return ContractCheck(in_order([*findings, *checks.findings()]), {split: examples[split] for split in SPLITS})


def _provenance_findings(folder: Path) -> Iterator[Finding]:
    if not (folder / PROVENANCE).is_file():
        problem = "is missing, so that the cohort counts as credentialed data of unknown origin"
        yield Finding(PROVENANCE, problem, "write it to say otherwise, see docs/contract.md", blocks=False)
        return
    try:
        provenance = read_provenance(folder)
    except InputDataError:
        yield Finding(PROVENANCE, "cannot be read as JSON", "write it again")
        return
    if provenance.get("format", COHORT_FORMAT) != COHORT_FORMAT:
        yield Finding(PROVENANCE, "has another cohort format", f"this version reads format {COHORT_FORMAT}")


def _column_findings(where: str, found: pa.Schema, expected: pa.Schema) -> tuple[list[Finding], list[str]]:
    """Faults of the columns themselves, and the columns whose rows can be looked at."""
    findings = [
        Finding(where, f"has no column '{name}'", f"add it ({expected.field(name).type})")
        for name in expected.names
        if name not in found.names
    ]
    if strange := len(set(found.names) - set(expected.names)):
        # Their names may be anybody's.
        findings.append(Finding(where, f"has {strange} columns that the contract does not know", "leave them out"))
    times = Counter(found.names)
    repeated = [name for name in expected.names if times[name] > 1]
    findings += [Finding(where, f"has the column '{name}' {times[name]} times", "keep one") for name in repeated]
    return findings, [name for name in expected.names if times[name] == 1]


def _cast(batch: pa.RecordBatch, schema: pa.Schema, broken: set[str]) -> Iterator[tuple[str, pa.Array]]:
    """The columns of a batch in the contract's types; of those that are not, the names are added to `broken`."""
    for name in batch.schema.names:
        kind: Any = schema.field(name).type
        column = batch.column(name)
        try:
            yield name, column if column.type == kind else pc.cast(column, kind)
        except pa.ArrowException:
            broken.add(name)

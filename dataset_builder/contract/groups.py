"""The groups that a cohort's patients belong to, for scores by group; no model reads them.

`groups.parquet` beside a cohort's data has one row per example, with `example_id` and a column for each of `KINDS`;
null where the source does not say. Ages are in bands, so that the file has nobody's age.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clinragen.errors import InputDataError

if TYPE_CHECKING:
    import pyarrow as pa

GROUPS = "groups.parquet"
KINDS = ("sex", "age", "race", "insurance", "care_unit")


def groups_schema() -> pa.Schema:
    """The Arrow schema of the file."""
    import pyarrow as pa

    return pa.schema([pa.field("example_id", pa.string()), *(pa.field(kind, pa.string()) for kind in KINDS)])


def read_groups(cohort: Path) -> dict[str, dict[str, str | None]]:
    """The groups of every example, by `example_id` and then by kind.

    Raises:
        InputDataError: The file is missing or damaged, or has an example twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(cohort) / GROUPS
    if not path.is_file():
        raise InputDataError(f"{path}: is missing; this cohort was built by an earlier version, build it again")
    try:
        table = pq.read_table(path).select(groups_schema().names)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputDataError(f"{path}: is not a readable file of groups; build the cohort again") from error
    found = {row.pop("example_id"): row for row in table.to_pylist()}
    if len(found) != len(table):
        raise InputDataError(f"{path}: an example is there twice; build the cohort again")
    return found

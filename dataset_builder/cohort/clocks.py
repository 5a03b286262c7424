"""Whether the times of all tables are on one clock: with a time zone in every table, or in none."""

from __future__ import annotations

from pathlib import Path

from dataset_builder.cohort.session import errors_named
from dataset_builder.engines.engine import Engine
from dataset_builder.engines.places import Place
from dataset_builder.sources.locate import LocatedSource
from modeling_clinragen.errors import InputDataError

PARQUET = ".parquet"


def check_clocks(con: Engine, located: LocatedSource) -> None:
    """Refuse tables of which only some have times with a time zone.

    Where all have one, they are compared in UTC. Where some have none, nobody knows on which clock these are, and
    every hour between two tables would be wrong by the difference. A text with a time zone is never a time
    (`time_of`).

    Raises:
        InputDataError: Names a table, or a column of it, of either kind.
    """
    zoned: tuple[Place, str] | None = None
    plain: tuple[Place, str] | None = None
    for name, place in located.paths.items():
        spec = located.source.tables[name]
        wanted = {
            physical.lower() for logical, physical in spec.columns.items() if spec.types.get(logical) == "timestamp"
        }
        if not wanted:
            continue
        if isinstance(place, Path) and place.suffix != PARQUET:
            plain = plain or (place, sorted(wanted)[0])  # texts, whose time zones are no part of a time
            continue
        with errors_named(con, place):
            schema = con.read(place).schema()
        for column, kind in schema.items():
            if column.lower() not in wanted or not (kind.is_timestamp() or kind.is_string()):
                continue
            if kind.is_timestamp() and kind.timezone is not None:
                zoned = zoned or (place, column)
            else:
                plain = plain or (place, column)
    if zoned is not None and plain is not None:
        raise InputDataError(
            f"{zoned[0]}: the times of '{zoned[1]}' have a time zone, those of '{plain[1]}' in {plain[0]} have none; "
            "write all without one, on the hospital's own clock, or all with one"
        )

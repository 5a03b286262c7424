"""Series grids: measurements (stay, hour, variable) become rows with a column per variable, null where missing."""

from __future__ import annotations

from typing import Any

import ibis

from dataset_builder.engine import count_rows, store
from modeling_clinragen.errors import SettingsError

GRIDS = ("event", "hourly")

# The authors' code keeps the first 1,000 rows of a series and so do we; a 48-hour window stays far below.
MAX_STEPS = 1000


def check_grid(grid: str) -> None:
    """Raises `SettingsError` for an unknown grid."""
    if grid not in GRIDS:
        raise SettingsError(f"grid '{grid}' is unknown; choose one of {', '.join(GRIDS)}")


def make_grid(
    con: Any, measurements: ibis.Table, grid: str, width: int, *, max_steps: int | None = MAX_STEPS
) -> tuple[ibis.Table, dict[str, int]]:
    """Rows stay_id, hours, v0 ... v{width-1}, in no order, and counts of what was merged or cut.

    Several values of one variable at one time of one stay (arterial and cuff pressure, corrections) become the
    largest: the rule of mimic3-benchmarks, which sorts by value and keeps the last; the last as text where
    `measurements` have a `tie`. "event" makes a row per distinct time, "hourly" a row per full hour h that holds the
    last value of [h, h + 1). The first `max_steps` rows of a stay are kept, all of them without a limit.
    """
    check_grid(grid)
    keys = ["stay_id", "hours", "variable"]
    value = measurements.value.max()
    if "tie" in measurements.columns:
        # Engines differ in what the last of nothing but nulls is, so nulls are kept out of the question.
        last = measurements.value.argmax(measurements.tie, where=measurements.tie.notnull())
        value = ibis.coalesce(last, value)
    single = store(con, "single", measurements.group_by(keys).agg(value=value))
    if grid == "hourly":
        single = single.mutate(hour=single.hours.floor().cast("float32"))
        rows = single.group_by("stay_id", "hour").agg(
            **{f"v{k}": single.value.argmax(single.hours, where=single.variable == k) for k in range(width)}
        )
        rows = rows.rename(hours="hour")
    else:
        rows = single.group_by("stay_id", "hours").agg(
            **{f"v{k}": single.value.max(where=single.variable == k) for k in range(width)}
        )
    rows = rows.mutate(**{f"v{k}": rows[f"v{k}"].cast("float32") for k in range(width)})
    step = ibis.row_number().over(group_by="stay_id", order_by="hours")
    rows = store(con, "grid", rows.mutate(step=step), looked_up_by="stay_id")
    kept = (rows if max_steps is None else rows.filter(rows.step < max_steps)).drop("step")
    used, steps = count_rows(measurements), count_rows(kept)
    counts = {
        "measurements_used": used,
        "merged_at_the_same_time": used - count_rows(single),
        "steps": steps,
        "steps_cut": count_rows(rows) - steps,
    }
    return kept, counts

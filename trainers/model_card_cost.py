"""The part of a model card that says what a model costs to run: measured seconds and bytes, and estimated energy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WATTS_CPU, WATTS_GPU = 65.0, 350.0
"""The power that energy is estimated with: of a processor and of a graphics card at work, as their makers state it."""


def about_cost(cost: Mapping[str, Any] | None) -> str:
    """Sentences about latency, memory and energy of one patient.

    Args:
        cost: The evaluation's cost.json; None where it has none.
    """
    if cost is None or cost["seconds_alone"] is None:
        return "Time and memory were not measured."
    cpu = cost["device"] == "cpu"
    watts = WATTS_CPU if cpu else WATTS_GPU
    threads = f"{cost['threads']} thread{'' if cost['threads'] == 1 else 's'}"
    where = f"a processor with {threads}" if cpu else cost["device"]
    of = "the whole process, evaluation data included" if cpu else "what torch allocated on it"
    joules = cost["seconds_alone"] * watts
    return (
        f"Measured on {where} in {cost['precision']}, a text written freely: {cost['seconds_alone']:.2f} s for one "
        f"patient alone (median), {cost['seconds_in_batches']:.3f} s a patient in batches of {cost['batch_size']} "
        f"({cost['patients']} patients). Peak memory: {cost['memory_bytes'] / 2**30:.2f} GiB ({of}). Energy, an "
        f"estimate: {cost['seconds_alone']:.2f} s × {watts:g} W = {joules:.1f} J for one patient alone; the power is "
        "stated, not measured. Explanations that are checked, as `clinragen predict` gives them, take longer."
    )

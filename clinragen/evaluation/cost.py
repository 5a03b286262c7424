"""The cost of asking a model: seconds for a patient and memory, measured while it is evaluated.

The measured times differ from run to run, so they are kept apart from the scores, which do not.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dataset_builder.storage.files import fingerprint
from modeling_clinragen.diagnosing_clinragen import write_targets

COST = "cost.json"
ALONE = 5
"""Patients who are asked about one at a time."""
LONGEST = 60.0
"""Seconds after which no further one is."""


def weights_digest(folder: Path) -> str:
    """A digest of a model folder's weights: the same for every copy of them."""
    return fingerprint("weights", files=sorted(Path(folder).glob("*.safetensors")))


def measure_cost(
    folder: Path,
    model: Any,
    processor: Any,
    patients: Sequence[tuple[str | None, Any]],
    *,
    batch_size: int,
    seconds: float,
) -> dict[str, Any]:
    """Measure how long one patient takes, and the memory so far.

    Args:
        folder: The model's folder.
        model, processor: The loaded model, on its device.
        patients: Note and series of the patients whose texts have just been written, freely.
        batch_size: How many were written at once.
        seconds: How long that took in all.

    Returns:
        JSON-able: `weights` (see `weights_digest`), `device`, `threads`, `precision`, `batch_size`, `patients`,
        `seconds_in_batches` and `seconds_alone` (for one patient; alone the median), and `memory_bytes`, the peak: on
        a GPU what torch has allocated, otherwise the whole process, cohort included.
    """
    alone: list[float] = []
    for patient in patients[:ALONE]:
        start = time.perf_counter()
        write_targets(model, processor, [patient], do_sample=False, num_beams=1)
        alone.append(time.perf_counter() - start)
        if sum(alone) > LONGEST:
            break
    cuda = model.device.type == "cuda"
    return {
        "weights": weights_digest(folder),
        "device": torch.cuda.get_device_name(model.device) if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "precision": str(model.dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "patients": len(patients),
        "seconds_in_batches": seconds / len(patients) if patients else None,
        "seconds_alone": statistics.median(alone) if alone else None,
        "memory_bytes": torch.cuda.max_memory_allocated(model.device) if cuda else _peak_memory(),
    }


def _peak_memory() -> int:
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

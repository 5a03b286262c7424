"""What each kind of difference between hospitals costs: the quickstart's model on synthetic hospitals with one shift.

    python benchmarks/quickstart.py --keep runs/kept
    python benchmarks/transfer.py runs/kept/quickstart --work runs/transfer [--patients 300] [--texts 60]

The places are hospitals of another seed: the same world ("unshifted", which shows how large a difference is by chance
alone), one for each shift of `shifted_world.py`, and one with all shifts. Of each all patients are asked about, with
the model and the thresholds of home. Interrupted, the same command goes on. Writes benchmarks/results/transfer.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from machine import commit, processor, run
from shifted_world import SHIFTS

from dataset_builder.storage.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "transfer.json"
BUILT = ("--note-policy", "admission", "--window", "first-48h", "--grid", "event", "--range-set", "clinical")
UNSHIFTED, ALL = "unshifted", "all"
SEED = 1


def hospital(name: str, work: Path, patients: int) -> Path:
    """The folder of a hospital with its cohort."""
    folder = work / name
    world: list[object] = []
    if name != UNSHIFTED:
        chosen = [] if name == ALL else ["--shift", name]
        script = ROOT / "benchmarks" / "shifted_world.py"
        subprocess.run([sys.executable, script, work / f"{name}-world", *chosen], check=True)
        world = ["--world", work / f"{name}-world"]
    made = folder / "hospital"
    run("synthesize", *world, "--patients", patients, "--seed", SEED, "--output", made)
    run("build", "mimic-iv", "--root", made / "tables", "--output", folder / "build", *BUILT)
    return folder


def main() -> None:
    """Make the hospitals, compare, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--texts", type=int, default=60)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    names = (UNSHIFTED, *SHIFTS, ALL)
    places = [hospital(name, given.work, given.patients) for name in names]
    asked = ("--split", "all", "--texts", given.texts, "--batch-size", 128, "--cpu-threads", 1)
    # Beside the hospitals, not among them.
    output = given.work / "table"
    run("transfer", "--train", given.run, "--test", *places, *asked, "--output", output)
    write_json(
        RESULT,
        {
            "command": "python benchmarks/transfer.py RUN --work FOLDER",
            "commit": commit(),
            "machine": {"processor": processor(), "cores": os.cpu_count()},
            "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
            "patients": given.patients,
            "shifts": {name: str(shift.__doc__) for name, shift in SHIFTS.items()},
            **read_json(output / "transfer.json"),
        },
    )
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()

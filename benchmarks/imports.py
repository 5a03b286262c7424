"""Times `import clinragen` against `import numpy`, each in fresh processes.

    python benchmarks/imports.py [--runs 5]

A run starts one process for each import, in turn, and takes the seconds of the import alone, without the start of the
interpreter. Medians and the ratio go to benchmarks/results/imports.json with versions, commit and machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit, processor

from dataset_builder.storage.files import write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "imports.json"
PACKAGES = ("numpy", "torch", "transformers", "peft")
STATEMENTS = {
    "numpy": "import numpy",
    "clinragen": "import clinragen",
    "load_cohort": "from clinragen import load_cohort",
    "Explainer": "from clinragen import Explainer",
    "AutoModel": "import clinragen; from transformers import AutoModel",
    "AutoModel without clinragen": "from transformers import AutoModel",
}
CODE = """
import sys, time
started = time.perf_counter()
{statement}
print(time.perf_counter() - started, "torch" in sys.modules, "transformers" in sys.modules)
"""


def import_once(statement: str) -> tuple[float, bool, bool]:
    """Seconds of an import in a fresh process, and whether torch and transformers were loaded by it."""
    code = CODE.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, torch, transformers = done.stdout.split()
    return float(seconds), torch == "True", transformers == "True"


def measure(runs: int) -> dict[str, dict[str, Any]]:
    """Median seconds of every statement; the statements alternate."""
    taken: dict[str, list[tuple[float, bool, bool]]] = {name: [] for name in STATEMENTS}
    # Not counted: the first import of a package also compiles it and fills the file cache.
    for statement in STATEMENTS.values():
        import_once(statement)
    for run in range(runs):
        for name, statement in STATEMENTS.items():
            taken[name].append(import_once(statement))
            print(f"run {run}: {statement}: {taken[name][-1][0]:.3f} s", flush=True)
    return {
        name: {
            "statement": STATEMENTS[name],
            "seconds": round(statistics.median(seconds for seconds, _, _ in results), 4),
            "loads_torch": any(torch for _, torch, _ in results),
            "loads_transformers": any(transformers for _, _, transformers in results),
        }
        for name, results in taken.items()
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULT)
    chosen = parser.parse_args()
    imports = measure(chosen.runs)
    result = {
        "command": f"python benchmarks/imports.py --runs {chosen.runs}",
        "commit": commit(),
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "runs": chosen.runs,
        "imports": imports,
        "clinragen_in_numpy_imports": round(imports["clinragen"]["seconds"] / imports["numpy"]["seconds"], 3),
    }
    write_json(chosen.output, result)
    print(f"written to {chosen.output}")


if __name__ == "__main__":
    main()

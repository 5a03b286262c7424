"""Compares two runs of one recipe: which files are the same to the byte, and which scores differ.

    python benchmarks/compare_runs.py BEFORE AFTER --commits OLD NEW [--output FILE]

For changes that must not move a score: BEFORE and AFTER are run folders made by `clinragen quickstart`, each from the
commit that is named. Of metrics.json every leaf that differs is listed with both values.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    *(
        f"{stage}/data/{split}.parquet"
        for stage in ("build", "rationales")
        for split in ("train", "validation", "test")
    ),
    "knowledge/knowledge.json",
    "model/model.safetensors",
    "evaluation/predictions.json",
)


def differences(before: Any, after: Any, where: str = "") -> Iterator[dict[str, Any]]:
    """Every leaf that differs, with its path."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(set(before) | set(after)):
            yield from differences(before.get(key), after.get(key), f"{where}/{key}")
    elif before != after:
        yield {"where": where, "before": before, "after": after}


def main() -> None:
    """Compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--commits", nargs=2, required=True, metavar=("OLD", "NEW"))
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/quickstart/compared.json")
    chosen = parser.parse_args()
    pairs = {name: (chosen.before / name, chosen.after / name) for name in FILES}
    metrics = [json.loads((run / "evaluation" / "metrics.json").read_text()) for run in (chosen.before, chosen.after)]
    scores = [path for part in ("systems", "differences") for path in differences(metrics[0][part], metrics[1][part])]
    result = {
        "command": "python benchmarks/compare_runs.py BEFORE AFTER",
        "commits": dict(zip(("before", "after"), chosen.commits, strict=True)),
        "python": platform.python_version(),
        "same_bytes": {name: old.read_bytes() == new.read_bytes() for name, (old, new) in pairs.items()},
        "scores_that_differ": scores,
        "metrics_that_differ": list(differences(*metrics)),
    }
    chosen.output.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(scores)} scores differ, {len(result['metrics_that_differ'])} entries in all: {chosen.output}")


if __name__ == "__main__":
    main()

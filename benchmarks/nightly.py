"""Runs everything at full length, one script after the other, and leaves their results below benchmarks/results/.

    python benchmarks/nightly.py [--only quickstart claims ...]

The test suite runs the same code at the tiny settings of tests/tiny_settings.yaml. A script that fails is reported at
the end and the others still run; exit status 1 then. Each script writes its own result file, or nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from machine import SHARED

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "runs" / "quickstart"
OF_RUN = str(RUN.relative_to(ROOT))
# By name: the script with its options, and a folder that it needs.
SCRIPTS: dict[str, tuple[tuple[str, ...], Path | None]] = {
    "imports": (("imports.py",), None),
    "air-gap": (("air_gap.py",), None),
    "claims": (("claims.py",), None),
    "context": (("context_rules.py",), SHARED),
    "quickstart": (("quickstart.py", "--seed", "0"), None),
    "grounding": (("grounding.py",), RUN),
    "second-reading": (("second_reading.py",), RUN),
    **{f"quickstart-seed-{seed}": (("quickstart.py", "--seed", str(seed)), None) for seed in (11, 12, 13)},
    "recommended": (("quickstart.py", "--recipe", "tiny-t5-recommended"), None),
    **{
        f"recommended-seed-{seed}": (("quickstart.py", "--recipe", "tiny-t5-recommended", "--seed", str(seed)), None)
        for seed in (11, 12, 13)
    },
    "model": (("model.py",), None),
    "teacher": (("teacher.py",), None),
    "extraction": (("extraction.py",), None),
    "parity": (("parity.py",), SHARED),
    "rescore": (("rescore.py",), None),
    "service": (("serve_load.py", OF_RUN), RUN),
    "admissions": (("admissions.py", f"{OF_RUN}/model", "--boosting", f"{OF_RUN}/rationales"), RUN),
    "trust": (("trust.py", OF_RUN, "--work", "runs/trust"), RUN),
    "transfer": (("transfer.py", OF_RUN, "--work", "runs/transfer"), RUN),
    "bias": (("planted_bias.py", OF_RUN, "--work", "runs/bias"), RUN),
    "preference": (("preference.py", OF_RUN), RUN),
    "tables": (("docs_tables.py",), None),
    "open-questions": (("open_questions_page.py",), None),
}


def main() -> int:
    """Run the scripts; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(SCRIPTS), default=list(SCRIPTS))
    failed = []
    for name in parser.parse_args().only:
        words, needs = SCRIPTS[name]
        if needs is not None and not needs.is_dir():
            print(f"{name}: left out, it needs {needs}", flush=True)
            continue
        started = time.monotonic()
        print(f"{name}: {' '.join(words)}", flush=True)
        done = subprocess.run([sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]], cwd=ROOT, check=False)
        print(f"{name}: exit {done.returncode} after {time.monotonic() - started:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

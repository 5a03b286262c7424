"""Where a result comes from: the commit of this checkout, and the processor."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_GIT = ("git", "-C", str(ROOT))


def commit() -> str:
    """The commit that is checked out; "-dirty" where files differ, other than the results that benchmarks write."""
    head = subprocess.run([*_GIT, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True, check=True)
    changed = [*_GIT, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)benchmarks/results"]
    differs = subprocess.run(changed, capture_output=True, text=True, check=True).stdout.strip()
    return head.stdout.strip() + ("-dirty" if differs else "")


def processor() -> str:
    """The processor's name, as Linux gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()

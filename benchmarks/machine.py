"""Where a result comes from, the commit of this checkout and the processor, and where benchmarks find things."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SHARED = Path(os.environ.get("CLINRAGEN_SHARED", ROOT.parent / "shared"))
"""The reference data folder."""
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


def apart(function: Callable[..., T], *given: object) -> T:
    """What a function gives, in a process of its own: the peak memory of a process that is started later begins with
    that of the one that starts it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def run(*words: object) -> None:
    """Run a clinragen command; it is up to date or goes on by itself."""
    subprocess.run([BIN / "clinragen", *map(str, words)], check=True)

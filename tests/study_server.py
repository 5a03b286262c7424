"""The pages of a study on a real port, started as a user starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo_server import COMMAND, Served


@contextmanager
def served_study(study: Path, folder: Path, *raters: str, port: int = 0) -> Iterator[dict[str, Served]]:
    """Run `clinragen study serve` until the block ends; yields where each rater's page is."""
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "errors.txt"
    words = ["study", "serve", str(study), "--port", str(port), *(w for one in raters for w in ("--rater", one))]
    with errors.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", COMMAND, *words],
            env={**os.environ, "TMPDIR": str(folder)},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    try:
        assert process.stdout is not None
        found: dict[str, Served] = {}
        assert "Whoever has an address" in process.stdout.readline(), errors.read_text()[-2000:]
        for _ in raters:
            line = process.stdout.readline()
            match = re.fullmatch(r"Open (http://[\d.]+:\d+)/([a-z0-9-]+)/\?token=(\S+)\n", line)
            assert match is not None, (line, errors.read_text()[-2000:])
            found[match[2]] = Served(process, match[1], match[3], folder, errors)
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)

"""The installed command line in a process of its own, and what its errors look like."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = Path(sys.executable).parent / "clinragen"


def command(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [str(SCRIPT), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        timeout=300,
    )


def in_process(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which has loaded the libraries already."""
    from clinragen.cli.main import main

    written, errors, code = io.StringIO(), io.StringIO(), 0
    given, sys.argv = sys.argv, ["clinragen", *map(str, words)]
    try:
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(errors):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = given
    return subprocess.CompletedProcess(list(words), code, written.getvalue(), errors.getvalue())


def fails_with_one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """The command failed with one line that contains all `parts`, and without a traceback."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("clinragen: ")]
    assert done.returncode not in (0, None)
    assert len(lines) == 1, done.stderr[-1500:]
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in lines[0], lines[0]


def start(*words: object) -> subprocess.Popen[str]:
    """Start a command that can be interrupted."""
    return subprocess.Popen(
        [str(SCRIPT), *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test worker ignores Ctrl-C and hands that down; a user's shell does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a running command has written `path`."""
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-1500:]
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.02)


def children_of(process: int) -> list[int]:
    """The numbers of the processes that a process has started from its main thread."""
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]

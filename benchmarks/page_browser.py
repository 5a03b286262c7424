"""A running page and a real Chromium, for the scripts that measure and picture the page.

Needs chromium and chromedriver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = "from clinragen.cli.main import main; main()"


@dataclass(frozen=True)
class RunningPage:
    """A page of this machine.

    Args:
        process: Its process.
        address: Where it is.
        token: What opens it.
    """

    process: subprocess.Popen[str]
    address: str
    token: str

    @property
    def opened(self) -> str:
        """The address as printed."""
        return f"{self.address}/?token={self.token}"


@contextmanager
def running_page(model: Path) -> Iterator[RunningPage]:
    """Run `clinragen demo` on a model until the block ends."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", COMMAND, "demo", str(model.resolve()), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            match = re.fullmatch(r"Open (http://[\d.]+:\d+)/\?token=(\S+)\n", process.stdout.readline())
            if match is None:
                errors.seek(0)
                raise SystemExit(f"the page did not start:\n{errors.read()[-2000:]}")
            yield RunningPage(process, match[1], match[2])
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def browser(folder: Path, width: int, height: int, *, dark: bool = False) -> Iterator[Any]:
    """A headless Chromium with a window of this size in one of the two colour schemes."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or program is None:
        raise SystemExit("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        yield opened
    finally:
        opened.quit()


def wait_until(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until `holds()` is true. Raises `TimeoutError`."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError("the page did not come to what was waited for")
        time.sleep(0.05)

"""Pictures of the page for the documentation, taken in a real browser with a real model.

    python benchmarks/page_pictures.py runs/quickstart

writes docs/pictures/page-{wide,narrow}-{light,dark}.png. Needs chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import base64
import io
import tempfile
from pathlib import Path
from typing import Any

from page_browser import browser, running_page, wait_until
from PIL import Image

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SIZES = {"wide": (1280, 1420), "narrow": (390, 1500)}
COLOURS = 128
LARGEST = 150_000
"""Bytes of a picture."""


def answered(page: Any, patient: int) -> None:
    """Choose a patient by its number, and wait for the whole answer."""
    from selenium.webdriver.common.keys import Keys

    def marked() -> bool:
        return page.execute_script("return !!document.querySelector('.cr-patient .cr-charts')")

    wait_until(marked)
    box = page.find_element("css selector", "#patient input")
    box.click()
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(f"Patient {patient}:", Keys.ENTER)
    wait_until(lambda: box.get_attribute("value").startswith(f"Patient {patient}:") and marked())
    page.find_element("id", "explain").click()
    wait_until(lambda: page.execute_script(DONE))


DONE = "const one = document.querySelector('.cr-status'); return !!one && !one.classList.contains('cr-busy')"
POINTED = "document.querySelectorAll('#answer .cr-sentence')[arguments[0]]?.focus({preventScroll: true})"


def picture(page: Any, file: Path, size: tuple[int, int]) -> None:
    """Save what the page shows, in few colours."""
    width, height = size
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = page.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
    )
    image = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    size_of = file.stat().st_size
    if size_of > LARGEST:
        raise SystemExit(f"{file}: has {size_of:,} bytes, more than {LARGEST:,}")
    print(f"{file.name}: {size_of:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a run, which has a model and its cohort")
    parser.add_argument("--patient", type=int, default=4, help="the number of the patient in the page's list")
    parser.add_argument("--sentence", type=int, default=7, help="the number of the sentence that is pointed at")
    parser.add_argument("--output", type=Path, default=PICTURES)
    given = parser.parse_args()
    with running_page(given.run / "model") as page:
        for name, size in SIZES.items():
            for dark in (False, True):
                with tempfile.TemporaryDirectory() as folder, browser(Path(folder), *size, dark=dark) as opened:
                    opened.get(page.opened)
                    answered(opened, given.patient)
                    opened.execute_script(POINTED, given.sentence - 1)
                    picture(opened, given.output / f"page-{name}-{'dark' if dark else 'light'}.png", size)


if __name__ == "__main__":
    main()

"""Draws docs/pictures/checked-rationale.png: the example of docs/check.md as `clinragen check --format html` shows it.

    python docs/figures/checked_rationale.py

Needs chromium (Debian: chromium). Run it again after a change of that page's look.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from clinragen.checking import check_text
from clinragen.checking.inputs import read_standards
from clinragen.checking.render_html import render_html
from clinragen.claims.sentences import Patient
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.note_file import read_note

DOCS = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 1000, 720
COLOURS = 64


def page(folder: Path) -> str:
    """The files of docs/check.md, checked, as one page of HTML."""
    text = (DOCS / "check.md").read_text(encoding="utf-8")
    for name, content in re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.DOTALL | re.MULTILINE):
        (folder / name).write_text(content, encoding="utf-8")
    checking = read_standards()
    patient = Patient(read_lab_csv(folder / "labs.csv", checking.vocabulary), read_note(folder / "note.txt"))
    return render_html(check_text((folder / "rationale.txt").read_text(encoding="utf-8"), patient, checking))


def main(target: Path) -> None:
    """Take the picture."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("needs chromium (Debian: chromium)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.html").write_text(page(folder), encoding="utf-8")
        taken = folder / "page.png"
        size = f"--window-size={WIDTH},{HEIGHT}"
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, f"--screenshot={taken}"]
        subprocess.run(
            [program, *words, f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(taken).convert("RGB")
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "pictures" / "checked-rationale.png")

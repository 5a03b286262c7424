"""Builds the documentation site of README, docs and everything that they link to, without a network:

    python docs/build_site.py [FOLDER]

writes FOLDER/site (default: build/docs/site); open its index.html. Ends with an error for a broken link, a page that
is not in the navigation of mkdocs.yml, and anything that a built page would load from another machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "mkdocs.yml"
LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>(?!https?:|mailto:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?\)"
)


def main(folder: Path) -> None:
    """Copy, build, check."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = copy_pages(folder / "source")
    config = CONFIG.read_text(encoding="utf-8")
    absent = sorted(page for page in pages if not re.search(rf": {re.escape(page)}$", config, re.MULTILINE))
    if absent:
        raise SystemExit(f"mkdocs.yml: the navigation lacks {', '.join(absent)}")
    shutil.copyfile(CONFIG, folder / CONFIG.name)
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(folder / CONFIG.name)],
        env={**os.environ, "PYTHONPATH": search, "NO_COLOR": "1"},
        check=False,
    )
    if built.returncode:
        raise SystemExit(built.returncode)
    faults = check_site(folder / "site")
    if faults:
        raise SystemExit("\n".join(faults))
    sys.stdout.write(f"{folder / 'site' / 'index.html'}\n")


def copy_pages(target: Path) -> list[str]:
    """Copy README, docs and, from link to link, every file that they lead to; returns the pages, by path.

    The copies lie as the originals do, so links between them stay right. A link to a folder becomes its words, because
    a site has no page for it.
    """
    waiting = [Path("README.md"), *(path.relative_to(ROOT) for path in sorted((ROOT / "docs").glob("*.md")))]
    copied: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in copied:
            continue
        copied.add(path)
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copyfile(ROOT / path, target / path)
            continue
        here = (ROOT / path).parent
        text = (ROOT / path).read_text(encoding="utf-8")
        text = LINK.sub(
            lambda found, here=here: found["text"] if (here / found["target"]).is_dir() else found[0], text
        )
        (target / path).write_text(text, encoding="utf-8")
        for found in LINK.finditer(text):
            there = (here / found["target"]).resolve()
            if not there.is_relative_to(ROOT) or not there.is_file():
                raise SystemExit(f"{path}: there is no {found['target']}")
            waiting.append(there.relative_to(ROOT))
    return sorted(path.as_posix() for path in copied if path.suffix == ".md")


class _Links(HTMLParser):
    """What a built page links to, and what it loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.linked: list[str] = []
        self.loaded: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.linked.append(given.get("href") or "")
        elif tag in ("img", "script", "iframe", "source", "video", "audio"):
            self.loaded.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.loaded.append(given.get("href") or "")


def check_site(site: Path) -> list[str]:
    """Faults of built pages: files that they link to and that are not there, and what comes from elsewhere."""
    faults = []
    for page in sorted(site.rglob("*.html")):
        inside = page.relative_to(site)
        links = _Links(page)
        faults += [f"{inside}: loads {each}" for each in links.loaded if re.match(r"(https?:)?//", each)]
        for each in (*links.linked, *links.loaded):
            path = unquote(urldefrag(each).url)
            if path and not re.match(r"[a-z]+:|//", path) and page.name != "404.html":
                there = page.parent / path
                if not (there / "index.html" if there.is_dir() else there).is_file():
                    faults.append(f"{inside}: links to {each}, which is not there")
    for sheet in sorted(site.rglob("*.css")):
        found = re.findall(
            r"url\([\"']?(https?:[^)\"']+)|@import\s+[\"'](https?:[^\"']+)", sheet.read_text(encoding="utf-8")
        )
        faults += [f"{sheet.relative_to(site)}: loads {''.join(each)}" for each in found]
    return faults


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs")

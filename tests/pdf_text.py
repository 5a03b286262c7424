"""The text of a PDF that fpdf2 wrote, read back from its pages with the fonts' own tables of letters."""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"(?s)(\d+) 0 obj\n(.*?)\nendobj")
_STREAM = re.compile(rb"(?s)stream\n(.*)\nendstream")
_SHOWN = re.compile(rb"(?s)/F(\d+) [\d.]+ Tf|\(((?:\\.|[^\\()])*)\) Tj")
_ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def pdf_lines(content: bytes) -> list[str]:
    """Every piece of text, in the order of the pages."""
    objects = {int(match[1]): match[2] for match in _OBJECT.finditer(content)}
    letters = {}
    for found in objects.values():
        for name, number in re.findall(rb"/F(\d+) (\d+) 0 R", found) if b"/Font <<" in found else ():
            table = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)])
            assert table is not None
            letters[name] = _letters(_stream(objects[int(table[1])]))
    pages = [found for found in objects.values() if re.search(rb"/Type /Page\b", found)]
    lines = []
    for page in pages:
        contents = re.search(rb"/Contents (\d+) 0 R", page)
        assert contents is not None
        font: dict[int, str] = {}
        for match in _SHOWN.finditer(_stream(objects[int(contents[1])])):
            if match[1] is not None:
                font = letters[match[1]]
                continue
            codes = re.sub(rb"(?s)\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match[2])
            lines.append("".join(font[high << 8 | low] for high, low in zip(codes[::2], codes[1::2], strict=True)))
    return lines


def pdf_text(content: bytes) -> str:
    """All of it, with single blanks between words."""
    return " ".join(" ".join(pdf_lines(content)).split())


def pdf_properties(content: bytes) -> dict[str, str]:
    """The properties of the document, as written."""
    info = re.search(rb"/Info (\d+) 0 R", content)
    assert info is not None
    found = dict(_OBJECT.findall(content))[info[1]].decode("latin-1")
    return dict(re.findall(r"/(\w+) \((.*?)\)", found))


def _stream(found: bytes) -> bytes:
    match = _STREAM.search(found)
    assert match is not None
    return zlib.decompress(match[1]) if b"/FlateDecode" in found[: match.start()] else match[1]


def _letters(table: bytes) -> dict[int, str]:
    found = {}
    for part in re.findall(rb"(?s)beginbfchar(.*?)endbfchar", table):
        for code, letter in re.findall(rb"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", part):
            found[int(code, 16)] = bytes.fromhex(letter.decode()).decode("utf-16-be")
    for part in re.findall(rb"(?s)beginbfrange(.*?)endbfrange", table):
        for first, last, letter in re.findall(rb"<(\w+)>\s*<(\w+)>\s*<(\w+)>", part):
            start = int.from_bytes(bytes.fromhex(letter.decode()))
            for place, code in enumerate(range(int(first, 16), int(last, 16) + 1)):
                found[code] = chr(start + place)
    return found

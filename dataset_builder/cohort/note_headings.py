"""Where the headings of a clinical note are: on lines, in forms, tags and questions, in running text, as dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from dataset_builder.cohort.heading_terms import Kind, Meaning, meaning
from dataset_builder.cohort.line_headings import LONGEST, MOST_WORDS, Heading, in_lines
from dataset_builder.cohort.note_layout import in_the_layout

_CAPITALS = re.compile(rf"(?<=[.,;!?)]) ?\s?((?!\s)[A-Z][A-Z0-9 &/'()#\n-]{{1,{LONGEST}}}):")
_INNER_TITLE = re.compile(r"(?<=[.;,)])[ ,]{0,2}([A-Z][A-Za-z/]{1,16}(?: [A-Za-z/]{1,16}){0,4}):(?=[\s,])")
_RUN_ON = re.compile(r"(?<=;)[ ]?([A-Za-z][A-Za-z/ .]{0,30}?)[ ]?:(?=[\s])")
_FEWEST_RUN_ON = 3
_FORM_WORD = re.compile(r"[^ ,;\t]+(?=[ ,;\t])")
_ADDRESS = re.compile(r"(?:Mr|Mrs|Ms|Dr|Miss)\b")
_LOOKED_AT = 60
"""Lines that show whether a note is such a form."""
_FEWEST_IN_FORM = 4
_LEAST_SHARE = 0.5
_FEWEST = 3
_MOSTLY = 0.66
"""Lines that begin with a heading's words, and their share, for a note without marks to be read as a form; fewer lines
do where nearly all are such."""


def heading_reader() -> Callable[[str], Meaning]:
    """Reads headings, each of them once: much of a note repeats, and is met by several ways to find them.

    It keeps what it has read; make one for a note.
    """
    known: dict[str, Meaning] = {}

    def says(written: str) -> Meaning:
        if written not in known:
            known[written] = meaning(written)
        return known[written]

    return says


def find_headings(text: str, says: Callable[[str], Meaning] | None = None) -> list[Heading]:
    """The headings of a cleaned note, in order and apart from each other, read by `says` (see `heading_reader`)."""
    says = heading_reader() if says is None else says
    found = list(in_lines(text, says))
    found.extend(_in_unmarked_form(text, len(found), says))
    found.extend(_in_running_text(text, says))
    in_layout = list(_in_layout(text, says))
    apart_there = {heading.start for heading in in_layout if not heading.alone}
    # "(History) two days of cough" is a heading and its section there, whatever the whole line says.
    found = [heading for heading in found if not (heading.alone and heading.start in apart_there)]
    found.extend(in_layout)
    found.sort(key=lambda heading: (heading.start, -heading.end))
    apart: list[Heading] = []
    for heading in found:
        if not apart or heading.start >= apart[-1].end:
            apart.append(heading)
    return apart


def _in_layout(text: str, says: Callable[[str], Meaning]) -> Iterator[Heading]:
    """The headings in the layout that the note keeps to, whatever their words."""
    for start, end, said in in_the_layout(text, says):
        stop = text.find("\n", end)
        alone = not text[end : stop if stop >= 0 else len(text)].strip(' *_=#~|:-–—",{}[]')
        spaced = text[max(start - 2, 0) : start] in ("", "\n", "\n\n")
        yield Heading(start, end, said, alone, spaced, bullet=text[start] in "-•")


def _in_unmarked_form(text: str, marked: int, says: Callable[[str], Meaning]) -> Iterator[Heading]:
    """The headings of a form in columns, whose wide spaces are gone: its lines begin with words that headings have."""
    lines = text.split("\n")
    filled = [line for line in lines if line][:_LOOKED_AT]
    if marked * 3 > len(filled):
        return
    lower = sum(line[0].islower() for line in filled) * 2 > len(filled)
    begun = sum(_longest_beginning(line, says, lower=lower) is not None for line in filled)
    if begun < len(filled) * (_LEAST_SHARE if begun >= _FEWEST_IN_FORM else _MOSTLY) or begun < _FEWEST:
        return
    start = 0
    for line in lines:
        begin = _longest_beginning(line, says, lower=lower)
        if begin is not None:
            yield Heading(start, start + begin[0], begin[1])
        elif (line[:1].isupper() or lower) and ":" not in line and " " in line:
            # A field of a name that is not known; how far it goes does not matter.
            yield Heading(start, start + line.index(" "), Meaning(Kind.UNKNOWN, words=1, unknown=1), spaced=True)
        start += len(line) + 1


def _longest_beginning(line: str, says: Callable[[str], Meaning], *, lower: bool) -> tuple[int, Meaning] | None:
    """The end and the meaning of the longest beginning of a line, of at most five words, that is a heading."""
    if not (line[:1].isupper() or (lower and line[:1].islower())) or ":" in line[:LONGEST] or _ADDRESS.match(line):
        return None
    ends = [found.end() for found in _FORM_WORD.finditer(line[: LONGEST + 1])][:5]
    for end in reversed(ends):
        said = says(line[:end])
        if said.complete and not said.sentence and said.kind not in (Kind.UNKNOWN, Kind.INNER):
            return end, said
    return None


def _in_running_text(text: str, says: Callable[[str], Meaning]) -> Iterator[Heading]:
    """Headings in the middle of a line: in capitals, or in title case with words that only headings have."""
    for found in _CAPITALS.finditer(text):
        written = found.group(1)
        said = says(written)
        broken = "\n" in written
        if said.kind is Kind.INNER or (broken and said.unknown) or said.words > MOST_WORDS:
            continue
        if said.words and not said.sentence and (said.kind is not Kind.UNKNOWN or said.words <= 5):
            yield Heading(found.start(1), found.end(), said)
    run_on = [(found, says(found.group(1))) for found in _RUN_ON.finditer(text)]
    run_on = [(found, said) for found, said in run_on if said.complete and said.kind is not Kind.INNER]
    for found, said in run_on if len(run_on) >= _FEWEST_RUN_ON else ():
        yield Heading(found.start(1), found.end(), said)
    for found in _INNER_TITLE.finditer(text):
        said = says(found.group(1))
        if said.complete and said.kind not in (Kind.UNKNOWN, Kind.INNER, Kind.HEADER) and not said.sentence:
            yield Heading(found.start(1), found.end(), said)

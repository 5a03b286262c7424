"""Headings that a line of a note begins with: with a colon or a dash, in bold, as a question or a date, or alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dataset_builder.cohort.heading_terms import (
    Kind,
    Meaning,
    asks,
    is_date,
    is_filler,
    joined_letters,
)
from modeling_clinragen.note_clinragen import BLANK

LONGEST = 80
"""Characters of the longest heading."""

MOST_WORDS = 10
"""Words of the longest heading."""

_TAG = re.compile(r"</?([A-Za-z][\w-]{0,40})(?:\s[^<>\n]{0,200})?>")
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_ /-]{1,40})\|")
_BOLD = re.compile(r"(?<![*_])(\*\*|__)(?! )([^*_\n]{2,80}?)(?:\1[ ]?:|:[ ]?\1|\1(?=\n|$| [-–—] ))")
_MARK = re.compile(
    r"(?:[^\w\s(\[<.,;:'’]{1,12} ?|Q\d{0,2}[:.] |\(?\d{1,2}[.)] |\d{1,2}(?:\.\d{1,2}){1,3} (?=[A-Z])"
    r"|[A-Za-z][.)] (?=[A-Z])|[IVX]{1,5}[.)] )"
)
_UNDERLINE = re.compile(r"[=\-~_*+#]{3,}$")
_COLON = re.compile(rf"[^:\n|]{{1,{LONGEST}}}?(?=\s?:)")
_DASH = re.compile(rf"[^:\n]{{1,{LONGEST}}}?(?=(?: [-–—=>→]{{1,2}}|[-–—]{{1,2}}|\.{{2,}}) |=(?=\w))")
_ASIDE_FIRST = re.compile(r"\(([A-Za-z][^()\n]{1,60})\) ")
_FILLED = re.compile(r"=|\.\.")
_QUESTION = re.compile(rf"[^?\n]{{2,{LONGEST}}}\?")
_QUALIFIED = re.compile(r"[A-Za-z/.]{1,14}(?: [A-Za-z/.]{1,14})? ?\([A-Za-z./ ]{2,24}\)")
_DOTTED = re.compile(r"(?:[A-Z]\.){2,5}(?= |$)|(?!(?:Mr|Mrs|Ms|Dr|St)\.)[A-Z][A-Za-z]{1,9}\.(?= )|D/C(?= )")
_SPELLED_OUT = re.compile(r"(?:[A-Za-z] ){2,40}[A-Za-z](?=$|[ ]?[:\-–—])")
_ASIDE = re.compile(r"\([^()]*\)")
_LOWER_FIELD = re.compile(r"[a-z][a-z0-9 /&]{0,30}:")
_UPPER_FIELD = re.compile(r"[A-Z][A-Za-z0-9 /&]{0,30}:")
_MOST_WORDS_OF_A_DATE = 4

_SHORTEST_WRAPPED, _LONGEST_WRAPPED = 50, 130
"""Characters of a line that an editor wrapped: a shorter one was ended on purpose, a longer one by no margin."""

_LETTERS = re.compile(r"[^\W\d_]+")
_BULLETS = "-–—•*+#\"'|>●◦▪"
_SENTENCE_END = (".", ":", ";", "!", "?", ",")


@dataclass(frozen=True)
class Heading:
    """A heading from `start` to `end` in its note; the section's text follows.

    `alone` tells that nothing else is on its line, `spaced` that an empty line or the note's begin is before it,
    `problem` that it begins with "#", as the entries of a plan do, `bullet` that it is an entry of a list.
    """

    start: int
    end: int
    meaning: Meaning
    alone: bool = False
    spaced: bool = False
    problem: bool = False
    date: bool = False
    bullet: bool = False


@dataclass(frozen=True)
class _Line:
    start: int
    text: str
    before: str
    after: str
    lower: bool
    capitals: bool
    says: Callable[[str], Meaning]

    @property
    def spaced(self) -> bool:
        return not self.before

    @property
    def continues(self) -> bool:
        """Whether the line above may run on into this one."""
        long = _SHORTEST_WRAPPED <= len(self.before) <= _LONGEST_WRAPPED
        return long and bool(_LETTERS.search(self.before)) and not self.before.endswith(_SENTENCE_END)


def in_lines(text: str, says: Callable[[str], Meaning]) -> Iterator[Heading]:
    """The headings that lines of a cleaned note begin with, in order; `says` reads one."""
    lines = text.split("\n")
    fields = [line for line in lines if _LOWER_FIELD.match(line) or _UPPER_FIELD.match(line)]
    lower = text == text.lower() or sum(map(str.islower, (line[0] for line in fields))) * 2 > max(len(fields), 6)
    capitals = sum(map(str.isupper, text)) > sum(map(str.islower, text))
    start = 0
    before = ""
    for number, content in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        yield from _of_line(_Line(start, content, before, after, lower, capitals, says))
        start += len(content) + 1
        before = content


def _of_line(line: _Line) -> Iterator[Heading]:
    if not line.text or _UNDERLINE.match(line.text):
        return
    if line.text[0] == "<" and (tag := _TAG.match(line.text)):
        if not line.text.startswith("</"):
            yield _heading(line, 0, tag.end(), line.says(tag.group(1)))
        return
    bold = list(_BOLD.finditer(line.text))
    for found in bold:
        yield _heading(line, found.start(), found.end(), line.says(found.group(2)))
    if bold and bold[0].start() == 0:
        return
    mark_end, marks = _marks(line.text)
    core = line.text[mark_end:]
    if field := _field(line, core):
        yield _heading(line, 0, mark_end + field[0], field[1])
        return
    begins = (_spelled_out, _question, _colon, _dash, _whole_line, _abbreviated)
    for begin in begins:
        heading = begin(line, mark_end, core, marks)
        if heading is not None:
            yield heading
            return


def _field(line: _Line, core: str) -> tuple[int, Meaning] | None:
    """The end and the meaning of the field "NAME|" that a record begins with; a first name may be the record's own."""
    end = 0
    first = None
    for _ in range(3):
        found = _FIELD.match(core, end)
        if found is None:
            break
        end = found.end()
        said = line.says(found.group(1))
        if said.kind is not Kind.UNKNOWN:
            return end, said
        first = first or (end, said)
    return first


def _marks(text: str) -> tuple[int, str]:
    """How far bullets, numbers and signs go at a line's begin, and what they are."""
    end = 0
    for _ in range(3):
        found = _MARK.match(text, end)
        if found is None:
            break
        end = found.end()
    return end, text[:end]


def _heading(
    line: _Line, start: int, end: int, said: Meaning, *, problem: bool = False, date: bool = False
) -> Heading:
    rest = line.text[end:].strip(' *_=#~|:-–—",{}[]')
    bullet = line.text[0] in "-•"
    return Heading(line.start + start, line.start + end, said, not rest, line.spaced, problem, date, bullet)


def _spelled_out(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    """A heading whose letters stand apart: "P A S T H I S T O R Y"."""
    found = _SPELLED_OUT.match(core)
    said = line.says(joined_letters(found.group())) if found is not None else None
    if found is None or said is None or not said.complete:
        return None
    end = mark_end + found.end()
    end += len(line.text[end:]) - len(line.text[end:].lstrip(" :-–—"))
    return _heading(line, 0, end, said)


def _colon(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    found = _COLON.match(core)
    if found is None:
        return None
    end = mark_end + found.end()
    while end < len(line.text) and line.text[end] in ": *":
        end += 1
    written = found.group().strip(' *_="”')
    after = core[found.end() :].lstrip()[1:2]
    if line.before.endswith("?") and len(written) <= 6:
        return None  # "A:" below a question
    if is_date(written) and not (written.isdigit() or after.isdigit()):
        return _heading(line, 0, end, line.says(written), date=True)
    if (
        ";" in written
        or (written[-1:].isdigit() and after.isdigit())
        or not _LETTERS.search(written)
        or _is_running(written)
    ):
        return None
    if asks(written) and not line.says(written).unknown:
        return _heading(line, 0, end, _asked(line, written))
    said = line.says(written)
    if "#" in marks and not said.complete:
        return _problem(line, said, core)
    if _is_heading(written, said, line):
        return _heading(line, 0, end, said, problem="#" in marks)
    return None


def _is_running(written: str) -> bool:
    """Whether words are too many for a heading, or are two sentences, which is seen before they are looked up."""
    return ". " in written or written.count(" ") > MOST_WORDS + 2


def _is_heading(written: str, said: Meaning, line: _Line) -> bool:
    """Whether the words before a colon at a line's begin are a heading rather than a sentence's part."""
    first = next((letter for letter in written if letter.isalpha()), "")
    if said.words > MOST_WORDS or (said.sentence and said.kind in (Kind.UNKNOWN, Kind.INNER)):
        return False
    if said.sentence and said.unknown:
        return False
    if said.kind in (Kind.UNKNOWN, Kind.INNER):
        digits = sum(letter.isdigit() for letter in written)
        capital = any(letter.isupper() for letter in written.split()[0])
        titled = capital and said.words <= 5 and (not line.continues or _is_titled(written) or first.islower())
        return (titled and digits <= 2) or (line.lower and said.kind is Kind.INNER)
    if first.islower():
        return said.complete and (line.lower or not line.continues or line.text.rstrip().endswith(":"))
    return said.unknown <= max(2, said.words // 2)


def _whole_line(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    """A heading that has its line to itself, without a colon."""
    written = core.strip(" *_=#~-–—[]|")
    framed = bool(marks.strip()) and core[-1:] in "-=*~#|]" and not core.startswith("#")
    signed = bool(marks.strip()) and not any(sign.isalnum() or sign in _BULLETS for sign in marks)
    underlined = bool(_UNDERLINE.match(line.after)) or framed or (signed and written[:1].isupper())
    problem = "#" in marks
    if not 2 <= len(written) <= LONGEST or written == BLANK or not _LETTERS.search(written):
        return None
    if _asks(line, written):
        return _heading(line, 0, len(line.text), _asked(line, written))
    if is_date(written) and len(written) <= 40 and (line.spaced or not line.continues) and line.after:
        return _heading(line, 0, len(line.text), line.says(written), date=True)
    if problem:
        return _problem(line, line.says(written), written)
    begun_above = line.continues and written[0].islower() and not marks and not underlined
    if written.endswith(_SENTENCE_END) or _is_running(written) or begun_above:
        return None
    said = line.says(written)
    if said.words > MOST_WORDS - 2 or said.words == 0:
        return None
    if underlined and not said.sentence:
        return _heading(line, 0, len(line.text), said)
    if marks and not (said.complete and _is_titled(written) and ("-" not in marks or _marks(line.after)[1])):
        return None
    return _heading(line, 0, len(line.text), said) if _is_bare(line, written, said) else None


def _question(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    """A question of a form, on a line of its own or with its answer behind it."""
    found = _QUESTION.match(core)
    if found is None or not asks(core):
        return None
    end = mark_end + found.end()
    if not line.text[end:].strip() and not line.continues:
        return _heading(line, 0, end, _asked(line, found.group()))
    said = line.says(found.group())
    known = said.unknown <= 1 and said.words in range(2, MOST_WORDS)
    return _heading(line, 0, end, _asked(line, found.group())) if known else None


def _asks(line: _Line, written: str) -> bool:
    """Whether a line is a question of a form without its mark: "What we found in the emergency room"."""
    if not written[0].isupper() or not asks(written):
        return False
    said = line.says(written)
    return not said.unknown and said.words in range(2, MOST_WORDS)


def _asked(line: _Line, written: str) -> Meaning:
    """Read a question of a form; one that says nothing of the time ("What we did") is of what came later."""
    said = line.says(written)
    return said if said.kind is not Kind.UNKNOWN else replace(said, kind=Kind.LATER)


def _problem(line: _Line, said: Meaning, written: str) -> Heading:
    """A line with "#": "# History" is a heading of Markdown, "# Sepsis on pressors, weaned" the entry of a plan."""
    if said.kind not in (Kind.UNKNOWN, Kind.INNER) and said.complete and len(written) <= LONGEST:
        return _heading(line, 0, len(line.text), said)
    end = len(line.text) - len(line.text.lstrip("# "))
    return _heading(line, 0, max(end, 1), Meaning(Kind.UNKNOWN), problem=True)


def _is_bare(line: _Line, written: str, said: Meaning) -> bool:
    """Whether a line without any mark is a heading: by its words, its capitals and what is around it."""
    if said.kind in (Kind.UNKNOWN, Kind.INNER):
        several = said.words >= 2 or len(written) > 4
        clean = not any(letter.isdigit() or letter in ",;/" for letter in written)
        apart = line.spaced or (written.isupper() and not line.capitals and said.words >= 2)
        return bool(apart and line.after and several and clean and said.words <= 5 and _is_titled(written))
    if said.kind is Kind.ILLNESS and not said.tags - {"before", "elsewhere", "home", "until"}:
        return False  # "Home", "Nursing Home": where somebody goes, or comes from
    if said.complete and not said.sentence:
        return written[0].isupper() or not line.continues
    if said.kind is Kind.TITLE:
        return _is_titled(written) and line.spaced
    if written.isupper() and not line.capitals:
        return said.unknown <= 2 and not said.sentence
    few = said.unknown == 1 and (said.words >= 3 or (said.kind is Kind.LATER and said.words == 2))
    apart = not line.continues or (said.words >= 2 and said.kind is Kind.LATER)
    return few and not said.sentence and _is_titled(written) and apart


def _dash(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    """A heading before a dash, as "HPI- 66M with": only of words that headings have."""
    found = _DASH.match(core)
    if found is None or "#" in marks:
        return None
    written = found.group()
    said = line.says(written)
    if is_date(written) and len(written.split()) <= _MOST_WORDS_OF_A_DATE:
        return _heading(line, 0, mark_end + found.end(), said, date=True)
    known = said.kind not in (Kind.UNKNOWN, Kind.INNER) and said.unknown <= 1 and not said.sentence
    if (
        not known
        or said.words > 5
        or (written[:1].islower() and not line.lower and not _FILLED.search(core[:LONGEST]))
    ):
        return None
    if line.continues and not said.complete:
        return None
    end = mark_end + found.end()
    # A line may end with its dash.
    end += len(line.text[end:]) - len(line.text[end:].lstrip(" -–—=>→."))
    return _heading(line, 0, end, said)


def _abbreviated(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    """An abbreviation or a qualified word at a line's begin: "H.P.I. 48 y.o. female", "Labs (adm.) Hgb 12"."""
    if marks:
        return None
    for pattern in (_QUALIFIED, _DOTTED, _ASIDE_FIRST):
        found = pattern.match(core)
        said = line.says(found.group()) if found is not None else None
        if said is not None and said.complete and said.kind not in (Kind.UNKNOWN, Kind.INNER) and not said.sentence:
            return _heading(line, 0, found.end(), said) if found is not None else None
    return None


def _is_titled(written: str) -> bool:
    """Whether all longer words begin with a capital letter."""
    words = _LETTERS.findall(_ASIDE.sub(" ", written))
    long = (word for word in words if len(word) >= 5 and not is_filler(word))
    return bool(words) and words[0][0].isupper() and all(word[0].isupper() for word in long)

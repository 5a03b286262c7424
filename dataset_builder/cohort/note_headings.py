"""Where the headings of a clinical note are: on lines, in forms, tags and questions, in running text, as dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dataset_builder.cohort.heading_terms import Kind, Meaning, asks, is_date, is_filler, meaning
from modeling_clinragen.note_clinragen import BLANK

_LONGEST = 80
"""Characters of the longest heading."""

_MOST_WORDS = 10

_FEWEST_IN_FORM = 4
"""Lines that begin with a heading's words, for a note without marks to be read as a form."""

_TAG = re.compile(r"</?([A-Za-z][\w-]{0,40})(?:\s[^<>\n]{0,200})?>")
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_ /-]{1,40})\|")
_BOLD = re.compile(r"(?<![*_])(\*\*|__)(?! )([^*_\n]{2,80}?)(?:\1[ ]?:|:[ ]?\1|\1(?=\n|$| [-–—] ))")
_MARK = re.compile(
    r"(?:[^\w\s(\[<.,;:'’]{1,12} ?|Q\d{0,2}[:.] |\(?\d{1,2}[.)] |\d{1,2}(?:\.\d{1,2}){1,3} (?=[A-Z])"
    r"|[A-Za-z][.)] (?=[A-Z])|[IVX]{1,5}[.)] )"
)
_UNDERLINE = re.compile(r"[=\-~_*+#]{3,}$")
_COLON = re.compile(rf"[^:\n|]{{1,{_LONGEST}}}?(?=\s?:)")
_DASH = re.compile(rf"[^:\n]{{1,{_LONGEST}}}?(?=(?: [-–—=>→]{{1,2}}|[-–—]{{1,2}}|\.{{2,}}) )")
_ASIDE_FIRST = re.compile(r"\(([A-Za-z][^()\n]{1,60})\) ")
_FILLED = re.compile(r"=|\.\.")
_QUESTION = re.compile(rf"[^?\n]{{2,{_LONGEST}}}\?")
_QUALIFIED = re.compile(r"[A-Za-z/.]{1,14}(?: [A-Za-z/.]{1,14})? ?\([A-Za-z./ ]{2,24}\)")
_DOTTED = re.compile(r"(?:[A-Z]\.){2,5}(?= |$)|(?!(?:Mr|Mrs|Ms|Dr|St)\.)[A-Z][A-Za-z]{1,9}\.(?= )|D/C(?= )")
_CAPITALS = re.compile(rf"(?<=[.,;!?)]) ?\s?((?!\s)[A-Z][A-Z0-9 &/'()#\n-]{{1,{_LONGEST}}}):")
_INNER_TITLE = re.compile(r"(?<=[.;,)])[ ,]{0,2}([A-Z][A-Za-z/]{1,16}(?: [A-Za-z/]{1,16}){0,4}):(?=[\s,])")
_ASIDE = re.compile(r"\([^()]*\)")
_LOOKED_AT = 60
"""Lines that show whether a note is such a form."""

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
    known: dict[str, Meaning]

    def says(self, written: str) -> Meaning:
        """Read a heading once: many lines of a note repeat."""
        if written not in self.known:
            self.known[written] = meaning(written)
        return self.known[written]

    @property
    def spaced(self) -> bool:
        return not self.before

    @property
    def continues(self) -> bool:
        """Whether the line above may run on into this one."""
        return bool(_LETTERS.search(self.before)) and not self.before.endswith(_SENTENCE_END)


def find_headings(text: str) -> list[Heading]:
    """The headings of a cleaned note, in order and apart from each other."""
    found = list(_in_lines(text))
    found.extend(_in_unmarked_form(text, len(found)))
    found.extend(_in_running_text(text))
    found.sort(key=lambda heading: (heading.start, -heading.end))
    apart: list[Heading] = []
    for heading in found:
        if not apart or heading.start >= apart[-1].end:
            apart.append(heading)
    return apart


def _in_lines(text: str) -> Iterator[Heading]:
    lines = text.split("\n")
    lower = text == text.lower()
    capitals = sum(map(str.isupper, text)) > sum(map(str.islower, text))
    known: dict[str, Meaning] = {}
    start = 0
    before = ""
    for number, content in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else ""
        yield from _of_line(_Line(start, content, before, after, lower, capitals, known))
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
    begins = (_question, _colon, _whole_line, _dash, _abbreviated)
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
    if (written[-1:].isdigit() and after.isdigit()) or not _LETTERS.search(written) or _is_running(written):
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
    return ". " in written or written.count(" ") > _MOST_WORDS + 2


def _is_heading(written: str, said: Meaning, line: _Line) -> bool:
    """Whether the words before a colon at a line's begin are a heading rather than a sentence's part."""
    first = next((letter for letter in written if letter.isalpha()), "")
    if said.words > _MOST_WORDS or (said.sentence and said.kind in (Kind.UNKNOWN, Kind.INNER)):
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
    if not 2 <= len(written) <= _LONGEST or written == BLANK or not _LETTERS.search(written):
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
    if said.words > _MOST_WORDS - 2 or said.words == 0:
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
    known = said.unknown <= 1 and said.words in range(2, _MOST_WORDS)
    return _heading(line, 0, end, _asked(line, found.group())) if known else None


def _asks(line: _Line, written: str) -> bool:
    """Whether a line is a question of a form without its mark: "What we found in the emergency room"."""
    if not written[0].isupper() or not asks(written):
        return False
    said = line.says(written)
    return not said.unknown and said.words in range(2, _MOST_WORDS)


def _asked(line: _Line, written: str) -> Meaning:
    """Read a question of a form; one that says nothing of the time ("What we did") is of what came later."""
    said = line.says(written)
    return said if said.kind is not Kind.UNKNOWN else replace(said, kind=Kind.LATER)


def _problem(line: _Line, said: Meaning, written: str) -> Heading:
    """A line with "#": "# History" is a heading of Markdown, "# Sepsis on pressors, weaned" the entry of a plan."""
    if said.kind not in (Kind.UNKNOWN, Kind.INNER) and said.complete and len(written) <= _LONGEST:
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
    if said.kind is Kind.ILLNESS and not said.tags - {"before", "elsewhere"}:
        return False  # "Home", "Nursing Home": where somebody goes, or comes from
    if said.complete and not said.sentence:
        return written[0].isupper() or not line.continues
    if said.kind is Kind.TITLE:
        return _is_titled(written) and line.spaced
    if written.isupper() and not line.capitals:
        return said.unknown <= 2 and not said.sentence
    few = said.unknown == 1 and (said.words >= 3 or (said.kind is Kind.LATER and line.spaced))
    apart = not line.continues or (said.words >= 2 and said.kind is Kind.LATER)
    return few and not said.sentence and _is_titled(written) and apart


def _dash(line: _Line, mark_end: int, core: str, marks: str) -> Heading | None:
    """A heading before a dash, as "HPI- 66M with": only of words that headings have."""
    found = _DASH.match(core)
    if found is None or "#" in marks:
        return None
    written = found.group()
    said = line.says(written)
    known = said.kind not in (Kind.UNKNOWN, Kind.INNER) and said.unknown <= 1 and not said.sentence
    if (
        not known
        or said.words > 5
        or (written[:1].islower() and not line.lower and not _FILLED.search(core[:_LONGEST]))
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


def _in_unmarked_form(text: str, marked: int) -> Iterator[Heading]:
    """The headings of a form in columns, whose wide spaces are gone: its lines begin with words that headings have."""
    lines = text.split("\n")
    filled = [line for line in lines if line][:_LOOKED_AT]
    if marked * 3 > len(filled):
        return
    if sum(_longest_beginning(line) is not None for line in filled) < max(len(filled) / 2, _FEWEST_IN_FORM):
        return
    start = 0
    for line in lines:
        begin = _longest_beginning(line)
        if begin is not None:
            yield Heading(start, start + begin[0], begin[1])
        start += len(line) + 1


def _longest_beginning(line: str) -> tuple[int, Meaning] | None:
    """The end and the meaning of the longest beginning of a line, of at most five words, that is a heading."""
    if not line[:1].isupper() or ":" in line[:_LONGEST]:
        return None
    ends = [found.end() for found in re.finditer(r"[^ ]+(?= )", line[: _LONGEST + 1])][:5]
    for end in reversed(ends):
        said = meaning(line[:end])
        if said.complete and not said.sentence and said.kind not in (Kind.UNKNOWN, Kind.INNER):
            return end, said
    return None


def _in_running_text(text: str) -> Iterator[Heading]:
    """Headings in the middle of a line: in capitals, or in title case with words that only headings have."""
    for found in _CAPITALS.finditer(text):
        written = found.group(1)
        said = meaning(written)
        broken = "\n" in written
        if said.kind is Kind.INNER or (broken and said.unknown) or said.words > _MOST_WORDS:
            continue
        if said.words and not said.sentence and (said.kind is not Kind.UNKNOWN or said.words <= 5):
            yield Heading(found.start(1), found.end(), said)
    for found in _INNER_TITLE.finditer(text):
        said = meaning(found.group(1))
        if said.complete and said.kind not in (Kind.UNKNOWN, Kind.INNER, Kind.HEADER) and not said.sentence:
            yield Heading(found.start(1), found.end(), said)


def _is_titled(written: str) -> bool:
    """Whether all longer words begin with a capital letter."""
    words = _LETTERS.findall(_ASIDE.sub(" ", written))
    long = (word for word in words if len(word) >= 5 and not is_filler(word))
    return bool(words) and words[0][0].isupper() and all(word[0].isupper() for word in long)

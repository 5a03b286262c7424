"""A checked rationale as lines of text, with colours where a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from clinragen.checking.checked import MAX_EXCERPTS, MAX_WORDS, WORDS, CheckedText, count_words
from clinragen.checking.printable import one_line, printable
from clinragen.claims.quotations import QUOTATION
from clinragen.claims.sentences import NOTHING, CheckedSentence
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim

MARKS = {CONTRADICTED: "[!]", UNVERIFIABLE: "[?]", SUPPORTED: "[+]", NOTHING: "[ ]"}
STYLES = {CONTRADICTED: "bold red", UNVERIFIABLE: "yellow", SUPPORTED: "green", NOTHING: "dim"}
_STEP = 4
_NARROWEST = 20
_WIDEST = max(map(len, WORDS.values()))


@dataclass(frozen=True)
class TextLine:
    """A line with its indentation in characters; where it is wrapped, the rest is indented by `hang` more."""

    text: Text
    indent: int = 0
    hang: int = 0


def render_text(checked: CheckedText) -> str:
    """The whole result as plain text, one line per sentence, claim and piece of evidence."""
    return "".join(f"{' ' * line.indent}{line.text.plain}".rstrip() + "\n" for line in text_lines(checked))


def print_checked(checked: CheckedText, console: Console) -> None:
    """Print the whole result; colours and line breaks are the console's, and without a terminal there are none."""
    print_lines(text_lines(checked), console)


def print_lines(lines: Iterator[TextLine], console: Console) -> None:
    """Print lines, wrapped with their indentation where the console is a terminal."""
    for line in lines:
        parts = _wrapped(line, console) if console.is_terminal and line.text.plain else [line.text]
        for number, part in enumerate(parts):
            blanks = " " * (line.indent + (line.hang if number else 0))
            console.print(Text(blanks).append_text(part), soft_wrap=True)


def text_lines(checked: CheckedText) -> Iterator[TextLine]:
    """The lines of a result: the sentences with their claims, what was not given, and a summary."""
    yield from sentence_lines(checked, checked.sentences)
    if checked.sentences:
        yield TextLine(Text(""))
    for sentence in checked.missing():
        yield TextLine(Text(sentence))
    yield TextLine(Text(checked.summary(), style="bold"))


def sentence_lines(checked: CheckedText, sentences: Sequence[CheckedSentence]) -> Iterator[TextLine]:
    """The lines of some sentences: each with its verdict, faults, claims and what decides them."""
    for sentence in sentences:
        head = _verdict(sentence.verdict, _WIDEST)
        yield TextLine(head.append(f"  {one_line(sentence.text)}"), hang=len(MARKS[NOTHING]) + _WIDEST + 3)
        for fault in sentence.faults:
            text = Text(f"{MARKS[CONTRADICTED]} ", style=STYLES[CONTRADICTED])
            yield TextLine(text.append(one_line(fault), style="default"), _STEP, _STEP)
        before = sentence.text
        for claim in sentence.claims:
            yield from _claim_lines(checked, claim, before)
            before = claim.text


def _claim_lines(checked: CheckedText, claim: Claim, before: str) -> Iterator[TextLine]:
    """The lines of one claim; its words are left out where they are those that came before."""
    head = _verdict(claim.verdict, 0).append(f"  {claim.kind}")
    if about := checked.about(claim):
        head.append(f" ({one_line(about)})")
    if _bare(claim.text) != _bare(before):
        head.append(f", {_quoted(claim.text)}")
    head.append(f": {one_line(claim.evidence.reason)}")
    yield TextLine(head, _STEP, _STEP)
    if readings := checked.readings(claim):
        yield TextLine(Text(one_line(readings)), 2 * _STEP)
    for span in claim.evidence.spans[:MAX_EXCERPTS]:
        yield TextLine(Text(_place(checked, span)), 2 * _STEP)
    if (more := len(claim.evidence.spans) - MAX_EXCERPTS) > 0:
        yield TextLine(Text(f"and {count_words(more, 'more place')} in the note"), 2 * _STEP)
    if claim.evidence.cue_span is not None:
        line = checked.places.line(claim.evidence.cue_span[0])
        yield TextLine(Text(f"decided by {_quoted(claim.evidence.cue)} in line {line}"), 2 * _STEP)


def _verdict(verdict: str, width: int) -> Text:
    return Text().append(f"{MARKS[verdict]} {WORDS[verdict]:<{width}}", style=STYLES[verdict])


def _place(checked: CheckedText, span: tuple[int, int]) -> str:
    return f"note, line {checked.places.line(span[0])}: {one_line(checked.places.excerpt(span))}"


def _quoted(text: str) -> str:
    shown = one_line(text)
    if len(shown) > MAX_WORDS:
        shown = f"{shown[:MAX_WORDS].rpartition(' ')[0] or shown[:MAX_WORDS]}..."
    # A quotation has its own marks.
    return shown if QUOTATION.fullmatch(shown) else f"“{shown}”"


def _bare(text: str) -> str:
    return printable(text).strip(" .!?\n\t")


def _wrapped(line: TextLine, console: Console) -> Iterator[Text]:
    """The parts of a line that fit the console with their indentation."""
    width = max(_NARROWEST, console.width - line.indent)
    first, *parts = line.text.wrap(console, width)
    for part in (first, *parts):
        part.rstrip()
    yield first
    if parts:
        for part in Text(" ").join(parts).wrap(console, max(_NARROWEST, width - line.hang)):
            part.rstrip()
            yield part

"""A checked rationale as one HTML file that needs nothing else: no script, no font, no picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files

from clinragen.checking.checked import MAX_PLACES, VERDICTS, WORDS, CheckedText, count_words, worst
from clinragen.checking.pieces import Piece, pieces
from clinragen.checking.printable import one_line, printable
from clinragen.claims.sentences import NOTHING, CheckedSentence
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim

RESOURCES = files("clinragen.checking") / "resources"
# Beside the colour: a mark and, by the style sheet, a kind of underline.
MARKS = {CONTRADICTED: "×", UNVERIFIABLE: "?", SUPPORTED: "+", NOTHING: "–"}
# A browser that is shown an attack in a note must not obey it, even where our escaping had a hole.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_IN_TITLE = 5
_COLUMNS = ("No.", "Verdict", "Kind", "About", "Words", "Reason", "Readings", "Note")


def render_html(checked: CheckedText, title: str = "Checked rationale") -> str:
    """The whole result as a page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="clinragen {_attribute(version("clinragen"))}">\n'
        f"<title>{_text(title)}</title>\n<style>\n{style()}</style>\n</head>\n"
        f'<body class="clinragen-page">\n<main>\n{html_fragment(checked, title)}</main>\n</body>\n</html>\n'
    )


def style() -> str:
    """The style sheet of `html_fragment`; it changes nothing outside `.clinragen-check` and `.clinragen-page`."""
    return (RESOURCES / "check.css").read_text(encoding="utf-8")


def html_fragment(checked: CheckedText, title: str = "Checked rationale", prefix: str = "check") -> str:
    """The whole result as part of a page that has `style()`.

    Args:
        checked: The result.
        title: Its heading.
        prefix: Begins all ids, which must be unique on a page.
    """
    return _Html(checked, prefix).whole(title)


class _Html:
    """The parts of one result."""

    def __init__(self, checked: CheckedText, prefix: str) -> None:
        self._checked = checked
        self._prefix = _attribute(prefix)
        self._claims = checked.claims

    def whole(self, title: str) -> str:
        outcome = "Something is contradicted" if self._checked.contradicted else "Nothing is contradicted"
        verdict = CONTRADICTED if self._checked.contradicted else NOTHING
        remarks = "".join(f"<p>{_text(sentence)}</p>\n" for sentence in self._checked.missing())
        note = "" if self._checked.patient.note is None else self._section("note", "Note", self._note())
        table = self._section("claims", "Claims", self._table()) if self._claims else ""
        return (
            f'<div class="clinragen-check">\n<h1>{_text(title)}</h1>\n'
            f'<p class="outcome {verdict}"><strong>{outcome}.</strong> {_text(self._checked.summary())}</p>\n'
            f'{remarks}{self._legend()}<div class="columns">\n'
            f"{self._section('rationale', 'Rationale', self._rationale())}{note}</div>\n{table}{self._about()}</div>\n"
        )

    def _section(self, name: str, title: str, content: str) -> str:
        heading = f"{self._prefix}-{name}"
        return (
            f'<section class="{name}" aria-labelledby="{heading}">\n<h2 id="{heading}">{title}</h2>\n'
            f"{content}</section>\n"
        )

    def _legend(self) -> str:
        entries = "".join(
            f'<li>{_badge(verdict)} <span class="{verdict}">words</span></li>' for verdict in VERDICTS[:-1]
        )
        cue = '<li><span class="cue">words</span> decide what the note means</li>' if self._has_cues() else ""
        return f'<ul class="legend" aria-label="Legend">{entries}<li>{_badge(NOTHING)}</li>{cue}</ul>\n'

    def _has_cues(self) -> bool:
        return any(claim.evidence.cue_span is not None for claim in self._claims)

    def _rationale(self) -> str:
        if not self._checked.sentences:
            return "<p>(empty)</p>\n"
        items, first = [], 0
        for sentence in self._checked.sentences:
            items.append(self._sentence(sentence, first))
            first += len(sentence.claims)
        return f'<ol class="sentences">\n{"".join(items)}</ol>\n'

    def _sentence(self, sentence: CheckedSentence, first: int) -> str:
        words = "".join(
            self._words(piece, [first + number for number in piece.inside], [first + number for number in piece.ends])
            for piece in pieces(*sentence.span, (claim.span for claim in sentence.claims))
        )
        reasons = [f'<li class="{CONTRADICTED}">{_text(fault)}</li>' for fault in sentence.faults]
        numbers: dict[tuple[str, str], list[str]] = {}
        for number, claim in enumerate(sentence.claims, start=first + 1):
            if claim.verdict != SUPPORTED:
                numbers.setdefault((claim.verdict, claim.evidence.reason), []).append(str(number))
        reasons += [
            f'<li class="{verdict}">{", ".join(same)}. {_text(reason)}</li>'
            for (verdict, reason), same in numbers.items()
        ]
        listed = f'<ul class="reasons">{"".join(reasons)}</ul>' if reasons else ""
        return (
            f'<li class="sentence {sentence.verdict}">{_badge(sentence.verdict)} <span class="words">{words}</span>'
            f"{listed}</li>\n"
        )

    def _words(self, piece: Piece, inside: Sequence[int], ends: Sequence[int]) -> str:
        words = _text(self._checked.text[piece.start : piece.end])
        if not inside:
            return words
        claims = [self._claims[number] for number in inside]
        verdict = worst(claims)
        shown = next(number for number in inside if self._claims[number].verdict == verdict)
        numbers = f"<sup>{', '.join(str(number + 1) for number in ends)}</sup>" if ends else ""
        return (
            f'<a class="{verdict}" href="#{self._prefix}-claim-{shown + 1}" title="{self._title(inside)}">'
            f"{words}{numbers}</a>"
        )

    def _title(self, numbers: Sequence[int]) -> str:
        lines = []
        for number in numbers[:_MOST_IN_TITLE]:
            claim = self._claims[number]
            lines.append(f"{number + 1}. {WORDS[claim.verdict]}, {claim.kind}: {one_line(claim.evidence.reason)}")
        if len(numbers) > _MOST_IN_TITLE:
            lines.append(f"and {count_words(len(numbers) - _MOST_IN_TITLE, 'more claim')}")
        return _attribute("\n".join(lines))

    def _note(self) -> str:
        note = self._checked.patient.note or ""
        spans = [
            (span, number, "note")
            for number, claim in enumerate(self._claims)
            for span in claim.evidence.spans[:MAX_PLACES]
        ]
        spans += [
            (claim.evidence.cue_span, number, "cue")
            for number, claim in enumerate(self._claims)
            if claim.evidence.cue_span is not None
        ]
        named: set[str] = set()
        written = []
        for piece in pieces(0, len(note), (span for span, _, _ in spans)):
            found = [spans[number] for number in piece.inside]
            for line, words in enumerate(_text(note[piece.start : piece.end]).split("\n")):
                written.append("</li>\n<li>" if line else "")
                written.append(self._marked(words, found, named) if found and words else words)
        return f'<ol class="lines">\n<li>{"".join(written)}</li>\n</ol>\n'

    def _marked(self, words: str, found: Sequence[tuple[tuple[int, int], int, str]], named: set[str]) -> str:
        """Words of the note that decide claims; the first ones of each claim can be linked to."""
        evidence = [number for _, number, role in found if role == "note"]
        cues = [number for _, number, role in found if role == "cue"]
        classes = [worst([self._claims[number] for number in evidence])] if evidence else []
        classes += ["cue"] if cues else []
        numbers = sorted({*evidence, *cues})
        marked = f'<mark class="{" ".join(classes)}" title="{self._title(numbers)}">{words}</mark>'
        for _, number, role in found:
            name = f"{self._prefix}-{role}-{number + 1}"
            if name not in named:
                named.add(name)
                marked = f'<span id="{name}">{marked}</span>'
        return marked

    def _table(self) -> str:
        rows = [(number, claim, self._cells(number, claim)) for number, claim in self._checked.numbered()]
        filled = [place for place in range(len(_COLUMNS)) if any(cells[place] for _, _, cells in rows)]
        head = "".join(f'<th scope="col">{_COLUMNS[place]}</th>' for place in filled)
        body = "".join(
            f'<tr id="{self._prefix}-claim-{number}" class="{claim.verdict}">'
            f"{''.join(_cell(_COLUMNS[place], cells[place]) for place in filled)}</tr>\n"
            for number, claim, cells in rows
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"

    def _cells(self, number: int, claim: Claim) -> tuple[str, ...]:
        """The content of `_COLUMNS` for one claim."""
        return (
            str(number),
            _badge(claim.verdict),
            _text(claim.kind),
            _text(self._checked.about(claim)),
            _text(claim.text),
            _text(claim.evidence.reason),
            _text(self._checked.readings(claim)),
            self._places(number, claim),
        )

    def _places(self, number: int, claim: Claim) -> str:
        spans = claim.evidence.spans[:MAX_PLACES]
        lines = list(dict.fromkeys(self._checked.places.line(start) for start, _ in spans))
        parts = []
        if lines:
            label = f"{'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines[:_MOST_IN_TITLE]))}"
            more = " and more" if len(lines) > _MOST_IN_TITLE or len(claim.evidence.spans) > MAX_PLACES else ""
            parts.append(f'<a href="#{self._prefix}-note-{number}">{label}{more}</a>')
        if claim.evidence.cue_span is not None:
            line = self._checked.places.line(claim.evidence.cue_span[0])
            cue = f'<span class="cue">{_text(claim.evidence.cue)}</span>'
            parts.append(f'decided by <a href="#{self._prefix}-cue-{number}">{cue} in line {line}</a>')
        return ", ".join(parts)

    def _about(self) -> str:
        listed = self._checked.diagnoses
        parts = [f"Checked by rules, without a model: clinragen {version('clinragen')}"]
        parts.append(f"range set {self._checked.range_set}")
        if self._checked.knowledge is not None:
            parts.append(f"knowledge base: {self._checked.knowledge.rstrip('.')}")
        if listed is not None:
            parts.append(f"listed diagnoses: {', '.join(listed) or 'none'}")
        parts.append("Hours are counted from ICU admission. Research software, not a medical device")
        return f'<p class="about">{". ".join(_text(part[:1].upper() + part[1:]) for part in parts)}.</p>\n'


def _badge(verdict: str) -> str:
    return f'<span class="badge {verdict}"><span aria-hidden="true">{MARKS[verdict]}</span> {WORDS[verdict]}</span>'


def _cell(column: str, content: str) -> str:
    empty = "" if content else ' class="empty"'
    return f'<td data-column="{column}"{empty}><div>{content}</div></td>'


def _text(text: str) -> str:
    return escape(printable(text), quote=False)


def _attribute(text: str) -> str:
    return escape(printable(text), quote=True).replace("\n", "&#10;")

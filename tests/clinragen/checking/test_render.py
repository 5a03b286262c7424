"""A checked rationale as text, JSON and HTML: complete, well formed, and harmless whatever stands in it."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from clinragen.checking.checked import MAX_PLACES, VERDICTS, WORDS, CheckedText, check_text
from clinragen.checking.inputs import patient_of, read_standards
from clinragen.checking.pieces import pieces
from clinragen.checking.printable import printable
from clinragen.checking.render_html import MARKS, html_fragment, render_html, style
from clinragen.checking.render_json import render_json, result, schema
from clinragen.checking.render_text import print_checked, render_text
from clinragen.claims.sentences import NOTHING

CHECKING = read_standards()
KEYS = CHECKING.vocabulary.variable_keys
NOTE = (
    "Chief Complaint:\ncough\nHistory of Present Illness:\nThree days of productive cough. He denies hemoptysis.\n"
    "<script>alert('note')</script>"
)
TEXT = (
    '"productive cough" supports Pneumonia (except that caused by tuberculosis or sexually transmitted disease). '
    'He has "hemoptysis". Heart rate is high in most readings, peaking near 150 bpm. Glucose is high. '
    "Please see the <b>chart</b> & sign."
)
VOID = {"meta", "br", "hr", "img", "link", "input"}
ATTACKS = (
    "</span><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "]]>",
    "<!--",
    "&lt;",
    "\x1b[31m",
    "\0",
)


def series(heart_rates: dict[float, float]) -> tuple[list[float], list[list[float | None]]]:
    """Hours and values with heart rates alone."""
    rows = [[rate if key == "heart_rate" else None for key in KEYS] for rate in heart_rates.values()]
    return list(heart_rates), rows


def checked_text(text: str = TEXT, note: str | None = NOTE, diagnoses: list[str] | None = None) -> CheckedText:
    patient = patient_of(CHECKING.vocabulary, note, *series({0.0: 118.0, 4.0: 124.0, 8.0: 131.0, 12.0: 96.0}))
    return check_text(text, patient, CHECKING, diagnoses)


class Page(HTMLParser):
    """What a browser makes of a page; fails where a tag is not closed in its place, or an attribute is repeated."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), attrs
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_data(self, data: str) -> None:
        self.words.append((" ".join(self.open), data))

    def text_in(self, tag: str) -> str:
        return "".join(words for path, words in self.words if tag in path.split())

    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if attributes.get("id")]  # type: ignore[misc]

    def targets(self) -> list[str]:
        return [str(attributes["href"]) for _, attributes in self.tags if "href" in attributes]


def test_the_example_has_every_verdict() -> None:
    assert {sentence.verdict for sentence in checked_text().sentences} == set(VERDICTS)


# --- text


def test_text_has_every_sentence_claim_and_place() -> None:
    checked = checked_text()
    written = render_text(checked)
    for sentence in checked.sentences:
        assert f"{WORDS[sentence.verdict]:<12}  {sentence.text}\n" in written
        for claim in sentence.claims:
            assert f"{claim.kind}" in written
            assert claim.evidence.reason in written
    assert "hour 8: 131 bpm" in written
    assert "note, line 4: Three days of productive cough." in written
    assert "decided by “denies” in line 4" in written.lower()
    assert written.splitlines()[-1].startswith("5 sentences with ")


def test_faults_are_shown() -> None:
    listed = ["Essential hypertension"]
    checked = checked_text(diagnoses=listed)
    faults = [fault for sentence in checked.sentences for fault in sentence.faults]
    assert faults, "the rationale argues for a disease that is not listed"
    page = Page(render_html(checked))
    for fault in faults:
        assert fault in render_text(checked)
        assert fault in page.text_in("body")
        assert fault in render_json(checked)
    assert result(checked)["diagnoses"] == listed


def test_what_was_not_given_is_said() -> None:
    bare = check_text("Heart rate is high.", patient_of(CHECKING.vocabulary, "cough"), CHECKING)
    for written in (render_text(bare), Page(render_html(bare)).text_in("body")):
        assert "No measurements were given" in written
        assert "No note was given" not in written
    without_note = checked_text(note=None)
    for written in (render_text(without_note), Page(render_html(without_note)).text_in("body")):
        assert "No note was given" in written
        assert "No measurements were given" not in written


def test_colours_and_line_breaks_are_for_terminals() -> None:
    checked = checked_text()

    def printed(**settings: Any) -> str:
        stream = io.StringIO()
        print_checked(checked, Console(file=stream, highlight=False, width=60, **settings))
        return stream.getvalue()

    assert printed() == render_text(checked)
    plain = printed(force_terminal=True, no_color=True, color_system=None)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 60
    assert plain.split() == render_text(checked).split()
    assert "\x1b[" in printed(force_terminal=True, color_system="standard", _environ={})


# --- JSON


def test_json_is_what_its_schema_says() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    checked = checked_text(diagnoses=[])
    content = json.loads(render_json(checked))
    jsonschema.validate(content, schema())
    assert content == result(checked)
    assert set(content) == set(schema()["required"])
    assert content["note"][slice(*content["sentences"][1]["claims"][0]["evidence"]["note"][0]["span"])] == "hemoptysis"
    cue = content["sentences"][1]["claims"][0]["evidence"]["cue"]
    assert content["note"][slice(*cue["span"])].lower() == cue["text"].lower() == "denies"
    assert content["note"].splitlines()[cue["line"] - 1].startswith("Three days")
    for sentence in content["sentences"]:
        assert content["text"][slice(*sentence["span"])] == sentence["text"]
        for claim in sentence["claims"]:
            assert content["text"][slice(*claim["span"])] == claim["text"]
            assert len(claim["evidence"]["hours"]) == len(claim["evidence"]["values"])
    assert content["series"] == {"measurements": 4, "variables": ["heart_rate"]}


def test_the_schema_refuses_another_version() -> None:
    content = {**result(checked_text()), "schema_version": 2}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


# --- HTML


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    written = render_html(checked_text())
    page = Page(written)
    assert written.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.text_in("title")
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == 1
    assert not {"script", "img", "link", "iframe", "object", "form"} & set(names)
    assert "url(" not in written
    assert "@import" not in written
    policy = next(one["content"] for _, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len(page.ids()) == len(set(page.ids()))
    assert page.targets()
    assert {target[1:] for target in page.targets()} <= set(page.ids())


def test_the_page_shows_text_and_note_word_for_word() -> None:
    checked = checked_text()
    page = Page(render_html(checked))
    shown = "".join(words for path, words in page.words if "ol" in path.split() and "sup" not in path.split())
    for sentence in checked.sentences:
        assert sentence.text in shown
    for line in (checked.patient.note or "").splitlines():
        assert line in shown
    assert "<script>alert('note')</script>" in shown
    assert "Please see the <b>chart</b> & sign." in shown


def test_a_verdict_is_never_a_colour_alone() -> None:
    checked = checked_text()
    page = Page(render_html(checked))
    rationale = html_fragment(checked)
    for sentence in checked.sentences:
        assert f'<li class="sentence {sentence.verdict}"><span class="badge {sentence.verdict}">' in rationale
        assert f"{MARKS[sentence.verdict]}</span> {WORDS[sentence.verdict]}</span>" in rationale
    assert len(set(MARKS.values())) == len(MARKS)
    titles = [str(attributes["title"]) for tag, attributes in page.tags if tag == "a" and "title" in attributes]
    assert titles
    assert all(any(WORDS[verdict] in title for verdict in VERDICTS) for title in titles)
    underlines = {
        verdict: re.search(rf"[^\n]*\)\.{verdict} {{\n  text-decoration-style: (\w+);", style())
        for verdict in ("contradicted", "unverifiable")
    }
    assert {found[1] for found in underlines.values() if found} == {"wavy", "dashed"}


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_colours_have_contrast(scheme: int) -> None:
    blocks = re.findall(r"\.clinragen-check \{\n((?:\s+--[\w-]+: #[0-9a-f]{6};\n)+)", style())
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[scheme]))
    pairs = [(name, f"{name}-ground") for name in ("supported", "contradicted", "unverifiable", "none", "cue")]
    pairs += [(name, ground) for name in ("words", "quiet", "link") for ground in ("page", "raised")]
    pairs += [(name, "raised") for name in ("contradicted", "unverifiable")]
    for words, ground in pairs:
        light, dark = sorted((luminance(colours[words]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (words, ground)


def test_two_results_fit_one_page() -> None:
    both = html_fragment(checked_text(), prefix="first") + html_fragment(checked_text(), prefix="second")
    page = Page(both)
    assert len(page.ids()) == len(set(page.ids()))


# --- anything


anything = st.one_of(
    st.text(st.characters(codec=None), max_size=200),
    st.lists(
        st.one_of(
            st.sampled_from(
                [*ATTACKS, '"cough"', "Heart rate is high. ", "not ", '"', "\n", "<", "“", "\ud800", "\U0001f600"]
            ),
            st.text(max_size=8),
        ),
        max_size=30,
    ).map("".join),
)


@settings(max_examples=60, deadline=None)
@given(text=anything, note=st.one_of(st.none(), anything))
@example(text="".join(ATTACKS), note="".join(ATTACKS))
@example(text='"<script>" supports Shock.', note="<script> cough\n\n\ncough</script>")
@example(text="\0", note="\0")
def test_any_text_and_note_are_shown_and_nothing_in_them_is_obeyed(text: str, note: str | None) -> None:
    patient = patient_of(CHECKING.vocabulary, note, *series({0.0: 118.0, 4.0: 124.0}))
    checked = check_text(text, patient, CHECKING)
    page = Page(render_html(checked))
    allowed = {"html", "head", "meta", "title", "style", "body", "main", "div", "h1", "h2", "p", "strong", "ul", "li"}
    allowed |= {"span", "section", "ol", "a", "sup", "mark", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    shown = "".join(words for path, words in page.words if "ol" in path.split() and "sup" not in path.split())
    for sentence in checked.sentences:
        assert printable(sentence.text) in shown
    for line in (patient.note or "").split("\n"):
        assert printable(line) in shown
    content = json.loads(render_json(checked).encode("utf-8"))
    jsonschema.validate(content, schema())
    written = render_text(checked)
    assert written == printable(written)
    assert written.encode("utf-8")


@settings(deadline=None)
@given(st.data())
def test_pieces_are_cut_at_every_border(data: Any) -> None:
    length = data.draw(st.integers(0, 20))
    places = st.integers(-3, 23)
    spans = data.draw(st.lists(st.tuples(places, places), max_size=8))
    found = list(pieces(0, length, spans))
    assert "".join("x" * (piece.end - piece.start) for piece in found) == "x" * length
    assert all(piece.start < piece.end for piece in found)
    for piece in found:
        for place in range(piece.start, piece.end):
            assert piece.inside == tuple(n for n, (start, end) in enumerate(spans) if start <= place < end)
    inside = [number for number, (start, end) in enumerate(spans) if max(start, 0) < min(end, length)]
    assert sorted(number for piece in found for number in piece.begins) == inside
    assert sorted(number for piece in found for number in piece.ends) == inside


@given(st.text(st.characters(codec=None)))
def test_what_is_printable_stays_and_lengths_stay(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert printable(shown) == shown
    assert all(after in (before, "\ufffd") for before, after in zip(text, shown, strict=True))


def test_a_word_that_is_everywhere_is_shown_in_a_few_places() -> None:
    patient = patient_of(CHECKING.vocabulary, "cough. " * 500)
    checked = check_text('"cough" is noted. ' * 50, patient, CHECKING)
    assert len(render_text(checked).splitlines()) < 50 * 8
    assert "and 497 more places in the note" in render_text(checked)
    evidence = result(checked)["sentences"][0]["claims"][0]["evidence"]
    assert (evidence["places"], len(evidence["note"])) == (500, MAX_PLACES)
    jsonschema.validate(result(checked), schema())
    assert render_html(checked).count("<mark") == MAX_PLACES


def test_reasons_that_are_the_same_are_given_once() -> None:
    checked = check_text('"cough" and "fever" are noted.', patient_of(CHECKING.vocabulary, None), CHECKING)
    (reason,) = {claim.evidence.reason for claim in checked.claims}
    assert f'<li class="unverifiable">1, 2. {reason}</li>' in html_fragment(checked)


def test_an_empty_text_is_shown_as_such() -> None:
    checked = checked_text(" \n ")
    assert not checked.sentences
    assert not checked.contradicted
    assert "There is no sentence" in render_text(checked)
    assert "(empty)" in Page(render_html(checked)).text_in("body")
    jsonschema.validate(result(checked), schema())
    assert result(checked)["counts"]["sentences"][NOTHING] == 0

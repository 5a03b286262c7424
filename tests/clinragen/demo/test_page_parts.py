"""The parts of the page as markup: what they show is what the patient's data and the checker say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from claim_cases import CHECKING, VOCABULARY
from explained_patients import FAST, HOSTILE, NOTE, PATIENTS
from exported_answers import HEART_FAILURE, HYPERTENSION, MALFORMED, SHOWN, answer

from clinragen.checking.printable import printable
from clinragen.claims.sentences import Patient
from clinragen.demo.answer_html import answer_html
from clinragen.demo.cited import Cited, cited_by
from clinragen.demo.diseases_html import NEAR, diseases_html
from clinragen.demo.not_mentioned import LISTED, STRONG, UNLISTED, finding_words, not_mentioned
from clinragen.demo.note_html import note_html
from clinragen.demo.own_values import csv_title, template_link, values_table
from clinragen.demo.patient_html import answered_patient_html
from clinragen.demo.patient_summaries import LONGEST, summary_of
from clinragen.demo.series_svg import series_html
from clinragen.evaluation.scores.findings import strongest_variables
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_signs import find_signs, load_sign_rules
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RANGES = CHECKING.range_set
ATTACK = '<script>alert(1)</script><img src=x onerror="alert(2)">'


def read(html: str) -> ElementTree.Element:
    """Markup that is well-formed XML as well, but for elements that nothing closes."""
    closed = re.sub("<(br|input)([^>]*)>", r"<\1\2/>", html)
    return ElementTree.fromstring(f"<all>{closed}</all>")


def text_of(html: str, *, without: Sequence[str] = ()) -> str:
    """The characters that a browser shows, without those in some elements."""
    parts: list[str] = []

    class Reader(HTMLParser):
        hidden = 0

        def handle_starttag(self, tag: str, attributes: Any) -> None:
            self.hidden += tag in without

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag in without

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                parts.append(data)

    reader = Reader()
    reader.feed(html)
    reader.close()
    return "".join(parts)


def owners(html: str, tag: str) -> list[set[str]]:
    """The names that the elements of a kind carry."""
    return [set(one.attrib["data-of"].split()) for one in read(html).iter(tag) if "data-of" in one.attrib]


@pytest.mark.parametrize("note", [NOTE, *HOSTILE.values(), ATTACK, "a" * 10], ids=str)
def test_a_note_is_shown_letter_by_letter_with_the_cited_words_marked(note: str) -> None:
    cleaned = Patient(LabSeries.empty(VOCABULARY), note).note
    assert cleaned is not None
    spans = ((0, min(5, len(cleaned))), (3, min(9, len(cleaned))), (len(cleaned) - 1, len(cleaned)))
    cited = [Cited(f"s{number}", "a sentence", "supported", (span,)) for number, span in enumerate(spans, start=1)]
    html = note_html(cleaned, cited)
    assert text_of(html, without=["sup"]) == printable(cleaned)
    assert not re.search(r"<(?!/?(?:div|mark|sup|span)\b)", html)
    # Every character of a place, and no other, is in a mark that carries the sentence's name.
    at, marked = 0, {one.name: set[int]() for one in cited}
    div = read(html)[0]
    pieces = [(div.text or "", set[str]())]
    for mark in div:
        pieces += [(mark.text or "", set(mark.attrib["data-of"].split())), (mark.tail or "", set())]
    for words, names in pieces:
        for name in names:
            marked[name].update(range(at, at + len(words)))
        at += len(words)
    assert marked == {one.name: set(range(*one.spans[0])) for one in cited}


@pytest.mark.parametrize("name", ["both", "slow", "labs only", "note only"])
def test_a_chart_has_every_reading_and_says_what_was_not_measured(name: str) -> None:
    series = PATIENTS[name].series
    root = read(series_html(series, RANGES))
    figures = list(root.iter("figure"))
    assert len(figures) == len(VOCABULARY.variables)
    for column, (figure, variable) in enumerate(zip(figures, VOCABULARY.variables, strict=True)):
        values = series.values[series.observed[:, column], column]
        said = "".join(figure.itertext())
        assert variable.name.lower() in said.lower()
        if not len(values):
            assert "not measured" in said
            assert figure.find("svg") is None
            continue
        paths = {one.attrib["class"]: one.attrib["d"] for one in figure.iter("path")}
        levels = [RANGES.level(variable.key, float(value)) or "normal" for value in values]
        for level in ("low", "normal", "high"):
            drawn = paths.get(f"cr-{level}", "")
            assert drawn.count("M") == levels.count(level), (variable.key, level)
        for level in ("low", "high"):
            assert (f"{levels.count(level)} {level}" in said) == bool(levels.count(level))
        assert (figure.find("svg/rect") is not None) == (variable.key in RANGES.bounds)
        assert f"{len(values)} reading" in said


def test_charts_are_those_of_the_model_s_vocabulary(lactate_vocabulary: Vocabulary) -> None:
    values = np.full((2, len(lactate_vocabulary.variables)), np.nan)
    values[:, lactate_vocabulary.variable_keys.index("lactate")] = [3.0, 4.0]
    series = LabSeries.from_values(lactate_vocabulary, np.array([0.0, 4.0]), values)
    html = series_html(series, lactate_vocabulary.range_set("clinical"))
    assert html.count("<figure") == len(lactate_vocabulary.variables)
    assert html.count("<svg") == 1
    assert "Lactate" in html


def test_a_long_gap_is_no_line() -> None:
    column = VOCABULARY.variable_keys.index("heart_rate")
    values = np.full((5, len(VOCABULARY.variables)), np.nan)
    values[:, column] = [80, 82, 81, 95, 96]
    html = series_html(LabSeries.from_values(VOCABULARY, np.array([0.0, 1, 2, 20, 21]), values), RANGES)
    lines = {one.attrib["class"]: one.attrib["d"].count("L") for one in read(html).iter("path")}
    assert (lines["cr-line"], lines["cr-gap"]) == (3, 1)


def test_words_note_and_charts_carry_the_same_names() -> None:
    shown = answer()
    findings = not_mentioned(shown, CHECKING)
    left, right = answered_patient_html(shown, RANGES, findings), answer_html("Somebody", shown, findings)
    names = [name for listed in owners(right, "li") for name in listed]
    assert names == [f"s{number}" for number in range(1, 5)] + [one.cited.name for one in findings]
    pointed = {name for tag in ("mark", "g") for listed in owners(left, tag) for name in listed}
    assert pointed <= set(names)
    for one in [*cited_by(shown.sentences), *(finding.cited for finding in findings)]:
        assert (one.name in {name for listed in owners(left, "mark") for name in listed}) == bool(one.spans)
        rings = [len(list(group)) for group in read(left).iter("g") if one.name in group.attrib["data-of"].split()]
        # As many readings as the checker cites: its claims' own.
        assert sum(rings) == sum(len(hours) for hours in one.hours.values())
    # "orthopnea" is where the note has it.
    marks = {one.attrib["data-of"]: one.text for one in read(left).iter("mark")}
    assert marks["s1"] == "orthopnea"


def test_what_is_found_and_not_mentioned_is_listed_and_nothing_else() -> None:
    silent = answer(shown="", withheld="", diagnoses=(HEART_FAILURE,), without_evidence=(HEART_FAILURE,))
    found = not_mentioned(silent, CHECKING)
    of_listed = [one for one in found if one.why == LISTED]
    assert {one.about for one in of_listed} == {HEART_FAILURE}
    assert any("orthopnea" in one.words for one in of_listed)
    signs = find_signs(FAST, RANGES, load_sign_rules())
    assert {key for one in found if one.why == STRONG for key in one.cited.hours} == set(
        strongest_variables(signs.values())
    )
    others = {one.about for one in found if one.why == UNLISTED}
    assert HYPERTENSION in others
    assert HEART_FAILURE not in others
    # What a sentence says is no longer among it.
    told = not_mentioned(answer(shown=SHOWN), CHECKING)
    assert not [one for one in told if "orthopnea" in one.words or one.about == HYPERTENSION]
    assert "heart_rate" not in {key for one in told if one.why == STRONG for key in one.cited.hours}
    # Nothing is found where nothing is known.
    assert not_mentioned(answer("note only", shown="", withheld="", diagnoses=()), CHECKING) != []
    empty = replace(silent, patient=Patient(LabSeries.empty(VOCABULARY), "Nothing."), diagnoses=())
    assert not_mentioned(empty, CHECKING) == []


def test_a_finding_is_told_with_the_readings_that_it_is_about() -> None:
    findings = find_signs(FAST, RANGES, load_sign_rules())
    column = VOCABULARY.variable_keys.index("heart_rate")
    words, hours = finding_words(findings["heart_rate", "high"], FAST, RANGES)
    beyond = [RANGES.level("heart_rate", float(value)) == "high" for value in FAST.values[:, column]]
    assert hours == set(FAST.hours[beyond].tolist())
    assert words == f"heart rate is high in {sum(beyond)} of 6 readings, up to 131 bpm"
    for finding in findings.values():
        words, hours = finding_words(finding, FAST, RANGES)
        assert words.startswith(VOCABULARY.variable(finding.variable).name)
        assert hours


def test_diseases_have_their_bars_thresholds_and_doubts() -> None:
    scores = dict.fromkeys(VOCABULARY.disease_names, 0.001)
    limits = dict.fromkeys(VOCABULARY.disease_names, 0.4)
    near, far = VOCABULARY.disease_names[3], VOCABULARY.disease_names[4]
    scores |= {HEART_FAILURE: 0.999, "Shock": 0.7, HYPERTENSION: 0.41, near: 0.4 - NEAR / 2, far: 0.4 - 2 * NEAR}
    html = diseases_html(answer(probabilities=scores, thresholds=limits))
    items = {text_of(match[1]): match[0] for match in re.finditer(r'<li><span class="cr-said">(.*?)</li>', html)}
    assert len(items) == len(VOCABULARY.diseases)
    said = {name: next(text for text in items if text.startswith(name)) for name in scores}
    assert "with evidence" in said[HEART_FAILURE]
    assert "<b>&gt;\u00a099\u00a0%</b>" in items[said[HEART_FAILURE]]
    assert "no evidence: not asserted" in said["Shock"]
    assert [name for name in scores if "undecided" in said[name]] == [near, HYPERTENSION]
    assert all("threshold 40\u00a0%" in item for item in items.values())
    # Those that are listed or close stand in front, the most probable first.
    front = html.partition("<details>")[0]
    places = [front.find(f">{name}<") for name in (HEART_FAILURE, "Shock", HYPERTENSION, near)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert f">{far}<" not in front


def test_abstaining_is_said_in_words_and_is_no_clean_bill_of_health() -> None:
    nobody = answer(diagnoses=(), without_evidence=())
    assert "not that none is there" in diseases_html(nobody)
    bare = answer(diagnoses=("Shock",), without_evidence=("Shock",))
    assert "No disease is diagnosed with evidence" in diseases_html(bare)
    assert "cr-abstains" not in diseases_html(answer())
    assert diseases_html(MALFORMED) == "<p>No diagnosis could be read.</p>"
    # While it is written, nothing is said of it.
    begun = replace(nobody, complete=False)
    assert "cr-abstains" not in diseases_html(begun)
    assert "cr-tag" not in diseases_html(replace(answer(), complete=False, diagnoses=()))
    without = replace(answer(), probabilities=None, thresholds=None)
    assert re.findall(r"<li>([^<]+) <", diseases_html(without)) == list(without.diagnoses)


def test_an_answer_has_signs_words_and_closed_evidence() -> None:
    html = answer_html("Somebody", answer())
    shown, _, withheld = html.partition('<details class="cr-withheld">')
    assert "2 sentences withheld: not borne out by the data" in text_of(withheld)
    assert "Glucose is high throughout." not in text_of(shown)
    assert "Glucose is high throughout." in text_of(withheld)
    assert "<details open" not in html
    for verdict, sign in (("supported", "+"), ("contradicted", "×")):
        assert f'<span class="cr-badge {verdict}"><span aria-hidden="true">{sign}</span> {verdict}</span>' in html
    assert "The note is longer than the model reads." in text_of(shown)
    assert text_of(answer_html("Somebody", replace(answer(), verified=False))).count("Raw output") == 1
    assert ("cr-whole" in html, "cr-busy" in html) == (True, False)
    begun = answer_html("Somebody", replace(answer(), complete=False))
    assert ("cr-whole" in begun, "cr-busy" in begun) == (False, True)
    malformed = answer_html("Somebody", MALFORMED)
    assert "cr-whole" not in malformed
    assert "malformed" in malformed


def test_nothing_that_anybody_wrote_is_markup() -> None:
    patient = Patient(FAST, f"{NOTE} {ATTACK}")
    hostile = replace(
        answer(), patient=patient, warnings=(ATTACK,), problem=None, diagnoses=(ATTACK,), without_evidence=(ATTACK,)
    )
    hostile = replace(
        hostile, sentences=tuple(replace(one, text=ATTACK, faults=(ATTACK,)) for one in hostile.sentences)
    )
    for html in (
        answer_html(ATTACK, hostile, not_mentioned(answer(), CHECKING)),
        answer_html(ATTACK, replace(hostile, problem=ATTACK, text=ATTACK)),
        answer_html(ATTACK, replace(hostile, probabilities=None)),
        answered_patient_html(hostile, RANGES, (), {"diagnoses": [ATTACK]}),
    ):
        assert "<script" not in html
        assert "<img" not in html
        assert "alert(1)" in text_of(html)


def test_the_template_is_a_csv_that_the_page_reads(tmp_path: Any) -> None:
    address = re.search(r'href="([^"]+)"', template_link(VOCABULARY))
    assert address is not None
    head, _, content = unquote(unescape(address[1])).partition(",")
    assert head == "data:text/csv;charset=utf-8"
    path = tmp_path / "measurements.csv"
    path.write_text(content)
    assert not read_lab_csv(path, VOCABULARY).observed.any()
    # Filled in, every column is known.
    header = content.splitlines()[0]
    middle = [(variable.plausible[0] + variable.plausible[1]) / 2 for variable in VOCABULARY.variables]
    path.write_text(f"{header}\n0,{','.join(f'{value:.3f}' for value in middle)}\n")
    assert read_lab_csv(path, VOCABULARY).observed.all()
    titles = [row.attrib["data-title"] for row in read(values_table(VOCABULARY)).iter("tr")]
    assert titles == header.split(",") == ["hours", *map(csv_title, VOCABULARY.variables)]
    labels = [one.attrib["aria-label"] for one in read(values_table(VOCABULARY)).iter("input")]
    assert len(set(labels)) == len(labels)


def test_a_patient_is_summed_up_in_one_line() -> None:
    row = {"note": "Allergies:\nnone\nChief Complaint:\nchest pain\n", "lab_observed": [[True, False], [True, True]]}
    assert summary_of(row, {"sex": "F", "age": "45 to 64"}) == "woman 45 to 64 · 3 readings · chest pain"
    assert summary_of(row, {"sex": None, "age": None}) == "3 readings · chest pain"
    plain = {"note": "Fever and\ncough. " * 20, "lab_observed": [[True]]}
    line = summary_of(plain, {})
    assert line.startswith("1 reading · Fever and cough. Fever and cough.")
    assert line.endswith("...")
    assert len(line) <= LONGEST + len("1 reading · ...")

"""The PDF of an answer: all that is shown and nothing that is withheld, in letters that can be selected."""

from __future__ import annotations

import re
import sys
from datetime import timedelta

import pytest
from claim_cases import VOCABULARY
from explained_patients import HOSTILE, PATIENTS
from exported_answers import HEART_FAILURE, MALFORMED, MOMENT, ORIGIN, SHOWN, answer, sentences_of
from pdf_text import pdf_properties, pdf_text

from clinragen.claims.sentences import Patient
from clinragen.export.pdf import CAUTION, render_pdf
from clinragen.inference import Explanation
from modeling_clinragen.errors import SettingsError


def text_of(explanation: Explanation) -> str:
    return pdf_text(render_pdf(explanation, ORIGIN, MOMENT))


@pytest.fixture(scope="module")
def whole() -> str:
    return text_of(answer())


def test_every_shown_sentence_with_its_sign_and_no_withheld_one(whole: str) -> None:
    given = answer()
    assert all(sentence.verdict == "supported" for sentence in given.sentences)
    for sentence in given.sentences:
        assert f"+ supported {sentence.text}" in whole
    for sentence in given.withheld:
        assert sentence.text not in whole
    assert "2 sentences were withheld: the data do not bear out what is said." in whole


def test_the_evidence_stands_below_its_sentence(whole: str) -> None:
    first = whole.index('"orthopnea" supports')
    second = whole.index('"hypertension" supports')
    assert first < whole.index("line 1: “Chief complaint: dyspnea and orthopnea.”") < second
    assert "hour 12: 7.22" in whole


def test_diagnoses_have_their_probabilities_and_those_without_evidence_stand_apart(whole: str) -> None:
    shown, _, rest = whole.partition("Named without evidence, so not asserted:")
    unproved, _, others = rest.partition("Not diagnosed, the most probable first:")
    assert f"91% (from 40%) {HEART_FAILURE}" in shown
    assert "Shock" not in shown
    assert unproved.endswith("(from 40%) Shock ")
    given = answer()
    scores = {name: score for name, score in (given.probabilities or {}).items() if name not in given.diagnoses}
    order = sorted(scores, key=lambda name: scores[name], reverse=True)
    for name in order[:3]:
        assert f"{scores[name]:.0%} (from 40%) {name}" in others
    assert order[3] not in others
    assert "Probability, calibrated on validation patients" in others


def test_it_says_where_it_comes_from_when_and_what_it_is_not(whole: str) -> None:
    assert "2026-03-04 15:06 UTC" in whole
    assert whole.count(CAUTION) >= 2
    for part in (ORIGIN.name, ORIGIN.revision, ORIGIN.data, "Written by hand", "range set clinical"):
        assert part in whole
    assert "Warning: The note is longer than the model reads." in whole


def test_charts_name_what_was_measured_with_its_range_and_what_was_not(whole: str) -> None:
    assert "heart rate (bpm) 88 to 131, 6 measured; normal 60 to 100" in whole
    missing = whole.partition("Not measured: ")[2].partition(".")[0].split(", ")
    series = PATIENTS["both"].series
    expected = [
        variable.name
        for variable, column in zip(VOCABULARY.variables, series.observed.T, strict=True)
        if not column.any()
    ]
    assert missing == expected


@pytest.mark.parametrize("name", ["note only", "labs only"])
def test_every_patient_has_a_page_whatever_is_missing(name: str) -> None:
    found = text_of(answer(name))
    assert "Measurements" in found
    assert ("a note of" in found) == (PATIENTS[name].note is not None)


def test_every_character_can_be_written() -> None:
    patient = Patient(PATIENTS["both"].series, " ".join(HOSTILE.values()))
    texts = [f'"{note[:60]}" says so. Heart rate is high in most readings.' for note in HOSTILE.values()]
    given = answer(patient=patient, sentences=tuple(one for text in texts for one in sentences_of(text, patient)))
    assert text_of(given).count("Heart rate is high in most readings.") == len(HOSTILE)


def test_a_character_without_a_letter_is_written_as_its_number() -> None:
    text = "心 and Ω and \U0001f912."
    given = answer(rationale=text, sentences=sentences_of(text, PATIENTS["both"]))
    assert "[U+5FC3] and Ω and [U+1F912]." in text_of(given)


def test_a_malformed_output_diagnoses_nothing() -> None:
    found = text_of(MALFORMED)
    assert "No diagnosis could be read: the output is malformed (a mark is missing)." in found
    assert "Shock" not in found
    assert "No disease is diagnosed" not in found


def test_unverified_text_is_called_so_and_has_every_verdict() -> None:
    text = "Heart rate is high in most readings. The heart rate is low."
    given = answer(shown=text, withheld="", verified=False)
    found = text_of(given)
    assert "a sentence may say what the data do not bear out" in found
    assert "+ supported Heart rate is high in most readings." in found
    assert "× contradicted The heart rate is low." in found


def test_nothing_of_the_patient_is_in_the_properties() -> None:
    properties = pdf_properties(render_pdf(answer(), ORIGIN, MOMENT))
    assert properties == {
        "CreationDate": "D:20260304150607Z",
        "Producer": "ClinRaGen",
        "Title": "Diagnoses and rationale, by ClinRaGen",
    }


def test_the_same_answer_gives_the_same_bytes_and_another_moment_others() -> None:
    one = render_pdf(answer(), ORIGIN, MOMENT)
    assert one == render_pdf(answer(), ORIGIN, MOMENT)
    assert one != render_pdf(answer(), ORIGIN, MOMENT + timedelta(minutes=1))


def test_pages_are_few_and_numbered() -> None:
    assert re.findall(r"Page (\d+) of (\d+)", text_of(answer(shown=" ".join([SHOWN] * 4)))) == [("1", "2"), ("2", "2")]


def test_without_the_library_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fpdf", None)
    monkeypatch.delitem(sys.modules, "clinragen.export.pdf_page", raising=False)
    with pytest.raises(SettingsError, match=r"fpdf2; install it with `pip install 'clinragen\[demo\]'`"):
        render_pdf(answer(), ORIGIN, MOMENT)

"""What if something had not been known: the patient without it, asked again, and both answers side by side."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from claim_cases import VOCABULARY
from explained_patients import FAST, NOTE, PATIENTS
from exported_answers import HEART_FAILURE, HYPERTENSION, MALFORMED, answer, sentences_of
from scripted_model import drafted, let_write

from clinragen.claims.sentences import Patient
from clinragen.demo.what_if import LABS, changed_patient, possible_changes, what_if, what_if_html, what_if_style
from clinragen.explain_config import ExplainConfig
from clinragen.inference import Explainer
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import SettingsError

BOTH = PATIENTS["both"]


@pytest.fixture
def explainer(make_model: Any, make_processor: Any) -> Explainer:
    model = make_model("bart")
    model.generation_config.max_new_tokens = 90
    return Explainer(model, make_processor(), ExplainConfig(probabilities=True))


def test_labs_each_measured_variable_and_each_sentence_can_be_left_out() -> None:
    found = possible_changes(BOTH)
    measured = ("heart_rate", "systolic_blood_pressure", "ph", "temperature")
    assert {name for name in found if name.startswith("variable:")} == {f"variable:{key}" for key in measured}
    assert LABS in found
    sentences = [title.partition(": ")[2] for name, title in found.items() if name.startswith("sentence:")]
    assert len(sentences) == 7
    assert " ".join(" ".join(sentences).split()) == " ".join(NOTE.split())


def test_something_is_always_left() -> None:
    assert LABS not in possible_changes(PATIENTS["labs only"])
    assert not any(name.startswith("variable") or name == LABS for name in possible_changes(PATIENTS["note only"]))
    alone = Patient(LabSeries.empty(VOCABULARY), "Fever.")
    assert possible_changes(alone) == {}


def test_only_what_is_left_out_changes() -> None:
    column = VOCABULARY.variable_keys.index("ph")
    left = changed_patient(BOTH, "variable:ph")
    assert not left.series.observed[:, column].any()
    others = np.arange(len(VOCABULARY.variables)) != column
    np.testing.assert_array_equal(left.series.values[:, others], FAST.values[:, others])
    np.testing.assert_array_equal(left.series.hours, FAST.hours)
    assert left.note == NOTE
    assert not changed_patient(BOTH, LABS).series.observed.any()
    without = changed_patient(BOTH, "sentence:2")
    assert without.series == FAST
    assert without.note == NOTE.replace(" Lactate 6.1.", "").replace("Lactate 6.1.", "")


@pytest.mark.parametrize(
    "name", ["", "labs ", "variable:weight", "variable:nothing", "sentence:99", "sentence:-1", "x"]
)
def test_what_is_not_there_cannot_be_left_out(name: str) -> None:
    with pytest.raises(SettingsError, match="no such part of this patient") as caught:
        changed_patient(BOTH, name)
    assert "dyspnea" not in str(caught.value)


@pytest.mark.parametrize("name", [LABS, "variable:heart_rate", "sentence:0"])
def test_it_is_the_explanation_of_the_changed_patient(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any, name: str
) -> None:
    draft = drafted([HYPERTENSION], f'"hypertension" supports {HYPERTENSION}. Heart rate is high. The pH falls.')
    let_write(monkeypatch, tiny_tokenizer, draft)
    before = explainer.explain(BOTH.note, BOTH.series)
    found = what_if(explainer, before, name)
    values, note = FAST.values.copy(), NOTE
    if name == LABS:
        values[:] = np.nan
    elif name == "variable:heart_rate":
        values[:, VOCABULARY.variable_keys.index("heart_rate")] = np.nan
    else:
        note = NOTE.partition("\n")[2]
    direct = explainer.explain(note, LabSeries.from_values(VOCABULARY, FAST.hours, values))
    assert found == direct
    assert found.probabilities != before.probabilities
    high = {"Heart rate is high."} & {sentence.text for sentence in found.sentences}
    assert bool(high) == (name == "sentence:0")


class Rows(HTMLParser):
    """Of each row of the table its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._in = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = self._in and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in:
            self.rows[-1][-1] += data


def test_diagnoses_are_kept_gone_or_new_with_probabilities_before_and_after() -> None:
    old = answer(probabilities={HEART_FAILURE: 0.912, HYPERTENSION: 0.6, "Shock": 0.5, "Pneumonia": 0.1})
    new = answer(
        diagnoses=("Shock", HEART_FAILURE, "Pneumonia"),
        without_evidence=("Pneumonia",),
        probabilities={HEART_FAILURE: 0.7, HYPERTENSION: 0.2, "Shock": 0.55, "Pneumonia": 0.45},
    )
    assert Rows(what_if_html(old, new, "Labs")).rows == [
        ["Diagnosis", "Before", "After", "Change"],
        ["Shock", "named without evidence, 50%", "asserted, 55%", "= kept"],
        [HEART_FAILURE, "asserted, 91%", "asserted, 70%", "= kept"],
        [HYPERTENSION, "asserted, 60%", "not named, 20%", "− gone"],
        ["Pneumonia", "not named, 10%", "named without evidence, 45%", "+ new"],
    ]
    bare = what_if_html(answer(probabilities=None), answer(probabilities=None), "Labs")
    assert "%" not in bare


def test_sentences_that_went_and_came() -> None:
    old = answer(shown="Heart rate is high. The pH falls to 7.22.")
    new = answer(shown="The pH falls to 7.22. Temperature is high.")
    html = what_if_html(old, new, "Labs")
    went, _, came = html.partition("Sentences that came")
    assert "<del>Heart rate is high.</del>" in went
    assert "<ins>Temperature is high.</ins>" in came
    assert html.count("7.22") == 0
    assert "1 sentence of the rationale stayed." in html


def test_nothing_of_a_note_or_a_model_becomes_markup() -> None:
    attack = '<img src=x onerror="alert(1)">'
    old = answer(
        diagnoses=(attack,), without_evidence=(), sentences=sentences_of(f'"{attack}" is said.', BOTH), rationale=""
    )
    html = what_if_html(old, answer(), attack)
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;") == 3


def test_a_malformed_output_is_not_a_clean_bill_of_health() -> None:
    html = what_if_html(answer(), MALFORMED, "Labs")
    assert "After, no diagnosis could be read" in html
    assert what_if_html(MALFORMED, MALFORMED, "Labs").count("no diagnosis could be read") == 2
    assert "No disease is diagnosed" not in what_if_html(MALFORMED, MALFORMED, "Labs")
    # What could not be read is not gone.
    rows = Rows(html).rows[1:]
    assert all(row[2].startswith("not readable") for row in rows)
    assert {row[3] for row in rows} == {"? unknown"}
    assert "No disease is diagnosed, before or after." in what_if_html(
        answer(diagnoses=(), without_evidence=()), answer(diagnoses=(), without_evidence=()), "Labs"
    )


def test_the_style_sheet_keeps_to_its_section() -> None:
    css = re.sub(r"/\*.*?\*/", "", what_if_style(), flags=re.DOTALL)
    for selectors in re.findall(r"([^{}]+)\{", css):
        assert all(part.strip().startswith(".clinragen-what-if") for part in selectors.split(","))

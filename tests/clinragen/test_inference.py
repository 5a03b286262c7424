"""One patient at a time: the vocabulary is the model's own, and a series of another one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_model import drafted, let_write, save_short_model

from clinragen import Explainer, generate_verified
from clinragen.claims.sentences import Patient
from clinragen.knowledge.reader import KNOWLEDGE, shipped_content
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen import score_diseases
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTE = "Dyspnea and fever. History of hypertension."
LACTATE_CSV = "hours,heart rate (bpm),lactate (mg/dL)\n0,118,36\n2,,18\n"


@pytest.fixture(scope="module")
def make_folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Save a model folder. The model would end at once; where that is not allowed, it writes of shock."""

    def build(**settings: Any) -> Path:
        return save_short_model(tmp_path_factory.mktemp("model"), make_model, make_processor, **settings)

    return build


def test_probabilities_are_conditional_on_the_generated_list(
    make_folder: Any, make_series: Any, vocabulary: Vocabulary
) -> None:
    made = make_series(9, 1)
    series = LabSeries.from_values(vocabulary, made["hours"], made["values"])
    explainer = Explainer.from_pretrained(make_folder(), probabilities=True)
    model, processor = explainer.model, explainer.processor
    inputs = processor(NOTE, {"hours": series.hours, "values": series.values})

    def explained_given(*given: str) -> tuple[str, ...]:
        found = explainer.explain(NOTE, series)
        assert found.problem is None
        expected = score_diseases(model, processor, dict(inputs), [given])[0].tolist()
        assert found.probabilities is not None
        assert list(found.probabilities) == model.config.diseases
        assert list(found.probabilities.values()) == pytest.approx(expected, rel=1e-5)
        return found.diagnoses

    listed = explainer.explain(NOTE, series).diagnoses
    assert explained_given("Shock") == listed == ("Shock",)
    # Listed, but no longer one of the model's diseases, so that it cannot be given.
    model.config.diseases = [name for name in model.config.diseases if name not in listed]
    assert explained_given() == listed


def test_a_model_reads_a_csv_in_its_own_vocabulary(
    make_folder: Any, lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "labs.csv").write_text(LACTATE_CSV)
    own = Explainer.from_pretrained(make_folder(vocabulary=lactate_vocabulary))
    assert own.vocabulary == lactate_vocabulary
    assert own.range_set.level("lactate", 4.0) == "high"
    series = own.read_labs(tmp_path / "labs.csv")
    column = lactate_vocabulary.variable_keys.index("lactate")
    np.testing.assert_allclose(series.values[:, column], [36 * 0.111, 18 * 0.111], rtol=1e-6)
    assert own.explain(NOTE, series).diagnoses == ("Shock",)
    # A second model in the same process keeps to its own variables.
    shipped = Explainer.from_pretrained(make_folder())
    with pytest.raises(InputDataError, match=r"column 3 \('lactate \(mg/dL\)'\) is unknown.*heart rate \(bpm\)"):
        shipped.read_labs(tmp_path / "labs.csv")
    assert "lactate" in own.read_labs(tmp_path / "labs.csv").vocabulary.variable_keys


def test_a_series_of_another_vocabulary_is_refused_with_both_lists(
    make_folder: Any, make_series: Any, vocabulary: Vocabulary, lactate_vocabulary: Vocabulary
) -> None:
    explainer = Explainer.from_pretrained(make_folder())
    swapped = replace(vocabulary, variables=vocabulary.variables[::-1])
    first = replace(vocabulary.variables[0], unit="kPa")
    in_kilopascal = replace(vocabulary, variables=(first, *vocabulary.variables[1:]))
    for other in (swapped, in_kilopascal, lactate_vocabulary):
        made = make_series(3, vocabulary=other)
        series = LabSeries.from_values(other, made["hours"], made["values"])
        with pytest.raises(SettingsError, match="the model and the series have different variables") as caught:
            explainer.explain(NOTE, series)
        for known in (vocabulary, other):
            assert ", ".join(f"{variable.key} ({variable.unit})" for variable in known.variables) in str(caught.value)
    # A series says nothing about diseases.
    made = make_series(3)
    fewer = replace(vocabulary, diseases=vocabulary.diseases[:3])
    explainer.explain(NOTE, LabSeries.from_values(fewer, made["hours"], made["values"]))


def test_a_folder_of_an_older_version_must_be_made_again(make_folder: Any) -> None:
    folder = make_folder()
    path = folder / "processor_config.json"
    content = json.loads(path.read_text())
    assert content["format_version"] == 3
    without = {name: content[name] for name in content if name not in ("vocabulary", "range_set", "format_version")}
    path.write_text(json.dumps(without))
    with pytest.raises(SettingsError, match="older version; train it again with `clinragen train` or `clinragen run`"):
        Explainer.from_pretrained(folder)
    path.write_text(json.dumps({**content, "format_version": 4}))
    with pytest.raises(SettingsError, match="has the format 4, this version reads up to 3; update clinragen"):
        Explainer.from_pretrained(folder)


TIE = '"hypertension" supports Essential hypertension.'


def without_hypertension() -> dict[str, Any]:
    """The shipped knowledge base without the word for this disease."""
    content = shipped_content()
    disease = content["diseases"]["essential_hypertension"]
    disease["terms"] = [term for term in disease["terms"] if term["term"] != "hypertension"]
    return {**content, "origin": "Made up for a test."}


def test_rationales_are_checked_by_the_knowledge_base_of_the_model_folder(
    make_folder: Any, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    folder = make_folder()
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], TIE))
    shipped = Explainer.from_pretrained(folder).explain(NOTE, None)
    assert (shipped.rationale, shipped.withheld, shipped.without_evidence) == (TIE, (), ())
    assert shipped.knowledge == shipped_content()["origin"]
    (folder / KNOWLEDGE).write_text(json.dumps(without_hypertension()))
    own = Explainer.from_pretrained(folder).explain(NOTE, None)
    assert (own.rationale, own.without_evidence) == ("", ("Essential hypertension",))
    assert [sentence.text for sentence in own.withheld] == [TIE]
    assert own.checked.knowledge == own.knowledge == "Made up for a test."
    (folder / KNOWLEDGE).write_text("{}")
    with pytest.raises(InputDataError, match=KNOWLEDGE):
        Explainer.from_pretrained(folder)


def test_without_a_knowledge_base_no_diagnosis_is_said_to_have_evidence(
    make_folder: Any, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any, lactate_vocabulary: Vocabulary
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], TIE))
    found = Explainer.from_pretrained(make_folder(vocabulary=lactate_vocabulary)).explain(NOTE, None)
    assert (found.diagnoses, found.without_evidence) == (("Essential hypertension",),) * 2
    assert found.checked.knowledge is found.knowledge is None
    assert any("no knowledge base" in sentence for sentence in found.checked.missing())


def test_an_explanation_is_what_verified_generation_writes_of_the_patient(
    make_folder: Any, make_series: Any, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    explainer = Explainer.from_pretrained(make_folder())
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], f"{TIE} Glucose is not measured."))
    made = make_series(5, 1)
    series = LabSeries.from_values(vocabulary, made["hours"], made["values"])
    found = explainer.explain(NOTE, series)
    (expected,) = generate_verified(explainer.model, explainer.processor, [Patient(series, NOTE)], explainer.checking)
    assert (found.rationale, found.sentences, found.withheld) == (
        expected.rationale,
        expected.sentences,
        expected.withheld,
    )
    assert found.sentences
    assert found.withheld
    assert all(sentence.verdict == "supported" for sentence in found.sentences)


@pytest.mark.parametrize("note", ["", " \n", "\N{FACE WITH TEARS OF JOY}", "--- ???", None])
def test_a_patient_of_whom_nothing_is_known_is_refused(make_folder: Any, note: str | None) -> None:
    explainer = Explainer.from_pretrained(make_folder())
    for series in (None, LabSeries.empty(explainer.vocabulary)):
        with pytest.raises(ModelInputError, match="nothing to go on"):
            explainer.explain(note, series)


def test_a_text_too_long_to_be_a_note_is_refused(make_folder: Any) -> None:
    explainer = Explainer.from_pretrained(make_folder())
    with pytest.raises(ModelInputError, match="11,000,000 characters, at most 1,000,000 are taken"):
        explainer.explain("Dyspnea and" * 1_000_000, None)

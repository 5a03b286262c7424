"""One patient at a time: the vocabulary is the model's own, and a series of another one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinragen import Explainer
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen import score_diseases
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTE = "Dyspnea and fever. History of hypertension."
LACTATE_CSV = "hours,heart rate (bpm),lactate (mg/dL)\n0,118,36\n2,,18\n"


@pytest.fixture(scope="module")
def make_folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Save a model folder. The model would end at once; where that is not allowed, it writes of shock."""

    def build(**settings: Any) -> Path:
        path = tmp_path_factory.mktemp("model")
        model, processor = make_model("bart", **settings), make_processor(**settings)
        bias = model.language_model.final_logits_bias[0]
        bias[processor.list_ids(["Shock"])] = 100.0
        bias[processor.tokenizer.eos_token_id] = 200.0
        model.generation_config.max_new_tokens = 90
        model.save_pretrained(path)
        processor.save_pretrained(path)
        return path

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
    assert content["format_version"] == 1
    without = {name: content[name] for name in content if name not in ("vocabulary", "range_set", "format_version")}
    path.write_text(json.dumps(without))
    with pytest.raises(SettingsError, match="older version; train it again with `clinragen train` or `clinragen run`"):
        Explainer.from_pretrained(folder)
    path.write_text(json.dumps({**content, "format_version": 2}))
    with pytest.raises(SettingsError, match="has the format 2, this version reads up to 1; update clinragen"):
        Explainer.from_pretrained(folder)

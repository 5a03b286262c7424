"""The page is made of tabs, and takes vocabulary and normal ranges from the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripted_model import drafted, let_write

from clinragen.demo.page import build_page, open_page, patients_of
from clinragen.demo.tab import PageState, Tab
from clinragen.demo.tabs import TABS
from clinragen.demo.tabs.explain import EXPLAIN, OWN
from clinragen.inference import Explainer
from dataset_builder.contract.definitions import Definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, example_schema
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

ELEMENTS = {"patient", "note", "explain", "warnings", "diagnoses", "rationale", "probabilities", "anomalies", "truth"}
WARNINGS, DIAGNOSES, RATIONALE, MEASURED, SCORES = range(5)
HELD = '"hypertension" supports Essential hypertension.'
REFUSED = "Heart rate is low."
NOTE = "Dyspnea.\nHistory of hypertension."


@pytest.fixture
def save_model(make_model: Any, make_processor: Any, tmp_path: Path) -> Callable[..., Path]:
    """Save a tiny model of a vocabulary."""

    def save(vocabulary: Vocabulary, **settings: Any) -> Path:
        model = make_model("bart", vocabulary=vocabulary)
        model.generation_config.max_new_tokens = 8
        model.save_pretrained(tmp_path / "model")
        make_processor(vocabulary=vocabulary, **settings).save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return save


def write_cohort(folder: Path, vocabulary: Vocabulary) -> Path:
    """A cohort folder with one patient in the test split, whose heart rate is 110 and 118 bpm."""
    column = vocabulary.variable_keys.index("heart_rate")
    row = {
        "example_id": "made-up-1",
        "subject_id": 1,
        "hadm_id": 1,
        "stay_id": 1,
        "source": "made-up",
        "note": "Dyspnea.",
        "note_policy": "structured",
        "lab_hours": [0.0, 5.0],
        "lab_values": [
            [rate if index == column else None for index in range(len(vocabulary.variables))]
            for rate in (110.0, 118.0)
        ],
        "lab_observed": [[index == column for index in range(len(vocabulary.variables))]] * 2,
        "lab_summary": "heart rate is higher than normal two times.",
        "labels": [0] * len(vocabulary.diseases),
        "diagnoses": [],
        "rationale_note": "",
        "rationale_lab": "",
        "prediction_time": 48.0,
    }
    (folder / "data").mkdir(parents=True)
    schema = example_schema(vocabulary)
    for split in SPLITS:
        rows = pa.Table.from_pylist([row] if split == "test" else [], schema=schema)
        pq.write_table(rows, folder / "data" / f"{split}.parquet")
    about: Any = [{one.key: {} for one in listed} for listed in (vocabulary.variables, vocabulary.diseases)]
    write_definitions(folder, Definitions(vocabulary, *about))
    return folder


def functions_of(page: Any) -> dict[str, Callable[..., Any]]:
    """The functions behind the page's events, by name."""
    return {function.fn.__name__: function.fn for function in page.fns.values()}


def test_one_tab_is_the_page_itself_and_keeps_patients_to_itself(
    save_model: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    page = build_page(PageState(Explainer.from_pretrained(save_model(vocabulary)), {}), [EXPLAIN])
    config = page.config
    assert "tabs" not in {component["type"] for component in config["components"]}
    assert {component["props"].get("elem_id") for component in config["components"]} >= ELEMENTS
    assert len(config["dependencies"]) == 4
    assert {event["api_visibility"] for event in config["dependencies"]} == {"private"}
    assert config["analytics_enabled"] is False
    assert page.delete_cache == (600, 600)


def test_further_tabs_stand_in_a_bar_of_tabs(save_model: Callable[..., Path], vocabulary: Vocabulary) -> None:
    state = PageState(Explainer.from_pretrained(save_model(vocabulary)), {})
    seen = []

    def build(gr: Any, page: Any, given: PageState) -> None:
        gr.Markdown("Something else", elem_id="else")
        seen.append(given)

    components = build_page(state, [EXPLAIN, Tab("Another view", build)]).config["components"]
    titles = [one["props"]["label"] for one in components if one["type"] == "tabitem"]
    assert titles == ["Explain", "Another view"]
    assert {one["props"].get("elem_id") for one in components} >= {*ELEMENTS, "else"}
    assert seen == [state]
    assert TABS[0] is EXPLAIN


@pytest.mark.parametrize(
    ("range_set", "words"),
    [("clinical", "heart rate is higher than normal two times."), ("paper", "heart rate is normal all the time.")],
)
def test_a_patient_is_described_with_the_ranges_of_the_model(
    save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path: Path, range_set: str, words: str
) -> None:
    page = open_page(save_model(vocabulary, range_set=range_set), cohort=write_cohort(tmp_path / "cohort", vocabulary))
    explain, choose = (functions_of(page)[name] for name in ("explain", "choose"))
    assert choose("Patient 1: made-up-1")[0] == "Dyspnea."
    assert explain("Patient 1: made-up-1", "Dyspnea.", None)[MEASURED] == words


def test_a_csv_is_read_in_the_vocabulary_of_the_model(
    save_model: Callable[..., Path], lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    import gradio as gr

    explain = functions_of(open_page(save_model(lactate_vocabulary)))["explain"]
    table = tmp_path / "labs.csv"
    table.write_text("hours,lactate (mg/dL)\n0,36\n4,45\n")
    assert explain(OWN, "", str(table))[MEASURED] == "Lactate is higher than normal two times."
    table.write_text("hours,bilirubin (mg/dL)\n0,1\n")
    with pytest.raises(gr.Error, match="bilirubin"):
        explain(OWN, "", str(table))
    for nothing in (" ", "\N{FACE WITH TEARS OF JOY}"):
        with pytest.raises(gr.Error, match="give a note"):
            explain(OWN, nothing, None)
    with pytest.raises(gr.Error, match="10,000,001 characters, at most 1,000,000 are taken"):
        explain(OWN, "fever and " * 1_000_000 + "x", None)


def test_sentences_stand_with_what_decides_them_and_withheld_ones_are_closed(
    save_model: Callable[..., Path],
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Any,
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Shock", "Essential hypertension"], f"{HELD} {REFUSED}"))
    page = open_page(save_model(vocabulary), cohort=write_cohort(tmp_path / "cohort", vocabulary))
    answer = functions_of(page)["explain"]("Patient 1: made-up-1", NOTE, None)
    asserted, parted, named = answer[DIAGNOSES].partition("Named without evidence, so not asserted:")
    assert (asserted.split("\n")[0], named.strip()) == ("- Essential hypertension", "- *Shock*")
    assert parted
    shown, closed, withheld = answer[RATIONALE].partition("<details>")
    assert closed
    assert "1 sentence withheld: not borne out by the data" in withheld
    assert (REFUSED in shown, REFUSED in withheld) == (False, True)
    # Only a reader opens it.
    assert " open" not in answer[RATIONALE].replace("opening", "")
    assert ">hypertension</mark>" in shown
    assert answer[WARNINGS] == ""
    assert answer[SCORES] is None


def test_words_of_a_note_and_of_a_model_are_no_markup(
    save_model: Callable[..., Path],
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Any,
) -> None:
    attack = "<script>alert(1)</script>"
    explain = functions_of(open_page(save_model(vocabulary)))["explain"]
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], f"{HELD} Heart rate is {attack} low."))
    assert "<script" not in explain(OWN, f"{attack} {NOTE}", None)[RATIONALE]
    let_write(monkeypatch, tiny_tokenizer, f"{attack} without any mark")
    answer = explain(OWN, NOTE, None)
    assert "<script" not in answer[RATIONALE]
    assert "malformed" in answer[RATIONALE]
    # What cannot be read is no clean bill of health.
    assert answer[DIAGNOSES] == "No diagnosis could be read."


def test_an_answer_never_stands_beside_another_patient(
    save_model: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    page = build_page(PageState(Explainer.from_pretrained(save_model(vocabulary)), {}), [EXPLAIN])
    names = {component["id"]: component["props"].get("elem_id") for component in page.config["components"]}
    labels = {component["id"]: component["props"].get("label") for component in page.config["components"]}
    answer = {"warnings", "diagnoses", "rationale", "probabilities"}
    functions = functions_of(page)
    cleared = {}
    for event in page.config["dependencies"]:
        function = page.fns[event["id"]].fn
        if function.__name__ in ("choose", "clear"):
            given = function(OWN) if function.__name__ == "choose" else function()
            cleared[function.__name__] = dict(zip(event["outputs"], given, strict=True))
    assert set(functions) == {"choose", "clear", "explain"}
    for values in cleared.values():
        assert {names[place] for place, value in values.items() if not value} >= answer
    # A file that was given for the patient before is not read for this one.
    files = [place for place in cleared["choose"] if (labels[place] or "").startswith("Measurements (CSV")]
    assert [cleared["choose"][place] for place in files] == [None]


def test_what_makes_an_answer_less_reliable_stands_above_it(
    save_model: Callable[..., Path], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], HELD))
    folder = save_model(vocabulary, max_source_tokens=100)
    explain = functions_of(open_page(folder))["explain"]
    note = f"{NOTE} " * 60
    report = ClinRaGenProcessor.from_pretrained(folder).read_report(note.strip(), None)
    assert explain(OWN, note, None)[WARNINGS] == f"- **The note is longer than the model reads: {report.sentence}.**"


def test_a_cohort_of_another_vocabulary_is_refused(
    save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = save_model(vocabulary)
    first, second, *others = vocabulary.variables
    swapped = replace(vocabulary, variables=(second, first, *others))
    cohort = write_cohort(tmp_path / "cohort", swapped)
    with pytest.raises(
        SettingsError, match=f"different variables.*{first.key}.*{second.key}.*{second.key}.*{first.key}"
    ):
        open_page(folder, cohort=cohort)
    assert patients_of(None, Explainer.from_pretrained(folder)) == {}


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not a model folder"):
        open_page(tmp_path)

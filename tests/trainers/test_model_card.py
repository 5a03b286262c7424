"""The card of a model folder: every number on it comes from the folder, the metrics or the provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_examples import OPEN

from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.governance import read_provenance, write_provenance
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.model_card import write_model_card
from trainers.phases import PHASES
from trainers.tokens_report import TokensReport

SCORE = {"value": 0.25, "low": 0.2, "high": 0.3}
METRICS: dict[str, Any] = {
    "systems": {"full": dict.fromkeys(("micro_f1", "micro_precision", "micro_recall", "macro_f1"), SCORE)},
    "rationale": {"full": {"bleu": None, "well_formed": 0.5}},
    "held_out": {"examples": 7, "subjects": 5},
    "training": {"examples": 30, "validation_examples": 4},
    "notices": ["Only an example."],
}
PROVENANCE = {**OPEN, "note_policy": "admission", "about_the_notes": "The notes are invented."}


@pytest.fixture
def folder(make_model: Any, make_processor: Any, lactate_vocabulary: Vocabulary, tmp_path: Path) -> Path:
    for part in (make_model("t5", vocabulary=lactate_vocabulary), make_processor(vocabulary=lactate_vocabulary)):
        part.save_pretrained(tmp_path)
    return tmp_path


def test_a_card_states_phases_vocabulary_and_scores(folder: Path) -> None:
    phases = [phase.name for phase in PHASES]
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=phases)
    card = (folder / "README.md").read_text()
    for number, phase in enumerate(PHASES, start=1):
        assert f"{number}. {phase.sentence}" in card
    for part in (
        "12 bedside variables",
        "diagnoses 25 diseases",
        "lactate (mmol/L)",
        "[[None] * 12] * 2",
        "0.250 (0.200 to 0.300)",
        "7 held-out examples of 5 patients",
        "BLEU of the rationales against the teacher's: not measured. Share of well-formed outputs: 50.0 %.",
        "**Only an example.**",
        "30 ICU stays (4 more for validation) from Tiny examples, version 1",
        "license: apache-2.0",
    ):
        assert part in card
    assert read_provenance(folder)["steps"][-1] == {"step": "publish", "phases": phases}


COST = {
    "weights": "0" * 64,
    "device": "cpu",
    "threads": 2,
    "precision": "float32",
    "batch_size": 32,
    "patients": 7,
    "seconds_in_batches": 0.0625,
    "seconds_alone": 0.5,
    "memory_bytes": 3 * 2**30,
}


def test_a_cards_results_are_those_measured_and_survive_a_round_trip(folder: Path) -> None:
    from huggingface_hub import ModelCard, ModelCardData

    zero = {**SHARE, "value": 0.0, "low": 0.0, "high": 0.0}
    cited = {"note": {"present": {**SHARE, "value": 0.9, "low": 0.8, "high": 0.95}}, "series": {"present": NONE}}
    full = {
        **METRICS["rationale"]["full"],
        "claims": {"raw": claims(SHARE), "shown": claims(zero)},
        "sentences": {"withheld": SHARE},
        "evidence": {
            text: {source: {**shares, "listed": SHARE} for source, shares in cited.items()}
            for text in ("raw", "shown")
        },
    }
    systems = {"full": {**METRICS["systems"]["full"], "macro_auroc": {"value": 0.75, "low": 0.7, "high": 0.8}}}
    metrics = {**METRICS, "systems": systems, "rationale": {"full": full}}
    write_model_card(folder, metrics=metrics, provenance=PROVENANCE, phases=["note"], cost=COST)
    card = ModelCard.load(folder / "README.md")
    found = {
        (one.metric_type, one.metric_name): (one.metric_value, one.metric_args["low"], one.metric_args["high"])
        for one in card.data.eval_results
    }
    rates = {
        (f"omission_note_{text}", f"Present diseases whose evidence in the note is not cited, {said}"): pytest.approx(
            (0.1, 0.05, 0.2)
        )
        for text, said in (("shown", "as shown"), ("raw", "as written"))
    }
    assert found == {
        ("f1", "Micro F1"): (0.25, 0.2, 0.3),
        ("f1", "Macro F1"): (0.25, 0.2, 0.3),
        ("roc_auc", "Macro AUROC"): (0.75, 0.7, 0.8),
        ("claims_contradicted_shown", "Claims that the data contradict, as shown"): (0.0, 0.0, 0.0),
        ("claims_contradicted_raw", "Claims that the data contradict, as written"): (0.25, 0.2, 0.3),
        **rates,
    }
    assert {(one.dataset_name, one.dataset_type, one.dataset_split) for one in card.data.eval_results} == {
        ("Tiny examples", "tiny", "test")
    }
    # The Hub's client writes the same head again.
    assert ModelCardData(**card.data.to_dict()).to_yaml() == card.data.to_yaml()
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()
    assert str(card).split("---", 2)[1].strip() == card.data.to_yaml().strip()


def test_a_card_says_what_a_patient_costs_and_how_to_use_and_cite_it(folder: Path) -> None:
    write_provenance(folder, {**PROVENANCE, "steps": [{"step": "build"}, {"step": "train note"}]})
    bytes_of_weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note"], cost=COST)
    card = (folder / "README.md").read_text()
    for part in (
        f"{bytes_of_weights / 1e6:,.1f} MB of weights. Measured on a processor with 2 threads in float32",
        "0.50 s for one patient alone (median), 0.062 s a patient in batches of 32 (7 patients).",
        "Peak memory: 3.00 GiB (the whole process, evaluation data included).",
        "Energy, an estimate: 0.50 s × 65 W = 32.5 J for one patient alone; the power is stated, not measured.",
        'explain = pipeline("clinical-rationale", model=folder, trust_remote_code=True)',
        "## Intended use",
        "- Tiny examples, version 1, Apache License 2.0",
        "Steps: build, train note.",
        "@inproceedings{clinragen2025,",
        "Language model: `t5`;",
    ):
        assert part in card, part
    # It is not on the index; and no pipeline of that tag would load it.
    assert "pip install" not in card
    assert "pipeline_tag" not in card
    gpu = {**COST, "device": "NVIDIA H200", "seconds_alone": 2.0}
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note"], cost=gpu)
    assert "Measured on NVIDIA H200 in float32" in (folder / "README.md").read_text()
    assert "2.00 s × 350 W = 700.0 J" in (folder / "README.md").read_text()
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note"])
    assert "Time and memory were not measured." in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "base"), [("google/flan-t5-small", "google/flan-t5-small"), ("/somewhere/of-mine/t5", None), (None, None)]
)
def test_a_card_names_a_base_model_of_the_hub_and_no_folder(name: str | None, base: str | None, folder: Path) -> None:
    from huggingface_hub import ModelCard

    write_json(folder / "config.json", {**read_json(folder / "config.json"), "base_model_name_or_path": name})
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note"])
    assert ModelCard.load(folder / "README.md").data.base_model == base
    assert "/somewhere" not in (folder / "README.md").read_text()


def test_a_card_says_what_settings_made_of_a_phase(folder: Path) -> None:
    steps = [{"step": "train note", "learns": ["lab_encoder"], "rationale": False}, {"step": "train lab"}]
    write_provenance(folder, {**PROVENANCE, "steps": steps})
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note", "lab"])
    card = (folder / "README.md").read_text()
    assert card.count("**Changed by settings: ") == 1
    (line,) = (line for line in card.splitlines() if line.startswith("1. Note:"))
    assert line.endswith(" **Changed by settings: learns: ['lab_encoder']; rationale: False.**")


SHARE = {"value": 0.25, "low": 0.2, "high": 0.3, "count": 1, "of": 4}
NONE = {"value": None, "low": None, "high": None, "count": 0, "of": 0}


def claims(contradicted: dict[str, Any]) -> dict[str, Any]:
    verdicts = {"claims": 4, "supported": SHARE, "contradicted": contradicted, "unverifiable": SHARE}
    return {
        "data": {**verdicts, "per_rationale": {**SHARE, "value": 5.0}, "with_contradiction": SHARE},
        "ties": {**verdicts, "contradicted": NONE},
        "without_claim": SHARE,
        "kinds": {"extreme": verdicts},
    }


def test_a_card_names_the_strongest_other_system(folder: Path) -> None:
    boosted = {**METRICS["systems"]["full"], "micro_auroc": {"value": 0.75, "low": 0.7, "high": 0.8}}
    less = {"value": -0.0512, "low": -0.06, "high": -0.04}
    metrics = {
        **METRICS,
        "systems": {**METRICS["systems"], "gradient_boosting": boosted},
        "strongest": {"full": "gradient_boosting", "note_only": "gradient_boosting_note"},
        "differences": {"full_minus_gradient_boosting": {"micro_f1": less}},
    }
    write_model_card(folder, metrics=metrics, provenance=PROVENANCE, phases=["note"])
    card = (folder / "README.md").read_text()
    quarter = "0.250 (0.200 to 0.300)"
    assert f"| full | {quarter} | {quarter} | {quarter} | {quarter} | – | – |" in card
    assert (
        f"| gradient_boosting | {quarter} | {quarter} | {quarter} | {quarter} | 0.750 (0.700 to 0.800) | – |" in card
    )
    assert "`gradient_boosting`: micro F1 of this model minus its, -0.051 (-0.060 to -0.040)." in card
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note"])
    assert "strongest" not in (folder / "README.md").read_text()


def test_a_card_says_how_much_of_the_rationales_holds(folder: Path) -> None:
    by_source = {"note": {"present": SHARE, "listed": SHARE}, "series": {"present": NONE, "listed": NONE}}
    full = {
        **METRICS["rationale"]["full"],
        "claims": {"raw": claims(SHARE), "shown": claims({**SHARE, "value": 0.0, "low": 0.0, "high": 0.0})},
        "sentences": {"withheld": SHARE},
        "evidence": {"raw": by_source, "shown": by_source, "without_truth": 0},
        "findings": {text: {"note": SHARE, "series": SHARE} for text in ("raw", "shown")},
    }
    write_model_card(folder, metrics={**METRICS, "rationale": {"full": full}}, provenance=PROVENANCE, phases=["note"])
    card = (folder / "README.md").read_text()
    quarter = "25.0 % (20.0 to 30.0)"
    for part in (
        "|  | as written | as shown |",
        f"| Claims about the data that the data contradict | {quarter} | 0.0 % (0.0 to 0.0) |",
        "| Supported claims about the data a rationale | 5.00 (0.20 to 0.30) |",
        f"| Present diseases whose evidence in the note is cited | {quarter} | {quarter} |",
        "| Present diseases whose evidence in the series is cited | – | – |",
        f"Withheld: {quarter} of the sentences.",
        f"| extreme | {quarter} of 4 | 0.0 % (0.0 to 0.0) of 4 |",
    ):
        assert part in card
    write_model_card(folder, metrics=METRICS, provenance=PROVENANCE, phases=["note"])
    assert "Whether the claims of its rationales hold was not measured." in (folder / "README.md").read_text()


def test_a_card_of_an_unrecorded_source_says_so_and_an_unknown_phase_is_refused(folder: Path) -> None:
    write_model_card(folder, metrics=METRICS, provenance={}, phases=["note"])
    assert "do not share this folder until it is known" in (folder / "README.md").read_text()
    assert read_provenance(folder)["credentialed"] is True
    assert folder.stat().st_mode & 0o077 == 0
    with pytest.raises(SettingsError, match="unknown phase 'fourth'"):
        write_model_card(folder, metrics=METRICS, provenance={}, phases=["fourth"])


@pytest.mark.parametrize("provenance", [PROVENANCE, {}])
def test_a_card_says_what_the_tokenizer_holds_of_patients(provenance: dict[str, Any], folder: Path) -> None:
    TokensReport(1234, 10, {"no evidence of": 40, "bright red": 10}).write(folder)
    write_model_card(folder, metrics=METRICS, provenance=provenance, phases=["note"])
    card = (folder / "README.md").read_text()
    assert "made of the texts of 1,234 training patients" in card
    assert "at least 10 of them; the 2 tokens that span words" in card
    assert ("words of patients whose data are credentialed" in card) == (provenance == {})

"""A model that is trained without labs, by the note phase alone: it answers about notes, and is scored on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from made_up_cohort import checking_of, make_cohort
from tiny_steps import phase_settings

from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.run import evaluate_systems
from clinragen.evaluation.systems import systems_of
from dataset_builder.storage.files import read_json
from modeling_clinragen import ClinRaGenConfig
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.model_config import ModelConfig
from trainers.run_phase import NewModel, load_parent, train_phase

SHAPE = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
SMALL: dict[str, Any] = {"lab_width": 8, "lab_layers": 1, "lab_heads": 2, "lora_r": 2, "knowledge_fusion": "none"}


def test_the_note_phase_alone_is_trained_asked_and_scored(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    cohort, note, full = make_cohort(vocabulary), tmp_path / "note", tmp_path / "full"
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    phase_settings(tmp_path, max_steps=2, train_backbone=True, per_device_train_batch_size=4)
    lengths = {"max_source_tokens": 64, "max_target_tokens": 16, "lab_max_steps": 80}
    start = NewModel(ModelConfig(scratch=tmp_path / "t5.json", vocab_size=500, **lengths, **SMALL))
    train_phase("note", note, cohort=cohort, start=start, config=tmp_path / "phase.yaml")
    assert ClinRaGenConfig.from_pretrained(note).phase == "note"

    model, processor = load_parent(note)
    given = processor(note="Dyspnea and fever for three days.", series=None, return_tensors="pt")
    assert "lab_features" not in given
    assert model.eval().generate(**given, max_new_tokens=4).shape[0] == 1

    made = make_model("bart")
    made.generation_config.max_new_tokens = 4
    made.save_pretrained(full)
    make_processor().save_pretrained(full)
    systems, scores = systems_of({"full": full, "note_only": note}), tmp_path / "scores"
    scores.mkdir()
    assert not systems["note_only"].reads_labs
    evaluate_systems(
        scores, cohort, systems, EvaluateConfig(texts=2, baselines="light"), checking=checking_of(vocabulary, "paper")
    )
    assert "micro_f1" in read_json(scores / "metrics.json")["systems"]["note_only"]

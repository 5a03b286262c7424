"""Evidence that rationales cite: read in sentences, and placed in a batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_examples import tiny_splits

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import build_model
from trainers.data import PhaseCollator, PhaseExamples
from trainers.evidence import CitedEvidence
from trainers.model_config import ModelConfig
from trainers.phases import phase_named

NOTE = "Fever and dark stools.\nHR 120. No fever\nat home."
RATIONALES = [
    '"dark stools" and "fever" point to Gastrointestinal hemorrhage. "HR" is said of nobody.',
    "Tachycardic, and systolic blood pressure is low: Shock. Glucose is high.",
    'Heart rate is high in "glucose" as in shock, and in Chronic obstructive pulmonary disease and bronchiectasis.',
]


def test_quotations_and_variables_belong_to_the_diseases_of_their_sentence(
    make_processor: Any, vocabulary: Vocabulary
) -> None:
    processor = make_processor()
    cited, names = CitedEvidence(processor), vocabulary.disease_names
    reading = processor.reading(NOTE, None)
    words = {
        name: "".join(
            processor.tokenizer.decode([reading.ids[place]])
            for rationale in RATIONALES
            for place, disease in cited.read(rationale, reading).tokens
            if names[disease] == name
        )
        for name in names
    }
    # Both places where "fever" stands; what is quoted in no note, or for no disease, is evidence for nothing.
    found = {name: text.replace(" ", "").lower() for name, text in words.items() if text}
    assert found == {"Gastrointestinal hemorrhage": "feverdarkstoolsfever"}
    variables = {
        (vocabulary.variable_keys[place], names[disease])
        for rationale in RATIONALES
        for place, disease in cited.read(rationale, reading).variables
    }
    assert variables == {
        ("heart_rate", "Shock"),
        ("systolic_blood_pressure", "Shock"),
        ("heart_rate", "Chronic obstructive pulmonary disease and bronchiectasis"),
    }


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_marks_the_quoted_tokens_and_the_named_variables(
    side: str, make_processor: Any, vocabulary: Vocabulary
) -> None:
    processor = make_processor()
    processor.tokenizer.padding_side = side
    phase = phase_named("multimodal")
    items = PhaseExamples(tiny_splits(vocabulary, 40)["train"], phase, processor).items[:4]
    for item, note in zip(items, ("Pain. ", "", "No pain at all today. ", "Well. "), strict=True):
        item["note"] = note + NOTE
        item["rationales"] = {"rationale_note": RATIONALES[0], "rationale_lab": RATIONALES[1]}
    collator = PhaseCollator(processor, phase, diseases=vocabulary.disease_names, evidence=True)
    batch = collator(items)
    evidence, tokens = batch["disease_evidence"], batch["input_ids"].shape[1]
    assert evidence.shape == (4, tokens + len(vocabulary.variables), len(vocabulary.diseases))
    bleeding = vocabulary.disease_names.index("Gastrointestinal hemorrhage")
    shock = vocabulary.disease_names.index("Shock")
    for row in range(4):
        marked = batch["input_ids"][row][evidence[row, :tokens, bleeding]]
        text = processor.tokenizer.decode(marked).replace(" ", "").lower()
        assert text == "feverdarkstoolsfever"
        named = evidence[row, tokens:, shock].nonzero().flatten().tolist()
        assert {vocabulary.variable_keys[place] for place in named} == {"heart_rate", "systolic_blood_pressure"}
    assert int(evidence.any(dim=1).sum()) == 8
    assert torch.equal(collator.whole()(items)["disease_evidence"], evidence)
    dropping = PhaseCollator(processor, phase, diseases=vocabulary.disease_names, evidence=True, modality_dropout=1.0)(
        items
    )
    seen = dropping["disease_evidence"].any(dim=1)
    labs = dropping["lab_mask"].any(dim=1)
    # Only what is shown is evidence.
    assert torch.equal(seen[:, shock], labs)
    assert torch.equal(seen[:, bleeding], ~labs)


def test_evidence_needs_a_head_that_could_learn_from_it(make_processor: Any) -> None:
    with pytest.raises(SettingsError, match="evidence_loss_weight needs a model with a disease head"):
        PhaseCollator(make_processor(), phase_named("note"), evidence=True)


def test_queries_start_from_a_disease_s_name_and_terms(vocabulary: Vocabulary, tmp_path: Path) -> None:
    """Recomputed: the mean of the name's and each term's mean embedding, scaled."""
    shape = {"model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    (tmp_path / "t5.json").write_text(json.dumps(shape))
    settings = ModelConfig(
        scratch=tmp_path / "t5.json", vocab_size=600, disease_head=True, lora_r=2, max_source_tokens=64
    )
    terms = {"shock": ["hypotension", "cold extremities"]}
    model, processor = build_model(settings, tiny_splits(vocabulary, 20), ["fever"], 0, disease_terms=terms)
    embed = model.get_input_embeddings()

    def mean(words: str) -> torch.Tensor:
        return embed(torch.tensor(processor.tokenizer(f" {words}", add_special_tokens=False)["input_ids"])).mean(0)

    for name, words in (("Shock", ["Shock", *terms["shock"]]), ("Pneumonia", ["Pneumonia"])):
        found = next(one for one in vocabulary.disease_names if one.startswith(name))
        wanted = torch.stack([mean(found), *map(mean, words[1:])]).mean(0)
        query = model.disease_head.queries[vocabulary.disease_names.index(found)]
        assert torch.allclose(query, (wanted - wanted.mean()) / wanted.std(), atol=1e-5)

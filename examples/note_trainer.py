"""Phase 1, the note, around a backbone of your own: `NoteTrainer`.

    python examples/note_trainer.py COHORT KNOWLEDGE BACKBONE OUTPUT [STEPS]

COHORT and KNOWLEDGE are folders of `clinragen rationales` and `clinragen knowledge`. BACKBONE is the folder of a
language model (`clinragen backbone smollm2` makes one), or hf://owner/name. Its LoRA adapters learn to list the
diseases and to write the rationale from the note; everything else stays as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clinragen.knowledge.reader import load_knowledge
from dataset_builder.contract.schema import load_examples
from trainers.build_model import build_model
from trainers.model_config import ModelConfig
from trainers.note_trainer import NoteConfig, NoteTrainer


def main(cohort_folder: str, knowledge_folder: str, backbone: str, output: str, steps: str = "200") -> None:
    """Build a model around the backbone, train the phase, save model and processor."""
    cohort = load_examples(Path(cohort_folder))
    knowledge = load_knowledge(Path(knowledge_folder) / "knowledge.json", cohort.vocabulary)
    # Layers have other names in every language model; "all-linear" finds them.
    settings = ModelConfig(backbone=backbone, max_source_tokens=256, max_target_tokens=160, lora_targets="all-linear")
    model, processor = build_model(settings, cohort, knowledge.all_terms(), seed=0)
    args = NoteConfig(output_dir=f"{output}/checkpoints", max_steps=int(steps), learning_rate=1e-4, save_strategy="no")
    trainer = NoteTrainer(
        model,
        args,
        cohort["train"],
        cohort["validation"],
        processor,
        vocabulary=cohort.vocabulary,
        provenance=cohort.provenance,
    )
    trainer.train()
    print(trainer.evaluate())
    model.save_pretrained(output)
    processor.save_pretrained(output)


if __name__ == "__main__":
    main(*sys.argv[1:])

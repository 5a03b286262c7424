"""Phase 2, the series: `LabTrainer` teaches lab encoder and knowledge attention, the language model stays frozen.

    python examples/lab_trainer.py COHORT PARENT OUTPUT [STEPS]

COHORT is a folder of `clinragen rationales`, PARENT the model of the note phase (examples/note_trainer.py). Training
ends when the validation loss has not fallen twice, and the best model is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dataset_builder.contract.schema import load_examples
from trainers.lab_trainer import LabConfig, LabTrainer
from trainers.run_phase import load_parent


def main(cohort_folder: str, parent: str, output: str, steps: str = "200") -> None:
    """Train the phase from the parent's weights, save model and processor."""
    cohort = load_examples(Path(cohort_folder))
    model, processor = load_parent(Path(parent))
    every = max(1, int(steps) // 10)
    args = LabConfig(
        output_dir=f"{output}/checkpoints",
        max_steps=int(steps),
        learning_rate=1e-3,
        eval_strategy="steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=1,
        early_stopping=2,
    )
    trainer = LabTrainer(
        model,
        args,
        cohort["train"],
        cohort["validation"],
        processor,
        vocabulary=cohort.vocabulary,
        provenance=cohort.provenance,
    )
    trainer.train()
    print(trainer.state.best_model_checkpoint, trainer.state.best_metric)
    model.save_pretrained(output)
    processor.save_pretrained(output)


if __name__ == "__main__":
    main(*sys.argv[1:])

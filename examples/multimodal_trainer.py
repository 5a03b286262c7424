"""Phase 3, note and series together: `MultimodalTrainer`, then one patient explained with the trained model.

    python examples/multimodal_trainer.py COHORT PARENT OUTPUT [STEPS]

COHORT is a folder of `clinragen rationales`, PARENT the model of the lab phase (examples/lab_trainer.py). The adapters
and the knowledge attention learn; the lab encoder is frozen.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dataset_builder.contract.schema import load_examples
from modeling_clinragen.diagnosing_clinragen import write_targets
from trainers.multimodal_trainer import MultimodalConfig, MultimodalTrainer
from trainers.run_phase import load_parent


def main(cohort_folder: str, parent: str, output: str, steps: str = "200") -> None:
    """Train the phase from the parent's weights, save model and processor, and let it write about one patient."""
    cohort = load_examples(Path(cohort_folder))
    model, processor = load_parent(Path(parent))
    args = MultimodalConfig(output_dir=f"{output}/checkpoints", max_steps=int(steps), save_strategy="no")
    trainer = MultimodalTrainer(
        model,
        args,
        cohort["train"],
        cohort["validation"],
        processor,
        vocabulary=cohort.vocabulary,
        provenance=cohort.provenance,
    )
    trainer.train()
    model.save_pretrained(output)
    processor.save_pretrained(output)
    patient = cohort["test"][0]
    series = {"hours": patient["lab_hours"], "values": patient["lab_values"]}
    # As the model writes freely; `clinragen predict` shows only what has been checked.
    print(write_targets(model.eval(), processor, [(patient["note"], series)], do_sample=False)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])

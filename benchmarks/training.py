"""Measures what a training step costs besides the model: the input pipeline, padding, and our trainer.

    python benchmarks/training.py [RUN] [--steps 40] [--repeats 5]

RUN is the folder of `clinragen quickstart` (default runs/quickstart). Measured on its cohort and model, one thread:

- the share of a step's time that passes until its batch is there, in the first epoch, where notes, series and targets
  are encoded, in the later ones, where most are kept, and in all five, about as many as the quickstart's phase has;
- the share of padding among the positions of notes and targets, with random and with grouped lengths;
- examples a second from the cohort's folder to batches, against the authors' way, which opens a text file and a CSV
  for every example in every step, and tokenises it;
- steps a second of `NoteTrainer` against transformers' Seq2SeqTrainer on the same backbone, with PEFT's adapters, the
  same tokens and the same batches: medians over repetitions that take turns.

benchmarks/results/training.json gets them with versions, commit and machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from machine import commit
from machine import processor as processor_name
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from modeling_clinragen.processing_clinragen import IGNORED
from trainers.backbone_trainer import BackboneConfig, BackboneTrainer
from trainers.data import PhaseCollator, PhaseExamples
from trainers.note_trainer import NoteConfig, NoteTrainer
from trainers.phases import phase_named
from trainers.run_phase import load_parent
from trainers.sampling import EpochSeededLengthSampler

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "training.json"
BATCH = 64
EPOCHS = 5
FILES = 256
"""Examples that are written as the authors' files."""


class _Timed:
    """A collator that adds up the seconds it takes."""

    def __init__(self, collate: PhaseCollator) -> None:
        self._collate = collate
        self.seconds = 0.0

    def __call__(self, items: Sequence[Any]) -> Any:
        started = time.perf_counter()
        batch = self._collate(items)
        self.seconds += time.perf_counter() - started
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collate, name)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cohort = load_examples(chosen.run / "rationales")
    parent = chosen.run / "train" / "backbone"
    result = {
        "what": "the cost of training besides the model",
        "input_pipeline": pipeline_share(cohort, parent),
        "padding": padding_shares(cohort, parent),
        "loading": loading(chosen.run / "rationales", parent, chosen.repeats),
        "against_seq2seq_trainer": against_plain(cohort, parent, chosen.steps, chosen.repeats),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "datasets")},
        "commit": commit(),
        "machine": f"{processor_name()}, {platform.system()}, Python {platform.python_version()}, one thread",
    }
    chosen.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def pipeline_share(cohort: CohortSplits, parent: Path) -> dict[str, float]:
    """Seconds in the collator over all seconds: in the quickstart's first epoch, in the later ones and in all."""
    model, processor = load_parent(parent)
    rows = cohort["train"].select(range(min(20 * BATCH, len(cohort["train"]))))
    with tempfile.TemporaryDirectory() as folder:
        args = BackboneConfig(
            **_common(folder, len(rows) // BATCH),
            train_backbone=True,
            attn_implementation="eager",
            text_share=0.25,
            token_dropout=0.25,
            modality_dropout=0.3,
            allow_skipped_phases=True,
        )
        fitting = {"processing_class": processor, "vocabulary": cohort.vocabulary, "provenance": cohort.provenance}
        trainer = BackboneTrainer(model, args, rows, **fitting)
        timed = trainer.data_collator = _Timed(trainer.data_collator)
        spent = []
        for _ in range(EPOCHS):
            timed.seconds, started = 0.0, time.perf_counter()
            trainer.train()
            spent.append((timed.seconds, time.perf_counter() - started))
    parts = {"first_epoch": spent[:1], "later_epochs": spent[1:], "all_epochs": spent}
    return {name: sum(own for own, _ in part) / sum(whole for _, whole in part) for name, part in parts.items()}


def padding_shares(cohort: CohortSplits, parent: Path) -> dict[str, dict[str, float]]:
    """Padding among the positions of an epoch's batches, notes and targets, by how batches are put together."""
    _, processor = load_parent(parent)
    phase = phase_named("backbone")
    examples = PhaseExamples(cohort["train"], phase, processor)
    collate = PhaseCollator(processor, phase)
    orders = {
        "random": torch.randperm(len(examples), generator=torch.Generator().manual_seed(0)).tolist(),
        "group_by_length": list(EpochSeededLengthSampler(examples.lengths(collate), BATCH, seed=0)),
    }
    found = {}
    for name, order in orders.items():
        real = {"note": 0, "target": 0}
        all_of = dict(real)
        for start in range(0, len(order), BATCH):
            batch = collate([examples[row] for row in order[start : start + BATCH]])
            for part, mask in (("note", batch["attention_mask"] > 0), ("target", batch["labels"] != IGNORED)):
                real[part] += int(mask.sum())
                all_of[part] += mask.numel()
        found[name] = {part: 1 - real[part] / all_of[part] for part in real}
        found[name]["all"] = 1 - sum(real.values()) / sum(all_of.values())
    return found


def loading(cohort_folder: Path, parent: Path, repeats: int) -> dict[str, float]:
    """Examples a second from files to batches: ours, later epochs included, and the authors' file by file."""
    cohort = load_examples(cohort_folder)
    _, processor = load_parent(parent)
    phase = phase_named("backbone")
    rows = cohort["train"].select(range(min(FILES, len(cohort["train"]))))
    ours, later, theirs = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        _write_files(rows, cohort.vocabulary.variable_keys, Path(folder))
        for _ in range(repeats):
            started = time.perf_counter()
            read = load_examples(cohort_folder)["train"].select(range(len(rows)))
            examples = PhaseExamples(read, phase, processor)
            collate = PhaseCollator(processor, phase)
            _epoch(examples, collate)
            ours.append(len(rows) / (time.perf_counter() - started))
            started = time.perf_counter()
            _epoch(examples, collate)
            later.append(len(rows) / (time.perf_counter() - started))
            started = time.perf_counter()
            for start in range(0, len(rows), BATCH):
                _authors_batch(Path(folder), range(start, min(start + BATCH, len(rows))), processor)
            theirs.append(len(rows) / (time.perf_counter() - started))
    rates = {
        name: statistics.median(values) for name, values in (("ours", ours), ("later", later), ("theirs", theirs))
    }
    return {
        "examples_a_second_first_epoch": rates["ours"],
        "examples_a_second_later_epochs": rates["later"],
        "examples_a_second_authors_way": rates["theirs"],
        "first_epoch_against_authors": rates["ours"] / rates["theirs"],
        "later_epochs_against_authors": rates["later"] / rates["theirs"],
    }


def against_plain(cohort: CohortSplits, parent: Path, steps: int, repeats: int) -> dict[str, Any]:
    """Steps a second of the note phase, ours over transformers' own trainer, in turns."""
    ratios, ours, plain = [], [], []
    for _ in range(repeats):
        ours.append(steps / _seconds(lambda: _note_phase(cohort, parent, steps)))
        plain.append(steps / _seconds(lambda: _plain_phase(cohort, parent, steps)))
        ratios.append(ours[-1] / plain[-1])
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "ours_steps_a_second": statistics.median(ours),
        "plain_steps_a_second": statistics.median(plain),
    }


def _seconds(prepare: Callable[[], Callable[[], Any]]) -> float:
    work = prepare()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _note_phase(cohort: CohortSplits, parent: Path, steps: int) -> Callable[[], Any]:
    model, processor = load_parent(parent)
    folder = tempfile.mkdtemp()
    fitting = {"processing_class": processor, "vocabulary": cohort.vocabulary, "provenance": cohort.provenance}
    # The disease head is ours alone: without it both do the same work.
    model.disease_head, model.config.disease_head, model.config.evidence_loss_weight = None, False, 0.0
    return NoteTrainer(model, NoteConfig(**_common(folder, steps)), cohort["train"], **fitting).train


def _plain_phase(cohort: CohortSplits, parent: Path, steps: int) -> Callable[[], Any]:
    model, processor = load_parent(parent)
    examples = PhaseExamples(cohort["train"], phase_named("note"), processor)
    collate = PhaseCollator(processor, phase_named("note"))
    rows = []
    for item in examples.items:
        one = collate([item])
        rows.append(
            {
                "input_ids": one["input_ids"][0][one["attention_mask"][0] > 0].tolist(),
                "labels": one["labels"][0][one["labels"][0] != IGNORED].tolist(),
            }
        )
    lora = model.config.lora
    backbone = type(model.language_model)(model.language_model.config)
    adapted = get_peft_model(
        backbone,
        LoraConfig(
            r=lora["r"], lora_alpha=lora["lora_alpha"], target_modules=lora["target_modules"], lora_dropout=0.0
        ),
    )
    return Seq2SeqTrainer(
        adapted,
        Seq2SeqTrainingArguments(**_common(tempfile.mkdtemp(), steps)),
        train_dataset=Dataset.from_list(rows),
        data_collator=DataCollatorForSeq2Seq(processor.tokenizer, model=adapted, pad_to_multiple_of=8),
    ).train


def _common(folder: str, steps: int) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "max_steps": steps,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 1e-4,
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "logging_steps": 10,
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_pin_memory": False,
        "seed": 0,
    }


def _epoch(examples: PhaseExamples, collate: PhaseCollator) -> None:
    for start in range(0, len(examples), BATCH):
        collate([examples[row] for row in range(start, min(start + BATCH, len(examples)))])


def _write_files(rows: Dataset, variables: Sequence[str], folder: Path) -> None:
    for number, row in enumerate(rows):
        (folder / f"{number}.txt").write_text(row["note"], encoding="utf-8")
        (folder / f"{number}.target.txt").write_text(row["rationale_note"], encoding="utf-8")
        table = pd.DataFrame(np.array(row["lab_values"], dtype=float), columns=list(variables))
        table.insert(0, "hours", row["lab_hours"])
        table.to_csv(folder / f"{number}.csv", index=False)


def _authors_batch(folder: Path, numbers: Sequence[int], processor: Any) -> dict[str, Any]:
    """A batch as their data loader makes it: files are opened, filled and tokenised each time they are needed."""
    notes, targets, series = [], [], []
    for number in numbers:
        notes.append((folder / f"{number}.txt").read_text(encoding="utf-8"))
        targets.append((folder / f"{number}.target.txt").read_text(encoding="utf-8"))
        table = pd.read_csv(folder / f"{number}.csv").ffill().fillna(0.0)
        values = np.zeros((1000, table.shape[1] - 1), dtype=np.float32)
        values[: len(table)] = table.to_numpy()[:1000, 1:]
        series.append(values)
    encode = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    tokens = processor.tokenizer(notes, max_length=1600, **encode)
    labels = processor.tokenizer(targets, max_length=500, **encode)
    return {**tokens, "labels": labels["input_ids"], "series": torch.from_numpy(np.stack(series))}


if __name__ == "__main__":
    main()

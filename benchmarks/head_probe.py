"""How well a disease head can read a language model that has learned nothing of patients yet.

    python benchmarks/head_probe.py MODEL --cohort COHORT --work FOLDER

MODEL is a language model's folder (`clinragen backbone smollm2 --output FOLDER`), COHORT a cohort folder. The hidden
states of its notes are computed once and kept in FOLDER (again: it goes on); then only the head of
recipes/smollm2-135m/model-synthetic.yaml is trained on them, with its pooled part and without: as briefly as in that
recipe's note phase, at a higher rate, and for five passes. Scored are the test split and the hand-written admissions,
notes alone, with thresholds of the validation split. Writes benchmarks/results/head_probe.json.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from admissions import Scorer
from admissions_set import load_admissions
from docs_tables import LEARNED
from machine import commit, processor
from safetensors.torch import load_file, save_file
from torch import nn

from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.metrics import system_scores
from clinragen.knowledge.reader import load_knowledge
from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import atomic_file, write_json
from modeling_clinragen.disease_head_clinragen import ClinRaGenDiseaseHead
from trainers.build_model import build_model
from trainers.model_config import load_model_config
from trainers.thresholds import choose_thresholds, micro_f1

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "head_probe.json"
MODEL = ROOT / "recipes" / "smollm2-135m" / "model-synthetic.yaml"
SIZES = {"train": 1200, "validation": 400, "test": 400}
AT_ONCE = 8
KEPT_TOGETHER = 200


@dataclass(frozen=True)
class Training:
    """A way to train the head.

    Args:
        examples: How many examples are seen, counted as often as they are.
        batch: Of a step.
        rate: AdamW's, constant after a tenth of the steps.
    """

    examples: int
    batch: int
    rate: float


TRAININGS = {
    "as the recipe's note phase": Training(1_600, 4, 5e-4),
    "at four times the rate": Training(1_600, 4, 2e-3),
    "five passes": Training(6_000, 8, 5e-4),
}


@dataclass(frozen=True, eq=False)
class States:
    """Hidden states of notes, `(tokens, width)` each in half precision."""

    notes: Sequence[torch.Tensor]

    def batch(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """States `(batch, tokens, width)` and their mask `(batch, tokens)`."""
        chosen = [self.notes[row] for row in rows]
        mask = nn.utils.rnn.pad_sequence([torch.ones(len(one), dtype=torch.bool) for one in chosen], batch_first=True)
        return nn.utils.rnn.pad_sequence(chosen, batch_first=True).float(), mask


@torch.no_grad()
def states_of(model: Any, processor_: Any, notes: Sequence[str], work: Path, name: str) -> States:
    """The states of notes; pieces that are in the folder are not computed again."""
    found: list[torch.Tensor] = []
    for start in range(0, len(notes), KEPT_TOGETHER):
        file = work / f"{name}-{start}.safetensors"
        if not file.is_file():
            made = {}
            piece = notes[start : start + KEPT_TOGETHER]
            order = sorted(range(len(piece)), key=lambda row: len(piece[row]))
            for first in range(0, len(order), AT_ONCE):
                rows = order[first : first + AT_ONCE]
                inputs = processor_([piece[row] for row in rows], None, warn=False)
                states, mask = model._encode(*model.encode(**inputs))
                made |= {
                    str(row): one[own.bool()].half().clone() for row, one, own in zip(rows, states, mask, strict=True)
                }
            with atomic_file(file) as beside:
                save_file(made, beside)
            print(file.name, flush=True)
        kept = load_file(file)
        found += [kept[str(row)] for row in range(len(kept))]
    return States(found)


def trained(head: ClinRaGenDiseaseHead, states: States, labels: torch.Tensor, how: Training) -> ClinRaGenDiseaseHead:
    """A copy of the head, trained on the states."""
    torch.manual_seed(0)
    head = copy.deepcopy(head).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=how.rate, weight_decay=0.01)
    steps = how.examples // how.batch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (0.1 * steps)))
    rows: list[int] = []
    for _ in range(steps):
        if len(rows) < how.batch:
            rows += torch.randperm(len(labels)).tolist()
        chosen, rows = rows[: how.batch], rows[how.batch :]
        loss = nn.functional.binary_cross_entropy_with_logits(head(*states.batch(chosen)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return head.eval()


@torch.no_grad()
def probabilities(head: ClinRaGenDiseaseHead, states: States) -> np.ndarray:
    """Of the diseases, `(notes, diseases)`."""
    rows = range(len(states.notes))
    parts = [head(*states.batch(rows[start : start + 32])) for start in range(0, len(rows), 32)]
    return torch.cat(parts).sigmoid().numpy()


def main() -> None:
    """Compute the states, train the heads, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    cohort = load_examples(given.cohort)
    settings = replace(load_model_config(MODEL), backbone=str(given.model))
    base = load_knowledge(None, cohort.vocabulary)
    model, made = build_model(
        replace(settings, disease_head_pooled=True),
        cohort,
        list(base.all_terms()),
        seed=0,
        disease_terms=base.disease_terms(),
    )
    heads = {pooled: copy.deepcopy(model.require_disease_head()) for pooled in (False, True)}
    heads[False].pooled = None
    model.eval()
    admissions = load_admissions(cohort.vocabulary)
    splits = {name: cohort[name].select(range(size)) for name, size in SIZES.items()}
    notes = {name: list(split["note"]) for name, split in splits.items()} | {
        "admissions": [one.note for one in admissions]
    }
    states = {name: states_of(model, made, listed, given.work, name) for name, listed in notes.items()}
    labels = {name: label_matrix(split) for name, split in splits.items()}
    scorer, bootstrap = Scorer(admissions, cohort.vocabulary), Bootstrap(splits["test"]["subject_id"])
    result: dict[str, Any] = {
        "command": "python benchmarks/head_probe.py MODEL --cohort COHORT --work FOLDER",
        "commit": commit(),
        "processor": processor(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "notes": SIZES,
        "trainings": [],
    }
    for (name, how), pooled in itertools.product(TRAININGS.items(), heads):
        head = trained(heads[pooled], states["train"], torch.tensor(labels["train"]).float(), how)
        found = {split: probabilities(head, one) for split, one in states.items() if split != "train"}
        thresholds, kind, _ = choose_thresholds(
            labels["validation"], found["validation"], splits["validation"]["subject_id"]
        )
        decided = found["test"] >= thresholds
        each = [micro_f1(truth, own) for truth, own in zip(labels["test"].T, decided.T, strict=True)]
        own = {
            "training": name,
            "pooled": pooled,
            "examples": how.examples,
            "batch": how.batch,
            "rate": how.rate,
            "thresholds": kind,
            "test": system_scores(labels["test"], decided, bootstrap, found["test"]),
            "not_learned": sum(one < LEARNED for one in each),
            "admissions": scorer.decisions((found["admissions"] >= thresholds).astype(int)),
        }
        result["trainings"].append(own)
        print(
            f"{name}, {'pooled' if pooled else 'queries alone'}: {kind} thresholds, test micro F1 "
            f"{own['test']['micro_f1']['value']:.3f}, macro AUROC "
            f"{own['test']['macro_auroc']['value']:.3f}, not learned {own['not_learned']}, named "
            f"{own['admissions']['named']['value']:.3f}, admissions' F1 {own['admissions']['micro_f1']['value']:.3f}",
            flush=True,
        )
        write_json(RESULT, result)


if __name__ == "__main__":
    main()

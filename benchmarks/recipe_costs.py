"""Hours and memory of the recipes for pretrained backbones, computed from shapes.

    python benchmarks/recipe_costs.py [--check] [--utilisation 0.35] [--card NAME:GB:BF16:FP32 ...] [--output FILE]

For the recipes of every backbone in benchmarks/data/backbones (shapes as in the published config.json files): weights,
weights that learn, operations of a step (step_costs.py) and the most memory that it takes (trainers/step_memory.py),
and from these the hours on a card, for as many patients as the paper has of MIMIC-IV, or for as many steps as a recipe
says. Nothing is downloaded or trained.

- Memory is that of the longest batch there can be: every example as long as the recipe lets it be. Attention keeps no
  scores, as on GPUs, unless the recipe asks for `eager`.
- Hours are for batches of examples as long as real ones (lengths.json: notes of MTSamples, series of the MIMIC-IV
  demo, in WordPiece tokens), drawn and padded as the trainers do. They are operations divided by the card's peak rate
  times `--utilisation`, which is an assumption: measure a few steps on your card. `paper` is computed in single
  precision. Evaluation, in which texts are generated, is not included.

`--check` trains two steps of each phase of four recipes on this machine, with random weights, random examples that are
shorter than the recipe's, and the optimizer; and compares by how much the process grew at the worst moment of the
second step with the estimate. Precision is the recipe's where this processor computes in bfloat16, else single.
`python benchmarks/docs_tables.py` writes the table in docs/recipes.md from the result.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_examples import LENGTHS, Limits, draw_example, draw_lengths, make_extractor, our_batch
from machine import commit, processor
from step_costs import step_operations
from torch.optim import AdamW
from transformers import TrainerControl, TrainerState

from clinragen.pipeline.recipe import load_recipe
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen import ClinRaGenConfig, ClinRaGenForConditionalGeneration
from trainers.build_model import config_fields
from trainers.learning import set_learning
from trainers.model_config import ModelConfig, load_model_config
from trainers.model_size import laid_out
from trainers.phase_config import PhaseConfig, parse_phase_config
from trainers.phases import Phase, phase_named
from trainers.run_phase import cpu_runs_bf16
from trainers.step_memory import CountedModel, Sizes
from trainers.weight_average import WeightAverage

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ROOT / "benchmarks" / "data" / "backbones"
RESULT = ROOT / "benchmarks" / "results" / "recipe_costs.json"
KINDS = ("paper", "recommended", "synthetic")
PACKAGES = ("torch", "transformers", "peft")
ADMISSIONS = 28_900
"""Admissions of MIMIC-IV with a note and a series, as the paper counts them."""
SHARES = {"train": 0.7, "validation": 0.1}
UTILISATION = 0.35
SEED = 0
BATCHES = 200
"""Batches that are drawn for the mean lengths."""
GROUPED = 50
"""transformers sorts so many batches by length."""
CHECKED = (
    ("flan-t5-small", "paper"),
    ("smollm2-135m", "recommended"),
    ("smollm2-135m", "synthetic"),
    ("opt-350m", "recommended"),
)
CHECK_BATCH = 2
CHECK_LENGTHS = {"source": 512, "steps": 200, "target": 128}
PROMPT = 16
"""Tokens of the prompt, where there is no note."""
SHORTER = 8
"""So many tokens less has one of the examples: without any padding transformers makes no masks."""
GIGA = 1e9
OVERHEAD = 1.5 * GIGA
"""About what a GPU's own libraries and the gaps between tensors take."""


@dataclass(frozen=True)
class Card:
    """A GPU: its memory in GB, and its peak rates in TFLOP/s for bfloat16 and single precision (data sheets)."""

    name: str
    memory: float
    bf16: float
    fp32: float

    @classmethod
    def parse(cls, text: str) -> Card:
        """Read NAME:GB:BF16:FP32."""
        name, *numbers = text.split(":")
        memory, bf16, fp32 = map(float, numbers)
        return cls(name, memory, bf16, fp32)


CARDS = (Card("L4", 24, 121, 30.3), Card("A100", 80, 312, 19.5))


def backbones() -> list[str]:
    """The backbones whose shapes are known."""
    return sorted(path.stem for path in SHAPES.glob("*.json"))


def recipes() -> list[tuple[str, str]]:
    """The recipes that are computed, by backbone and kind."""
    there = [(backbone, kind) for backbone in backbones() for kind in KINDS]
    return [(backbone, kind) for backbone, kind in there if recipe_file(backbone, kind).is_file()]


def recipe_file(backbone: str, kind: str) -> Path:
    """A recipe's file."""
    return ROOT / "recipes" / backbone / f"{kind}.yaml"


def model_config(settings: ModelConfig, backbone: str) -> ClinRaGenConfig:
    """The configuration of a recipe's model for the shipped vocabulary."""
    vocabulary = shipped_definitions().vocabulary
    extractor = make_extractor(settings.lab_layout, Limits(0, steps=settings.lab_max_steps))
    known = LENGTHS["knowledge_tokens"] if settings.knowledge_fusion != "none" else 0
    fields = config_fields(settings, list(vocabulary.disease_names), extractor, known)
    shape = read_json(SHAPES / f"{backbone}.json")
    # T5's own config says that every head is tied.
    fields |= {"credentialed": False, "tie_word_embeddings": shape["tie_word_embeddings"]}
    return ClinRaGenConfig(text_config=shape, **fields)


def usual(settings: ModelConfig, phase: Phase, batch: int, *, grouped: bool) -> Sizes:
    """The mean padded lengths of batches of real examples; `grouped` by length or mixed."""
    rng = np.random.default_rng(SEED)
    count = BATCHES * batch
    notes = draw_lengths("note_tokens", count, settings.max_source_tokens, rng)
    targets = draw_lengths("target_tokens", count, settings.max_target_tokens, rng)
    steps = draw_lengths("steps", count, settings.lab_max_steps, rng)
    whole = settings.lab_layout == "paper"
    patches = [-(-(settings.lab_max_steps if whole else one) // settings.lab_patch_steps) for one in steps]
    rows = np.array([notes, patches, targets]).T
    if not phase.reads_note:
        rows[:, 0] = 0
    if not phase.reads_labs:
        rows[:, 1] = 0
    if grouped:
        at_once = GROUPED * batch
        parts = [rows[start : start + at_once] for start in range(0, count, at_once)]
        rows = np.concatenate([part[np.argsort(part[:, 0] + part[:, 1], kind="stable")] for part in parts])
    source, patched, target = (round(x) for x in rows.reshape(BATCHES, batch, 3).max(axis=1).mean(axis=0))
    return Sizes(batch, source, patched, target)


def phase_costs(
    settings: ModelConfig, model: CountedModel, name: str, file: Path, cards: Sequence[Card], utilisation: float
) -> dict[str, Any]:
    """Memory, operations and hours of one phase."""
    phase, trained = phase_named(name), parse_phase_config(file, use_cpu=True)
    batch, parts = trained.per_device_train_batch_size, trained.gradient_accumulation_steps
    sizes = usual(settings, phase, batch, grouped=trained.train_sampling_strategy == "group_by_length")
    patches = -(-settings.lab_max_steps // settings.lab_patch_steps)
    lengths = {"source": settings.max_source_tokens, "patches": patches, "target": settings.max_target_tokens}
    worst = model.memory(phase, trained, Sizes.longest(phase, batch, **lengths))
    mean = step_operations(model, phase, trained, sizes)
    examples = {split: round(share * ADMISSIONS) for split, share in SHARES.items()}
    whole = math.ceil(examples["train"] / (batch * parts)) * trained.num_train_epochs
    steps = trained.max_steps if trained.max_steps > 0 else whole
    work = steps * parts * (mean.forward + mean.backward)
    if trained.eval_strategy == "epoch":
        work += trained.num_train_epochs * examples["validation"] / batch * mean.forward
    return {
        "file": str(file.resolve().relative_to(ROOT)),
        "learned": worst.held.learned,
        "batch": batch,
        "parts": parts,
        "precision": "bf16" if trained.bf16 else "fp32",
        "activation_checkpointing": trained.activation_checkpointing,
        "attention": trained.attn_implementation,
        "epochs": trained.num_train_epochs,
        "steps": int(steps),
        "usual_sizes": asdict(sizes),
        "operations_per_step": parts * (mean.forward + mean.backward),
        "memory": {
            "all": worst.whole,
            "weights": worst.held.weights,
            "optimizer": worst.held.optimizer,
            "activations_and_gradients": worst.activations,
        },
        "hours": {card.name: work / _rate(card, trained, utilisation) / 3600 for card in cards},
    }


def _rate(card: Card, trained: PhaseConfig, utilisation: float) -> float:
    return 1e12 * utilisation * (card.bf16 if trained.bf16 else card.fp32)


def recipe_costs(backbone: str, kind: str, cards: Sequence[Card], utilisation: float) -> dict[str, Any]:
    """The costs of one recipe."""
    recipe = load_recipe(recipe_file(backbone, kind))
    settings = load_model_config(recipe.model)
    model = CountedModel(laid_out(model_config(settings, backbone)))
    parts = model.model.named_children()
    parameters = {name: sum(one.numel() for one in part.parameters()) for name, part in parts}
    phases = {
        name: phase_costs(settings, model, name, file, cards, utilisation) for name, file in recipe.train.items()
    }
    memory = max(one["memory"]["all"] for one in phases.values())
    return {
        "backbone": backbone,
        "recipe": kind,
        "commit": commit(),
        "parameters": {**parameters, "all": sum(parameters.values())},
        "phases": phases,
        "memory": memory,
        "hours": {card.name: sum(one["hours"][card.name] for one in phases.values()) for card in cards},
    }


def check(backbone: str, kind: str, phase: str) -> dict[str, Any]:
    """Two steps of a phase on this machine, with random weights: how much the process grew, and the estimate."""
    command = [sys.executable, str(Path(__file__).resolve()), "--grow", backbone, kind, phase]
    # Freed memory goes back to the system at once; otherwise its gaps would be counted too.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    grown = int(done.stdout.split()[-1])
    settings, config, trained = _checked(backbone, kind, phase)
    sizes = _check_sizes(settings, phase)
    found = CountedModel(laid_out(config)).memory(phase_named(phase), trained, sizes, fused=False)
    expected = found.whole - found.held.weights
    return {
        "backbone": backbone,
        "recipe": kind,
        "phase": phase,
        "commit": commit(),
        "precision": "bf16" if trained.bf16 else "fp32",
        "sizes": asdict(sizes),
        "grown": grown,
        "expected": expected,
        "ratio": round(grown / expected, 3),
    }


def _checked(backbone: str, kind: str, phase: str) -> tuple[ModelConfig, ClinRaGenConfig, PhaseConfig]:
    recipe = load_recipe(recipe_file(backbone, kind))
    settings = load_model_config(recipe.model)
    trained = parse_phase_config(recipe.train[phase], use_cpu=True)
    trained.bf16 = trained.bf16 and cpu_runs_bf16()
    return settings, model_config(settings, backbone), trained


def _check_sizes(settings: ModelConfig, phase: str) -> Sizes:
    chosen = phase_named(phase)
    steps = settings.lab_max_steps if settings.lab_layout == "paper" else CHECK_LENGTHS["steps"]
    patches = -(-steps // settings.lab_patch_steps)
    lengths = {"source": CHECK_LENGTHS["source"], "patches": patches, "target": CHECK_LENGTHS["target"]}
    sizes = Sizes.longest(chosen, CHECK_BATCH, **lengths)
    return sizes if chosen.reads_note else replace(sizes, source=PROMPT)


def grow(backbone: str, kind: str, name: str) -> int:
    """Bytes by which this process has grown at most, from before the training to the end of its second step."""
    settings, config, trained = _checked(backbone, kind, name)
    phase, sizes = phase_named(name), _check_sizes(settings, name)
    model = ClinRaGenForConditionalGeneration(config).train()
    set_learning(model, phase, trained)
    if trained.attn_implementation is not None:
        model.set_attn_implementation(trained.attn_implementation)
    if trained.activation_checkpointing:
        model.activation_checkpointing_enable()
    limits = Limits(vocabulary=config.text_config.vocab_size, steps=settings.lab_max_steps)
    rng = np.random.default_rng(SEED)
    others = CHECK_LENGTHS["steps"], CHECK_LENGTHS["target"]
    examples = [draw_example(sizes.source - shorter, *others, limits, rng) for shorter in (0, SHORTER)]
    batch = our_batch(examples, make_extractor(settings.lab_layout, limits))
    if not phase.reads_labs:
        batch = {key: value for key, value in batch.items() if not key.startswith("lab_")}
    if config.disease_head:
        batch["disease_targets"] = torch.zeros(CHECK_BATCH, len(config.diseases))
    average = WeightAverage(model, trained.average_share)
    before = _resident("VmRSS")
    optimizer = AdamW([one for one in model.parameters() if one.requires_grad], fused=True)
    for _ in range(2):
        # The highest size so far is forgotten: the first step has no optimizer's state yet.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        with torch.autocast("cpu", torch.bfloat16) if trained.bf16 else nullcontext():
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        del loss
        if trained.average_share:
            average.on_optimizer_step(trained, TrainerState(global_step=1, max_steps=2), TrainerControl())
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def table(result: Mapping[str, Any]) -> str:
    """The table of docs/recipes.md."""
    cards = [Card(**one) for one in result["cards"]]
    head = ["recipe", "weights (million)", "learned (million): note, lab, multimodal", "memory (GB)"]
    head += [f"hours on {card.name} ({card.memory:g} GB)" for card in cards]
    rows = [head, ["---"] * len(head)]
    weights = {one["backbone"]: one["parameters"]["all"] for one in result["recipes"]}
    for one in sorted(result["recipes"], key=lambda one: (weights[one["backbone"]], one["recipe"])):
        learned = ", ".join(f"{one['phases'][phase]['learned'] / 1e6:.1f}" for phase in ("note", "lab", "multimodal"))
        fits = {card.name: one["memory"] + OVERHEAD < GIGA * card.memory for card in cards}
        hours = [_rounded(one["hours"][card.name]) if fits[card.name] else "does not fit" for card in cards]
        name = f"[{one['backbone']}/{one['recipe']}](../recipes/{one['backbone']}/{one['recipe']}.yaml)"
        rows.append([name, f"{one['parameters']['all'] / 1e6:,.0f}", learned, _rounded(one["memory"] / GIGA), *hours])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def main() -> None:
    """Compute and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare the memory with that of real steps")
    parser.add_argument("--utilisation", type=float, default=UTILISATION)
    parser.add_argument("--card", type=Card.parse, action="append", help="NAME:GB:BF16:FP32 in TFLOP/s; repeatable")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--only", action="append", help="a backbone; the others' figures stay; repeatable")
    parser.add_argument("--grow", nargs=3, metavar=("BACKBONE", "RECIPE", "PHASE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.grow:
        print(grow(*chosen.grow))
        return
    cards = chosen.card or list(CARDS)
    kept = read_json(chosen.output) if chosen.output.is_file() else {}
    known = {(one["backbone"], one["recipe"]): one for one in kept.get("recipes", [])}
    result: dict[str, Any] = {
        "command": "python benchmarks/recipe_costs.py --check",
        "commit": "",
        "versions": {name: version(name) for name in PACKAGES},
        "processor": processor(),
        "cores": os.cpu_count(),
        "admissions": ADMISSIONS,
        "shares": SHARES,
        "utilisation": chosen.utilisation,
        "cards": [asdict(card) for card in cards],
        "lengths": {kind: LENGTHS[kind]["of"] for kind in ("note_tokens", "steps", "target_tokens")},
        "checks": kept.get("checks", []),
    }
    for backbone, kind in recipes():
        if backbone in (chosen.only or backbones()):
            known[backbone, kind] = found = recipe_costs(backbone, kind, cards, chosen.utilisation)
            print(table({**result, "recipes": [found]}).splitlines()[-1], flush=True)
    result["recipes"] = [known[key] for key in recipes() if key in known]
    if chosen.check:
        result["checks"] = []
        for backbone, kind in CHECKED:
            for phase in load_recipe(recipe_file(backbone, kind)).train:
                result["checks"].append(check(backbone, kind, phase))
                print(said(result["checks"][-1]), flush=True)
    result["commit"] = ", ".join(sorted({one["commit"] for one in (*result["recipes"], *result["checks"])}))
    write_json(chosen.output, result)


def said(one: Mapping[str, Any]) -> str:
    """A line about a check."""
    grown, expected = (f"{one[name] / GIGA:.2f} GB" for name in ("grown", "expected"))
    return f"{one['backbone']}/{one['recipe']}, {one['phase']}: grew by {grown}, expected {expected}"


if __name__ == "__main__":
    main()

"""Hours and memory of the recipes for pretrained backbones, computed from shapes.

    python benchmarks/recipe_costs.py [--check] [--utilisation 0.35] [--card NAME:GB:BF16:FP32 ...] [--output FILE]

For `paper.yaml` and `recommended.yaml` of every backbone in benchmarks/data/backbones (shapes as in the published
config.json files): weights, weights that learn, operations of a step and the most memory that it takes
(step_costs.py), and from these the hours on a card, for as many patients as the paper has of MIMIC-IV. Nothing is
downloaded or trained.

- Memory is that of the longest batch there can be: every example as long as the recipe lets it be. Attention keeps no
  scores, as on GPUs.
- Hours are for batches of examples as long as real ones (lengths.json: notes of MTSamples, series of the MIMIC-IV
  demo, in WordPiece tokens), drawn and padded as the trainers do. They are operations divided by the card's peak rate
  times `--utilisation`, which is an assumption: measure a few steps on your card. `paper` is computed in single
  precision. Evaluation, in which texts are generated, is not included.

`--check` trains one step of two small backbones with random weights on this machine, and compares the growth of the
process with the estimate. `python benchmarks/docs_tables.py` writes the table in docs/recipes.md from the result.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_examples import LENGTHS, Limits, draw_example, draw_lengths, make_extractor, our_batch
from step_costs import CountedModel, Sizes

from clinragen.pipeline.recipe import load_recipe
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen import ClinRaGenConfig, ClinRaGenForConditionalGeneration
from trainers.build_model import config_fields
from trainers.model_config import ModelConfig, load_model_config
from trainers.phase_config import PhaseConfig, parse_phase_config
from trainers.phases import Phase, phase_named

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ROOT / "benchmarks" / "data" / "backbones"
RESULT = ROOT / "benchmarks" / "results" / "recipe_costs.json"
KINDS = ("paper", "recommended")
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
CHECKED = (("flan-t5-small", "paper"), ("smollm2-135m", "recommended"))
CHECK_SIZES = {"source": 1024, "steps": 200, "target": 256}
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


def longest(settings: ModelConfig, phase: Phase, batch: int) -> Sizes:
    """A batch whose examples are all as long as the model reads and writes."""
    return Sizes(
        batch,
        settings.max_source_tokens if phase.reads_note else 0,
        -(-settings.lab_max_steps // settings.lab_patch_steps) if phase.reads_labs else 0,
        settings.max_target_tokens,
    )


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
    worst = model.memory(phase, trained, longest(settings, phase, batch))
    mean = model.operations(phase, trained, sizes)
    examples = {split: round(share * ADMISSIONS) for split, share in SHARES.items()}
    steps = math.ceil(examples["train"] / (batch * parts)) * trained.num_train_epochs
    work = steps * parts * (mean.forward + mean.backward)
    if trained.eval_strategy == "epoch":
        work += trained.num_train_epochs * examples["validation"] / batch * mean.forward
    return {
        "file": str(file.resolve().relative_to(ROOT)),
        "learned": worst.learned,
        "batch": batch,
        "parts": parts,
        "precision": "bf16" if trained.bf16 else "fp32",
        "activation_checkpointing": trained.activation_checkpointing,
        "epochs": trained.num_train_epochs,
        "steps": int(steps),
        "usual_sizes": asdict(sizes),
        "operations_per_step": parts * (mean.forward + mean.backward),
        "memory": {
            "all": worst.whole,
            "weights": worst.weights,
            "optimizer": worst.learning,
            "activations_and_gradients": worst.activations,
        },
        "hours": {card.name: work / _rate(card, trained, utilisation) / 3600 for card in cards},
    }


def _rate(card: Card, trained: PhaseConfig, utilisation: float) -> float:
    return 1e12 * utilisation * (card.bf16 if trained.bf16 else card.fp32)


def recipe_costs(backbone: str, kind: str, cards: Sequence[Card], utilisation: float) -> dict[str, Any]:
    """The costs of one recipe."""
    recipe = load_recipe(ROOT / "recipes" / backbone / f"{kind}.yaml")
    settings = load_model_config(recipe.model)
    model = CountedModel(model_config(settings, backbone))
    parts = model.model.named_children()
    parameters = {name: sum(one.numel() for one in part.parameters()) for name, part in parts}
    phases = {
        name: phase_costs(settings, model, name, file, cards, utilisation) for name, file in recipe.train.items()
    }
    memory = max(one["memory"]["all"] for one in phases.values())
    return {
        "backbone": backbone,
        "recipe": kind,
        "parameters": {**parameters, "all": sum(parameters.values())},
        "phases": phases,
        "memory": memory,
        "hours": {card.name: sum(one["hours"][card.name] for one in phases.values()) for card in cards},
    }


def check(backbone: str, kind: str) -> dict[str, Any]:
    """One step of the third phase on this machine, with random weights: how much the process grew, and an estimate."""
    command = [sys.executable, str(Path(__file__).resolve()), "--grow", backbone, kind]
    # Freed memory goes back to the system at once; otherwise its gaps would be counted too.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    grown = int(done.stdout.split()[-1])
    settings, config, trained = _checked(backbone, kind)
    phase = phase_named("multimodal")
    patches = CHECK_SIZES["steps"] // settings.lab_patch_steps if settings.lab_layout == "patches" else 125
    sizes = Sizes(2, CHECK_SIZES["source"], patches, CHECK_SIZES["target"])
    # The first step makes the optimizer's state after its worst moment.
    expected = CountedModel(config).memory(phase, trained, sizes, fused=False).activations
    return {
        "backbone": backbone,
        "recipe": kind,
        "phase": phase.name,
        "precision": "fp32",
        "sizes": asdict(sizes),
        "grown": grown,
        "expected": expected,
        "ratio": round(grown / expected, 3),
    }


def _checked(backbone: str, kind: str) -> tuple[ModelConfig, ClinRaGenConfig, PhaseConfig]:
    recipe = load_recipe(ROOT / "recipes" / backbone / f"{kind}.yaml")
    settings = load_model_config(recipe.model)
    trained = parse_phase_config(recipe.train["multimodal"], use_cpu=True, bf16=False)
    return settings, model_config(settings, backbone), trained


def grow(backbone: str, kind: str) -> int:
    """Bytes that this process grew by at most during one training step."""
    settings, config, trained = _checked(backbone, kind)
    model = ClinRaGenForConditionalGeneration(config)
    learns = phase_named("multimodal").learns
    model.set_trainable(
        backbone=False,
        adapter=True,
        lab_encoder=learns.lab_encoder,
        knowledge_attention=learns.knowledge_attention,
        disease_head=learns.disease_head,
    )
    if trained.activation_checkpointing:
        model.activation_checkpointing_enable()
    limits = Limits(vocabulary=config.text_config.vocab_size, steps=settings.lab_max_steps)
    rng = np.random.default_rng(SEED)
    source, *others = CHECK_SIZES.values()
    # Without any padding transformers makes no masks.
    examples = [draw_example(source - shorter, *others, limits, rng) for shorter in (0, 8)]
    batch = our_batch(examples, make_extractor(settings.lab_layout, limits))
    if config.disease_head:
        batch["disease_targets"] = torch.zeros(2, len(config.diseases))
    model.train()
    before = _resident("VmRSS")
    # The highest size so far is forgotten.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    model(**batch).loss.backward()
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
    parser.add_argument("--check", action="store_true", help="compare the memory with that of a real step")
    parser.add_argument("--utilisation", type=float, default=UTILISATION)
    parser.add_argument("--card", type=Card.parse, action="append", help="NAME:GB:BF16:FP32 in TFLOP/s; repeatable")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--only", action="append", help="a backbone; the others' figures stay; repeatable")
    parser.add_argument("--grow", nargs=2, metavar=("BACKBONE", "RECIPE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.grow:
        print(grow(*chosen.grow))
        return
    cards = chosen.card or list(CARDS)
    kept = read_json(chosen.output) if chosen.output.is_file() else {}
    result: dict[str, Any] = {
        "command": "python benchmarks/recipe_costs.py --check",
        "versions": {name: version(name) for name in PACKAGES},
        "cores": os.cpu_count(),
        "admissions": ADMISSIONS,
        "shares": SHARES,
        "utilisation": chosen.utilisation,
        "cards": [asdict(card) for card in cards],
        "lengths": {kind: LENGTHS[kind]["of"] for kind in ("note_tokens", "steps", "target_tokens")},
        "checks": [check(*each) for each in CHECKED] if chosen.check else kept.get("checks", []),
    }
    known = {(one["backbone"], one["recipe"]): one for one in kept.get("recipes", [])}
    for backbone in chosen.only or ([] if chosen.check and known else backbones()):
        for kind in KINDS:
            known[backbone, kind] = found = recipe_costs(backbone, kind, cards, chosen.utilisation)
            print(table({**result, "recipes": [found]}).splitlines()[-1], flush=True)
    result["recipes"] = [known[key] for key in sorted(known)]
    for one in result["checks"]:
        print(f"{one['backbone']}: grew by {one['grown'] / GIGA:.2f} GB, expected {one['expected'] / GIGA:.2f} GB")
    write_json(chosen.output, result)


if __name__ == "__main__":
    main()

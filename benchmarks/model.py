"""Times training and generation against the authors' way and against the bare backbone.

    python benchmarks/model.py [--runs 5] [--examples 4] [--batch 2] [--new-tokens 96] [--seed 0] [--output FILE]

Random weights in Flan-T5-small's shape; random tokens and levels with the lengths of real notes, series and targets
(lengths.json). `training` and `generation` are ladders: from the authors' way (authors_way.py) to ours, one change at
a time, all on the same examples in every run. `backbone` compares our model with transformers' T5 alone on as many
positions. Ratios are computed within a run; medians go to benchmarks/results/model.json, nothing if a run fails. On a
CUDA device Flan-T5-large's shape is trained too, for the share of the device's peak rate that it reaches. About ten
minutes on two otherwise idle cores.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from authors_way import BEAMS, LEARNING_RATE, SOURCE_TOKENS, WEIGHT_DECAY, AuthorsModel, authors_batch
from drawn_examples import (
    FIRST_WORD,
    LENGTHS,
    Example,
    Limits,
    draw_example,
    draw_examples,
    make_extractor,
    our_batch,
    split,
)
from machine import commit, processor
from model_flops import TRAINING, forward_flops, peak_flops
from torch import nn
from transformers import PreTrainedModel, T5Config, set_seed

from dataset_builder.storage.files import write_json
from modeling_clinragen import ClinRaGenForConditionalGeneration
from modeling_clinragen.language_model_clinragen import build_language_model
from modeling_clinragen.packing_clinragen import MULTIPLE
from trainers.build_model import ModelConfig, config_fields
from trainers.sampling import EpochSeededLengthSampler

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "model.json"
PACKAGES = ("torch", "transformers", "peft")
SMALL = {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6}
LARGE = {"d_model": 1024, "d_ff": 2816, "num_layers": 24, "num_heads": 16}
FLAN = {
    "vocab_size": 32128,
    "d_kv": 64,
    "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
}
CUDA_BATCH, CUDA_STEPS = 16, 10
# transformers sorts the examples of fifty batches by length, or a quarter of all examples where that is less.
GROUPED, MEGABATCHES = 50, 4

Batch = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """Sizes and repetitions of the measurements."""

    runs: int = 5
    examples: int = 4
    batch: int = 2
    new_tokens: int = 96
    seed: int = 0
    shape: dict[str, Any] = field(default_factory=lambda: FLAN | SMALL)
    source_tokens: int = SOURCE_TOKENS
    limits: Limits = field(default_factory=lambda: Limits(vocabulary=32128))


@dataclass(frozen=True)
class Way:
    """One implementation of the same work; `step` is called for each of the batches in turn."""

    name: str
    step: Callable[[Batch], Any]
    batches: Sequence[Batch]


def measure(ways: Sequence[Way], runs: int, finished: Callable[[], None] = lambda: None) -> list[list[float]]:
    """Seconds of every way in every run; the ways alternate. Slow first runs do not affect the medians."""
    seconds: list[list[float]] = [[] for _ in ways]
    for run in range(runs):
        for way, taken in zip(ways, seconds, strict=True):
            finished()
            started = time.perf_counter()
            for batch in way.batches:
                way.step(batch)
            finished()
            taken.append(time.perf_counter() - started)
            print(f"run {run}: {way.name}: {taken[-1]:.2f} s", flush=True)
    return seconds


def ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """The median over the runs of the ratio of the two times."""
    return round(statistics.median(a / b for a, b in zip(slower, faster, strict=True)), 3)


def ladder(ways: Sequence[Way], settings: Settings) -> list[dict[str, Any]]:
    """Measure ways of which each differs by one change from the previous one."""
    seconds = measure(ways, settings.runs)
    gains = [1.0, *(ratio(before, own) for before, own in pairwise(seconds))]
    return [
        {
            "way": way.name,
            "seconds": round(statistics.median(own), 3),
            "examples_per_second": round(settings.examples / statistics.median(own), 3),
            "gain_of_this_change": gain,
            "gain_so_far": ratio(seconds[0], own),
        }
        for way, own, gain in zip(ways, seconds, gains, strict=True)
    ]


def make_backbone(shape: dict[str, Any]) -> PreTrainedModel:
    """T5 with random weights and, as in Flan-T5, a separate head."""
    return build_language_model(T5Config(**shape), tied=False)


def make_model(
    backbone: PreTrainedModel, limits: Limits, *, adapters: bool, lab_encoder: bool = False
) -> ClinRaGenForConditionalGeneration:
    """Our model with the defaults of `ModelConfig`, with trainable adapters or a trainable language model."""
    settings = ModelConfig(backbone="google/flan-t5-small", lab_max_steps=limits.steps)
    fields = config_fields(settings, [], make_extractor("patches", limits), LENGTHS["knowledge_tokens"])
    if not adapters:
        fields["lora"] = None
    model = ClinRaGenForConditionalGeneration.from_backbone(backbone, **fields)
    model.set_knowledge_tokens(range(FIRST_WORD, FIRST_WORD + LENGTHS["knowledge_tokens"]))
    model.set_trainable(backbone=not adapters, adapter=adapters, lab_encoder=lab_encoder, knowledge_attention=True)
    return model


def forward_pass(model: nn.Module) -> Callable[[Batch], None]:
    """The loss of a batch, without gradients."""
    model.eval()

    @torch.no_grad()
    def step(batch: Batch) -> None:
        model(**batch)

    return step


def training_step(
    model: nn.Module, *, attn_implementation: str = "sdpa", bf16: bool = False
) -> Callable[[Batch], None]:
    """Forward, backward and AdamW over all trainable parameters. sdpa is transformers' default."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    # The authors' model is not a transformers model, but its language model is.
    switched: Any = model if isinstance(model, PreTrainedModel) else model.language_model
    model.train()

    def step(batch: Batch) -> None:
        switched.set_attn_implementation(attn_implementation)
        with torch.autocast(learning[0].device.type, torch.bfloat16, enabled=bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def training_ways(settings: Settings) -> list[Way]:
    """The third phase: the lab encoder is frozen."""
    limits, backbone = settings.limits, make_backbone(settings.shape)
    mixed, alike = draw_batches(settings)
    extractor = make_extractor("patches", limits)
    counted = [our_batch(batch, extractor, label_padding=0) for batch in alike]
    ours = [our_batch(batch, extractor) for batch in alike]
    whole = make_model(backbone, limits, adapters=False)
    adapted = make_model(backbone, limits, adapters=True)
    authors = training_step(AuthorsModel(backbone, whole.config, limits.steps))
    train_whole = training_step(whole)
    fastest = training_step(adapted, attn_implementation="eager", bf16=True)
    return [
        Way("the authors' way", authors, authors_batches(mixed, settings, trimmed=False)),
        Way("notes padded to their batch's longest", authors, authors_batches(mixed, settings)),
        Way("batches of like length", authors, authors_batches(alike, settings)),
        Way("our lab encoder, over the patches that exist", train_whole, counted),
        Way("padding of targets out of loss and head", train_whole, ours),
        Way("adapters instead of the whole language model", training_step(adapted), ours),
        Way("bfloat16 autocast with eager attention", fastest, ours),
    ]


def generation_ways(settings: Settings) -> list[Way]:
    """The same number of beams and of new tokens for all."""
    limits, backbone = settings.limits, make_backbone(settings.shape)
    mixed, alike = draw_batches(settings)
    options: Batch = {"max_new_tokens": settings.new_tokens, "min_new_tokens": settings.new_tokens, "do_sample": False}
    extractor = make_extractor("patches", limits)
    ours = without([our_batch(batch, extractor) for batch in alike], "labels")
    adapted = make_model(backbone, limits, adapters=True).eval()
    merged = make_model(backbone, limits, adapters=True).eval()
    merged.merge_adapters()
    authors = AuthorsModel(backbone, adapted.config, limits.steps).eval()
    padded = authors_batches(mixed, settings, trimmed=False)

    def theirs(batch: Batch) -> torch.Tensor:
        return authors.generate(**batch, **options)

    return [
        Way("the authors' way", theirs, padded),
        Way("no forward pass before generation", theirs, without(padded, "labels")),
        Way("notes padded to their batch's longest", theirs, without(authors_batches(mixed, settings), "labels")),
        Way("batches of like length", theirs, without(authors_batches(alike, settings), "labels")),
        Way("our model", lambda batch: adapted.generate(**batch, num_beams=BEAMS, **options), ours),
        Way("adapters merged", lambda batch: merged.generate(**batch, num_beams=BEAMS, **options), ours),
    ]


def draw_batches(settings: Settings) -> tuple[list[list[Example]], list[list[Example]]]:
    """The same examples twice: with lengths mixed as much as possible, and grouped by length as in the trainers.

    The grouped batches are evenly spaced ones of fifty that the trainers' sampler makes.
    """
    count = GROUPED * settings.batch
    pool = draw_examples(MEGABATCHES * count, settings.limits, settings.seed)
    lengths = [(len(example.note), 0) for example in pool]
    order = list(EpochSeededLengthSampler(lengths, settings.batch, settings.seed))[:count]
    batches = split([pool[row] for row in order], settings.batch)
    kept = settings.examples // settings.batch
    alike = [batches[int((index + 0.5) * GROUPED / kept)] for index in range(kept)]
    return split([example for column in zip(*alike, strict=True) for example in column], settings.batch), alike


def authors_batches(batches: Sequence[Sequence[Example]], settings: Settings, *, trimmed: bool = True) -> list[Batch]:
    """The authors' batches, padded to the longest note of each or to their fixed length."""
    extractor = make_extractor("paper", settings.limits)
    length = None if trimmed else settings.source_tokens
    return [authors_batch(batch, extractor, length) for batch in batches]


def without(batches: Sequence[Batch], *names: str) -> list[Batch]:
    """Batches without some of their tensors."""
    return [{name: value for name, value in batch.items() if name not in names} for batch in batches]


def typical(kind: str, longest: int) -> int:
    """The median length of one kind."""
    middle = LENGTHS["percentiles"].index(50)
    return min(LENGTHS[kind]["lengths"][middle], longest)


def compare_backbone(settings: Settings) -> list[dict[str, Any]]:
    """Our model and the bare one on equally many positions without padding: a median series, and the longest."""
    pairs, entries = backbone_steps(settings), []
    for steps in (typical("steps", settings.limits.steps), settings.limits.steps):
        bare_batch, batch = equal_batches(settings, steps)
        for what, bare, ours in pairs:
            ways = [Way(f"{what}, bare", bare, [bare_batch]), Way(f"{what}, {steps} steps", ours, [batch])]
            bare_seconds, seconds = measure(ways, settings.runs)
            entries.append(
                {
                    "what": what,
                    "steps": steps,
                    "positions": bare_batch["input_ids"].shape[1],
                    "target_tokens": bare_batch["labels"].shape[1],
                    "bare_seconds": round(statistics.median(bare_seconds), 3),
                    "seconds": round(statistics.median(seconds), 3),
                    "ratio": ratio(seconds, bare_seconds),
                }
            )
    return entries


def backbone_steps(settings: Settings) -> list[tuple[str, Callable[[Batch], Any], Callable[[Batch], Any]]]:
    """The compared steps of the bare backbone and our model: a forward pass, and a step that trains everything."""
    limits, bare = settings.limits, make_backbone(settings.shape)
    ours = make_model(bare, limits, adapters=True)
    whole = make_model(bare, limits, adapters=False, lab_encoder=True)
    return [
        ("forward pass", forward_pass(bare), forward_pass(ours)),
        ("training step", training_step(copy.deepcopy(bare)), training_step(whole)),
    ]


def equal_batches(settings: Settings, steps: int) -> tuple[Batch, Batch]:
    """A batch of median notes for the bare model and one for ours, which has lab vectors for the last tokens."""
    limits, extractor = settings.limits, make_extractor("patches", settings.limits)
    # Multiples, so that neither side has padding and kernels have the shapes that they are optimised for.
    positions = typical("note_tokens", limits.note_tokens) // MULTIPLE * MULTIPLE
    targets = typical("target_tokens", limits.target_tokens) // MULTIPLE * MULTIPLE
    rng = np.random.default_rng(settings.seed)
    notes = [draw_example(positions, steps, targets, limits, rng) for _ in range(settings.batch)]
    bare = our_batch(notes, extractor)
    cut = positions - extractor.num_positions(steps)
    ours = our_batch([replace(example, note=example.note[:cut]) for example in notes], extractor)
    # Without a cache, which neither side needs.
    return {**without([bare], "lab_features", "lab_mask")[0], "use_cache": False}, ours


def measure_utilisation(settings: Settings, device: str) -> dict[str, Any]:
    """The share of its peak rate that a device reaches while the whole model is trained in bfloat16 without padding.

    Only the language model's own products count as work; those of the lab encoder are not counted.
    """
    model = make_model(make_backbone(settings.shape), settings.limits, adapters=False, lab_encoder=True).to(device)
    bare, ours = equal_batches(settings, typical("steps", settings.limits.steps))
    batch = {name: value.to(device) for name, value in ours.items()}
    positions, targets = bare["input_ids"].shape[1], bare["labels"].shape[1]
    work = TRAINING * forward_flops(model.config.text_config, settings.batch, positions, targets)
    on_cuda = device == "cuda"
    ways = [Way(f"training on {device}", training_step(model, bf16=True), [batch] * CUDA_STEPS)]
    (taken,) = measure(ways, settings.runs, torch.cuda.synchronize if on_cuda else lambda: None)
    seconds = statistics.median(taken) / CUDA_STEPS
    rate = work / seconds
    name = torch.cuda.get_device_name() if on_cuda else processor()
    peak = peak_flops(name)
    return {
        "device": name,
        "batch": settings.batch,
        "positions": positions,
        "target_tokens": targets,
        "seconds": round(seconds, 4),
        "teraflops": round(rate / 1e12, 4),
        "peak_teraflops": None if peak is None else peak / 1e12,
        "utilisation": None if peak is None else round(rate / peak, 3),
    }


def measure_all(settings: Settings) -> dict[str, Any]:
    """All measurements that this machine supports, and a description of it."""
    set_seed(settings.seed)
    large = replace(settings, shape=FLAN | LARGE, batch=CUDA_BATCH)
    return {
        "commit": commit(),
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "seed": settings.seed,
        "runs": settings.runs,
        "examples": settings.examples,
        "batch": settings.batch,
        "new_tokens": settings.new_tokens,
        "shape": settings.shape,
        "training": ladder(training_ways(settings), settings),
        "generation": ladder(generation_ways(settings), settings),
        "backbone": compare_backbone(settings),
        "cuda": measure_utilisation(large, "cuda") if torch.cuda.is_available() else None,
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Settings()
    parser.add_argument("--runs", type=int, default=default.runs)
    parser.add_argument("--examples", type=int, default=default.examples)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--new-tokens", type=int, default=default.new_tokens)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--output", type=Path, default=RESULT)
    chosen = vars(parser.parse_args())
    if chosen["examples"] % chosen["batch"]:
        parser.error(f"{chosen['examples']} examples do not fill batches of {chosen['batch']}; give a multiple")
    output = chosen.pop("output")
    words = (f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    result = {"command": f"python benchmarks/model.py {' '.join(words)}", **measure_all(Settings(**chosen))}
    write_json(output, result)
    print(f"written to {output}")


if __name__ == "__main__":
    main()

"""Two real processes that train together, each with the whole model or a half of it, end with the weights of one."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset, Features, load_from_disk
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.data import BatchSampler

from dataset_builder.contract.schema import example_features
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.modeling_clinragen import IGNORED, ClinRaGenForConditionalGeneration
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.registration import register_auto_classes
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.data import PhaseCollator, PhaseExamples
from trainers.multimodal_trainer import MultimodalConfig, MultimodalTrainer
from trainers.phases import phase_named
from trainers.sampling import EpochSeededLengthSampler

PROCESSES = 2
GLOBAL_BATCH = 8
KINDS = ("t5", "qwen3")
STEPS = 5
# SGD moves a parameter by its gradient; Adam, or clipping, would hide a gradient that is wrong by a factor.
PLAIN_STEPS: dict[str, Any] = {"optim": "sgd", "learning_rate": 0.1, "warmup_steps": 0, "max_grad_norm": 0.0}
BY_LENGTH = {"train_sampling_strategy": "group_by_length"}
# With its moments; epsilon keeps a gradient that is nothing but rounding from becoming a step.
ADAM = {"optim": "adamw_torch", "learning_rate": 1e-3, "adam_epsilon": 1e-4, "weight_decay": 0.05, **BY_LENGTH}
# Checkpoints in the middle of the first epoch and of the second.
SAVING = {"max_steps": STEPS, "save_strategy": "steps", "save_steps": 2}
CHECKPOINTS = ("one-4", "two-2", "two-4")
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulating": {"gradient_accumulation_steps": 2},
    "checkpointing": {"activation_checkpointing": True},
    "by-length": BY_LENGTH,
    "bf16": {"bf16": True},
    "adam": ADAM,
    "saving": {**ADAM, **SAVING},
    "saving-shuffled": {**ADAM, **SAVING, "train_sampling_strategy": "random"},
}
# The run of one process, the runs of two processes that must equal it, and the tolerance.
COMPARED = (
    ("plain", ("plain", "accumulating", "checkpointing"), 1e-6),
    ("by-length", ("by-length",), 1e-6),
    ("bf16", ("bf16",), 1e-3),
    ("adam", ("adam",), 1e-6),
)
SAVED = ("saving", "saving-shuffled")
Trained = tuple[list[float], dict[str, torch.Tensor]]


def train(
    folder: Path, run: str, parts: int, *, output: str = "out", resumed: Path | None = None, **changes: Any
) -> Trained:
    """Losses by step and all weights after a few steps of the multimodal phase from a saved model, or going on from a
    checkpoint. `parts` is how many processes a batch should be for.
    """
    settings = {"max_steps": 3, "save_strategy": "no", **PLAIN_STEPS, **RUNS[run], **changes}
    args = MultimodalConfig(
        output_dir=str(folder / output),
        per_device_train_batch_size=GLOBAL_BATCH // parts // settings.get("gradient_accumulation_steps", 1),
        logging_steps=1,
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        allow_skipped_phases=True,
        **settings,
    )
    register_auto_classes()
    model = ClinRaGenForConditionalGeneration.from_pretrained(folder)
    processor = ClinRaGenProcessor.from_pretrained(folder)
    examples = load_from_disk(str(folder / "train"))
    vocabulary = processor.require_vocabulary()
    trainer = MultimodalTrainer(model, args, examples, processing_class=processor, vocabulary=vocabulary)
    trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, {name: value.contiguous().clone() for name, value in model.state_dict().items()}


def train_in_parts(folder: Path, processes: int, rank: int = 0) -> Trained:
    """The same of plain gradient steps; of several processes each keeps its part of the weights (PyTorch's FSDP).

    accelerate, and so the Trainer, divides models between GPUs only.
    """
    register_auto_classes()
    model = ClinRaGenForConditionalGeneration.from_pretrained(folder)
    processor = ClinRaGenProcessor.from_pretrained(folder)
    phase = phase_named("multimodal")
    model.set_trainable(backbone=True, adapter=True, lab_encoder=True, knowledge_attention=True)
    items = PhaseExamples(load_from_disk(str(folder / "train")), phase, processor).items
    if processes > 1:
        mesh = init_device_mesh("cpu", (processes,))
        # As accelerate chooses them.
        for part in [part for part in model.modules() if type(part).__name__ in model._no_split_modules]:
            fully_shard(part, mesh=mesh)
        fully_shard(model, mesh=mesh)
        assert all(isinstance(weight, DTensor) for weight in model.parameters())
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    collate, losses, own = PhaseCollator(processor, phase), [], GLOBAL_BATCH // processes
    for start in range(0, len(items), GLOBAL_BATCH):
        batch = collate(items[start + rank * own : start + (rank + 1) * own])
        tokens = (batch["labels"] != IGNORED).sum().float()
        if processes > 1:
            dist.all_reduce(tokens)
        # The gradients of the processes are averaged.
        loss = model.train()(**batch, num_items_in_batch=tokens / processes).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        whole = loss.detach() / processes
        if processes > 1:
            dist.all_reduce(whole)
        losses.append(float(whole))
    weights = model.state_dict()
    return losses, {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).contiguous().clone()
        for name, value in weights.items()
    }


def go_on(folder: Path, run: str, parts: int, checkpoint: str) -> Trained:
    """The end of a run from its checkpoint "one-4", which one process left after step 4, or the like."""
    processes, _, step = checkpoint.partition("-")
    resumed = folder / f"{processes}-{run}" / f"checkpoint-{step}"
    return train(folder, run, parts, resumed=resumed, save_strategy="no")


def main(folders: list[str]) -> None:
    """The work of each process: every run from every folder, with its result beside the model."""
    rank = int(os.environ["RANK"])

    def keep(folder: Path, run: str, trained: Trained) -> None:
        save_file(trained[1], folder / f"{run}-{rank}.safetensors", {"losses": json.dumps(trained[0])})

    for folder in map(Path, folders):
        for run in RUNS:
            keep(folder, run, train(folder, run, PROCESSES, output=f"two-{run}"))
        for run, checkpoint in itertools.product(SAVED, CHECKPOINTS):
            keep(folder, f"{run}-{checkpoint}", go_on(folder, run, PROCESSES, checkpoint))
        keep(folder, "parts", train_in_parts(folder, PROCESSES, rank))


@pytest.fixture(scope="module")
def starts(
    make_model: Any,
    make_processor: Any,
    make_series: Any,
    vocabulary: Vocabulary,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Folders with a tiny model, its processor and a few examples with rationales, by the kind of language model."""
    notes = ["Fever.", "", "No chest pain. History of hypertension, diabetes and dyspnea."]
    rows = []
    for row in range(3 * GLOBAL_BATCH):
        # Every third has no series: a process may then have no input for the lab encoder.
        series = make_series(0 if row % 3 == 0 else 4 + row, row)
        rows.append(
            {
                "note": notes[row % 3] or f"Patient {row}.",
                "lab_hours": series["hours"].tolist(),
                "lab_values": [[None if value != value else value for value in step] for step in series["values"]],
                "diagnoses": ["Shock", "Septicemia (except in labor)"][: row % 3],
                "rationale_note": "heart rate is high " * (1 + row % 4),
                "rationale_lab": "x",
            }
        )
    columns = Features({name: example_features(vocabulary)[name] for name in rows[0]})
    examples = Dataset.from_list(rows, features=columns)
    folders = {}
    for kind in KINDS:
        folders[kind] = tmp_path_factory.mktemp(kind)
        make_model(kind, knowledge_dropout=0.0).save_pretrained(folders[kind])
        make_processor().save_pretrained(folders[kind])
        examples.save_to_disk(str(folders[kind] / "train"))
    return folders


@pytest.fixture(scope="module")
def straight(starts: dict[str, Path]) -> dict[tuple[str, str], Trained]:
    """What one process learns without an interruption, by kind and run; its checkpoints are kept."""
    return {
        (kind, run): train(starts[kind], run, 1, output=f"one-{run}") for kind, run in itertools.product(KINDS, SAVED)
    }


@pytest.fixture(scope="module")
def together(starts: dict[str, Path], straight: dict[tuple[str, str], Trained]) -> Callable[[str, str, int], Trained]:
    """Results of the two processes, which communicate on the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, __file__, *map(str, starts.values())]
    processes = []
    for rank in range(PROCESSES):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
        environment = {**os.environ, **meeting, **own}
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    try:
        for process in processes:
            _, errors = process.communicate(timeout=180)
            assert process.returncode == 0, errors[-2000:].decode()
    finally:
        for process in processes:
            process.kill()

    def read(kind: str, run: str, rank: int) -> Trained:
        path = starts[kind] / f"{run}-{rank}.safetensors"
        with safe_open(path, "pt") as file:
            losses = json.loads(file.metadata()["losses"])
        return losses, load_file(path)

    return read


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_learn_what_one_does(kind: str, starts: dict[str, Path], together: Any) -> None:
    before = ClinRaGenForConditionalGeneration.from_pretrained(starts[kind]).state_dict()
    for reference, runs, tolerance in COMPARED:
        losses, weights = train(starts[kind], reference, 1)
        steps = {name: value - before[name] for name, value in weights.items()}
        moved = {name for name, step in steps.items() if step.any()}
        assert {name.partition(".")[0] for name in moved} == {"language_model", "knowledge_attention"}
        assert max(step.abs().max() for step in steps.values()) > 20 * tolerance
        for run, rank in itertools.product(runs, range(PROCESSES)):
            their_losses, their_weights = together(kind, run, rank)
            assert their_losses == pytest.approx(losses, rel=tolerance)
            torch.testing.assert_close(their_weights, weights, rtol=0, atol=tolerance)


def test_the_last_batch_of_several_processes_is_filled_from_the_begin_of_the_epoch() -> None:
    sampler = EpochSeededLengthSampler([(row, 1) for row in range(21)], GLOBAL_BATCH, seed=0)
    batches = BatchSampler(sampler, GLOBAL_BATCH // PROCESSES, drop_last=False)
    first, second = (list(BatchSamplerShard(batches, PROCESSES, rank)) for rank in range(PROCESSES))
    order = list(sampler)
    steps = [one + other for one, other in zip(first, second, strict=True)]
    assert steps == [order[:8], order[8:16], order[16:] + order[:3]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", SAVED)
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_stopped_training_goes_on_with_as_many_processes_or_others(
    checkpoint: str, run: str, kind: str, starts: dict[str, Path], straight: Any, together: Any
) -> None:
    losses, weights = straight[kind, run]
    assert len(losses) == STEPS
    gone_on = [together(kind, f"{run}-{checkpoint}", PROCESSES - 1), go_on(starts[kind], run, 1, checkpoint)]
    for their_losses, their_weights in gone_on:
        assert their_losses == pytest.approx(losses, rel=1e-6)
        torch.testing.assert_close(their_weights, weights, rtol=0, atol=1e-6)


def test_the_settings_of_two_processes_are_refused_where_one_goes_on(starts: dict[str, Path], straight: Any) -> None:
    assert straight
    with pytest.raises(
        SettingsError, match=r"checkpoint-4: was trained with 8 examples a step, .* give 4: "
    ) as caught:
        go_on(starts["t5"], "saving", PROCESSES, "one-4")
    assert "per_device_train_batch_size × processes × gradient_accumulation_steps" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_divided_between_processes_learns_what_a_whole_one_does(
    kind: str, starts: dict[str, Path], together: Any
) -> None:
    losses, weights = train_in_parts(starts[kind], 1)
    assert losses[0] > losses[-1]
    for rank in range(PROCESSES):
        their_losses, their_weights = together(kind, "parts", rank)
        assert their_losses == pytest.approx(losses, rel=1e-5)
        torch.testing.assert_close(their_weights, weights, rtol=0, atol=1e-5)


if __name__ == "__main__":
    main(sys.argv[1:])

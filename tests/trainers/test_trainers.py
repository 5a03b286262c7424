"""Training: trained and frozen parts, accumulation, resuming, the order of phases."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_training import SETTINGS, SHAPE, TERMS, arguments, changed, fitting, snapshot

from clinragen.inference import Explainer
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.progress import Progress, no_report
from modeling_clinragen.errors import ClinRaGenError, SettingsError, StageError
from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration
from trainers.build_model import ModelConfig, build_model, normalisation
from trainers.checkpoints import last_whole_checkpoint
from trainers.data import PhaseExamples
from trainers.knowledge_choice import knowledge_token_ids
from trainers.lab_trainer import LabConfig, LabTrainer
from trainers.multimodal_trainer import MultimodalConfig, MultimodalTrainer
from trainers.muon import MuonWithAdamW, split_parameters
from trainers.note_trainer import NoteConfig, NoteTrainer
from trainers.phases import phase_named
from trainers.run_phase import NewModel, load_parent, train_phase


def test_each_phase_changes_its_parts_and_nothing_else(
    built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = built
    phases = [
        (NoteTrainer, NoteConfig, ("lora_",)),
        (LabTrainer, LabConfig, ("lab_encoder.", "knowledge_attention.")),
        (MultimodalTrainer, MultimodalConfig, ("lora_", "knowledge_attention.")),
    ]
    for trainer_class, config_class, parts in phases:
        before = snapshot(model)
        args = arguments(config_class, tmp_path)
        trainer = trainer_class(model, args, cohort["train"], **fitting(processor, cohort))
        trainer.train()
        moved = changed(model, before)
        assert moved
        assert all(any(part in name for part in parts) for name in moved), trainer_class.phase.name
        learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        # A bias on attention keys has no effect (softmax is invariant to it); everything else must have moved.
        assert {name for name in learning - moved if not name.endswith("k_proj.bias")} == set()
        assert model.config.phase == trainer_class.phase.name


def test_train_backbone_trains_the_whole_language_model_and_no_adapter(
    built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = built
    before = snapshot(model)
    args = arguments(NoteConfig, tmp_path, train_backbone=True, muon_learning_rate=1e-2)
    NoteTrainer(model, args, cohort["train"], **fitting(processor, cohort)).train()
    moved = changed(model, before)
    assert any("wi_0" in name for name in moved)
    assert any("shared" in name for name in moved)
    assert not any("lora_" in name or name.startswith(("lab_", "knowledge_")) for name in moved)


def test_phases_out_of_order_and_missing_rationales_are_refused(
    built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = built
    args = arguments(MultimodalConfig, tmp_path)
    with pytest.raises(StageError, match="'multimodal' starts from 'lab', but this checkpoint's last phase is 'None'"):
        MultimodalTrainer(model, args, cohort["train"], **fitting(processor, cohort))
    untaught = cohort["train"].map(lambda row: {**row, "rationale_note": ""})
    with pytest.raises(StageError, match=r"rationale_note.*clinragen rationales"):
        NoteTrainer(model, arguments(NoteConfig, tmp_path), untaught, **fitting(processor, cohort))
    with pytest.raises(SettingsError, match="processor"):
        NoteTrainer(model, arguments(NoteConfig, tmp_path), cohort["train"], vocabulary=cohort.vocabulary)


def test_an_example_whose_rationales_were_rejected_is_left_out(built: tuple[Any, Any], cohort: CohortSplits) -> None:
    taught = cohort["train"].add_column("index", range(len(cohort["train"])))
    taught = taught.map(lambda row: {**row, "rationale_lab": row["rationale_lab"] if row["index"] % 3 == 0 else ""})
    for phase, notes in (("note", list(taught["note"])), ("multimodal", list(taught["note"])[::3])):
        left = PhaseExamples(taught, phase_named(phase), built[1])
        assert [item["note"] for item in left.items] == notes


def test_one_batch_of_eight_learns_as_two_accumulated_halves(
    built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = built
    start = snapshot(model)
    losses = []
    for size, steps in ((8, 1), (4, 2)):
        model.load_state_dict(start)
        model.config.phase = None
        args = arguments(
            NoteConfig, tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=steps, seed=5
        )
        trainer = NoteTrainer(model, args, cohort["train"].select(range(8)), **fitting(processor, cohort))
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


PHASE_YAML = """
max_steps: 6
per_device_train_batch_size: 4
learning_rate: 1.0e-2
muon_learning_rate: 1.0e-2
train_backbone: true
eval_strategy: steps
eval_steps: 3
save_steps: 3
logging_steps: 1
"""


@pytest.mark.parametrize("order", ["random", "group_by_length"])
def test_a_resumed_run_ends_where_a_straight_one_does(order: str, cohort: CohortSplits, tmp_path: Path) -> None:
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    (tmp_path / "note.yaml").write_text(f"{PHASE_YAML}train_sampling_strategy: {order}\n")
    model_config = ModelConfig(scratch=tmp_path / "t5.json", **SETTINGS)

    class StopError(Exception):
        pass

    def stop_after_four(progress: Progress) -> None:
        assert (progress.total, progress.unit) == (6, "steps")
        # A step's loss is logged after it.
        assert progress.remark.startswith("loss ") == (progress.done > 1)
        if progress.done == 4:
            raise StopError

    def run(folder: Path, report: Any = no_report) -> dict[str, torch.Tensor]:
        start = NewModel(model_config, TERMS)
        train_phase("note", folder, cohort=cohort, start=start, config=tmp_path / "note.yaml", report=report)
        return ClinRaGenForConditionalGeneration.from_pretrained(folder).state_dict()

    straight = run(tmp_path / "straight")
    with pytest.raises(StopError):
        run(tmp_path / "broken", stop_after_four)
    assert last_whole_checkpoint(tmp_path / "broken" / "checkpoints").name == "checkpoint-3"  # type: ignore[union-attr]
    # A kill during writing leaves a folder without its last file, which must be ignored.
    torn = tmp_path / "broken" / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    resumed = run(tmp_path / "broken")
    assert not (tmp_path / "broken" / "checkpoints").exists()
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_a_phase_computes_on_as_many_threads_as_it_says(cohort: CohortSplits, tmp_path: Path) -> None:
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    (tmp_path / "note.yaml").write_text(f"{PHASE_YAML}cpu_threads: 2\n")
    start = NewModel(ModelConfig(scratch=tmp_path / "t5.json", **SETTINGS), TERMS)
    seen = set()
    torch.set_num_threads(1)
    train_phase(
        "note",
        tmp_path / "model",
        cohort=cohort,
        start=start,
        config=tmp_path / "note.yaml",
        report=lambda progress: seen.add(torch.get_num_threads()),
    )
    assert seen == {2}
    assert torch.get_num_threads() == 1


def test_muon_and_adamw_split_all_that_learns_and_restore(built: tuple[Any, Any]) -> None:
    model, _ = built
    model.set_trainable(backbone=True, adapter=False, lab_encoder=True, knowledge_attention=True)
    matrices, others = split_parameters(model)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in matrices + others} == {id(parameter) for parameter in learning}
    assert all(parameter.ndim == 2 for parameter in matrices)
    embedding = model.get_input_embeddings().weight
    assert all(parameter is not embedding for parameter in matrices)

    def optimizer() -> MuonWithAdamW:
        return MuonWithAdamW(matrices, others, matrix_lr=1e-2, lr=1e-3, weight_decay=0.01)

    torch.manual_seed(0)
    start = snapshot(model)
    gradients = [[torch.randn_like(parameter) for parameter in learning] for _ in range(4)]

    def steps(one: MuonWithAdamW, some: list[list[torch.Tensor]]) -> None:
        for given in some:
            for parameter, gradient in zip(learning, given, strict=True):
                parameter.grad = gradient.clone()
            one.step()

    whole = optimizer()
    steps(whole, gradients)
    expected = snapshot(model)
    model.load_state_dict(start)
    first = optimizer()
    steps(first, gradients[:2])
    second = optimizer()
    second.load_state_dict(first.state_dict())
    steps(second, gradients[2:])
    for name, value in expected.items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)


def orthogonalised(gradient: torch.Tensor) -> torch.Tensor:
    """Five of Muon's Newton-Schulz iterations, in double precision."""
    update = gradient.double() if gradient.shape[0] <= gradient.shape[1] else gradient.double().T
    update = update / update.norm()
    for _ in range(5):
        gram = update @ update.T
        update = 3.4445 * update + (-4.7750 * gram + 2.0315 * gram @ gram) @ update
    return update if update.shape == gradient.shape else update.T


def test_muon_computes_in_single_precision_on_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((24, 40), (40, 24)):
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = torch.randn(shape, generator=generator)
        gradient = weight.grad.clone()
        MuonWithAdamW([weight], [], matrix_lr=1.0, lr=0.0, weight_decay=0.0).step()
        update = orthogonalised(gradient)
        # The rate is fitted to AdamW's size of updates: 0.2 times the root of the longer side.
        expected = -0.2 * 40**0.5 * update
        # In bfloat16 it differs in the third digit.
        torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(weight.grad, gradient)


def test_attention_is_computed_as_the_phase_asks(built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path) -> None:
    losses = {}
    for attention in ("sdpa", "eager"):
        model = copy.deepcopy(built[0])
        args = arguments(MultimodalConfig, tmp_path, attn_implementation=attention, allow_skipped_phases=True)
        trainer = MultimodalTrainer(model=model, args=args, train_dataset=cohort["train"], **fitting(built[1], cohort))
        assert {
            model.language_model.config._attn_implementation,
            model.lab_encoder.patchtst.config._attn_implementation,
        } == {attention}
        losses[attention] = trainer.train().training_loss
    assert losses["sdpa"] == pytest.approx(losses["eager"], rel=1e-3)


def test_normalisation_and_knowledge_tokens(cohort: CohortSplits, built: tuple[Any, Any], tiny_tokenizer: Any) -> None:
    means, stds = normalisation(cohort)
    rates = [row[3] for values in cohort["train"]["lab_values"] for row in values if row[3] is not None]
    assert means[3] == pytest.approx(sum(rates) / len(rates), rel=1e-5)
    assert all(std > 0 for std in stds)
    ids = knowledge_token_ids(["chest pain", "chest pain", "fever"], tiny_tokenizer)
    assert len(ids) == len(set(ids)) > 0
    tokens = built[0].knowledge_token_ids.tolist()
    size = built[0].config.text_config.vocab_size
    with pytest.raises(SettingsError, match=f"1 of {len(tokens)} knowledge tokens are outside .* of {size}"):
        built[0].set_knowledge_tokens([*tokens[1:], size])


@pytest.mark.parametrize("weight", [1.0, 4.0])
@pytest.mark.parametrize("generating", [False, True])
def test_an_evaluation_in_between_has_a_loss(
    weight: float, generating: bool, built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    model, processor = built
    args = arguments(
        NoteConfig,
        tmp_path,
        max_steps=1,
        diagnosis_weight=weight,
        predict_with_generate=generating,
        eval_strategy="steps",
    )
    trainer = NoteTrainer(model, args, cohort["train"], cohort["train"], **fitting(processor, cohort))
    trainer.train()
    curve = trainer.write_curve(tmp_path / "curve.json")
    assert any("eval_loss" in entry for entry in curve)
    # The logged loss is the training objective.
    batch = trainer.data_collator.whole()(list(trainer.eval_dataset))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(model.eval()(**batch).loss.item(), rel=0.02)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"attn_implementation": "quick"}, "attn_implementation 'quick' cannot"),
        ({"label_smoothing_factor": 0.1}, "leave it at 0"),
        ({"fsdp": True}, "divide a model between several GPUs"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    setting: dict[str, Any], message: str, built: tuple[Any, Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    args = arguments(NoteConfig, tmp_path, **setting)
    with pytest.raises(SettingsError, match=message):
        NoteTrainer(built[0], args, cohort["train"], **fitting(built[1], cohort))


def without_lab_encoder(weights: Path) -> None:
    kept = {name: value for name, value in load_file(weights).items() if not name.startswith("lab_encoder.")}
    save_file(kept, weights, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_lab_encoder, r"lacks \d+ of the model's tensors, such as lab_encoder\."),
        (lambda weights: weights.write_bytes(b"half"), "missing or damaged|no model could be loaded"),
        (Path.unlink, "missing or damaged|no model could be loaded"),
    ],
)
@pytest.mark.parametrize("load", [load_parent, Explainer.from_pretrained])
def test_a_model_that_is_not_whole_is_refused(
    load: Callable[[Path], Any], damage: Callable[[Path], None], message: str, built: tuple[Any, Any], tmp_path: Path
) -> None:
    for part in built:
        part.save_pretrained(tmp_path)
    load(tmp_path)
    damage(tmp_path / "model.safetensors")
    with pytest.raises(ClinRaGenError, match=message):
        load(tmp_path)


def test_a_backbone_too_short_for_the_longest_example_is_refused(cohort: CohortSplits, tmp_path: Path) -> None:
    shape = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "max_position_embeddings": 150}
    (tmp_path / "opt.json").write_text(json.dumps({"model_type": "opt", "word_embed_proj_dim": 32, **shape}))
    settings = ModelConfig(scratch=tmp_path / "opt.json", lora_targets=["q_proj"], **SETTINGS)
    with pytest.raises(
        SettingsError, match=r"needs 180 positions \(.*\) but this opt has 150; lower max_source_tokens"
    ):
        build_model(settings, cohort, TERMS, 0)
    (tmp_path / "opt.json").write_text(json.dumps({"model_type": "octopus"}))
    with pytest.raises(SettingsError, match="model_type is 'octopus'"):
        build_model(settings, cohort, TERMS, 0)

"""Preference training of models with and without side inputs, encoder-decoder and decoder-only."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, TEXT_CONFIGS
from model_inputs import randomise
from peft import LoraConfig, get_peft_model
from tiny_examples import OPEN, tiny_splits
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, TrainerCallback

from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.errors import InputDataError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.checkpoints import last_whole_checkpoint
from trainers.preference_clinical import ClinicalPolicy, learn_to_write
from trainers.preference_config import PreferenceConfig, read_preference_config
from trainers.preference_policy import PlainPolicy, Target
from trainers.preference_rewards import Rewards
from trainers.preference_trainer import ClinRaGenPreferenceTrainer, RepeatedChunks

PROMPTS = [{"prompt": text} for text in ("Dyspnea.", "No chest pain. History of hypertension.", "fever", "cough for")]
BEHIND = (Target((), (50, 61, 7, 1)), Target((), (9, 8), finished=False), Target((20, 21), (5, 6, 7)))
SIDES = [("t5", "head"), ("t5", "decoder"), ("bart", "head"), ("qwen3", "head"), ("qwen3", "decoder")]


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return tiny_splits(vocabulary, 8)


@pytest.fixture
def make_plain(tiny_tokenizer: Any) -> Callable[..., Any]:
    """A tiny language model of transformers, nothing of ours."""

    def build(kind: str, seed: int = 0) -> Any:
        torch.manual_seed(seed)
        own = {"vocab_size": len(tiny_tokenizer), "pad_token_id": 0, "eos_token_id": 1}
        config = AutoConfig.for_model(**{**TEXT_CONFIGS[kind], **own})
        chosen = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        return chosen.from_config(config).eval()

    return build


@pytest.fixture
def make_clinical(
    make_model: Callable[..., Any], make_processor: Callable[..., Any], vocabulary: Vocabulary
) -> Callable[..., Any]:
    """The policy of a tiny model with side inputs, whose lab vectors and head say something."""

    def build(kind: str = "t5", list_from: str = "head", **settings: Any) -> ClinicalPolicy:
        model = make_model(kind, disease_head=True, list_from=list_from, **settings)
        randomise(model, "disease_head.")
        model.config.phase = "multimodal"
        processor = make_processor(instruction="", max_target_tokens=64)
        return ClinicalPolicy(model, processor, vocabulary=vocabulary, provenance=OPEN)

    return build


def arguments(folder: Path, **changes: Any) -> PreferenceConfig:
    settings: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "max_steps": 3,
        "per_device_train_batch_size": 2,
        "max_new_tokens": 6,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        **changes,
    }
    return PreferenceConfig(**settings)


def rows_of(cohort: CohortSplits, count: int = 3) -> list[dict[str, Any]]:
    return list(cohort["train"].select(range(count)))


def few_letters_e(texts: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[float]:
    return [-float(text.count("e")) for text in texts]


# --- how probable texts are


@pytest.mark.parametrize("kind", ["t5", "bart", "qwen3", "llama"])
def test_a_batch_gives_what_each_text_gives_alone_and_the_model_itself(
    kind: str, make_plain: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    policy = PlainPolicy(make_plain(kind), tiny_tokenizer)
    owners = [2, 0, 0]
    found, mask = policy.log_probabilities(PROMPTS, BEHIND, owners)
    for row, (target, owner) in enumerate(zip(BEHIND, owners, strict=True)):
        alone, own = policy.log_probabilities([PROMPTS[owner]], [target], [0])
        torch.testing.assert_close(found[row][mask[row] > 0], alone[own > 0], rtol=1e-4, atol=1e-5)
        assert int(mask[row].sum()) == len(target.written)
        assert found[row][mask[row] == 0].abs().sum() == 0
        # Written down a second time, with the whole logits of one forward pass.
        prompt = list(tiny_tokenizer(PROMPTS[owner]["prompt"])["input_ids"])
        whole = [*target.given, *target.written]
        if policy.model.config.is_encoder_decoder:
            start = policy.model.config.decoder_start_token_id
            logits = policy.model(
                input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[start, *whole[:-1]]])
            ).logits[0]
        else:
            logits = policy.model(input_ids=torch.tensor([[*prompt, *whole]])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1)[range(len(whole)), whole][len(target.given) :]
        torch.testing.assert_close(found[row][mask[row] > 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "list_from"), SIDES)
def test_with_side_inputs_too(
    kind: str, list_from: str, make_clinical: Callable[..., Any], cohort: CohortSplits
) -> None:
    policy, rows, owners = make_clinical(kind, list_from), rows_of(cohort), [2, 0, 0]
    found, mask = policy.log_probabilities(rows, BEHIND, owners)
    for row, (target, owner) in enumerate(zip(BEHIND, owners, strict=True)):
        alone, own = policy.log_probabilities([rows[owner]], [target], [0])
        torch.testing.assert_close(found[row][mask[row] > 0], alone[own > 0], rtol=1e-4, atol=1e-5)
        # The model's own loss of the same labels, where nothing is given.
        if not target.given:
            (note, series), *_ = policy._patients([rows[owner]])
            inputs = policy._processor(note, series, warn=False)
            loss = policy.model(**inputs, labels=torch.tensor([target.written])).loss
            assert -float(alone.sum()) / len(target.written) == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_what_was_measured_and_noted_decides_how_probable_a_text_is(
    kind: str, make_clinical: Callable[..., Any], cohort: CohortSplits
) -> None:
    policy, (row, other, _) = make_clinical(kind), rows_of(cohort)
    measured = {name: other[name] for name in ("lab_hours", "lab_values", "lab_observed")}
    variants = [row, {**row, **measured}, {**row, "note": other["note"]}]
    found, _ = policy.log_probabilities(variants, [BEHIND[0]] * 3, [0, 1, 2])
    assert (found[0] - found[1]).abs().max() > 1e-4
    assert (found[0] - found[2]).abs().max() > 1e-4
    # A model after the note phase is shown no measurements, so that these change nothing.
    policy.model.config.phase = "note"
    noted = ClinicalPolicy(policy.model, policy._processor, vocabulary=policy._vocabulary, provenance=OPEN)
    found, _ = noted.log_probabilities(variants, [BEHIND[0]] * 3, [0, 1, 2])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize(("kind", "list_from"), SIDES)
def test_a_sampled_text_goes_on_behind_the_heads_list(
    kind: str, list_from: str, make_clinical: Callable[..., Any], cohort: CohortSplits
) -> None:
    policy, rows = make_clinical(kind, list_from), rows_of(cohort)
    torch.manual_seed(0)
    groups = policy.sample(rows, 3, temperature=1.0, max_new_tokens=5)
    assert [len(group) for group in groups] == [3, 3, 3]
    (listed,) = {len({target.given for target in group}) for group in groups}
    assert listed == 1
    for row, group in zip(rows, groups, strict=True):
        modality = policy._processor.modality(*policy._patients([row])[0])
        (note, series), *_ = policy._patients([row])
        probabilities = policy.model.diagnose(**policy._processor(note, series, warn=False), modality=modality)
        (names,) = policy.model.listed(probabilities, modality)
        expected = policy._processor.list_ids(names) if list_from == "head" else []
        for target in group:
            assert list(target.given) == expected
            assert 1 <= len(target.written) <= 5
            assert target.finished == (target.written[-1] == 1)
            again = policy.read(row, policy.text(target), target.given)
            assert again is None or policy.text(again) == policy.text(target)
    greedy = policy.sample(rows, 1, temperature=None, max_new_tokens=5)
    alone = [policy.sample([row], 1, temperature=None, max_new_tokens=5)[0] for row in rows]
    assert greedy == alone


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_what_a_models_generation_config_changes_is_not_sampled(
    kind: str, make_plain: Callable[..., Any], tiny_tokenizer: Any
) -> None:
    """Texts are drawn from the distribution that `log_probabilities` is of; only the tokenizer's own end ends them."""
    changes = {
        "repetition_penalty": 5.0,
        "no_repeat_ngram_size": 1,
        "min_new_tokens": 4,
        "min_p": 0.9,
        "typical_p": 0.2,
        "top_k": 2,
        "eos_token_id": [1, *range(20, 60)],
    }
    found = []
    for given in ({}, changes):
        policy = PlainPolicy(make_plain(kind), tiny_tokenizer)
        policy.model.generation_config.update(**given)
        torch.manual_seed(0)
        found.append(policy.sample(PROMPTS, 4, temperature=1.0, max_new_tokens=6))
    assert found[0] == found[1]
    assert all(target.finished == (1 in target.written) for group in found[1] for target in group)


# --- what is learned


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
@pytest.mark.parametrize("loss", ["dpo", "grpo"])
def test_a_model_learns_to_avoid_a_letter(
    kind: str, loss: str, make_plain: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    args = arguments(
        tmp_path,
        loss=loss,
        beta=0.1 if loss == "dpo" else 0.0,
        learning_rate=3e-2,
        lr_scheduler_type="constant",
        max_steps=16,
        group_size=8,
        per_device_train_batch_size=4,
    )
    trainer = ClinRaGenPreferenceTrainer(
        make_plain(kind), args, PROMPTS * 6, processing_class=tiny_tokenizer, reward_functions=[few_letters_e]
    )
    before = reward(trainer)
    trainer.train()
    assert reward(trainer) > before / 2
    assert before < -0.3


def reward(trainer: ClinRaGenPreferenceTrainer) -> float:
    torch.manual_seed(1)
    groups = trainer.policy.sample(PROMPTS * 4, 8, temperature=1.0, max_new_tokens=6)
    texts = [trainer.policy.text(target) for group in groups for target in group]
    return sum(few_letters_e(texts, [])) / len(texts)


@pytest.mark.parametrize(("kind", "list_from"), SIDES)
@pytest.mark.parametrize("loss", ["dpo", "grpo"])
def test_models_with_side_inputs_learn_to_write_and_nothing_else(
    kind: str, list_from: str, loss: str, make_clinical: Callable[..., Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    policy = make_clinical(kind, list_from)
    learning = set(learn_to_write(policy.model))
    assert learning
    assert all("lora_" in name and ("decoder" in name or kind == "qwen3") for name in learning)
    before = {name: value.detach().clone() for name, value in policy.model.state_dict().items()}
    args = arguments(tmp_path, loss=loss, length_tolerance=1.0, beta=0.1, max_steps=2)
    trainer = ClinRaGenPreferenceTrainer(
        policy.model,
        args,
        rows_of(cohort, 4),
        rows_of(cohort, 2),
        policy._processor,
        reward_functions=[few_letters_e],
        policy=policy,
    )
    trainer.train()
    moved = {name for name, value in policy.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved <= learning
    assert moved
    found = trainer.evaluate()
    assert found["eval_length"] <= 6
    assert {"eval_few_letters_e", "eval_finished"} <= found.keys()


@pytest.mark.parametrize("kind", ["t5", "qwen3"])
def test_of_a_model_with_adapters_of_peft_these_alone_learn(
    kind: str, make_plain: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    targets = ["q", "v"] if kind == "t5" else ["q_proj", "v_proj"]
    model = get_peft_model(make_plain(kind), LoraConfig(r=2, target_modules=targets, lora_dropout=0.1))
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    ClinRaGenPreferenceTrainer(
        model,
        arguments(tmp_path, loss="grpo", beta=0.1, max_steps=2),
        PROMPTS,
        processing_class=tiny_tokenizer,
        reward_functions=[few_letters_e],
    ).train()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)


def test_the_head_of_an_encoder_decoder_says_the_same_afterwards(
    make_clinical: Callable[..., Any], cohort: CohortSplits, tmp_path: Path
) -> None:
    policy, rows = make_clinical("t5"), rows_of(cohort)
    learning = learn_to_write(policy.model, whole=True)
    assert any("EncDecAttention" in name for name in learning)
    assert not any("encoder." in name or "shared" in name or "disease_head" in name for name in learning)
    before = [group[0].given for group in policy.sample(rows, 1, temperature=None, max_new_tokens=1)]
    trainer = ClinRaGenPreferenceTrainer(
        policy.model,
        arguments(tmp_path, loss="grpo", beta=0.0),
        rows,
        processing_class=policy._processor,
        reward_functions=[few_letters_e],
        policy=policy,
    )
    trainer.train()
    after = [group[0].given for group in policy.sample(rows, 1, temperature=None, max_new_tokens=1)]
    assert before == after


def test_the_reference_is_the_model_as_it_was(
    make_plain: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, same = make_plain("t5"), make_plain("t5")
    rows = [{**PROMPTS[0], "chosen": "fever", "rejected": "cough"}, {**PROMPTS[1], "chosen": "x", "rejected": "yy"}]
    losses = []
    for reference in (None, PlainPolicy(same, tiny_tokenizer)):
        model.load_state_dict(same.state_dict())
        trainer = ClinRaGenPreferenceTrainer(
            model, arguments(tmp_path, beta=0.5), rows, processing_class=tiny_tokenizer, reference=reference
        )
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        margins = [entry["rewards/margins"] for entry in trainer.state.log_history if "rewards/margins" in entry]
    assert losses[0] == pytest.approx(losses[1])
    assert losses[0][0] == pytest.approx(0.693147, rel=1e-4)
    assert margins[-1] > margins[0] == pytest.approx(0, abs=1e-4)


def test_several_steps_learn_from_the_same_texts(
    make_plain: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    asked: list[int] = []

    def counting(texts: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[float]:
        asked.append(len(texts))
        return few_letters_e(texts, examples)

    for iterations, expected in ((1, 6), (3, 2)):
        asked.clear()
        args = arguments(
            tmp_path, loss="grpo", beta=0.0, max_steps=6, iterations=iterations, per_device_train_batch_size=4
        )
        ClinRaGenPreferenceTrainer(
            make_plain("t5"), args, PROMPTS, processing_class=tiny_tokenizer, reward_functions=[counting]
        ).train()
        assert asked == [16] * expected


def test_each_epoch_has_an_order_of_its_own_and_chunks_come_in_a_row() -> None:
    sampler = RepeatedChunks(7, 3, 2, seed=1)
    first = list(sampler)
    assert len(first) == len(sampler) == 12
    assert first[0:3] == first[3:6]
    assert first[6:9] == first[9:12]
    assert len(set(first)) == 6
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert sorted(RepeatedChunks(2, 8, 1, seed=0)) == [0, 1]


@pytest.mark.parametrize("loss", ["dpo", "grpo"])
def test_a_resumed_training_ends_where_a_straight_one_does(
    loss: str, make_plain: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    rows = [{**PROMPTS[n % 4], "chosen": f"fever {n}", "rejected": f"cough {n}"} for n in range(8)]

    def made(folder: str) -> ClinRaGenPreferenceTrainer:
        args = arguments(tmp_path / folder, loss=loss, save_strategy="steps", save_steps=2, max_steps=4)
        return ClinRaGenPreferenceTrainer(
            make_plain("t5"), args, rows, processing_class=tiny_tokenizer, reward_functions=[few_letters_e]
        )

    straight = made("straight")
    straight.train()
    broken = made("broken")
    broken.args.max_steps = 4
    broken.add_callback(_StopAfter(2))
    broken.train()
    last = last_whole_checkpoint(Path(broken.args.output_dir))
    assert last is not None
    assert last.name == "checkpoint-2"
    resumed = made("broken")
    resumed.train(resume_from_checkpoint=str(last))
    for name, value in straight.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)


class _StopAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step >= self.step


def test_the_curve_shows_rewards_measures_and_length(
    make_plain: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    args = arguments(tmp_path, loss="grpo", beta=0.1, eval_strategy="steps", eval_steps=1, max_steps=2)
    trainer = ClinRaGenPreferenceTrainer(
        make_plain("t5"),
        args,
        PROMPTS,
        PROMPTS[:2],
        processing_class=tiny_tokenizer,
        reward_functions=[few_letters_e],
        measures=[_words],
    )
    trainer.train()
    written = trainer.write_curve(tmp_path / "curve.json")
    assert json.loads((tmp_path / "curve.json").read_text()) == written
    shown = [entry for entry in written if "eval_few_letters_e" in entry]
    assert [entry["step"] for entry in shown] == [1, 2]
    assert shown[0].keys() == {"step", "eval_few_letters_e", "eval__words", "eval_length", "eval_finished"}
    learned = [entry for entry in written if "loss" in entry]
    assert {"reward/few_letters_e", "length", "groups_without_signal", "clipped", "kl"} <= learned[0].keys()
    # On the first step policy and reference are one model.
    assert learned[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert learned[1]["kl"] > 0


def _words(texts: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[float]:
    return [float(len(text.split())) for text in texts]


# --- what is refused


def test_what_cannot_work_is_refused(
    make_plain: Callable[..., Any], make_clinical: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = make_plain("t5")
    given: dict[str, Any] = {"processing_class": tiny_tokenizer}
    with pytest.raises(SettingsError, match="nothing to prefer by"):
        ClinRaGenPreferenceTrainer(model, arguments(tmp_path), PROMPTS, **given)
    with pytest.raises(SettingsError, match="GRPO learns from what the model itself would write"):
        arguments(tmp_path, loss="grpo", temperature=0.7)
    with pytest.raises(SettingsError, match="loss: expected one of dpo, grpo, got 'ppo'"):
        arguments(tmp_path, loss="ppo")
    with pytest.raises(SettingsError, match="'honesty' is not among the rewards few_letters_e"):
        ClinRaGenPreferenceTrainer(
            model,
            arguments(tmp_path, reward_weights={"honesty": 1.0}),
            PROMPTS,
            reward_functions=[few_letters_e],
            **given,
        )
    with pytest.raises(SettingsError, match="gave 1 numbers for 2 texts"):
        Rewards([lambda texts, examples: [0.0]])(["a", "b"], PROMPTS[:2])
    with pytest.raises(SettingsError, match="policy=ClinicalPolicy"):
        ClinRaGenPreferenceTrainer(make_clinical().model, arguments(tmp_path), PROMPTS, **given)
    with pytest.raises(InputDataError, match="no text 'prompt'"):
        ClinRaGenPreferenceTrainer(
            model, arguments(tmp_path), [{"text": "x"}], reward_functions=[few_letters_e], **given
        ).train()

    rows = [{"prompt": "x", "chosen": "y", "rejected": "z"}, {"prompt": "x", "chosen": "y"}]
    with pytest.raises(InputDataError, match="example 1 has no text 'rejected'; give all examples"):
        ClinRaGenPreferenceTrainer(model, arguments(tmp_path), rows, **given)
    with pytest.raises(InputDataError, match="train_dataset has no examples"):
        ClinRaGenPreferenceTrainer(model, arguments(tmp_path), [], reward_functions=[few_letters_e], **given).train()

    def same(texts: Sequence[str], examples: Sequence[Mapping[str, Any]]) -> list[float]:
        return [1.0] * len(texts)

    with pytest.raises(InputDataError, match="no pair could be made of the texts of 4 prompts"):
        ClinRaGenPreferenceTrainer(model, arguments(tmp_path), PROMPTS, reward_functions=[same], **given).train()


def test_a_file_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "prefer.yaml"
    file.write_text("loss: grpo\nlearning_rate: 1.0e-4\nreward_weights: {evidence_recall: 0.5}\n")
    found = read_preference_config(file, PreferenceConfig, output_dir=str(tmp_path), use_cpu=True)
    assert (found.loss, found.learning_rate, found.reward_weights) == ("grpo", 1e-4, {"evidence_recall": 0.5})
    for content, message in (
        ("lost: dpo\n", "unknown setting 'lost'"),
        ("beta: strong\n", "beta: expected a number"),
        ("push_to_hub: true\n", "push_to_hub: leave it out"),
        ("activation_checkpointing: true\n", "activation_checkpointing: needs"),
        ("gradient_checkpointing: true\n", "activation_checkpointing: needs"),
    ):
        file.write_text(content)
        with pytest.raises(SettingsError, match=message):
            read_preference_config(file, PreferenceConfig, output_dir=str(tmp_path), use_cpu=True)


@pytest.fixture(scope="module")
def example() -> Any:
    """The script examples/preference_seq2seq.py."""
    spec = importlib.util.spec_from_file_location("preference_seq2seq", ROOT / "examples" / "preference_seq2seq.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("loss", ["dpo", "grpo"])
def test_the_example_learns_to_write_no_digit(loss: str, example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    example.main([loss])
    before, after = _rewards_of(capsys)
    assert after > before + 0.1


@pytest.mark.parametrize(("kind", "loss"), [("t5", "grpo"), ("qwen3", "dpo")])
def test_the_example_takes_a_folder_of_either_kind(
    kind: str, loss: str, example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = example.tiny()[1]
    config = AutoConfig.for_model(**{**TEXT_CONFIGS[kind], "vocab_size": len(tokenizer), "eos_token_id": 1})
    chosen = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    for one in (chosen.from_config(config), tokenizer):
        one.save_pretrained(tmp_path)
    example.main([str(tmp_path), loss])
    assert min(_rewards_of(capsys)) > 0


def _rewards_of(capsys: pytest.CaptureFixture[str]) -> list[float]:
    """What the example says of texts before and after."""
    line = capsys.readouterr().out.splitlines()[-1]
    return [float(number) for number in re.findall(r"[0-9.]+", line)]

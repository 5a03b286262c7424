"""The losses of preference training on numbers, and against TRL's own on a decoder-only model without side inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXT_CONFIGS
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM

from trainers.preference_config import PreferenceConfig
from trainers.preference_loss import dpo_losses, group_advantages, masked_mean, policy_losses, sequence_scores
from trainers.preference_policy import PlainPolicy, Target
from trainers.preference_sampling import Pair
from trainers.preference_steps import PairSteps, Reference

TRIPLES = [
    {"prompt": "Chief complaint: dyspnea.", "chosen": " Heart rate is high.", "rejected": " temperature is normal"},
    {"prompt": "No chest pain.", "chosen": " diabetes", "rejected": ' "productive cough" supports Shock.'},
    {"prompt": "History of hypertension and diabetes.", "chosen": " No fever, no cough.", "rejected": " Shock"},
]
SETTINGS: dict[str, Any] = {"use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "report_to": "none"}


@pytest.fixture
def make_causal(tiny_tokenizer: Any) -> Callable[..., Any]:
    """A tiny decoder-only model of transformers, nothing of ours."""

    def build(kind: str = "qwen3", seed: int = 0) -> Any:
        torch.manual_seed(seed)
        config = {**TEXT_CONFIGS[kind], "vocab_size": len(tiny_tokenizer), "pad_token_id": 0, "eos_token_id": 1}
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).eval()

    return build


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
@pytest.mark.parametrize("form", ["sigmoid", "sigmoid_norm"])
def test_the_loss_of_pairs_is_trls(
    kind: str, form: str, make_causal: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    from trl import DPOConfig, DPOTrainer

    model, reference = make_causal(kind, 1), make_causal(kind, 2)
    config = DPOConfig(
        output_dir=str(tmp_path), loss_type=[form], beta=0.3, per_device_train_batch_size=3, bf16=False, **SETTINGS
    )
    theirs = DPOTrainer(
        copy.deepcopy(model),
        copy.deepcopy(reference),
        args=config,
        train_dataset=Dataset.from_list(TRIPLES),
        processing_class=copy.deepcopy(tiny_tokenizer),
    )
    batch = next(iter(theirs.get_train_dataloader()))
    expected = float(theirs.compute_loss(theirs.model, batch).detach())

    # The same tokens, as TRL made them of the texts.
    rows = [_tokens(batch, row) for row in range(6)]
    pairs = [
        Pair(
            {"prompt": tiny_tokenizer.decode(chosen[0])}, Target((), tuple(chosen[1])), Target((), tuple(rejected[1]))
        )
        for chosen, rejected in zip(rows[:3], rows[3:], strict=True)
    ]
    policy = PlainPolicy(model, tiny_tokenizer)
    assert [policy._prompts([pair.example])[0] for pair in pairs] == [row[0] for row in rows[:3]]
    own = PreferenceConfig(output_dir=str(tmp_path), beta=0.3, length_normalised=form == "sigmoid_norm", **SETTINGS)
    steps = PairSteps(policy, Reference(policy, PlainPolicy(reference, tiny_tokenizer)), own)
    steps.ask_reference(pairs, torch.no_grad)
    loss, notes = steps.loss(pairs)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert abs(expected - 0.6931) > 1e-3, "policy and reference differ, so this is more than log 2"
    assert 0 <= notes["accuracy"] <= 1


def _tokens(batch: Any, row: int) -> tuple[list[int], list[int]]:
    """Prompt and completion of a row of TRL's batch."""
    ids, completion = batch["input_ids"][row], batch["completion_mask"][row].bool()
    prompt = batch["attention_mask"][row].bool() & ~completion
    return ids[prompt].tolist(), ids[completion].tolist()


def test_advantages_and_policy_loss_are_trls(
    make_causal: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    from trl import GRPOConfig, GRPOTrainer

    def letters(completions: list[str], **others: Any) -> list[float]:
        return [float(len(text)) for text in completions]

    # Older versions of TRL weight the divergence in another way.
    corrected = {"use_bias_correction_kl": True}
    corrected = corrected if corrected.keys() <= GRPOConfig.__dataclass_fields__.keys() else {}
    beta = 0.05 if corrected else 0.0
    config = GRPOConfig(
        output_dir=str(tmp_path),
        num_generations=4,
        per_device_train_batch_size=8,
        generation_batch_size=8,
        max_completion_length=6,
        beta=beta,
        loss_type="bnpo",
        bf16=False,
        **corrected,
        **SETTINGS,
    )
    # TRL loads the reference from where the model came from.
    make_causal().save_pretrained(tmp_path / "model")
    theirs = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        letters,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": one["prompt"]} for one in TRIPLES]),
        processing_class=copy.deepcopy(tiny_tokenizer),
    )
    prompts = [{"prompt": TRIPLES[0]["prompt"]}] * 4 + [{"prompt": TRIPLES[1]["prompt"]}] * 4
    made = theirs._generate_and_score_completions(prompts)
    texts = tiny_tokenizer.batch_decode(made["completion_ids"], skip_special_tokens=True)
    rewards = torch.tensor(letters(texts))[:, None]
    advantages = group_advantages(rewards, torch.ones(1), 4)
    torch.testing.assert_close(advantages, made["advantages"], rtol=1e-5, atol=1e-6)
    assert float(advantages.abs().max()) > 0.1

    # The policy has moved since it sampled, further than the clip; so has the reference, the other way.
    generator = torch.Generator().manual_seed(0)
    mask = made["completion_mask"]
    now, _, _ = theirs._get_per_token_logps_and_entropies(
        theirs.model,
        torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1),
        torch.cat([made["prompt_mask"], mask], dim=1),
        mask.shape[1],
    )
    sampled = now.detach() + 0.4 * torch.randn(mask.shape, generator=generator)
    reference = now.detach() + 0.4 * torch.randn(mask.shape, generator=generator)
    theirs.current_gradient_accumulation_steps = 1
    expected = theirs._compute_loss(
        theirs.model, {**made, "old_per_token_logps": sampled, "ref_per_token_logps": reference}
    )
    losses = policy_losses(now, sampled, reference, advantages, clip=0.2, beta=beta)
    torch.testing.assert_close(masked_mean(losses, mask), expected)


def test_each_reward_counts_by_its_order_within_the_group_alone() -> None:
    small = torch.tensor([0.0, 0.01, 0.0, 0.01, 1.0, 1.0, 1.0, 1.0])
    large = torch.tensor([5.0, 5.0, -300.0, 700.0, 2.0, 4.0, 4.0, 2.0])
    both = group_advantages(torch.stack((small, large)).T, torch.tensor([1.0, 0.5]), 4)
    alone = [group_advantages(one[:, None], torch.ones(1), 4) for one in (small, large)]
    torch.testing.assert_close(both, alone[0] + 0.5 * alone[1])
    # Of the second group the small reward says nothing.
    assert alone[0][4:].tolist() == [0, 0, 0, 0]
    assert both[4:].tolist() == pytest.approx((0.5 * alone[1][4:]).tolist())
    for one in alone:
        torch.testing.assert_close(one.view(2, 4).sum(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
    assert group_advantages(torch.full((4, 2), 3.0), torch.ones(2), 4).tolist() == [0, 0, 0, 0]
    # Scale and offset of a reward change nothing (but for what is added to the deviation).
    torch.testing.assert_close(
        group_advantages(7 * large[:, None] - 3, torch.ones(1), 4), alone[1], rtol=1e-3, atol=1e-3
    )


def test_the_loss_of_pairs_by_hand() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, -5.0], [-0.5, -0.5, -0.5]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert sequence_scores(log_probs, mask).tolist() == [-3.0, -1.5]
    assert sequence_scores(log_probs, mask, normalised=True).tolist() == [-1.5, -0.5]
    one = torch.tensor([-3.0])
    assert float(dpo_losses(one, one, one, one, 0.1)) == pytest.approx(0.693147)
    assert float(dpo_losses(one + 10, one, one, one, 1.0)) == pytest.approx(4.54e-5, rel=1e-2)
    assert float(dpo_losses(one, one + 10, one, one, 1.0)) == pytest.approx(10.0, rel=1e-3)


def test_a_policy_that_has_not_moved_pays_nothing_and_one_beyond_the_clip_gains_nothing() -> None:
    log_probs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    still = policy_losses(log_probs, log_probs.detach(), log_probs.detach(), torch.tensor([0.0]), clip=0.2, beta=1.0)
    assert still.tolist() == [[0.0, 0.0]]
    for gain, moved in ((1.0, 0.5), (-1.0, -0.5)):
        log_probs.grad = None
        losses = policy_losses(log_probs, log_probs.detach() - moved, None, torch.tensor([gain]), clip=0.2, beta=0.0)
        losses.sum().backward()
        assert log_probs.grad.abs().max() == 0

"""The losses of preference training on numbers, and against TRL's own on a decoder-only model without side inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXT_CONFIGS
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from trainers.preference_config import PreferenceConfig
from trainers.preference_loss import dpo_losses, group_advantages, policy_losses
from trainers.preference_policy import PlainPolicy, Target
from trainers.preference_rewards import Rewards
from trainers.preference_sampling import Pair
from trainers.preference_steps import GroupSteps, PairSteps, Reference, Rollout
from trainers.preference_trainer import ClinRaGenPreferenceTrainer

TRIPLES = [
    {"prompt": "Chief complaint: dyspnea.", "chosen": " Heart rate is high.", "rejected": " temperature is normal"},
    {"prompt": "No chest pain.", "chosen": ' "productive cough" supports Shock.', "rejected": " diabetes"},
    {"prompt": "History of hypertension and diabetes.", "chosen": " No fever, no cough.", "rejected": " Shock"},
]
EIGHT = [{"prompt": TRIPLES[0]["prompt"]}] * 4 + [{"prompt": TRIPLES[1]["prompt"]}] * 4
"""Two prompts, each as often as texts are sampled for it."""
OF_PAIRS = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")
"""What both log of pairs."""
SETTINGS: dict[str, Any] = {"use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "report_to": "none"}


@pytest.fixture
def make_causal(tiny_tokenizer: Any) -> Callable[..., Any]:
    """A tiny decoder-only model of transformers, nothing of ours."""

    def build(kind: str = "qwen3", seed: int = 0) -> Any:
        torch.manual_seed(seed)
        config = {**TEXT_CONFIGS[kind], "vocab_size": len(tiny_tokenizer), "pad_token_id": 0, "eos_token_id": 1}
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).eval()

    return build


@pytest.fixture
def make_grpo(make_causal: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> Callable[..., GRPOTrainer]:
    """TRL's trainer of a tiny model with these reward functions, which samples four texts for a prompt."""

    def build(*rewards: Callable[..., list[float]], **settings: Any) -> GRPOTrainer:
        config = GRPOConfig(
            output_dir=str(tmp_path),
            num_generations=4,
            per_device_train_batch_size=8,
            generation_batch_size=8,
            max_completion_length=6,
            multi_objective_aggregation="normalize_then_sum",
            bf16=False,
            **settings,
            **SETTINGS,
        )
        # TRL loads the reference from where the model came from.
        make_causal().save_pretrained(tmp_path / "model")
        return GRPOTrainer(
            AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
            list(rewards),
            args=config,
            train_dataset=Dataset.from_list([{"prompt": one["prompt"]} for one in TRIPLES]),
            processing_class=copy.deepcopy(tiny_tokenizer),
        )

    return build


@pytest.fixture
def make_dpo(tiny_tokenizer: Any, tmp_path: Path) -> Callable[..., DPOTrainer]:
    """TRL's trainer of copies of a model and a reference, with all three pairs in a batch."""

    def build(model: Any, reference: Any, **settings: Any) -> DPOTrainer:
        config = DPOConfig(
            output_dir=str(tmp_path), beta=0.3, per_device_train_batch_size=3, bf16=False, **settings, **SETTINGS
        )
        return DPOTrainer(
            copy.deepcopy(model),
            copy.deepcopy(reference),
            args=config,
            train_dataset=Dataset.from_list(TRIPLES),
            processing_class=copy.deepcopy(tiny_tokenizer),
        )

    return build


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
@pytest.mark.parametrize("form", ["sigmoid", "sigmoid_norm"])
def test_losses_and_rewards_of_pairs_are_trls(
    kind: str,
    form: str,
    make_causal: Callable[..., Any],
    make_dpo: Callable[..., Any],
    tiny_tokenizer: Any,
    tmp_path: Path,
) -> None:
    model, reference = make_causal(kind, 1), make_causal(kind, 2)
    theirs = make_dpo(model, reference, loss_type=[form])
    batch = next(iter(theirs.get_train_dataloader()))
    # All pairs together, and each alone.
    parts = [[0, 1, 2], [0], [1], [2]]
    expected = [_of_trl(theirs, batch, part) for part in parts]

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
    for part, known in zip(parts, expected, strict=True):
        loss, notes = steps.loss([pairs[place] for place in part])
        found = {"loss": float(loss.detach()), **{name: notes[name] for name in OF_PAIRS}}
        assert found == pytest.approx(known, rel=1e-4, abs=1e-6)
        assert abs(found["loss"] - math.log(2)) > 1e-4, "policy and reference differ"
    assert {one["rewards/accuracies"] for one in expected[1:]} == {0.0, 1.0}, "some pairs are as it has them, some not"


def _of_trl(trainer: Any, batch: Any, pairs: list[int]) -> dict[str, float]:
    """What TRL says of some of the three pairs of its batch, which has the chosen texts first; dropout is off."""
    trainer._metrics["eval"].clear()
    rows = [*pairs, *(3 + pair for pair in pairs)]
    loss = float(trainer.compute_loss(trainer.model, {name: part[rows] for name, part in batch.items()}).detach())
    return {"loss": loss, **{name: trainer._metrics["eval"][name][0] for name in OF_PAIRS}}


def test_a_training_by_pairs_is_trls(
    make_causal: Callable[..., Any], make_dpo: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """From the same texts, both make the same steps and log the same of them."""
    model, reference = make_causal(seed=1), make_causal(seed=2)
    settings: dict[str, Any] = {"max_steps": 5, "learning_rate": 3e-3, "logging_steps": 1}
    theirs = make_dpo(model, reference, **settings)
    ours = ClinRaGenPreferenceTrainer(
        model,
        PreferenceConfig(output_dir=str(tmp_path), beta=0.3, **settings, **SETTINGS),
        TRIPLES,
        processing_class=tiny_tokenizer,
        reference=PlainPolicy(reference, tiny_tokenizer),
    )
    curves = []
    for trainer in (theirs, ours):
        trainer.train()
        logged = [entry for entry in trainer.state.log_history if "loss" in entry]
        curves.append([[entry[name] for name in ("loss", "grad_norm", *OF_PAIRS)] for entry in logged])
    assert len(curves[0]) == 5
    for known, found in zip(*curves, strict=True):
        assert found == pytest.approx(known, rel=1e-3, abs=1e-4)
    first, last = curves[0][0], curves[0][-1]
    assert last[0] < first[0] - 0.1, "the steps taught something"


def _tokens(batch: Any, row: int) -> tuple[list[int], list[int]]:
    """Prompt and completion of a row of TRL's batch."""
    ids, completion = batch["input_ids"][row], batch["completion_mask"][row].bool()
    prompt = batch["attention_mask"][row].bool() & ~completion
    return ids[prompt].tolist(), ids[completion].tolist()


def test_advantages_and_policy_loss_are_trls(
    make_grpo: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    def length(completions: list[str], **others: Any) -> list[float]:
        return [float(len(text)) for text in completions]

    def words(completions: list[str], **others: Any) -> list[float]:
        return [float(len(text.split())) for text in completions]

    # Older versions of TRL weight the divergence in another way.
    corrected = {"use_bias_correction_kl": True}
    corrected = corrected if corrected.keys() <= GRPOConfig.__dataclass_fields__.keys() else {}
    beta = 0.05 if corrected else 0.0
    weights = [1.0, 0.3]
    theirs = make_grpo(length, words, beta=beta, reward_weights=weights, loss_type="bnpo", **corrected)
    made = theirs._generate_and_score_completions(EIGHT)
    texts = tiny_tokenizer.batch_decode(made["completion_ids"], skip_special_tokens=True)
    rewards = torch.tensor([length(texts), words(texts)]).T
    advantages = group_advantages(rewards, torch.tensor(weights), 4)
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
    policy = PlainPolicy(theirs.model, tiny_tokenizer)
    targets = [
        Target((), tuple(ids[counted.bool()].tolist()))
        for ids, counted in zip(made["completion_ids"], mask, strict=True)
    ]
    own = PreferenceConfig(output_dir=str(tmp_path), loss="grpo", beta=beta, **SETTINGS)
    steps = GroupSteps(policy, None, Rewards([]), own)
    loss, notes = steps.loss(Rollout(EIGHT, targets, range(8), advantages, sampled, reference if beta else None))
    torch.testing.assert_close(loss, expected)
    noted = theirs._metrics["train" if theirs.model.training else "eval"]
    assert notes["clipped"] == pytest.approx(noted["clip_ratio/region_mean"][-1])
    assert 0.1 < notes["clipped"] < 0.9
    if beta:
        assert notes["kl"] == pytest.approx(noted["kl"][-1], rel=1e-4)


BINARY = [0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0]
WIDE = [5.0, 5.0, -300.0, 700.0, 2.0, 4.0, 4.0, 2.0]
NARROW = [0.1, 0.1, 0.10005, 0.1, 0.7, 0.7, 0.7, 0.7]
FIRST_SILENT = [0.3] * 4 + [0.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("columns", "weights"),
    [
        ([BINARY], [1.0]),
        ([BINARY], [7.0]),
        ([BINARY, WIDE], [1.0, 1.0]),
        ([BINARY, WIDE, NARROW], [1.0, 0.5, 2.0]),
        ([BINARY, FIRST_SILENT], [0.2, 3.0]),
        ([BINARY, WIDE], [1.0, 0.0]),
        ([FIRST_SILENT, FIRST_SILENT], [1.0, 0.5]),
        ([[0.3] * 8, [1.0] * 8], [1.0, 1.0]),
    ],
    ids=["one", "heavy", "two", "three", "a silent reward", "no weight", "a silent group", "all silent"],
)
def test_several_rewards_are_brought_together_as_trl_does(
    columns: list[list[float]], weights: list[float], make_grpo: Callable[..., Any]
) -> None:
    rewards = [_given(column, place) for place, column in enumerate(columns)]
    made = make_grpo(*rewards, beta=0.0, reward_weights=weights)._generate_and_score_completions(EIGHT)
    found = group_advantages(torch.tensor(columns).T, torch.tensor(weights), 4)
    # TRL divides the rounding errors of groups in which a reward is the same for all; ours are 0.
    torch.testing.assert_close(found, made["advantages"], rtol=1e-4, atol=1e-3)
    for group in (slice(0, 4), slice(4, 8)):
        heard = any(len(set(column[group])) > 1 and weight for column, weight in zip(columns, weights, strict=True))
        assert bool(found[group].abs().max() > 0.1) == heard
        assert bool((found[group] == 0).all()) != heard


def _given(values: list[float], place: int) -> Callable[..., list[float]]:
    """A reward function of TRL's kind that gives these numbers, whatever was written."""

    def given(completions: list[str], **others: Any) -> list[float]:
        assert len(completions) == len(values)
        return values

    given.__name__ = f"given_{place}"
    return given


def test_each_reward_counts_by_its_order_within_the_group_alone() -> None:
    small = torch.tensor([0.0, 0.01, 0.0, 0.01, 1.0, 1.0, 1.0, 1.0])
    large = torch.tensor(WIDE)
    weights = torch.tensor([1.0, 0.5])
    both = group_advantages(torch.stack((small, large)).T, weights, 4)
    alone = [group_advantages(one[:, None], torch.ones(1), 4) for one in (small, large)]
    # The groups of a reward weigh the same, whatever its spread in them, and each group is about 0.
    for one in (both, *alone):
        torch.testing.assert_close(one.view(2, 4).sum(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
        assert float(one.std()) == pytest.approx(1, rel=1e-3)
    assert float(alone[1][:4].square().sum()) == pytest.approx(float(alone[1][4:].square().sum()), rel=1e-3)
    # Of the second group the small reward says nothing; in both together the group goes by the large one alone.
    assert alone[0][4:].tolist() == [0, 0, 0, 0]
    ratio = both[4:] / alone[1][4:]
    torch.testing.assert_close(ratio, ratio[0].expand(4))
    # Scale and offset of a reward, and a common factor of the weights, change nothing (but for what is added to the
    # deviations).
    for changed in (
        group_advantages(torch.stack((small, 7 * large - 3)).T, weights, 4),
        group_advantages(torch.stack((small, large)).T, 20 * weights, 4),
    ):
        torch.testing.assert_close(changed, both, rtol=1e-3, atol=1e-3)
    # A number whose mean is not itself in float32 is the same for the whole group all the same.
    assert group_advantages(torch.full((6, 2), 0.1), torch.ones(2), 3).tolist() == [0] * 6


def test_the_loss_of_pairs_by_hand() -> None:
    one = torch.tensor([-3.0])
    assert float(dpo_losses(one, one, 0.1)) == pytest.approx(0.693147)
    assert float(dpo_losses(one + 10, one, 1.0)) == pytest.approx(4.54e-5, rel=1e-2)
    assert float(dpo_losses(one, one + 10, 1.0)) == pytest.approx(10.0, rel=1e-3)


def test_a_policy_that_has_not_moved_pays_nothing_and_one_beyond_the_clip_gains_nothing() -> None:
    log_probs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    still = policy_losses(log_probs, log_probs.detach(), log_probs.detach(), torch.tensor([0.0]), clip=0.2, beta=1.0)
    assert still.tolist() == [[0.0, 0.0]]
    for gain, moved in ((1.0, 0.5), (-1.0, -0.5)):
        log_probs.grad = None
        losses = policy_losses(log_probs, log_probs.detach() - moved, None, torch.tensor([gain]), clip=0.2, beta=0.0)
        losses.sum().backward()
        assert log_probs.grad.abs().max() == 0

"""Preference training of any model that writes texts: encoder-decoder or decoder-only, with or without side inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Seq2SeqTrainer

from dataset_builder.storage.files import write_json
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError
from trainers.checkpoints import CHECKPOINT, remove_older, seal_checkpoint
from trainers.finite import require_finite_loss, require_finite_weights
from trainers.preference_config import PreferenceConfig
from trainers.preference_policy import PlainPolicy, Policy
from trainers.preference_rewards import RewardFunction, Rewards, mean_of_each
from trainers.preference_sampling import Pair, Proposals, given_pairs, sample_pairs
from trainers.preference_steps import GroupSteps, PairSteps, Reference, Rollout

logger = logging.getLogger(__name__)


class ClinRaGenPreferenceTrainer(Seq2SeqTrainer):
    """Trains a model to write what reward functions prefer, by DPO or GRPO.

    DPO learns from pairs. Where the examples have none, texts are sampled before the first step and put beside each
    other: the better text by `ranking`, which says at least as much by every count of `coverage` and is as long.
    GRPO samples a group of texts for each prompt in each step and learns from all of their rewards. Dropout is off
    throughout, as in TRL: policy and reference have to be the same function at the start.

    Args:
        model: The model; the parameters that require a gradient learn.
        args: The settings.
        train_dataset: Examples: mappings that the policy makes prompts of, for a plain model with a text `prompt`; for
            DPO perhaps with the texts `chosen` and `rejected`.
        eval_dataset: Examples that the curve is measured on.
        processing_class: The model's tokenizer or processor.
        reward_functions: Functions of texts and their examples, which give one number for each text. GRPO learns from
            them, DPO ranks by their weighted sum where there is no `ranking`, and the curve shows their means.
        ranking: DPO: how good a text is.
        coverage: DPO: how much a text says.
        measures: Functions that the curve shows beside the rewards.
        proposals: DPO: further texts for examples, which are ranked beside the sampled ones.
        reference: The policy that the model is held to; by default the model as it is when the trainer is made. With
            LoRA this is kept as a copy of the adapters alone.
        policy: How the model is used; by default `PlainPolicy`, which suits every model without side inputs.

    Raises:
        SettingsError: There are no reward functions and no pairs, several processes or GPUs would share the work, or
            a setting cannot work.
        StageError: In training, a loss or a weight is not a finite number.
        InputDataError: Only some of the examples have `chosen` and `rejected`; in training, there are no examples or
            no pair could be made.
    """

    _tag_names = ("clinragen", "preference")

    control: Any

    def __init__(  # noqa: PLR0913 (a trainer of transformers' kind)
        self,
        model: Any,
        args: PreferenceConfig,
        train_dataset: Any,
        eval_dataset: Any = None,
        processing_class: Any = None,
        *,
        reward_functions: Sequence[RewardFunction] = (),
        ranking: RewardFunction | None = None,
        coverage: Sequence[RewardFunction] = (),
        measures: Sequence[RewardFunction] = (),
        proposals: Proposals | None = None,
        reference: Policy | None = None,
        policy: Policy | None = None,
        **kwargs: Any,
    ) -> None:
        if args.world_size > 1 or args.n_gpu > 1:
            raise SettingsError(
                "preference training runs in one process on one device; start it without torchrun, and with one GPU "
                "in CUDA_VISIBLE_DEVICES"
            )
        self.policy: Policy = policy if policy is not None else PlainPolicy(model, processing_class)
        if self.policy.model is not model:
            raise SettingsError("policy is of another model than the one to train; make it of this one")
        self.examples = [dict(example) for example in train_dataset]
        self._shown = [dict(example) for example in (eval_dataset if eval_dataset is not None else ())]
        self.pairs: list[Pair] | None = None
        if args.loss == "dpo" and any({"chosen", "rejected"} <= example.keys() for example in self.examples):
            self.pairs = given_pairs(self.policy, self.examples)
        if self.pairs is None and not reward_functions and ranking is None:
            raise SettingsError("there is nothing to prefer by: give reward_functions, or for DPO pairs or a ranking")
        self._rewards = Rewards(reward_functions, args.reward_weights)
        self._reward_functions = tuple(reward_functions)
        self._measures = tuple(measures)
        self._ranking = ranking if ranking is not None else self._rewards.total
        self._coverage = tuple(coverage)
        self._proposals = proposals
        # The batches are places of examples or pairs; the model has no say in what is in them.
        args.remove_unused_columns = False
        super().__init__(
            model=model,
            args=args,
            data_collator=_collate,
            train_dataset=_Places(len(self.examples)),
            eval_dataset=None if eval_dataset is None else _Places(len(self._shown)),
            processing_class=processing_class,
            **kwargs,
        )
        # Every batch's loss is a mean of its own, which the Trainer divides where several are accumulated.
        self.model_accepts_loss_kwargs = False
        known = Reference(self.policy, reference) if args.loss == "dpo" or args.beta else None
        self._pair_steps = PairSteps(self.policy, known, args) if args.loss == "dpo" and known is not None else None
        self._group_steps = GroupSteps(self.policy, known, self._rewards, args)
        # With the step at which they were sampled.
        self._rollouts: dict[tuple[int, ...], tuple[int, Rollout]] = {}
        self._notes: dict[str, list[float]] = {}

    def make_pairs(self, report: Report = no_report) -> list[Pair]:
        """DPO: sample texts for the examples and make pairs of them; `train` does so where there are none yet."""
        self.model.eval()
        self.pairs = sample_pairs(
            self.policy, self.examples, self._ranking, self._coverage, self.args, self._proposals, report
        )
        lengths = [(len(pair.chosen.written), len(pair.rejected.written)) for pair in self.pairs]
        logger.info(
            "%d pairs of %d prompts; %.1f tokens in a chosen text, %.1f in a rejected one",
            len(self.pairs),
            len(self.examples),
            *(sum(column) / len(lengths) for column in zip(*lengths, strict=True)),
        )
        return self.pairs

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As in transformers."""
        if not self.examples:
            raise InputDataError("there is nothing to learn from: train_dataset has no examples; give some")
        if self._pair_steps is not None:
            pairs = self.make_pairs() if self.pairs is None else self.pairs
            self.train_dataset = _Places(len(pairs))
            self.model.eval()
            # Before a checkpoint is loaded, where a training is resumed.
            self._pair_steps.ask_reference(pairs, self.accelerator.autocast)
        return super().train(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        """The loss of the pairs, or of the texts for the prompts, at the given places."""
        self.model.eval()
        places = inputs["places"].tolist()
        with self.accelerator.autocast():
            if self._pair_steps is not None:
                pairs = self.pairs or ()
                loss, notes = self._pair_steps.loss([pairs[place] for place in places])
            else:
                loss, notes = self._group_steps.loss(self._rollout(places))
        self._note(notes)
        return (loss, {}) if return_outputs else loss

    def _rollout(self, places: Sequence[int]) -> Rollout:
        """The texts for these prompts, which are sampled once for all `iterations`."""
        key, step = tuple(places), self.state.global_step
        kept = self._rollouts.items()
        self._rollouts = {one: found for one, found in kept if step < found[0] + self.args.iterations}
        if key not in self._rollouts:
            rollout, notes = self._group_steps.sample([self.examples[place] for place in places])
            self._rollouts[key] = step, rollout
            self._note(notes)
        return self._rollouts[key][1]

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """As in transformers. Raises `StageError` where the loss is not a finite number."""
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)
        rows = [self._row(place) for place in inputs["places"].tolist()]
        require_finite_loss(float(loss), self.state.global_step + 1, self._get_learning_rate(), rows)
        return loss

    def _row(self, place: int) -> int:
        """The example that a place of a batch is about."""
        return place if self.pairs is None else self.pairs[place].row

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Mean rewards and measures of what the model writes greedily; `length` is in tokens.

        Args:
            eval_dataset: Other examples than those of the trainer.
            ignore_keys: As in transformers; there is nothing to ignore.
            metric_key_prefix: What the names begin with.
        """
        chosen = eval_dataset is not None and not isinstance(eval_dataset, _Places)
        examples = [dict(example) for example in eval_dataset] if chosen else self._shown
        self.model.eval()
        targets = []
        for start in range(0, len(examples), self.args.sample_batch_size):
            part = examples[start : start + self.args.sample_batch_size]
            groups = self.policy.sample(part, 1, temperature=None, max_new_tokens=self.args.max_new_tokens)
            targets += [group[0] for group in groups]
        texts = [self.policy.text(target) for target in targets]
        found = mean_of_each((*self._reward_functions, *self._measures), texts, examples)
        found["length"] = sum(len(target.written) for target in targets) / max(len(targets), 1)
        found["finished"] = sum(target.finished for target in targets) / max(len(targets), 1)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    @property
    def measured(self) -> bool:
        """Whether `evaluate` has measured the model after the last step."""
        return any("eval_length" in one and one["step"] == self.state.global_step for one in self.state.log_history)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """As in transformers, with the means of what was noted of the steps since the last log."""
        if "loss" in logs:
            logs |= {name: sum(values) / len(values) for name, values in self._notes.items()}
            self._notes = {}
        super().log(logs, *args, **kwargs)

    def write_curve(self, path: Path) -> list[dict[str, float]]:
        """Write what was logged as JSON and return it: by `step` the training's numbers, or those of `evaluate`."""
        entries = [
            {name: value for name, value in entry.items() if name != "epoch"}
            for entry in self.state.log_history
            if "loss" in entry or "eval_length" in entry
        ]
        # A resumed training may measure the step that it goes on from once more.
        curve = list({(entry["step"], "loss" in entry): entry for entry in entries}.values())
        write_json(path, curve)
        return curve

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: a batch is nothing but places."""
        return 0

    def _note(self, notes: dict[str, float]) -> None:
        for name, value in notes.items():
            self._notes.setdefault(name, []).append(value)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        require_finite_weights(self.model, f"step {self.state.global_step}")
        # transformers would delete the older ones before the new one is sealed.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        folder = Path(self._get_output_dir(trial=trial))
        seal_checkpoint(folder / f"{CHECKPOINT}{self.state.global_step}")
        remove_older(folder, limit, None)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        chunk = self.args.train_batch_size * self.args.gradient_accumulation_steps
        repeats = self.args.iterations if self.args.loss == "grpo" else 1
        return RepeatedChunks(len(self.train_dataset), chunk, repeats, seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return None


class RepeatedChunks(torch.utils.data.Sampler[int]):
    """Indices in an order that seed and epoch alone decide; several steps in a row may get the same ones.

    Args:
        size: How many indices there are.
        chunk: Indices of one optimizer step. An incomplete last chunk is dropped, unless it is the only one.
        repeats: Steps that get the same chunk.
        seed: Of the order.
    """

    def __init__(self, size: int, chunk: int, repeats: int, seed: int) -> None:
        self._size, self._chunk, self._repeats = size, min(chunk, max(size, 1)), repeats
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return self._size // self._chunk * self._chunk * self._repeats

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        order = torch.randperm(self._size, generator=generator).tolist()
        for start in range(0, len(self) // self._repeats, self._chunk):
            for _ in range(self._repeats):
                yield from order[start : start + self._chunk]

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; the Trainer calls it."""
        self._epoch = epoch


class _Places(torch.utils.data.Dataset[int]):
    """The places 0, 1, 2, ... of examples or pairs, which the trainer has itself."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: int) -> int:
        return place


def _collate(places: Sequence[int]) -> dict[str, torch.Tensor]:
    return {"places": torch.tensor(places)}


__all__ = ["ClinRaGenPreferenceTrainer", "RepeatedChunks"]

"""Settings of preference training: transformers' training arguments, and a few of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from transformers import Seq2SeqTrainingArguments

from dataset_builder.storage.config_fields import check_mapping, make_config, setting
from modeling_clinragen.errors import SettingsError
from trainers.model_config import read_settings
from trainers.phase_config import NOT_FOR_A_PHASE

LOSSES = ("dpo", "grpo")


@dataclass
class PreferenceConfig(Seq2SeqTrainingArguments):
    """Settings of preference training; the others are those of `Seq2SeqTrainingArguments`.

    A batch is so many pairs (DPO) or prompts (GRPO); with `eval_strategy` and `eval_steps` the rewards of what the
    model writes greedily for the validation prompts are measured.

    Raises:
        SettingsError: One of the settings below has the wrong type or is out of its range, or one cannot work here.
    """

    learning_rate: float = setting(1e-5, help="Initial learning rate of AdamW.", at_least=0)
    per_device_train_batch_size: int = setting(
        8, help="Pairs (dpo) or prompts (grpo) of a step.", unit="examples", at_least=1
    )
    num_train_epochs: float = setting(1.0, help="How often the pairs or prompts are gone through.", at_least=0)
    # transformers' parser reads the members of the union by position.
    report_to: None | str | list[str] = setting(  # noqa: RUF036
        "none",
        help="Experiment trackers that get the losses; of a training on credentialed data only none and tensorboard.",
        decides=False,
    )
    loss: str = setting(
        "dpo",
        help="dpo learns from pairs of which one text is better, grpo from the rewards of a group of texts.",
        choices=LOSSES,
    )
    beta: float = setting(
        0.1, help="How strongly the model is held to the reference: DPO's beta, GRPO's weight of KL.", at_least=0
    )
    length_normalised: bool = setting(
        False, help="DPO: compare log-probabilities per token, so that beta does not depend on the length."
    )
    chosen_weight: float = setting(
        0.0,
        help="DPO: weight of the chosen text's own negative log-likelihood per token, which keeps it probable.",
        at_least=0,
    )
    group_size: int = setting(4, help="Texts that are sampled for a prompt.", unit="texts", at_least=2)
    temperature: float = setting(1.0, help="Temperature of sampling; GRPO needs 1.", at_least=0.01)
    max_new_tokens: int = setting(128, help="Longest text that is written.", unit="tokens", at_least=1)
    pairs_per_prompt: int = setting(2, help="DPO: pairs that are made of a prompt's texts.", at_least=1)
    length_tolerance: float = setting(
        0.15, help="DPO: share of its tokens that the longer text of a pair may have more.", at_least=0, at_most=1
    )
    score_margin: float = setting(
        0.0, help="DPO: by how much the score of the chosen text must exceed the other's.", at_least=0
    )
    clip: float = setting(0.2, help="GRPO: how far the ratio to the sampling policy counts, from 1.", at_least=0)
    iterations: int = setting(1, help="GRPO: steps that learn from the same sampled texts.", at_least=1)
    reward_weights: dict[str, float] | None = setting(
        None, help="Weight of each reward by its name, such as {evidence_recall: 0.5}; 1 where it is not named."
    )
    sample_batch_size: int = setting(64, help="Texts that are written at once.", at_least=1, decides=False)

    def __post_init__(self) -> None:
        # Before transformers' own checks, which convert values. The inherited fields are transformers' to check.
        own = {name: getattr(self, name) for name in PreferenceConfig.__annotations__}
        check_mapping(PreferenceConfig, own, "preference settings", partial=True)
        if self.loss == "grpo" and self.temperature != 1:
            raise SettingsError(
                f"temperature: is {self.temperature}, but GRPO learns from what the model itself would write; set it "
                "to 1"
            )
        if self.label_smoothing_factor:
            raise SettingsError("label_smoothing_factor: there are no labels to smooth; leave it at 0")
        super().__post_init__()
        # Behind transformers' own checks, which take its older name for it too.
        if self.activation_checkpointing:
            raise SettingsError(
                "activation_checkpointing: needs the model in training mode, with its dropout, which would make "
                "policy and reference differ; leave it out"
            )


Config = TypeVar("Config", bound=PreferenceConfig)


def read_preference_config(path: Path, kind: type[Config], **fixed: Any) -> Config:
    """Read a YAML file of settings.

    Args:
        path: The file.
        kind: The config's class.
        fixed: Settings by name that the file may not change.

    Raises:
        SettingsError: The file is missing or malformed, or a setting is unknown, cannot be given here or has a value
            of the wrong type; the message names the file and the setting.
    """
    content = read_settings(path)
    given: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    for name in given:
        if name in NOT_FOR_A_PHASE:
            raise SettingsError(f"{path}: {name}: leave it out; {NOT_FOR_A_PHASE[name]}")
    return make_config(kind, {**given, **fixed}, str(path))


__all__ = ["PreferenceConfig", "read_preference_config"]

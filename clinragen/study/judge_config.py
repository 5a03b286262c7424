"""Settings of a language model as judge."""

from __future__ import annotations

from dataclasses import dataclass

from clinragen.llm.providers import LLMConfig
from clinragen.study.answers import is_rater_name
from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting
from modeling_clinragen.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """The judge and how it answers.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    llm: LLMConfig = setting(help="The language model.")
    name: str = setting(
        "judge", help="Name of the judge among the raters: lower-case letters, digits and hyphens.", decides=False
    )
    max_tokens: int = setting(4000, help="Maximum tokens of an answer about one case.", unit="tokens", at_least=1)
    temperature: float = setting(0.0, help="Sampling temperature; 0 takes the likeliest token.", at_least=0)
    seed: int = setting(0, help="Seed of the sampling.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)
        if not is_rater_name(self.name):
            raise SettingsError("name: expected lower-case letters, digits and hyphens, such as judge-2")

"""Settings of the evaluation. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clinragen.evaluation.baselines.boosting_settings import BOOSTING
from clinragen.llm.providers import LLMConfig
from dataset_builder.storage.config_fields import check_values, setting
from modeling_clinragen.errors import SettingsError
from trainers.device import AUTO, check_device

READERS = ("exact", "cosine")
"""How a name in a generated list is read: as the disease that is called so, or as all that are close in meaning."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How answers are scored.

    Raises:
        SettingsError: A value has the wrong type, or the settings do not fit together.
    """

    reader: str = setting(
        "exact",
        help="How names in generated lists are read: as the diseases that are called so, or, as in the paper, as "
        "those whose names' embeddings have a cosine of 0.9 or more with theirs.",
        choices=READERS,
    )
    encoder: str | None = setting(
        None,
        help="Folder (or hf://owner/name) of the sentence-transformers model of the reader cosine; the paper's is "
        "all-MiniLM-L6-v2.",
    )
    bert_score: str | None = setting(
        None, help="Folder (or hf://owner/name) of a language model whose token embeddings BERTScore is computed with."
    )

    def __post_init__(self) -> None:
        check_values(self)
        if (self.reader == "cosine") != (self.encoder is not None):
            raise SettingsError(
                "encoder: is needed by the reader cosine; give the folder of a sentence-transformers model"
                if self.encoder is None
                else "encoder: is for the reader cosine; leave it out, or choose that reader"
            )

    @property
    def deciding_content(self) -> dict[str, Path | str | None]:
        """The models that score: the content of a folder decides, not its place."""
        return {"encoder": _folder_or_name(self.encoder), "bert_score": _folder_or_name(self.bert_score)}


def _folder_or_name(model: str | None) -> Path | str | None:
    return Path(model) if model is not None and Path(model).is_dir() else model


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ScoreConfig):
    """How the models' outputs are generated, which of it is shown, and what the report must say.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    batch_size: int = setting(32, help="Examples generated at once.", unit="examples", at_least=1, decides=False)
    device: str = setting(
        AUTO, help="Device of the models: auto (a GPU where there is one), cpu, cuda or cuda:N.", decides=False
    )
    cpu_threads: int | None = setting(
        None,
        help="Threads that torch computes with where there is no GPU; every core by default. A tiny model is as fast "
        "with one.",
        unit="threads",
        at_least=1,
        decides=False,
    )
    num_beams: int = setting(1, help="Beams of the search; 1 is greedy.", unit="beams", at_least=1)
    raw: bool = setting(
        False, help="Show what the models write freely: nothing is grounded, checked, written again or withheld."
    )
    alone: bool = setting(
        False,
        help="Score the full model also on the note alone and on the labs alone, where no model of these phases is "
        "given; for one that was trained with modality_dropout.",
    )
    texts: int | None = setting(
        None,
        help="Patients whose rationales are written and scored, drawn from the test split; all by default. The others "
        "get a list of diseases alone.",
        unit="patients",
        at_least=1,
    )
    baselines: str = setting(
        "full",
        help="How much work the baselines do: full, or light, which takes about a third of the time.",
        choices=tuple(BOOSTING),
    )
    gru: bool = setting(
        False, help="Also train a GRU on the series, which the paper compares with: a few minutes without a GPU."
    )
    zero_shot: LLMConfig | None = setting(
        None,
        help="A language model that is asked which diseases a patient has, without any training; one more baseline. "
        "In a recipe only.",
    )
    notices: tuple[str, ...] = setting(
        (), help="Sentences that every output must carry, besides those of the cohort's provenance."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_device(self.device)


@dataclass(frozen=True, kw_only=True)
class RescoreConfig(ScoreConfig):
    """How the saved predictions of an evaluation are scored.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    diagnosis_only: bool = setting(False, help="Score the diagnoses alone: no rationale is checked, no patient shown.")

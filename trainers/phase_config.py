"""Settings of a phase: transformers' training arguments with the paper's defaults, and a few of our own."""

from __future__ import annotations

import contextlib
import copy
import difflib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from transformers import Seq2SeqTrainingArguments
from trl import TrlParser

from dataset_builder.storage.config_fields import LARGEST_SEED, check_mapping, expected, setting, setting_types
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.library_errors import user_error
from trainers.model_config import read_settings
from trainers.phases import Learns, phase_named

PARSED_METADATA = ("help", "aliases")
"""Of a field's metadata, the entries that transformers' parser passes on to argparse."""
LOSS_ONLY = "during training only the loss is measured; `clinragen evaluate` scores what a model writes"
NOT_FOR_A_PHASE = {
    "seed": "give the run's seed as --seed",
    "output_dir": "the stage decides where its checkpoints are",
    # TRL's parser would set them for the rest of the run: a proxy, another Hub, a tracker's address.
    "env": "a phase sets no environment variables; set them in your shell",
    "resume_from_checkpoint": "the same command, run again, resumes an interrupted training by itself",
    **dict.fromkeys(
        ("do_train", "do_eval", "do_predict"),
        "a phase always trains; eval_strategy says when it measures the loss on the validation split",
    ),
    **dict.fromkeys(
        (
            *("predict_with_generate", "generation_max_length", "generation_num_beams", "generation_config"),
            *("prediction_loss_only", "include_for_metrics", "batch_eval_metrics", "eval_do_concat_batches"),
            *("eval_use_gather_object", "label_names"),
        ),
        LOSS_ONLY,
    ),
    **dict.fromkeys(
        ("sortish_sampler", "length_column_name"),
        "train_sampling_strategy: group_by_length puts examples of similar length together",
    ),
    **dict.fromkeys(
        (
            *("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push"),
            "hub_revision",
        ),
        "a phase's checkpoints stay on this machine; push the finished model in Python with its push_to_hub",
    ),
    "remove_unused_columns": "every phase reads its own columns of the cohort",
    "disable_tqdm": "the command shows its own progress",
    "local_rank": "torchrun gives every process its rank",
}
"""Settings of transformers' that would do nothing here, or harm, each with what to do instead."""
RANGES = {
    "per_device_eval_batch_size": (1, None),
    "gradient_accumulation_steps": (1, None),
    "adam_beta1": (0, 1),
    "adam_beta2": (0, 1),
    "adam_epsilon": (0, None),
    "max_grad_norm": (0, None),
    "neftune_noise_alpha": (0, None),
    "logging_steps": (0, None),
    "eval_steps": (0, None),
    "eval_delay": (0, None),
    "save_steps": (0, None),
    "torch_empty_cache_steps": (1, None),
    "eval_accumulation_steps": (1, None),
    "dataloader_num_workers": (0, None),
    "dataloader_prefetch_factor": (1, None),
    "data_seed": (0, LARGEST_SEED + 1),
    "ddp_bucket_cap_mb": (1, None),
    "ddp_timeout": (0, None),
}
"""The least value of a setting of transformers', and the one that it must stay below; it checks neither."""


@dataclass
class PhaseConfig(Seq2SeqTrainingArguments):
    """Settings of one phase. The defaults are the paper's; the others are those of `Seq2SeqTrainingArguments`.

    A phase's file may not give those of `NOT_FOR_A_PHASE`.

    Raises:
        SettingsError: One of the settings below has the wrong type or is out of its range.
    """

    learning_rate: float = setting(1e-5, help="Initial learning rate of AdamW.", at_least=0)
    weight_decay: float = setting(0.05, help="Weight decay of AdamW and Muon.", at_least=0)
    lr_scheduler_type: str = setting("cosine", help="Learning-rate schedule.")
    warmup_steps: float = setting(0.1, help="Warm-up steps, or their share of all steps where below 1.", at_least=0)
    per_device_train_batch_size: int = setting(12, help="Batch size per device.", unit="examples", at_least=1)
    # transformers' parser reads the members of the union by position.
    report_to: None | str | list[str] = setting(  # noqa: RUF036
        "none",
        help="Experiment trackers that get the losses; of a training on credentialed data only none and tensorboard.",
        decides=False,
    )
    train_backbone: bool = setting(
        False,
        help="Train the whole language model instead of its LoRA adapters; for a backbone built from scratch.",
    )
    load_in_4bit: bool = setting(
        False,
        help="Hold the language model's frozen layers in four bits while its adapters learn (QLoRA), for a GPU that "
        "is too small for it; needs bitsandbytes. The saved model is an ordinary one.",
    )
    muon_learning_rate: float | None = setting(
        None, help="Learning rate of Muon for hidden weight matrices; without it AdamW trains everything.", at_least=0
    )
    diagnosis_weight: float = setting(
        1.0, help="Loss weight of a token in the list of diseases; a token of the rationale has 1.", at_least=0
    )
    text_share: float = setting(
        1.0,
        help="Share of each batch whose texts are learned; the other examples train only the disease head.",
        at_least=0,
        at_most=1,
    )
    token_dropout: float = setting(
        0.0, help="Probability that a token of the note is left out, in training.", at_least=0, at_most=1
    )
    modality_dropout: float = setting(
        0.0,
        help="Probability that an example is shown without its note or without its labs, in training.",
        at_least=0,
        at_most=1,
    )
    average_share: float = setting(
        0.0,
        help="The trained model has the mean of the weights over this share of the steps, the last ones; 0 for the "
        "weights of the last step alone. It suits a learning rate that stays high (lr_scheduler_type: "
        "constant_with_warmup).",
        at_least=0,
        at_most=1,
    )
    attn_implementation: str | None = setting(
        None,
        help="Attention implementation during training (sdpa, eager, ...); the model's own by default. For a small "
        "model on a CPU, eager is faster.",
    )
    cpu_threads: int | None = setting(
        None,
        help="Threads that torch computes with where there is no GPU; every core by default. A tiny model is as fast "
        "with one.",
        unit="threads",
        at_least=1,
    )
    class_balance: float = setting(
        0.0,
        help="How much more often examples with rare diseases are drawn: with the power of how rare the rarest of "
        "their diseases is; 0 draws each once an epoch, 1 each disease about equally often.",
        at_least=0,
        at_most=1,
    )
    early_stopping: int | None = setting(
        None,
        help="Measurements of the validation loss without a lower one after which the training ends; the model of the "
        "lowest loss is kept. Needs eval_strategy, and save_strategy the same.",
        unit="measurements",
        at_least=1,
    )
    learns: list[str] | None = setting(
        None,
        help="Parts that learn instead of the phase's own (ablations): all four, with allow_skipped_phases in the "
        "multimodal phase, are end-to-end training.",
        choices=tuple(part.name for part in fields(Learns)),
    )
    rationale: bool = setting(
        True, help="Learn to write rationales; without, targets are lists of diseases alone (ablations)."
    )
    allow_skipped_phases: bool = setting(
        False, help="Accept a parent model that has not been through the previous phase (ablations)."
    )

    def __post_init__(self) -> None:
        # Before transformers' own checks, which convert values. The inherited fields are transformers' to check.
        own = {name: getattr(self, name) for name in PhaseConfig.__annotations__}
        check_mapping(PhaseConfig, own, "phase settings", partial=True)
        if self.early_stopping is not None:
            # The lowest loss is looked for, and its checkpoint loaded at the end.
            self.load_best_model_at_end = True
        super().__post_init__()


class _Parser(TrlParser):
    """TRL's parser for dataclasses whose fields have more metadata than argparse knows."""

    @staticmethod
    def _parse_dataclass_field(parser: Any, field: Field[Any]) -> None:
        known = copy.copy(field)
        known.metadata = MappingProxyType(
            {key: field.metadata[key] for key in PARSED_METADATA if key in field.metadata}
        )
        TrlParser._parse_dataclass_field(parser, known)


def parse_phase_config(path: Path, overrides: Sequence[str] = (), **fixed: Any) -> PhaseConfig:
    """Read a phase's YAML file; command-line style overrides win over it, and `fixed` values over both.

    Args:
        path: A YAML file of settings.
        overrides: Such as `["--max_steps", "20"]`.
        fixed: Settings by name that neither may change.

    Raises:
        SettingsError: The file is missing or malformed, or a setting is unknown or has a value of the wrong type; the
            message names the file or the override, the setting and what was expected.
    """
    _check_file(path)
    typed = _typed_options(overrides)
    arguments = ["--config", str(path), *overrides]
    for name, value in fixed.items():
        arguments += [f"--{name}", str(value)]
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            (parsed,) = _Parser((PhaseConfig,)).parse_args_and_config(args=arguments)
    except (ValueError, TypeError, yaml.YAMLError, SystemExit) as error:
        # For a value of the wrong type argparse prints the usage, then one line, and exits.
        fault = captured.getvalue().rpartition("error: ")[2] if isinstance(error, SystemExit) else str(error)
        raise SettingsError(_blamed(" ".join(fault.split()), path, typed)) from error
    except ImportError as error:
        known = user_error(error)
        if known is None:
            raise
        raise SettingsError(f"{path}: {known}") from error
    except OSError as error:
        # A setting names a file of more settings.
        raise SettingsError(f"{path}: {error.filename} cannot be read ({error.strerror}); check the path") from error
    except SettingsError as error:
        name, _, fault = str(error).removeprefix("phase settings: ").partition(": ")
        raise SettingsError(f"{typed[name]}: {fault}" if name in typed else f"{path}: {name}: {fault}") from error
    for name, fault in _impossible(parsed):
        raise SettingsError(f"{typed[name]}: {fault}" if name in typed else f"{path}: {name}: {fault}")
    return parsed


def check_phase_config(phase: str, path: Path) -> None:
    """Check a phase's YAML file without training anything or writing a file.

    Args:
        phase: Name of the phase.
        path: Its YAML file.

    Raises:
        SettingsError: There is no such phase, or as `parse_phase_config`.
    """
    phase_named(phase)
    # On the CPU, whatever the machine has: no device is set up, and bf16 is settled when the phase runs.
    parse_phase_config(path, use_cpu=True, bf16=False)


def _check_file(path: Path) -> None:
    content = read_settings(path)
    known = list(setting_types(PhaseConfig))
    for name in content if isinstance(content, dict) else ():
        if name in NOT_FOR_A_PHASE:
            raise SettingsError(f"{path}: {name}: leave it out; {NOT_FOR_A_PHASE[name]}")
        if name not in known:
            # There are too many names for the message to list them all.
            close = difflib.get_close_matches(str(name), known)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise SettingsError(f"{path}: unknown setting '{name}'; {hint}{_where_to_look()}")
    check_mapping(PhaseConfig, content, str(path), partial=True)


def _typed_options(overrides: Sequence[str]) -> dict[str, str]:
    """The options among the overrides, as they were typed, by the setting that they give."""
    if overrides and not overrides[0].startswith("--"):
        raise SettingsError(f"'{overrides[0]}' is not an option; override a phase's settings as --learning-rate 1e-4")
    known = setting_types(PhaseConfig)
    typed = {}
    for word in overrides:
        if not word.startswith("--"):
            continue
        option = word.partition("=")[0]
        name = option.removeprefix("--").replace("-", "_")
        # A switch that is on by default is switched off so.
        name = name.removeprefix("no_") if known.get(name.removeprefix("no_")) is bool else name
        if name not in known:
            close = [f"--{one.replace('_', '-')}" for one in difflib.get_close_matches(name, known)]
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise SettingsError(f"{option}: no option of train and no setting of a phase; {hint}{_where_to_look()}")
        if name in NOT_FOR_A_PHASE:
            raise SettingsError(f"{option}: leave it out; {NOT_FOR_A_PHASE[name]}")
        typed[name] = option
    return typed


def _blamed(fault: str, path: Path, typed: Mapping[str, str]) -> str:
    """A message of argparse or transformers, with the option that was typed, or the file, that it is about."""
    found = re.fullmatch(r"argument --(\w+)\S*: (.*)", fault)
    if found is None or found[1] not in typed:
        return f"{path}: {fault}; {_where_to_look()}"
    name, fault = found[1], found[2]
    value = re.search("invalid .*value: (.*)", fault)
    if value is not None:
        one = next(field for field in fields(PhaseConfig) if field.name == name)
        fault = f"expected {expected(one, setting_types(PhaseConfig)[name])}, got {value[1]}"
    return f"{typed[name]}: {fault}"


def _impossible(config: PhaseConfig) -> Iterator[tuple[str, str]]:
    """Settings, with what is wrong, that transformers would refuse only when the run has begun."""
    from transformers.integrations.integration_utils import get_available_reporting_integrations
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    installed = get_available_reporting_integrations()
    for name in config.report_to or ():
        if name not in installed:
            known = f"one of the installed {', '.join(installed)}" if installed else "install the tracker first"
            yield "report_to", f"expected none, or {known}; got '{name}'"
    kinds = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
    # With a slash it would be a kernel of the Hub, which is code that somebody else may change.
    chosen = config.attn_implementation
    if chosen is not None and chosen not in kinds:
        yield "attn_implementation", f"expected one of {', '.join(kinds)}, got '{chosen}'"
    for one in fields(PhaseConfig):
        value = getattr(config, one.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, below = RANGES.get(one.name, (None, None))
        if not math.isfinite(value) or (low is not None and value < low) or (below is not None and value >= below):
            described = copy.copy(one)
            described.metadata = MappingProxyType({**one.metadata, "at_least": low})
            wanted = expected(described, setting_types(PhaseConfig)[one.name])
            yield one.name, f"expected {wanted}{'' if below is None else f', below {below}'}, got {value}"
    best = config.metric_for_best_model
    if best is not None and best.removeprefix("eval_") != "loss":
        yield "metric_for_best_model", f"expected loss, which is all that a phase measures; got '{best}'"
    if config.max_steps <= 0 and config.num_train_epochs <= 0:
        yield "num_train_epochs", "no step would be trained; give it, or max_steps, a value above 0"
    if config.average_share and config.load_best_model_at_end:
        yield "load_best_model_at_end", "is the model of one step, and average_share the mean of many; leave one out"
    if config.load_in_4bit and config.train_backbone:
        yield "load_in_4bit", "freezes the language model, and train_backbone trains it whole; leave one out"
    if config.class_balance and config.train_sampling_strategy == "group_by_length":
        yield "class_balance", "draws examples by their diseases and group_by_length by their length; leave one out"
    if config.label_smoothing_factor:
        yield "label_smoothing_factor", "needs logits, which no phase computes; leave it at 0"


def _where_to_look() -> str:
    return f"a phase has {len(fields(PhaseConfig))} settings, see docs/settings.md"

"""The settings of a training phase that decide its result, from its YAML file and what wins over that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from dataset_builder.storage.files import read_yaml

# Of transformers' own fields those that change neither the model nor its curve (which has a point for every
# `logging_steps`: these decide).
SAVING = ("save_strategy", "save_steps", "save_total_limit", "save_on_each_node", "save_only_model")
WITHOUT_EFFECT = frozenset(
    (
        *("logging_dir", "log_level", "log_level_replica", "log_on_each_node", "disable_tqdm", "run_name", "project"),
        *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor"),
        *("dataloader_persistent_workers", "eval_accumulation_steps"),
        *("skip_memory_metrics", "output_dir", "push_to_hub"),
    )
)


def deciding_phase_settings(config: Path, overrides: Sequence[str]) -> Any:
    """The settings of a phase that decide its model and curve, JSON-able.

    Overrides count as if the file had their values, so that `--max-steps 4` and `--max_steps=4` are the same.

    Args:
        config: The phase's YAML file.
        overrides: Command-line style settings that win over it.

    Raises:
        InputDataError: The file cannot be read.
    """
    from trainers.phase_config import PhaseConfig

    content = read_yaml(config)
    if not isinstance(content, Mapping):
        return [content, list(overrides)]
    known = {one.name: one.metadata.get("decides", True) for one in fields(PhaseConfig)}
    given = list(_by_name(overrides))
    if any(name not in known for name, _ in given):
        # A shortened name, or a `--no_...`: which one wins is the parser's to say.
        return [dict(content), list(overrides)]
    merged = {**{str(name): value for name, value in content.items()}, **dict(given)}
    # With the best checkpoint at the end, it matters which ones there are.
    saving = () if merged.get("load_best_model_at_end") else SAVING
    return {
        name: _number(value)
        for name, value in merged.items()
        if known.get(name, True) and name not in WITHOUT_EFFECT and name not in saving
    }


def _by_name(overrides: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Each override by the name of its setting; one without a value is switched on, one with several is a list."""
    waiting = list(overrides)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        values = [value] if equals else []
        while waiting and not equals and not waiting[0].startswith("--"):
            values.append(waiting.pop(0))
        found = [_as_yaml(value) for value in values] or [True]
        yield name.removeprefix("--").replace("-", "_"), found if len(found) > 1 else found[0]


def _as_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _number(value: Any) -> Any:
    """A number that YAML reads as a text, such as 1e-3, as the number that the phase's parser makes of it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return float(value)
    except ValueError:
        return value

"""Checkpoints of a training: sealed when complete, and only whole ones are gone on from."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import file_digest, read_json, sync, write_json
from modeling_clinragen.errors import InputDataError, SettingsError

logger = logging.getLogger(__name__)

SEAL = "whole.json"
"""File of a checkpoint with the size and digest of every other one; it is written last."""
CHECKPOINT = "checkpoint-"
"""How transformers begins the name of a checkpoint; the number of its step follows."""
BATCH = "batch.json"
"""File of a checkpoint with how many examples a step learns from."""
_NUMBERED = re.compile(rf"{CHECKPOINT}(\d+)")


def seal_checkpoint(folder: Path) -> None:
    """Record what a complete checkpoint consists of, once all of it is on the disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    for path in files:
        sync(path)
    write_json(folder / SEAL, {path.relative_to(folder).as_posix(): _facts(path) for path in files})
    sync(folder.parent)


def fault_of_checkpoint(folder: Path) -> str | None:
    """The first file of a checkpoint that is missing or not as it was written; None where it is whole."""
    try:
        content = read_json(folder / SEAL)
    except InputDataError:
        return SEAL
    if not isinstance(content, dict):
        return SEAL
    for name, expected in content.items():
        path = folder / name
        if not path.is_file() or _facts(path) != expected:
            return str(name)
    return None


def _facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": file_digest(path)}


def keep_batch(folder: Path, examples: int) -> None:
    """Record in a checkpoint, before it is sealed, how many examples a step learns from, of all processes together."""
    write_json(folder / BATCH, {"examples": examples})


def require_batch(folder: Path, examples: int) -> None:
    """Check that a training goes on with as many examples a step as the checkpoint was made with.

    One without a record, which another program wrote, is taken as it is.

    Raises:
        SettingsError: It was made with others, as with another number of processes and the same settings.
    """
    if not (folder / BATCH).is_file():
        return
    before = read_json(folder / BATCH)["examples"]
    if before != examples:
        raise SettingsError(
            f"{folder}: was trained with {before} examples a step, and these settings give {examples}: give "
            "per_device_train_batch_size × processes × gradient_accumulation_steps the same product, or start anew by "
            "removing the checkpoints"
        )


def remove_older(folder: Path, limit: int | None, best: Path | None = None) -> None:
    """Keep the `limit` newest checkpoints (all without one), and the best."""
    if limit is not None and limit > 0:
        for path in _newest_first(folder)[limit:]:
            if best is None or path.resolve() != best.resolve():
                shutil.rmtree(path)


def _newest_first(folder: Path) -> list[Path]:
    numbered = [(int(match[1]), path) for path in folder.glob("*") if (match := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(numbered, reverse=True)]


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`.

    Newer ones that are not whole, as a kill, a power cut or a bad disk leaves them, are removed, and a line says so.
    """
    faults = []
    whole = None
    for path in _newest_first(folder):
        fault = fault_of_checkpoint(path)
        if fault is None:
            whole = path
            break
        faults.append(f"{path.name} ({fault})")
        shutil.rmtree(path)
    if faults:
        start = "the start" if whole is None else whole.name
        logger.warning("%s: damaged or not finished: %s; going on from %s", folder, ", ".join(faults), start)
    elif whole is not None:
        logger.info("Resuming from %s", whole.name)
    return whole

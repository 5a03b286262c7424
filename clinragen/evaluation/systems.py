"""The systems that an evaluation compares: which model each is, what it reads, and how readers know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.phases import PHASES

MAIN = "full"
"""The system that all others are compared with."""
TEACHER = "teacher"
"""Who wrote the rationales that the models learn from; not a system, but its rationales are scored like theirs."""

_MODELS = {phase.system: phase.system_title for phase in PHASES if phase.system is not None}
_BASELINES = {"logistic_regression": "Logistic regression", "prevalence": "Prevalence guess"}
# In the order in which readers expect them.
_TITLES = {MAIN: _MODELS[MAIN], **_MODELS, **_BASELINES, TEACHER: "The teacher"}


@dataclass(frozen=True)
class System:
    """A trained model as one system of the evaluation.

    Args:
        name: Key in metrics.json, such as "full".
        phase: The training phase after which it was saved.
        folder: Its model folder.
        reads_note, reads_labs: What it is shown.
        rationales: Columns of the teacher's rationales that its own are compared with.
    """

    name: str
    phase: str
    folder: Path
    reads_note: bool
    reads_labs: bool
    rationales: tuple[str, ...]


def systems_of(folders: Mapping[str, Path]) -> dict[str, System]:
    """The systems that model folders, given by the name of the system, stand for; those of no phase are left out."""
    systems = {
        phase.system: System(
            phase.system,
            phase.name,
            Path(folders[phase.system]),
            phase.reads_note,
            phase.reads_labs,
            tuple(phase.rationales),
        )
        for phase in PHASES
        if phase.system is not None and phase.system in folders
    }
    return dict(in_order(systems))


def system_name(key: str) -> str:
    """The readable name of a system; an unlisted key is shown as it is."""
    return _TITLES.get(key) or key.replace("_", " ").capitalize()


def in_order(systems: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The systems as readers expect them: full model, other phases, baselines, others; whatever order JSON gave."""
    listed = list(_TITLES)
    return sorted(systems.items(), key=lambda item: listed.index(item[0]) if item[0] in listed else len(listed))

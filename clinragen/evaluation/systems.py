"""The systems that an evaluation compares: which model each is, what it reads, and how readers know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.phases import PHASES, phase_named

MAIN = "full"
"""The system that all others are compared with."""
TEACHER = "teacher"
"""Who wrote the rationales that the models learn from; not a system, but its rationales are scored like theirs."""

OTHER_LISTS = {
    "head": ("full_decoder", "Full model, its decoder's list"),
    "decoder": ("full_head", "Full model, its head's list"),
}
"""By where a model with a disease head takes its list from: key and title of the list that it has besides."""

_MODELS = {phase.system: phase.system_title for phase in PHASES if phase.system is not None}


@dataclass(frozen=True)
class Baseline:
    """A system that is not the model: fitted by the evaluation itself (`clinragen.evaluation.baselines`).

    Args:
        name: Key in metrics.json.
        title: How reports call it.
        reads_note, reads_labs: What it is shown.
    """

    name: str
    title: str
    reads_note: bool
    reads_labs: bool


BASELINES = (
    Baseline("gradient_boosting", "Gradient boosting", reads_note=True, reads_labs=True),
    Baseline("gradient_boosting_note", "Boosting (note only)", reads_note=True, reads_labs=False),
    Baseline("gradient_boosting_labs", "Boosting (labs only)", reads_note=False, reads_labs=True),
    Baseline("gru", "GRU (labs only)", reads_note=False, reads_labs=True),
    Baseline("logistic_regression", "Logistic regression", reads_note=True, reads_labs=True),
    Baseline("zero_shot", "Zero-shot language model", reads_note=True, reads_labs=True),
    Baseline("prevalence", "Prevalence guess", reads_note=False, reads_labs=False),
)

# In the order in which readers expect them.
_TITLES = {
    MAIN: _MODELS[MAIN],
    **dict(OTHER_LISTS.values()),
    **_MODELS,
    **{baseline.name: baseline.title for baseline in BASELINES},
    TEACHER: "The teacher",
}


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


def baselines_beside(system: str) -> list[str]:
    """The baselines that a model is compared with: those that read the same, and those that read nothing.

    Empty for whatever is not a model of one of the phases.
    """
    for phase in PHASES:
        if phase.system == system:
            reads = (phase.reads_note, phase.reads_labs)
            return [one.name for one in BASELINES if (one.reads_note, one.reads_labs) in (reads, (False, False))]
    return []


def main_phase(trained: Sequence[str]) -> str | None:
    """The phase of the full model: its own, else the last one that is trained where that reads both, else none.

    Args:
        trained: Names of the phases that are trained, in order.
    """
    for name in trained:
        if phase_named(name).system == MAIN:
            return name
    last = phase_named(trained[-1])
    return last.name if last.reads_note and last.reads_labs else None


def systems_alone(main: System) -> dict[str, System]:
    """One model as the systems that read the note alone and the labs alone."""
    return {
        phase.system: System(
            phase.system, main.phase, main.folder, phase.reads_note, phase.reads_labs, tuple(phase.rationales)
        )
        for phase in PHASES
        if phase.system is not None and phase.system != MAIN
    }


def system_name(key: str) -> str:
    """The readable name of a system; an unlisted key is shown as it is."""
    return _TITLES.get(key) or key.replace("_", " ").capitalize()


def in_order(systems: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The systems as readers expect them: full model, other phases, baselines, others; whatever order JSON gave."""
    listed = list(_TITLES)
    return sorted(systems.items(), key=lambda item: listed.index(item[0]) if item[0] in listed else len(listed))

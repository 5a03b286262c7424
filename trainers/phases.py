"""The training phases in order: what each starts from, reads and trains. The only table of phases; imports no torch.

To add a phase, add a row here and a YAML file with its settings to a recipe. Only a phase that learns in another way
needs a trainer class too, which its row then names.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from modeling_clinragen.errors import SettingsError

DEPARTURES = ("learns", "rationale", "class_balance", "allow_skipped_phases")
"""Settings that make a phase another training than its row says. The provenance has those that are set."""


@dataclass(frozen=True)
class Learns:
    """Which parts of the model are trained; all others are frozen.

    Args:
        language_model: The LoRA adapters, or the whole language model with `train_backbone`.
        lab_encoder: PatchTST and the projection to the language model's width.
        knowledge_attention: The attention to the knowledge prototypes.
        disease_head: The disease head, where the model has one.
    """

    language_model: bool = False
    lab_encoder: bool = False
    knowledge_attention: bool = False
    disease_head: bool = True

    @classmethod
    def only(cls, parts: Collection[str]) -> Learns:
        """These parts and no others, by the names above."""
        return cls(**{part.name: part.name in parts for part in fields(cls)})


@dataclass(frozen=True)
class Phase:
    """One phase of the training.

    Args:
        name: Name in recipes, on the command line, and in the model's `config.phase`.
        parents: Phases whose model it starts from; None is an untrained model.
        reads_note, reads_labs: Which modalities the model is shown.
        rationales: Columns of the cohort with the rationales that it learns to write, in order.
        learns: Which parts are trained.
        sentence: What the model card says about it.
        system: The system of the evaluation that its model is scored as, or None.
        system_title: How reports call that system; by default its name.
        trainer: Import path "module:class" of a `PhaseTrainer` that learns differently; None is `PhaseTrainer`.
    """

    name: str
    parents: tuple[str | None, ...]
    reads_note: bool
    reads_labs: bool
    rationales: tuple[str, ...]
    learns: Learns
    sentence: str
    system: str | None
    trainer: str | None = None
    system_title: str | None = None


PHASES: tuple[Phase, ...] = (
    Phase(
        # Not part of the paper, whose backbones are pretrained. A backbone built from scratch has nothing that LoRA
        # could adapt and, frozen, could not read lab vectors: it first learns whole, together with the lab side.
        name="backbone",
        parents=(None,),
        reads_note=True,
        reads_labs=True,
        rationales=("rationale_note", "rationale_lab"),
        learns=Learns(language_model=True, lab_encoder=True, knowledge_attention=True),
        sentence="Backbone (not part of the paper): built from scratch, all parts were first trained together.",
        system=None,
    ),
    Phase(
        # L = -log P(D, R_m | M)
        name="note",
        parents=(None, "backbone"),
        reads_note=True,
        reads_labs=False,
        rationales=("rationale_note",),
        learns=Learns(language_model=True),
        sentence="Note: the language model learned diagnoses and R_m from the note.",
        system="note_only",
        system_title="Note only",
    ),
    Phase(
        # L = -log P(D, R_t | H), H being the knowledge-augmented lab vectors
        name="lab",
        parents=("note",),
        reads_note=False,
        reads_labs=True,
        rationales=("rationale_lab",),
        learns=Learns(lab_encoder=True, knowledge_attention=True),
        sentence="Lab: lab encoder and knowledge attention learned diagnoses and R_t; the language model was frozen.",
        system="labs_only",
        system_title="Labs only",
    ),
    Phase(
        # L = -log P(D, R_m, R_t | M, f(T, V_k))
        name="multimodal",
        parents=("lab",),
        reads_note=True,
        reads_labs=True,
        rationales=("rationale_note", "rationale_lab"),
        learns=Learns(language_model=True, knowledge_attention=True),
        sentence="Multimodal: language model and knowledge attention learned from both; the lab encoder was frozen.",
        system="full",
        system_title="Full model",
    ),
)


def phase_named(name: str) -> Phase:
    """The phase with this name. Raises `SettingsError` for an unknown one."""
    for phase in PHASES:
        if phase.name == name:
            return phase
    raise SettingsError(f"unknown phase '{name}'; choose one of {', '.join(phase.name for phase in PHASES)}")

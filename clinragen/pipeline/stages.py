"""The one list of stages. The command line, the recipe check and the reference of all settings are made from it."""

from __future__ import annotations

from clinragen.evaluation.config import EvaluateConfig
from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.knowledge import KnowledgeConfig
from clinragen.pipeline.publish import PublishConfig
from clinragen.pipeline.rationales import RationalesConfig
from clinragen.pipeline.stage import StageKind
from clinragen.pipeline.synthesize import SynthesizeConfig
from clinragen.pipeline.train import TrainConfig
from dataset_builder.contract.truth import TRUTH
from trainers.phases import PHASES

ROOM = "clinragen.pipeline"

SYNTHESIZE = StageKind("synthesize", SynthesizeConfig, f"{ROOM}.synthesize")
BUILD = StageKind("build", BuildConfig, f"{ROOM}.build")
KNOWLEDGE = StageKind("knowledge", KnowledgeConfig, f"{ROOM}.knowledge")
RATIONALES = StageKind("rationales", RationalesConfig, f"{ROOM}.rationales")
TRAIN = StageKind("train", TrainConfig, f"{ROOM}.train", resumes=True, together=True)
EVALUATE = StageKind(
    "evaluate",
    EvaluateConfig,
    f"{ROOM}.evaluate",
    # A phase that stands for no system has only its training curve shown.
    reads={"truth": (f"*{TRUTH}",)} | {phase.name: ("curve.json",) for phase in PHASES if phase.system is None},
    resumes=True,
    together=True,
)
PUBLISH = StageKind(
    "publish",
    PublishConfig,
    f"{ROOM}.publish",
    reads={
        # The card has the measured cost as well, but a new measurement of the same model is no reason for a new card.
        "evaluation": ("metrics.json",),
        "cohort": ("provenance.json",),
        "knowledge": ("knowledge.json",),
    },
)

STAGES = (SYNTHESIZE, BUILD, KNOWLEDGE, RATIONALES, TRAIN, EVALUATE, PUBLISH)

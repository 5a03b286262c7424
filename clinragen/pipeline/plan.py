"""All stages of a recipe, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clinragen.evaluation.systems import MAIN, main_phase
from clinragen.pipeline.publish import PublishConfig
from clinragen.pipeline.recipe import Recipe
from clinragen.pipeline.stage import Input, Stage
from clinragen.pipeline.stages import BUILD, EVALUATE, KNOWLEDGE, PUBLISH, RATIONALES, SYNTHESIZE, TRAIN
from clinragen.pipeline.tables import Tables
from clinragen.pipeline.train import TrainConfig
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import SettingsError
from trainers.phases import PHASES


def plan_stages(
    recipe: Recipe,
    where: Path,
    output: Path,
    seed: int,
    root: str | None,
    report: Report = no_report,
    processes: Processes = ALONE,
    place: Callable[[Stage], Path] | None = None,
) -> list[Stage]:
    """Every stage of a recipe, in order.

    Args:
        recipe: What is to be done.
        where: The recipe's file, for messages.
        output: Folder for the results, one folder a stage.
        seed: Seed of everything random: the synthetic patients, the split, the teacher's wording and the training.
        root: The source's tables; None where the recipe makes its own patients.
        report: Called with the progress of each stage.
        processes: Those that run the recipe together.
        place: Where the output of a stage appears, called in their order; by default a folder in `output`.

    Raises:
        SettingsError: The recipe makes its own patients and a root is given, or it needs a root and none is given.
    """
    if (recipe.synthesize is None) == (root is None):
        wanted = "needs the tables: give --root DIR" if root is None else "makes its own tables: leave --root out"
        raise SettingsError(f"{where}: {wanted}")
    recipe = recipe.with_seed(seed)
    stages: list[Stage] = []

    def add(stage: Stage) -> Stage:
        stage.processes = processes
        if place is not None:
            stage.folder = place(stage)
        stages.append(stage)
        return stage

    if recipe.synthesize is not None:
        hospital = add(Stage(SYNTHESIZE, recipe.synthesize, {}, output / "hospital", report))
        tables: Input = Tables(hospital.folder, recipe.build)
    else:
        tables = Tables(str(root), recipe.build)
    built = add(Stage(BUILD, recipe.build, {"tables": tables}, output / "build", report))
    base = add(Stage(KNOWLEDGE, recipe.knowledge, {"cohort": built}, output / "knowledge", report))
    read = {"cohort": built, "knowledge": base}
    taught = add(Stage(RATIONALES, recipe.rationales, read, output / "rationales", report))
    trained: dict[str, Stage] = {}
    for phase, file in recipe.train.items():
        parent = list(trained.values())[-1] if trained else None
        config = TrainConfig(phase=phase, config=file, model=None if parent else recipe.model, seed=seed)
        inputs: dict[str, Input] = {"cohort": taught}
        inputs |= {"parent": parent} if parent is not None else {"knowledge": base}
        folder = output / "train" / phase
        trained[phase] = add(Stage(TRAIN, config, inputs, folder, report, label=f"train {phase}"))
    models = {phase.system or phase.name: trained[phase.name] for phase in PHASES if phase.name in trained}
    main = main_phase(list(trained))
    if main is not None:
        models[MAIN] = trained[main]
    evaluation = replace(recipe.evaluate, notices=(*recipe.evaluate.notices, *recipe.notices))
    scored_inputs: dict[str, Input] = {"cohort": taught, "knowledge": base, **models}
    if recipe.synthesize is not None:
        scored_inputs["truth"] = hospital
    scored = add(Stage(EVALUATE, evaluation, scored_inputs, output / "evaluation", report))
    last = list(trained.values())[-1]
    publish = {"model": last, "evaluation": scored, "cohort": taught, "knowledge": base}
    add(Stage(PUBLISH, PublishConfig(phases=tuple(trained)), publish, output / "model", report))
    return stages

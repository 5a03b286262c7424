"""The commands `synthesize`, `build`, `rationales`, `train` and `evaluate`: their options are the stages' settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clinragen.cli.from_config import Parameter, command, config_from, config_parameters, given_options, option
from clinragen.cli.run_stage import OUTPUT_HELP, folder_inputs, run_stage, with_bar
from clinragen.evaluation.config import EvaluateConfig
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.build import BuildConfig
from clinragen.pipeline.rationales import RULES, RationalesConfig
from clinragen.pipeline.synthesize import SynthesizeConfig
from clinragen.pipeline.train import TrainConfig
from dataset_builder.storage.files import read_json
from dataset_builder.storage.progress import Report
from modeling_clinragen.errors import SettingsError
from trainers.phases import PHASES

KNOWLEDGE_WHAT = "folder with the knowledge base"
HOSPITAL_WHAT = "folder of the synthetic hospital"
RECIPE_ONLY = ("notices", "zero_shot")
"""Settings of the evaluation that have no option."""
# Options that are given once for each value.
BUILD_NAMES = {"skip_filters": "skip_filter"}
SYSTEMS = tuple(phase for phase in PHASES if phase.system is not None)


def output_option() -> Parameter:
    """The option of every stage's output folder."""
    return option("output", Path, OUTPUT_HELP)


def cohort_option(made_by: str = "`build` or `rationales`") -> Parameter:
    """The option of a cohort to read."""
    return option("cohort", Path, f"Cohort folder (made by {made_by}).")


def knowledge_option() -> Parameter:
    """The option of the knowledge that rationales are checked by."""
    return option("knowledge", Path | None, "Knowledge folder of the rationales [default: the cohort's].", None)


def truth_option(*, required: bool = False) -> Parameter:
    """The option of the synthetic hospital whose truth is known."""
    said = "Folder of the synthetic hospital that the cohort comes from."
    return option("truth", Path, said) if required else option("truth", Path | None, said, None)


def add_stage_commands(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    command(
        app,
        "synthesize",
        [output_option(), *config_parameters(SynthesizeConfig)],
        _synthesize,
        "Write a synthetic hospital: real MIMIC-IV tables with a known truth beside them.",
    )
    root = option("root", str, "Folder with the source's tables, or postgresql://user@host/database.")
    command(
        app,
        "build",
        [
            *config_parameters(BuildConfig, arguments=("source",), names=BUILD_NAMES),
            root,
            output_option(),
        ],
        _build,
        "Build a cohort: one example per ICU stay, split by patient.",
    )
    command(
        app,
        "rationales",
        [
            cohort_option("`build`"),
            output_option(),
            option(
                "knowledge",
                Path | None,
                "Folder with the knowledge base [default: the terms of the cohort's vocabulary].",
                None,
            ),
            *config_parameters(RationalesConfig),
            option("shard", str | None, "Answer only one part of the examples, e.g. 2/8; no cohort is written.", None),
            _show_prompt_option(),
            Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
        ],
        _rationales,
        "Let a teacher write the rationales that the model learns from; what the data contradict is rejected.",
    )
    command(
        app,
        "train",
        [
            *config_parameters(TrainConfig, arguments=("phase",), hidden=("overrides",)),
            cohort_option("`rationales`"),
            output_option(),
            option("parent", Path | None, "Model folder to start from.", None),
            option("knowledge", Path | None, "Knowledge folder, where there is no parent.", None),
        ],
        _train,
        "Train one phase. Further options override its YAML, e.g. --learning-rate 1e-4.",
        more_options=True,
    )
    models = [
        option(
            str(phase.system),
            Path if phase.system == "full" else Path | None,
            f"Model folder after the {phase.name} phase.",
            Parameter.empty if phase.system == "full" else None,
        )
        for phase in SYSTEMS
    ]
    command(
        app,
        "evaluate",
        [
            cohort_option("`rationales`"),
            output_option(),
            *models,
            knowledge_option(),
            truth_option(),
            *config_parameters(EvaluateConfig, hidden=RECIPE_ONLY),
        ],
        _evaluate,
        "Score models and baselines on held-out patients; writes metrics.json and report.md.",
    )


def _synthesize(output: Path, **values: Any) -> None:
    from clinragen.pipeline.stages import SYNTHESIZE

    run_stage(SYNTHESIZE, config_from(SynthesizeConfig, values), {}, output)


def _build(root: str, output: Path, **values: Any) -> None:
    from clinragen.pipeline.stages import BUILD
    from clinragen.pipeline.tables import Tables
    from dataset_builder.cohort.found_items import records_in_words
    from dataset_builder.cohort.rejects import counts_in_words

    config = config_from(BuildConfig, values, arguments=("source",), names=BUILD_NAMES)
    run_stage(BUILD, config, {"tables": Tables(root, config)}, output)
    provenance = read_json(output / "provenance.json")
    counts = ", ".join(f"{name} {count}" for name, count in provenance["examples"].items())
    stays = ", ".join(f"{step['filter']} {step['stays']}" for step in provenance["cohort"])
    typer.echo(f"stays: {stays}")
    for line in records_in_words(provenance["records"]):
        typer.echo(f"read: {line}")
    for line in counts_in_words(provenance["items"]):
        typer.echo(f"measurements: {line}")
    for name, count in provenance["labels"].items():
        typer.echo(f"labels: {name.replace('_', ' ')}: {count}")
    typer.echo(f"examples: {counts}")
    typer.echo(provenance["about_the_notes"])
    for name, count in provenance["leakage_audit"].items():
        typer.echo(f"leakage audit: {name.replace('_', ' ')}: {count}")
    for sentence in provenance["left_out"]:
        typer.echo(f"left out: {sentence}")


def _rationales(
    context: typer.Context, cohort: Path, output: Path, knowledge: Path | None, shard: str | None, **values: Any
) -> None:
    from clinragen.pipeline.stages import RATIONALES

    if values["teacher"] == RULES and (given := given_options(context, LLMConfig)):
        raise SettingsError(f"teacher 'rules' uses no language model; leave {', '.join(given)} out, or --teacher llm")
    config = config_from(RationalesConfig, values)
    inputs = folder_inputs(cohort=(cohort, "cohort folder"), knowledge=(knowledge, KNOWLEDGE_WHAT))
    if shard is not None:
        from clinragen.pipeline.kept import journal_folder
        from clinragen.pipeline.rationales import ask_shard

        done = 0

        def work(report: Report) -> None:
            nonlocal done
            done = ask_shard(output, {role: one.location for role, one in inputs.items()}, config, shard, report)

        with_bar(f"rationales, part {shard}", work)
        typer.echo(f"{done} examples are answered: {journal_folder(output)}. When all parts are, run without --shard.")
        return
    run_stage(RATIONALES, config, inputs, output)
    found = read_json(output / "rationales.json")
    repaired = found["filter"]["repairs"]["succeeded"]
    typer.echo(f"kept {found['kept']} of {found['examples']} rationales, {repaired} of them after a repair")
    for reason, counted in found["filter"]["final"]["reasons"].items():
        if counted["count"]:
            typer.echo(f"rejected as {reason.replace('_', ' ')}: {counted['count']}")
    if usage := found["usage"]:
        tokens = usage["prompt_tokens"] + usage["completion_tokens"]
        cost = "" if usage["cost"] is None else f", cost {usage['cost']:.2f}"
        typer.echo(f"in all {usage['answers']} answers of the teacher, {tokens} tokens{cost}")


def _train(
    context: typer.Context, cohort: Path, output: Path, parent: Path | None, knowledge: Path | None, **values: Any
) -> None:
    from clinragen.pipeline.stages import TRAIN

    for name, given in (("model", values.get("model")), ("knowledge", knowledge)):
        if parent is not None and given is not None:
            raise SettingsError(f"--{name}: is for a new model; leave it out with --parent, whose model is trained on")
    if parent is None and (values.get("model") is None or knowledge is None):
        raise SettingsError("give --parent DIR, or both --model YAML and --knowledge DIR to build a new model")
    config = config_from(TrainConfig, {**values, "overrides": list(context.args)}, arguments=("phase",))
    inputs = folder_inputs(
        cohort=(cohort, "cohort folder with rationales"),
        parent=(parent, "parent model folder"),
        knowledge=(knowledge, "knowledge folder"),
    )
    run_stage(TRAIN, config, inputs, output, label=f"train {config.phase}")


def _evaluate(cohort: Path, output: Path, knowledge: Path | None, truth: Path | None, **values: Any) -> None:
    from clinragen.pipeline.stages import EVALUATE

    models = {str(phase.system): (values.get(str(phase.system)), "model folder") for phase in SYSTEMS}
    config = config_from(EvaluateConfig, values, hidden=RECIPE_ONLY)
    inputs = folder_inputs(
        cohort=(cohort, "cohort folder"),
        knowledge=(knowledge, KNOWLEDGE_WHAT),
        truth=(truth, HOSPITAL_WHAT),
        **models,
    )
    run_stage(EVALUATE, config, inputs, output)


def _show_prompt_option() -> Parameter:
    made = typer.Option("--show-prompt", is_eager=True, callback=_show_prompt, help="Print the prompt and exit.")
    return Parameter("show_prompt", Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, made])


def _show_prompt(wanted: bool) -> None:
    if wanted:
        from clinragen.knowledge import load_knowledge
        from clinragen.teachers.prompt import Prompt
        from dataset_builder.contract.definitions import shipped_definitions
        from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET

        vocabulary = shipped_definitions().vocabulary
        prompt = Prompt(load_knowledge(None, vocabulary), vocabulary, vocabulary.range_set(DEFAULT_RANGE_SET))
        typer.echo(prompt.shown())
        raise typer.Exit

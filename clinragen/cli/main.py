"""The command line. It only reads options, calls the stages and prints; errors become one line."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinragen import knowledge_commands
from clinragen import model_options as options
from modeling_clinragen.errors import ClinRaGenError

if TYPE_CHECKING:
    from clinragen.pipeline.progress import Display
    from clinragen.pipeline.stage import Stage

app = typer.Typer(
    help="Diagnose from a clinical note plus lab and vital series, and explain why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(knowledge_commands.app, name="knowledge")
# Typer carries its own copy of click or uses the installed one, by version; this is the right one's usage error.
UsageError: Any = typer.BadParameter.__base__
Output = Annotated[Path, typer.Option(help="Folder for the result; it appears only when complete.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Cohort = Annotated[Path, typer.Option(help="Cohort folder (made by `build` or `rationales`).")]
Constrained = Annotated[bool, typer.Option(help="Let lists of diseases hold configured names only, each once.")]
Probabilities = Annotated[bool, typer.Option("--probabilities", help="Also say how probable each disease is.")]


def _show_prompt(wanted: bool) -> None:
    if wanted:
        from dataset_builder.contract.vocabulary import load_range_set

        from clinragen.knowledge import load_knowledge
        from clinragen.teachers.prompt import Prompt

        typer.echo(Prompt(load_knowledge(), load_range_set()).shown())
        raise typer.Exit


def _run(stage: Stage, display: Display) -> None:
    with display:
        display.announce(stage.name, 1, 1)
        stage.run()
    typer.echo(f"{stage.name}: {stage.folder}")


@app.command()
def quickstart(
    output: Output = Path("runs/quickstart"),
    seed: Seed = 0,
    recipe: Annotated[Path | None, typer.Option(help="Another recipe than the shipped one.")] = None,
) -> None:
    """The whole method on synthetic patients: tables to a trained, explained diagnosis. No network, key or GPU."""
    from clinragen.pipeline.recipe import shipped_recipe
    from clinragen.pipeline.run import run_recipe

    run_recipe(recipe or shipped_recipe("quickstart"), output, seed, root=None)


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="Recipe YAML.")],
    root: Annotated[str | None, typer.Option(help="Folder with the source's tables, or a postgresql:// URL.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the results [default: runs/<recipe>].")] = None,
    seed: Seed = 0,
) -> None:
    """Run every stage of a recipe."""
    from clinragen.pipeline.run import run_recipe

    run_recipe(recipe, output or Path("runs") / recipe.stem, seed, root=root)


@app.command()
def synthesize(
    output: Output,
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 1000,
    seed: Seed = 0,
    world: Annotated[Path | None, typer.Option(help="Another world YAML.")] = None,
) -> None:
    """Write a synthetic hospital: real MIMIC-IV tables with a known truth beside them."""
    from clinragen import stages
    from clinragen.pipeline.progress import Display

    display = Display()
    settings = {"patients": patients, "world": str(world) if world else None}
    _run(stages.synthesize(output, settings, seed, display.report), display)


@app.command()
def download(
    dataset: Annotated[str, typer.Argument(help="mimic-iv-demo, mimic-iii-demo, eicu-demo, mimic-iv or mimic-iii.")],
    output: Annotated[Path, typer.Option(help="Folder to download into; what is there already is kept.")],
    version: Annotated[str | None, typer.Option(help="Another version than the newest known.")] = None,
    base_url: Annotated[str | None, typer.Option(help="A mirror that has PhysioNet's layout.")] = None,
) -> None:
    """Fetch a dataset from PhysioNet: resumed where it stopped, every file checked against its published sum."""
    from clinragen.pipeline.progress import Display
    from dataset_builder.download import download as fetch

    def ask(host: str) -> tuple[str, str]:
        with display.paused():
            user = typer.prompt(f"User name at {host}", err=True)
            return user, typer.prompt("Password (not shown, not kept)", hide_input=True, err=True)

    def on_progress(path: str, here: int, size: int | None) -> None:
        display.report(here / 2**20, None if size is None else size / 2**20, f"MiB of {path}")

    display = Display()
    with display:
        display.announce("download", 1, 1)
        done = fetch(dataset, output, version=version, base_url=base_url, ask=ask, on_progress=on_progress)
    typer.echo(f"{len(done.fetched)} files fetched, {len(done.kept)} were there: {done.root}")
    typer.echo(f"Next: clinragen build {done.source} --root {done.root} --output DIR")


@app.command()
def build(
    source: Annotated[str, typer.Argument(help="mimic-iii, mimic-iv, eicu, or a source's .yaml file.")],
    root: Annotated[str, typer.Option(help="Folder with the source's tables, or postgresql://user@host/database.")],
    output: Output,
    note_policy: Annotated[
        str, typer.Option(help="admission, structured, brief_hospital_course or full.")
    ] = "admission",
    window: Annotated[str, typer.Option(help="first-24h, first-48h or stay.")] = "first-48h",
    grid: Annotated[str, typer.Option(help="event or hourly.")] = "event",
    range_set: Annotated[str, typer.Option(help="clinical or paper.")] = "clinical",
    variables: Annotated[Path | None, typer.Option(help="Your own variables YAML instead of the 11.")] = None,
    phenotypes: Annotated[Path | None, typer.Option(help="Your own phenotypes YAML instead of the 25.")] = None,
    split_file: Annotated[Path | None, typer.Option(help="CSV of your own split: subject_id, split.")] = None,
    all_codes: Annotated[
        bool, typer.Option(help="Count codes that the source's dictionary lacks, too (MIMIC-III).")
    ] = False,
    max_steps: Annotated[int, typer.Option(min=1, help="A series keeps its first rows up to this many.")] = 1000,
    engine: Annotated[str, typer.Option(help="duckdb, postgres or spark.")] = "duckdb",
    without_filter: Annotated[list[str] | None, typer.Option(help="A cohort filter to leave out; repeatable.")] = None,
    seed: Seed = 0,
) -> None:
    """Build a cohort: one example per ICU stay, split by patient."""
    from clinragen import stages
    from clinragen.pipeline.progress import Display
    from dataset_builder.cohort.stays import FILTERS, check_filters
    from dataset_builder.storage.files import read_json

    display = Display()
    left_out = check_filters(without_filter or [])
    files = {"variables": variables, "phenotypes": phenotypes, "split_file": split_file}
    settings = {
        "source": source,
        "note_policy": note_policy,
        "window": window,
        "grid": grid,
        "range_set": range_set,
        "seed": seed,
        "only_known_codes": not all_codes,
        "max_steps": max_steps,
        "engine": engine,
        "filters": [name for name in FILTERS if name not in left_out],
        **{name: str(path) for name, path in files.items() if path is not None},
    }
    _run(stages.build(output, stages.tables_of(root, settings), settings, display.report), display)
    provenance = read_json(output / "provenance.json")
    counts = ", ".join(f"{name} {count}" for name, count in provenance["examples"].items())
    typer.echo(f"examples: {counts}")
    typer.echo(provenance["about_the_notes"])
    for name, count in provenance["leakage_audit"].items():
        typer.echo(f"leakage audit: {name.replace('_', ' ')}: {count}")


@app.command()
def rationales(
    cohort: Annotated[Path, typer.Option("--cohort", "--dataset", help="Cohort folder (made by `build`).")],
    output: Output,
    knowledge: Annotated[
        Path | None, typer.Option(help="Folder with the knowledge base [default: the shipped one].")
    ] = None,
    teacher: Annotated[str, typer.Option(help="rules, openai or transformers.")] = "rules",
    model_name: options.ModelName = None,
    base_url: options.BaseUrl = None,
    key_variable: options.KeyVariable = None,
    concurrency: options.Concurrency = 32,
    batch_size: options.BatchSize = 8,
    timeout: options.Timeout = 120.0,
    max_attempts: options.MaxAttempts = 8,
    max_tokens: options.MaxTokens = 400,
    limit_field: options.LimitField = "max_tokens",
    temperature: options.Temperature = 0.0,
    prices: options.Prices = None,
    service_keeps_nothing: options.KeepsNothing = False,
    service_trains_on_nothing: options.TrainsOnNothing = False,
    service_nobody_reads: options.NobodyReads = False,
    shard: Annotated[
        str | None, typer.Option(help="Only ask for one part of the examples, e.g. 2/8; no cohort is written.")
    ] = None,
    range_set: Annotated[str, typer.Option(help="clinical or paper.")] = "clinical",
    seed: Seed = 0,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", is_eager=True, callback=_show_prompt, help="Print the prompt and end.")
    ] = False,
) -> None:
    """Let a teacher write the rationales that the model learns from; what the data contradict is rejected."""
    from clinragen import stages
    from clinragen.pipeline.progress import Display
    from clinragen.pipeline.rationales import TeacherSettings
    from clinragen.teachers.distill import Shard
    from dataset_builder.storage.files import read_json

    model = options.asked_model(
        teacher,
        model_name,
        base_url,
        key_variable=key_variable,
        timeout=timeout,
        concurrency=concurrency,
        batch_size=batch_size,
        limit_field=limit_field,
        max_attempts=max_attempts,
        prices=prices,
        statements=(service_keeps_nothing, service_trains_on_nothing, service_nobody_reads),
    )
    settings = TeacherSettings(teacher, range_set, seed, max_tokens, temperature, model)
    display = Display()
    given = stages.given(cohort, "cohort folder")
    base = stages.given(knowledge, "folder with the knowledge base") if knowledge is not None else None
    if shard is not None:
        with display:
            display.announce(f"rationales, part {shard}", 1, 1)
            done = stages.ask_shard(output, given, base, settings, Shard.parse(shard), display.report)
        where = stages.journals_of(output)
        typer.echo(f"{done} examples are answered: {where}. When all parts are, run without --shard.")
        return
    _run(stages.rationales(output, given, base, settings, display.report), display)
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


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    phase: Annotated[str, typer.Argument(help="backbone, note, lab or multimodal.")],
    cohort: Cohort,
    config: Annotated[Path, typer.Option(help="Phase YAML, e.g. recipes/tiny-t5/note.yaml.")],
    output: Output,
    parent: Annotated[Path | None, typer.Option(help="Model folder to start from.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model YAML, where there is no parent.")] = None,
    knowledge: Annotated[Path | None, typer.Option(help="Knowledge folder, where there is no parent.")] = None,
    seed: Seed = 0,
) -> None:
    """Train one phase. Further options override the YAML, e.g. --learning_rate 1e-4."""
    from clinragen import stages
    from clinragen.pipeline.progress import Display
    from clinragen.pipeline.recipe import PHASES
    from modeling_clinragen.errors import SettingsError

    display = Display()
    if phase not in PHASES:
        raise SettingsError(f"phase '{phase}' is unknown; choose one of {', '.join(PHASES)}")
    if parent is None and (model is None or knowledge is None):
        raise SettingsError("give --parent DIR, or both --model YAML and --knowledge DIR to build a new model")
    _run(
        stages.train(
            phase,
            output,
            cohort=stages.given(cohort, "cohort folder with rationales"),
            config=config,
            seed=seed,
            overrides=context.args,
            parent=stages.given(parent, "parent model folder") if parent else None,
            model=model,
            base=stages.given(knowledge, "knowledge folder") if knowledge and not parent else None,
            report=display.report,
        ),
        display,
    )


@app.command()
def evaluate(
    cohort: Cohort,
    full: Annotated[Path, typer.Option(help="Model folder after the multimodal phase.")],
    output: Output,
    note_only: Annotated[Path | None, typer.Option(help="Model folder after the note phase.")] = None,
    labs_only: Annotated[Path | None, typer.Option(help="Model folder after the lab phase.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples generated at once.")] = 32,
    num_beams: Annotated[int, typer.Option(min=1, help="Beams; 1 is greedy.")] = 1,
    constrained: Constrained = False,
) -> None:
    """Score models and baselines on held-out patients; writes metrics.json and report.md."""
    from clinragen import scoring, stages
    from clinragen.pipeline.progress import Display

    display = Display()
    folders = {"multimodal": full, "note": note_only, "lab": labs_only}
    models = {phase: stages.given(path, "model folder") for phase, path in folders.items() if path is not None}
    settings = {"batch_size": batch_size, "num_beams": num_beams, "constrained": constrained}
    _run(
        scoring.evaluate(output, stages.given(cohort, "cohort folder"), models, settings, [], display.report), display
    )


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model folder or Hub id.")],
    note: Annotated[Path | None, typer.Option(help="Text file with the note.")] = None,
    labs: Annotated[Path | None, typer.Option(help="CSV: hours plus any of the 11 variables with units.")] = None,
    num_beams: Annotated[int, typer.Option(min=1, help="Beams; 1 is greedy.")] = 1,
    constrained: Constrained = True,
    probabilities: Probabilities = False,
) -> None:
    """Diagnose one patient and explain why."""
    from dataset_builder.contract.vocabulary import vocabulary_of

    from clinragen.pipeline.progress import quiet_libraries
    from modeling_clinragen.errors import InputDataError, SettingsError

    if note is None and labs is None:
        raise SettingsError("give --note FILE, --labs FILE.csv, or both")
    text = ""
    if note is not None:
        try:
            text = note.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InputDataError(f"{note}: cannot be read ({error.strerror}); check the path") from error
        except UnicodeDecodeError as error:
            raise InputDataError(f"{note}: is not UTF-8 text; save it as UTF-8") from error
        if not text:
            raise InputDataError(f"{note}: is empty; give a note, or leave --note out")
    quiet_libraries()
    with vocabulary_of(model):
        series = None
        if labs is not None:
            from dataset_builder.contract.lab_csv import read_lab_csv

            series = read_lab_csv(labs)
        from clinragen.evaluation.terminal import print_explanation
        from clinragen.inference import Explainer

        explainer = Explainer.from_pretrained(model, constrained=constrained, probabilities=probabilities)
        print_explanation(explainer.explain(text, series, num_beams=num_beams))


@app.command()
def demo(
    model: Annotated[Path, typer.Argument(help="Model folder.")] = Path("runs/quickstart/model"),
    cohort: Annotated[
        Path | None, typer.Option(help="Cohort whose test patients can be chosen [default: the model's run].")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 7860,
    constrained: Constrained = True,
    probabilities: Probabilities = False,
) -> None:
    """Open a page on this machine where a patient can be chosen or entered."""
    from dataset_builder.contract.vocabulary import vocabulary_of

    from clinragen.demo.page import serve
    from clinragen.pipeline.progress import quiet_libraries

    quiet_libraries()
    with vocabulary_of(model):
        serve(model, cohort=cohort, port=port, constrained=constrained, probabilities=probabilities)


def main() -> None:
    """Run the command line; what a user can cause ends in one line and an exit code other than 0."""
    # Nothing is looked up on the Hub unless the user names a Hub model; nobody is told that this runs.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Every shape of a batch has its own compiled kernels; keeping the usual thousand of them takes gigabytes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    interrupted = "interrupted; run the same command again to go on where it stopped"
    try:
        # Typer turns Ctrl-C into this exit code, or, in other versions, into an Abort.
        if app(standalone_mode=False) == 130:
            _fail(interrupted, 130)
    except ClinRaGenError as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        _fail(interrupted, 130)
    except UsageError as error:
        _fail(f"{error.format_message().rstrip('.')}. See `clinragen --help`.", 2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _fail("the disk is full; free some space and run again", 1)


def _fail(message: str, code: int) -> None:
    typer.echo(f"clinragen: {message}", err=True)
    sys.exit(code)

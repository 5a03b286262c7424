"""The commands `clinragen study make`, `serve`, `judge` and `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import argument, command, config_from, config_parameters, option
from clinragen.cli.stage_commands import knowledge_option
from clinragen.study.config import StudyConfig
from clinragen.study.judge_config import JudgeConfig
from modeling_clinragen.errors import SettingsError

NAMES = {"sources": "source"}


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    group = typer.Typer(
        rich_markup_mode=None,
        no_args_is_help=True,
        help="Let clinicians, and a language model as judge, rate rationales, blinded.",
    )
    command(
        group,
        "make",
        [
            option("cohort", Path, "Cohort folder (made by `rationales`)."),
            option("output", Path, "Folder for the study, which must be new."),
            option("evaluation", list[Path] | None, "Folder of `clinragen evaluate`; once for each.", None),
            knowledge_option(),
            option("criteria", Path | None, "YAML file with other checklists [default: the shipped ones].", None),
            *config_parameters(StudyConfig, names=NAMES),
        ],
        _make,
        "Draw cases of the test split, blind their rationales, and write a page and a sheet for every rater.",
    )
    command(
        group,
        "serve",
        [
            argument("study", Path, "Folder of the study."),
            option("rater", list[str] | None, "Rater to serve; once for each [default: all].", None),
            option("port", int, "Port on 127.0.0.1; 0 picks a free one.", 7870),
        ],
        _serve,
        "Open the raters' pages on this machine; answers are kept in the study's folder.",
    )
    command(
        group,
        "judge",
        [argument("study", Path, "Folder of the study."), *config_parameters(JudgeConfig)],
        _judge,
        "Let a language model answer the checklists, each case twice in two orders, as one more rater.",
    )
    command(
        group,
        "score",
        [
            argument("study", Path, "Folder of the study."),
            option(
                "answers",
                list[Path] | None,
                "Answers that a rater sent: the page's JSON, or the filled sheet (CSV); once for each file. Those "
                "in the study's own folder are read anyway.",
                None,
            ),
            option("output", Path | None, "Folder for the scores [default: score in the study's].", None),
            option(
                "require", list[str] | None, "Fail where this question cannot be answered, such as agreement.", None
            ),
        ],
        _score,
        "Unblind the answers: means by source, agreement, what the checker's flags change.",
    )
    app.add_typer(group, name="study")


def _make(
    cohort: Path,
    output: Path,
    evaluation: list[Path] | None,
    knowledge: Path | None,
    criteria: Path | None,
    **values: Any,
) -> None:
    from clinragen.checking.inputs import read_standards
    from clinragen.cli.run_stage import with_bar
    from clinragen.study.criteria import read_criteria
    from clinragen.study.make import make_study, require_new
    from dataset_builder.contract.schema import load_examples
    from dataset_builder.storage.files import output_folder
    from dataset_builder.storage.governance import read_provenance

    config = config_from(StudyConfig, values, names=NAMES)
    folders = [*(evaluation or []), *([knowledge] if knowledge is not None else [])]
    output_folder(output, [cohort, *folders])
    require_new(output)
    splits = load_examples(cohort)
    checking = read_standards(cohort, knowledge, splits.range_set)
    questions = None if criteria is None else read_criteria(criteria)
    made = ""

    def work(report: Any) -> None:
        nonlocal made
        made = make_study(
            output,
            splits,
            {folder: read_provenance(folder) for folder in evaluation or []},
            config,
            checking,
            criteria=questions,
            parents=[] if knowledge is None else [read_provenance(knowledge)],
            report=report,
        )

    with_bar("study", work)
    typer.echo(f"study {made}: {output}")
    typer.echo("Each rater gets their folder in `raters`, and nothing else; or run `clinragen study serve`.")


def _serve(study: Path, rater: list[str] | None, port: int) -> None:
    from clinragen.cli.explain import show_access_log
    from clinragen.study.folder import read_study
    from clinragen.study.server import serve_study

    if not 0 <= port <= 65535:
        raise SettingsError(f"--port: expected a whole number from 0 to 65535, got {port}")
    opened = read_study(study)
    show_access_log()
    typer.echo("Whoever has an address can answer for that rater. Ctrl-C ends it; what was answered stays.")
    serve_study(opened, rater or (), port=port)


def _judge(study: Path, **values: Any) -> None:
    from clinragen.cli.run_stage import with_bar
    from clinragen.study.folder import read_study
    from clinragen.study.judge import judge_study

    config = config_from(JudgeConfig, values)
    opened = read_study(study)
    found: Any = None

    def work(report: Any) -> None:
        nonlocal found
        found = judge_study(opened, config, report=report)

    with_bar("judge", work)
    made_by = found.judge or {}
    typer.echo(
        f"{config.name}: {len(found.answers)} of {len(opened.first_showings)} rationales, {len(found.again)} in the "
        f"second order; {made_by['asked_again']} answers asked again, {made_by['unusable']} unusable, "
        f"{made_by['refused']} refused"
    )


def _score(study: Path, answers: list[Path] | None, output: Path | None, require: list[str] | None) -> None:
    from clinragen.study.folder import SCORE, read_study
    from clinragen.study.ratings import read_ratings
    from clinragen.study.score import REPORT, score_study, write_scores

    opened = read_study(study)
    scores = score_study(read_ratings(opened, answers or ()), require or ())
    folder = output or study / SCORE
    write_scores(folder, opened, scores)
    for one in scores["unanswerable"]:
        typer.echo(f"not answerable here: {one['question']}, because {one['because']}")
    typer.echo(f"report: {folder / REPORT}")

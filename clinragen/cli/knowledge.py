"""The commands `clinragen knowledge` and `clinragen knowledge check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinragen.cli.from_config import Parameter, config_from, config_parameters, given_options, option, set_parameters
from clinragen.cli.run_stage import OUTPUT_HELP, folder_inputs, run_stage
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.knowledge import LLM, KnowledgeConfig
from modeling_clinragen.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table


# An option that is given once for each value.
NAMES = {"sources": "source"}


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
    parameters = [
        Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
        option("cohort", Path | None, "Cohort folder: its vocabulary decides the topics.", None),
        option("output", Path | None, OUTPUT_HELP, None),
        *config_parameters(KnowledgeConfig, names=NAMES),
    ]
    group.callback()(set_parameters(_knowledge, "knowledge", parameters, _HELP))
    group.command("check")(_check)
    app.add_typer(group, name="knowledge")


_HELP = """Retrieve passages, extract terms, write the knowledge base and how much of it the cohort's notes mention.

Requests to PubMed and Wikipedia carry your address, NCBI_EMAIL, and those to PubMed your key, NCBI_API_KEY, if set.
"""


def _knowledge(context: typer.Context, cohort: Path | None, output: Path | None, **values: Any) -> None:
    from clinragen.pipeline.stages import KNOWLEDGE
    from dataset_builder.storage.files import read_json

    if context.invoked_subcommand is not None:
        return
    if cohort is None or output is None:
        raise SettingsError("give --cohort DIR and --output DIR, or a command: `clinragen knowledge check FOLDER`")
    if LLM not in (values["extract"] or ()) and (given := given_options(context, LLMConfig)):
        raise SettingsError(f"without --extract llm no language model is used; leave {', '.join(given)} out")
    config = config_from(KnowledgeConfig, values, names=NAMES)
    run_stage(KNOWLEDGE, config, folder_inputs(cohort=(cohort, "cohort folder")), output)
    measured = read_json(output / "coverage.json")
    entries = [*measured["diseases"].values(), *measured["variables"].values()]
    counts = {name: sum(entry[name] for entry in entries) for name in ("terms", "found")}
    tokens = measured["vocabulary"]["tokens"]
    typer.echo(
        f"{counts['terms']} terms of {len(entries)} topics, {counts['found']} of them in {measured['notes']} notes; "
        f"vocabulary: {measured['vocabulary']['terms']} terms" + (f", {tokens} tokens" if tokens is not None else "")
    )


def _check(
    knowledge: Annotated[Path, typer.Argument(help="Folder of `clinragen knowledge`, or a knowledge file.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Folder of a sentence-transformers model (all-MiniLM-L6-v2) for the cosines with the names."
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Recall is measured among the k best passages.")] = 5,
    report: Annotated[Path | None, typer.Option(help="JSON file for the whole result.")] = None,
) -> None:
    """Are the terms relevant to their disease: near its name, and do they find its passages above the others'?"""
    from rich.console import Console

    from clinragen.cli.display import quiet_libraries
    from clinragen.knowledge import load_knowledge
    from clinragen.knowledge.check import check_knowledge
    from dataset_builder.contract.definitions import FILE, read_vocabulary, shipped_definitions
    from dataset_builder.storage.files import write_json

    quiet_libraries()
    folder, file = (knowledge, knowledge / "knowledge.json") if knowledge.is_dir() else (knowledge.parent, knowledge)
    own = (folder / FILE).is_file()
    vocabulary = read_vocabulary(folder) if own else shipped_definitions().vocabulary
    found = check_knowledge(load_knowledge(file, vocabulary), vocabulary, encoder, k)
    Console().print(_table(found))
    if encoder is None:
        typer.echo("Cosines with the names were not measured; give --encoder DIR.")
    doubtful = found["not_above_chance"]
    typer.echo(f"not above chance: {', '.join(doubtful) if doubtful else 'none'}")
    if report is not None:
        write_json(report, found)
        typer.echo(f"report: {report}")


def _table(found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    columns = {
        "names": {"own": "cosine", "others": "others'", "auc": "AUC"},
        "passages": {"recall": f"recall@{found['passages']['k']}", "reciprocal_rank": "MRR", "auc": "AUC"},
    }
    parts = {part: shown for part, shown in columns.items() if found[part] is not None}
    table.add_column("\ntopic", no_wrap=True)
    for part, shown in parts.items():
        for index, title in enumerate(shown.values()):
            table.add_column(f"{'' if index else part}\n{title}", justify="right", no_wrap=True)
    table.add_column("")

    def row(title: str, entries: dict[str, dict[str, Any]], remark: str = "") -> None:
        cells = [entries[part].get(name) for part, shown in parts.items() for name in shown]
        table.add_row(title, *("–" if cell is None else f"{cell:.2f}" for cell in cells), remark)

    for key, measured in found["passages"]["topics"].items():
        row(key, {part: found[part]["topics"][key] for part in parts}, measured.get("too_few", ""))
    for name in ("mean", "chance"):
        row(name, {part: found[part][name] for part in parts})
    return table

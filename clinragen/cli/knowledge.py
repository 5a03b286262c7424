"""The commands `clinragen knowledge` and `clinragen knowledge check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinragen import model_options as options

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def knowledge(
    context: typer.Context,
    cohort: Annotated[
        Path | None, typer.Option(help="Cohort folder: its training notes show how much of it is found.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the result; it appears only when complete.")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="pubmed, wikipedia or a folder with a local corpus; repeatable [default: shipped base]."),
    ] = None,
    extract: Annotated[
        list[str] | None,
        typer.Option(
            help="curated, statistical, openai or transformers; repeatable [default: curated and statistical]."
        ),
    ] = None,
    per_topic: Annotated[int, typer.Option(min=1, help="Passages of each source for each topic.")] = 20,
    pubmed_address: Annotated[str | None, typer.Option(help="Another address for E-utilities.")] = None,
    wikipedia_address: Annotated[
        str | None, typer.Option(help="Another MediaWiki API, e.g. a mirror's or another language's.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Folder of a sentence-transformers model that re-ranks local passages.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder of a model in whose tokens the vocabulary is counted.")
    ] = None,
    model_name: options.ModelName = None,
    base_url: options.BaseUrl = None,
    key_variable: options.KeyVariable = None,
    concurrency: options.Concurrency = 32,
    timeout: options.Timeout = 120.0,
    max_attempts: options.MaxAttempts = 8,
    max_tokens: options.MaxTokens = 800,
    prices: options.Prices = None,
    service_keeps_nothing: options.KeepsNothing = False,
    service_trains_on_nothing: options.TrainsOnNothing = False,
    service_nobody_reads: options.NobodyReads = False,
) -> None:
    """Retrieve passages, extract terms, and write the knowledge base and how much of it the cohort's notes mention.

    PubMed and Wikipedia are told your address, NCBI_EMAIL, and PubMed your key, NCBI_API_KEY, where there is one.
    """
    if context.invoked_subcommand is not None:
        return
    from clinragen import stages
    from clinragen.llm.providers import KINDS
    from clinragen.pipeline.knowledge import CURATED, STATISTICAL, KnowledgeSettings
    from clinragen.pipeline.progress import Display
    from dataset_builder.storage.files import read_json
    from modeling_clinragen.errors import SettingsError

    if cohort is None or output is None:
        raise SettingsError("give --cohort DIR and --output DIR, or a command: `clinragen knowledge check FOLDER`")
    chosen = tuple(dict.fromkeys(extract or (CURATED, STATISTICAL)))
    if extract and not source:
        raise SettingsError("without a --source it is the shipped knowledge; give one, or leave --extract out")
    model = options.asked_model(
        next((name for name in chosen if name in KINDS), chosen[-1]),
        model_name,
        base_url,
        key_variable=key_variable,
        timeout=timeout,
        concurrency=concurrency,
        max_attempts=max_attempts,
        prices=prices,
        statements=(service_keeps_nothing, service_trains_on_nothing, service_nobody_reads),
    )
    settings = KnowledgeSettings(
        sources=tuple(source or ()),
        extract=chosen,
        per_topic=per_topic,
        pubmed_address=pubmed_address,
        wikipedia_address=wikipedia_address,
        encoder=encoder,
        tokenizer=tokenizer,
        max_tokens=max_tokens,
        model=model,
    )
    display = Display()
    stage = stages.knowledge(output, stages.given(cohort, "cohort folder"), settings, display.report)
    with display:
        display.announce(stage.name, 1, 1)
        stage.run()
    typer.echo(f"{stage.name}: {stage.folder}")
    measured = read_json(output / "coverage.json")
    entries = [*measured["diseases"].values(), *measured["variables"].values()]
    counts = {name: sum(entry[name] for entry in entries) for name in ("terms", "found")}
    tokens = measured["vocabulary"]["tokens"]
    typer.echo(
        f"{counts['terms']} terms of {len(entries)} topics, {counts['found']} of them in {measured['notes']} notes; "
        f"vocabulary: {measured['vocabulary']['terms']} terms" + (f", {tokens} tokens" if tokens is not None else "")
    )


@app.command()
def check(
    knowledge: Annotated[Path, typer.Argument(help="Folder of `clinragen knowledge`, or a knowledge file.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Folder of a sentence-transformers model (all-MiniLM-L6-v2) for the cosines with the names."
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Recall is measured among the best so many passages.")] = 5,
    report: Annotated[Path | None, typer.Option(help="JSON file for the whole result.")] = None,
) -> None:
    """Are the terms relevant to their disease: near its name, and do they find its passages above the others'?"""
    from dataset_builder.contract.vocabulary import vocabulary_of
    from rich.console import Console

    from clinragen.knowledge import load_knowledge
    from clinragen.knowledge.check import check_knowledge
    from clinragen.pipeline.progress import quiet_libraries
    from dataset_builder.storage.files import write_json

    quiet_libraries()
    folder, file = (knowledge, knowledge / "knowledge.json") if knowledge.is_dir() else (knowledge.parent, knowledge)
    with vocabulary_of(folder):
        found = check_knowledge(load_knowledge(file), encoder, k)
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
        for place, title in enumerate(shown.values()):
            table.add_column(f"{'' if place else part}\n{title}", justify="right", no_wrap=True)
    table.add_column("")

    def row(title: str, entries: dict[str, dict[str, Any]], remark: str = "") -> None:
        cells = [entries[part].get(name) for part, shown in parts.items() for name in shown]
        table.add_row(title, *("–" if cell is None else f"{cell:.2f}" for cell in cells), remark)

    for key, measured in found["passages"]["topics"].items():
        row(key, {part: found[part]["topics"][key] for part in parts}, measured.get("too_few", ""))
    for name in ("mean", "chance"):
        row(name, {part: found[part][name] for part in parts})
    return table

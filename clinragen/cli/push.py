"""The commands `push`, `push-dataset` and `push-space`: what may leave for the Hub, checked before it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clinragen.cli.from_config import Parameter, argument, command, config_from, config_parameters, option
from clinragen.publishing.config import MemorisationConfig
from modeling_clinragen.errors import InputDataError, SettingsError

if TYPE_CHECKING:
    from clinragen.publishing.memorisation import Memorised
    from clinragen.publishing.shipment import Shipment

NOTHING_SENT = "Dry run: nothing was sent, and no server was asked."


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the program's."""
    command(
        app,
        "push",
        [
            argument("model", Path, "Model folder."),
            *_common(),
            *_model_options(),
            option("dataset", str | None, "Repository of the training cohort, which the card names.", None),
            *config_parameters(MemorisationConfig),
        ],
        _push,
        "Send a model to the Hub, with its card and its knowledge; refused where it gives patients away.",
    )
    command(
        app,
        "push-dataset",
        [argument("cohort", Path, "Cohort folder."), *_common(), *config_parameters(MemorisationConfig)],
        _push_dataset,
        "Send a cohort to the Hub; refused where it is credentialed, or its rationales quote other patients.",
    )
    command(
        app,
        "push-space",
        [
            argument("model", Path, "Model folder, made from synthetic patients."),
            *_common(),
            *_model_options(),
            option("output", Path | None, "Folder to write the Space into; it appears only when complete.", None),
            *config_parameters(MemorisationConfig),
        ],
        _push_space,
        "Send the page of a model to a Space of the Hub.",
    )


def _common() -> list[Parameter]:
    return [
        option("to", str, "Repository of the Hub, as OWNER/NAME."),
        option("dry_run", bool, "Say what would be sent, and ask no server.", False),
        option("private", bool, "Make a new repository private; one that exists stays what it is.", False),
        option("names", Path | None, "Text file with names that no text may hold, one a line.", None),
        option("report", Path | None, "File for what the memorisation check found; it quotes patients (0600).", None),
    ]


def _model_options() -> list[Parameter]:
    beside = "[default: that of the model's run]"
    return [
        option(
            "evaluation", Path | None, f"Folder of the model's evaluation, whose texts are checked {beside}.", None
        ),
        option(
            "cohort",
            list[Path] | None,
            f"Cohort that the model was trained on; once for each, that of the evaluation first {beside}.",
            None,
        ),
        option("knowledge", Path | None, f"Folder of the knowledge base, where the model has none {beside}.", None),
    ]


def _push(model: Path, to: str, dataset: str | None, dry_run: bool, private: bool, **values: Any) -> None:
    from clinragen.publishing.shipment import require_repository

    if dataset is not None:
        require_repository(dataset)
    with _checked_model(model, to, values, dataset=dataset, dry_run=dry_run) as shipment:
        _finish(shipment, dry_run=dry_run, private=private)


def _push_space(model: Path, to: str, output: Path | None, dry_run: bool, private: bool, **values: Any) -> None:
    from tempfile import TemporaryDirectory

    from clinragen.publishing.shipment import space_shipment
    from clinragen.publishing.space import write_space
    from dataset_builder.storage.files import atomic_folder, output_folder

    if output is not None and not dry_run:
        raise SettingsError("--output: is for --dry-run, which writes the Space's folder instead of sending it")
    if output is not None:
        output_folder(output)
    with TemporaryDirectory(prefix="clinragen-push-") as temporary:
        folder = output if output is not None else Path(temporary) / "space"
        # The folder first: where it cannot be made, nothing needs to be checked.
        with (
            atomic_folder(folder) as made,
            _checked_model(model, to, values, dataset=None, dry_run=dry_run, a_space=True) as inner,
        ):
            write_space(made, inner)
        _finish(space_shipment(folder, to), dry_run=dry_run, private=private)
    if output is not None:
        typer.echo(f"space: {output}")


def _push_dataset(
    cohort: Path,
    to: str,
    dry_run: bool,
    private: bool,
    names: Path | None,
    report: Path | None,
    **values: Any,
) -> None:
    from clinragen.cli.display import quiet_libraries
    from clinragen.publishing.shipment import dataset_shipment, require_repository
    from dataset_builder.storage.governance import require_publishable

    config = config_from(MemorisationConfig, values)
    require_repository(to)
    shipment = dataset_shipment(_folder(cohort, "cohort folder"), to)
    require_publishable(cohort, f"the Hub repository {to}")
    _require_way(to, dry_run)
    quiet_libraries()
    from clinragen.publishing.check import check_dataset, read_names
    from dataset_builder.contract.schema import load_examples

    _passed(check_dataset(load_examples(cohort), config, names=read_names(names)), cohort, report)
    _finish(shipment, dry_run=dry_run, private=private)


@contextmanager
def _checked_model(
    model: Path,
    to: str,
    given: Mapping[str, Any],
    *,
    dataset: str | None,
    dry_run: bool,
    a_space: bool = False,
) -> Iterator[Shipment]:
    """The files of a model that has passed governance and the memorisation check; `given` are the other options."""
    from clinragen.cli.display import quiet_libraries
    from clinragen.publishing.shipment import model_shipment, require_open_model, require_repository
    from clinragen.publishing.space import require_shown_to_everybody
    from dataset_builder.storage.governance import require_publishable

    config = config_from(MemorisationConfig, given)
    require_repository(to)
    # Governance first: reading something credentialed would close this process.
    require_open_model(_folder(model, "model folder"), f"the Hub repository {to}")
    if a_space:
        require_shown_to_everybody(model)
    _require_way(to, dry_run)
    scored = given["evaluation"] or _beside(model, "evaluation", "--evaluation")
    cohorts = given["cohort"] or [_beside(model, "rationales", "--cohort")]
    for one in (scored, *cohorts):
        require_publishable(_folder(one, "folder of the evaluation, or of the cohort"), f"the Hub repository {to}")
    if given["knowledge"] is not None:
        _folder(given["knowledge"], "folder of the knowledge base")
    base = given["knowledge"] or _run_of(model) / "knowledge"
    quiet_libraries()
    from clinragen.publishing.check import check_model, read_names
    from dataset_builder.contract.schema import load_examples

    names = read_names(given["names"])
    found = check_model(model, scored, [load_examples(one) for one in cohorts], config, names=names)
    _passed(found, model, given["report"])
    inputs = {"evaluation": scored, "cohort": cohorts[0], "knowledge": base if base.is_dir() else None}
    with model_shipment(model, to, dataset=dataset, **inputs) as shipment:
        yield shipment


def _passed(found: Memorised, what: Path, report: Path | None) -> None:
    from clinragen.publishing.check import require_nothing_memorised

    require_nothing_memorised(found, str(what), report)
    typer.echo(f"Memorisation check: {found.sentence}.")


def _finish(shipment: Shipment, *, dry_run: bool, private: bool) -> None:
    for line in shipment.lines:
        typer.echo(line)
    if dry_run:
        typer.echo(NOTHING_SENT)
        return
    from clinragen.publishing.send import send

    typer.echo(f"Sent: {send(shipment, private=private)}")


def _require_way(to: str, dry_run: bool) -> None:
    if not dry_run:
        from clinragen.publishing.send import require_way

        require_way(to)


def _folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise InputDataError(f"{path}: is not a folder; give the {what}")
    return path


def _run_of(model: Path) -> Path:
    """The folder of the run that a model belongs to: the finished model lies in it, those of the phases in `train`."""
    above = model.resolve().parent
    return above.parent if above.name == "train" else above


def _beside(model: Path, name: str, flag: str) -> Path:
    found = _run_of(model) / name
    if not found.is_dir():
        raise SettingsError(
            f"{flag}: the memorisation check compares the model's texts with its training cohort, and there is no "
            f"{name} beside {model}; give the folder"
        )
    return found

"""The part of `predict` that explains every patient of a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any

import typer

from clinragen.cli.from_config import config_from, config_parameters, option
from clinragen.cohort_predictions import CohortPredictConfig, require_kind
from clinragen.explain_config import ExplainConfig
from modeling_clinragen.errors import SettingsError


def cohort_parameters() -> list[Parameter]:
    """The options that `predict` has for a cohort."""
    return [
        option("cohort", Path | None, "Cohort folder: explain its patients instead of one.", None),
        option("output", Path | None, "With --cohort: file for the answers, .jsonl or .parquet.", None),
        *config_parameters(CohortPredictConfig),
    ]


def cohort_wanted(
    cohort: Path | None, output: Path | None, others: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[Path, Path] | None:
    """The cohort to explain and the file for its answers; None where one patient is to be explained.

    Args:
        cohort, output: The options.
        others: Options that are for one patient, by name.
        values: All others, those of `CohortPredictConfig` among them.

    Raises:
        SettingsError: Options of both kinds are given, or the file is missing or of no known kind.
    """
    if cohort is None:
        given = ["output"] if output is not None else []
        given += [name for name, value in vars(CohortPredictConfig()).items() if values[name] != value]
        if given:
            raise SettingsError(f"{_flag(given[0])}: is for the patients of a cohort; give --cohort DIR as well")
        return None
    clash = [name for name, value in others.items() if value]
    if clash:
        raise SettingsError(f"{_flag(clash[0])}: is for one patient; leave it out, or leave out --cohort")
    if output is None:
        raise SettingsError("--cohort: needs --output FILE.jsonl or --output FILE.parquet")
    require_kind(output)
    return cohort, output


def predict_cohort(model: Path, cohort: Path, output: Path, values: Mapping[str, Any]) -> None:
    """Explain the patients of a cohort with a bar, and name the file.

    Args:
        model: Model folder or name.
        cohort, output: As `explain_cohort`.
        values: The options of `ExplainConfig` and `CohortPredictConfig`.
    """
    from clinragen.cli.display import quiet_libraries
    from clinragen.cli.run_stage import with_bar
    from clinragen.cohort_predictions import explain_cohort
    from clinragen.export.result import explanation_result
    from clinragen.inference import Explainer
    from dataset_builder.storage.governance import provenance_notices

    config = config_from(CohortPredictConfig, values)
    quiet_libraries()
    explainer = Explainer.from_pretrained(model, config_from(ExplainConfig, values))
    found: dict[str, Any] = {}

    def work(report: Any) -> None:
        found.update(explain_cohort(explainer, cohort, output, explanation_result, config, report=report))

    with_bar("predict", work)
    for notice in provenance_notices(found):
        typer.echo(f"Note: {notice}", err=True)
    typer.echo(f"answers: {output}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

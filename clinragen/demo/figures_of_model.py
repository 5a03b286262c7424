"""The figures that are known of a model: the evaluation of its run, else what its card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinragen.evaluation.systems import MAIN
from dataset_builder.storage.files import faults_named, read_json, read_text
from modeling_clinragen.errors import InputDataError
from trainers.formatting import format_score

CARD = "README.md"
METRICS = Path("evaluation") / "metrics.json"
SECTION = "## Evaluation"


@dataclass(frozen=True)
class Figures:
    """The figures of a model; all empty where nothing was measured.

    Args:
        metrics: The evaluation's metrics.json.
        listed: Of a card's `model-index`: data set, metric and value, as texts.
        section: Of a card without one: its section about the evaluation, Markdown.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    listed: tuple[tuple[str, str, str], ...] = ()
    section: str = ""


def figures_of(folder: Path | None) -> Figures:
    """The figures of the model in a folder.

    An evaluation that lies beside counts only where the model's card states its result: a folder beside may be about
    another model.

    Args:
        folder: The model's folder; None where there is none.

    Raises:
        InputDataError: There are figures, but they cannot be read.
    """
    card = card_text(folder)
    if folder is None or not card:
        return Figures()
    path = folder.resolve().parent / METRICS
    if path.is_file():
        with faults_named(path):
            metrics = read_json(path)
            if format_score(metrics["systems"][MAIN]["micro_f1"]) in card:
                return Figures(metrics)
    listed = _listed(folder / CARD, card)
    return Figures(listed=listed, section="" if listed else card_part(card, SECTION))


def _listed(path: Path, card: str) -> tuple[tuple[str, str, str], ...]:
    import yaml
    from huggingface_hub import ModelCard, ModelCardData

    try:
        data = ModelCard(card, ignore_metadata_errors=True).data
        results = (data.eval_results if isinstance(data, ModelCardData) else None) or []
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise InputDataError(f"{path}: its head is not that of a model card; make the card again") from error
    return tuple(
        (one.dataset_name, one.metric_name or one.metric_type, _in_words(one.metric_value)) for one in results
    )


def _in_words(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def card_text(folder: Path | None) -> str:
    """The card of the model in a folder; "" where there is none."""
    return read_text(folder / CARD) if folder is not None and (folder / CARD).is_file() else ""


def card_part(card: str, heading: str) -> str:
    """The part of a card below a heading of the second level, to the next one of that level."""
    _, found, rest = card.partition(f"\n{heading}\n")
    return rest.partition("\n## ")[0].strip() if found else ""
